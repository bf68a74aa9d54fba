"""Check a saved plan: what it sends, and that no packing needs fewer requests than its floor.

Nothing here uses the packer: SQL counts what the plan sends, and ``checking/`` recomputes bounds.
"""

from collections.abc import Iterator

from segctl.core.certificate import CheckedPacking
from segctl.core.dataclass import dataclass
from segctl.core.health import Check, Status
from segctl.plan.model import Plan
from segctl.session.context import Context
from segctl.session.engine_session import engine_session
from segctl.workflows.saved_plans import SavedPlanName, load_proved_plan, saved_plan_file

_ADVICE = "Find out who changed the plan, and make a new one with `segctl plan --out FILE`."


@dataclass(frozen=True, kw_only=True)
class VerifiedPlan:
    """A saved plan whose parts fit each other, and the checks of its requests."""

    plan: Plan
    checks: tuple[Check, ...]


def verify_plan(context: Context, name: SavedPlanName) -> VerifiedPlan:
    """Return a saved plan with the checks of its requests.

    Raises ``OperationError`` if the plan cannot be read, if its requests do not send exactly its
    changes within the limits, or if its certificates cannot be those of its changes.
    """
    from segctl.planning.proof import check_packing  # noqa: PLC0415 - heavy

    with saved_plan_file(context, name) as file, engine_session(context.limits) as session:
        saved = load_proved_plan(context, name, file, session, folder=session.scratch)
        checked = check_packing(saved, session.open_engine())
    return VerifiedPlan(plan=saved.plan, checks=tuple(_compare(saved.plan, checked)))


def _compare(plan: Plan, checked: CheckedPacking) -> Iterator[Check]:
    requests = plan.requests
    yield Check(
        topic="changes",
        summary=f"changes, each sent once: {checked.changes:,}; requests, each within the limits "
        f"of {plan.counting} counting: {requests.update:,}",
    )
    yield _compare_numbers(
        topic="naive",
        is_right=requests.naive == checked.naive,
        summary=f"requests without packing: {checked.naive:,}",
        problem=f"requests without packing: {requests.naive:,} in the plan, but its changes "
        f"need {checked.naive:,}",
    )
    for certificate, proven in zip(plan.certificates, checked.proven, strict=True):
        yield _compare_numbers(
            topic="floor",
            is_right=certificate.floor <= proven,
            summary=f"requests that every packing needs: {certificate.floor:,}, "
            f"by {certificate.proof}",
            problem=f"requests that every packing needs: {certificate.floor:,} in the plan, but "
            f"by {certificate.proof} its changes prove {proven:,}",
        )


def _compare_numbers(*, topic: str, is_right: bool, summary: str, problem: str) -> Check:
    if is_right:
        return Check(topic=topic, summary=summary)
    return Check(topic=topic, status=Status.PROBLEM, summary=problem, advice=_ADVICE)
