"""Saved plans: in a file, or kept with the state under their digest."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segctl.backends.base import Backend
from segctl.core.approval import APPROVAL_DAYS, APPROVAL_SECONDS, PLAN_DIGEST
from segctl.core.dataclass import dataclass
from segctl.core.errors import OperationError, StalePlan, WrongUsage
from segctl.core.scratch import scratch_folder
from segctl.plan import file as plan_file
from segctl.plan.model import Plan
from segctl.session.context import Context
from segctl.session.engine_session import EngineSession, engine_session
from segctl.session.open_state import open_plan_sealer

DIGEST_PREFIX = "sha256:"


@dataclass(frozen=True, kw_only=True)
class SavedPlanName:
    """The name of a saved plan: a file, or a digest. ``text`` is how the user wrote it."""

    text: str
    file: Path | None = None
    digest: str = ""


def parse_plan_digest(text: str) -> str:
    """Return the digest in ``text``, which starts with ``DIGEST_PREFIX``; raises ``WrongUsage``."""
    digest = text.strip().lower()
    if not PLAN_DIGEST.fullmatch(digest):
        raise WrongUsage(
            f"a plan's digest is {DIGEST_PREFIX} and 64 hexadecimal digits; this has "
            f"{len(digest) - len(DIGEST_PREFIX)} characters after {DIGEST_PREFIX}",
            hint="Copy the whole digest from the plan or from the comment.",
        )
    return digest


def keep_plan(backend: Backend, plan: Plan, file: Path, *, now: float) -> None:
    """Keep a saved plan with the state for ``APPROVAL_DAYS``, and remove those that are older.

    Raises ``OperationError`` if the state's place cannot be written.
    """
    backend.keep_plan(plan.digest, file, until=now + APPROVAL_SECONDS)
    # A run that only plans may be allowed to add a plan and not to remove one.
    with suppress(OperationError):
        backend.remove_plans(backend.old_plans(now=now))


@contextmanager
def saved_plan_file(context: Context, name: SavedPlanName) -> Iterator[Path]:
    """Return the file of a saved plan for the length of the block.

    Raises ``StalePlan`` if no plan is kept under the digest.
    """
    if name.file:
        yield name.file
        return
    with scratch_folder(context.limits.folder) as folder:
        file = folder / "kept.segplan"
        if not context.backend().fetch_plan(name.digest, file):
            raise StalePlan(
                f"no plan is kept with the state under {name.digest}",
                hint=f"Plans are kept for {APPROVAL_DAYS} days, if `segctl plan --save` made them. "
                "Plan again, and have the new plan approved.",
            )
        yield file


def read_saved_plan(context: Context, name: SavedPlanName) -> Plan:
    """Return a proved saved plan, without its members. Raises ``OperationError``."""
    with saved_plan_file(context, name) as file, engine_session(context.limits) as session:
        return load_proved_plan(context, name, file, session, folder=session.scratch).plan


def load_proved_plan(
    context: Context, name: SavedPlanName, file: Path, session: EngineSession, *, folder: Path
) -> plan_file.LoadedPlan:
    """Load a saved plan into ``folder``, and prove it.

    Raises ``OperationError`` if it is damaged, was changed, or is not the one with the digest.
    """
    from segctl.planning.proof import prove_plan  # noqa: PLC0415 - heavy

    saved = plan_file.load_plan(file, scratch=folder, sealer=open_plan_sealer(context))
    prove_plan(saved, session.open_engine())
    if name.digest and saved.plan.digest != name.digest:
        raise OperationError(
            f"the plan that is kept under {name.digest} is another one: its digest is "
            f"{saved.plan.digest}",
            hint="Nothing was sent. Find out who can write to the state, and plan again.",
        )
    return saved
