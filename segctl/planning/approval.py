"""Compare today's plan with the plan that was approved."""

from dataclasses import replace

from segctl.core.approval import (
    APPROVAL_DAYS,
    APPROVAL_SECONDS,
    ApprovalCheck,
    ApprovalUse,
)
from segctl.core.errors import ApprovalUsed, GuardRefused, StalePlan
from segctl.engine.protocols import PlanProver
from segctl.plan.approval import check_approval
from segctl.plan.file import LoadedPlan
from segctl.plan.model import Plan
from segctl.planning.planner import PlanBundle
from segctl.state.model import State

_CLOCK_SKEW = 86_400.0
"""How far ahead the clock of another machine may be, in seconds."""

_HINT = "Plan again, and have the new plan approved."


def check_usable(
    approved: Plan, state: State, *, account: str | None, host: str, now: float
) -> None:
    """Raise an error unless a plan can count as approved at the time ``now``.

    That is ``StalePlan`` if it is too old, was applied completely before, or is for another
    account, host or state, and ``GuardRefused`` if a guard refused it.
    """
    check_age(approved, now=now)
    if approved.host != host:
        raise StalePlan(
            f"the plan was approved for {approved.host}, and this is {host}", hint=_HINT
        )
    if approved.account and account and approved.account != account:
        raise StalePlan(
            f"the plan was approved for account {approved.account}, and this is {account}",
            hint=_HINT,
        )
    # A plan that was made before there was a state may be approved for the first one.
    if approved.lineage and approved.lineage != state.lineage:
        raise StalePlan("the plan was approved for another state", hint=_HINT)
    check_unused(approved, state)
    if approved.error_findings:
        raise GuardRefused(
            "the plan that was approved is refused itself",
            findings=approved.error_findings,
            hint=_HINT,
        )


def check_unused(approved: Plan, state: State) -> None:
    """Raise ``ApprovalUsed`` if nothing was left to send when the plan was last applied."""
    use = state.approvals.get(approved.digest)
    if use and use.finished:
        raise ApprovalUsed(
            "this approved plan was applied completely before",
            hint="Nothing is left to do. For what changed since, plan again.",
        )


def check_age(plan: Plan, *, now: float) -> None:
    """Raise ``StalePlan`` for a plan that is too old to count as approved."""
    if plan.made_at > now + _CLOCK_SKEW:
        raise StalePlan("the plan was made in the future, as its file says", hint=_HINT)
    if now - plan.made_at > APPROVAL_SECONDS:
        days = int((now - plan.made_at) / 86_400)
        raise StalePlan(
            f"the plan was made {days:,} days ago, and an approval counts for {APPROVAL_DAYS} days",
            hint=_HINT,
        )


def compare_with_approved(
    approved: LoadedPlan, today: PlanBundle, use: ApprovalUse | None, prover: PlanProver
) -> tuple[ApprovalCheck, PlanBundle]:
    """Return how today's plan differs from a proved, approved plan, and today's plan for it.

    ``use`` is what earlier runs sent on the same approval.
    """
    compared = prover.compare_changes(
        (approved.delta, [target.key for target in approved.plan.targets]),
        # A plan without changes has no files.
        None
        if today.plan.is_empty
        else (today.delta, [target.key for target in today.plan.targets]),
    )
    check = check_approval(approved.plan, today.plan, compared.counts, use.beyond if use else {})
    plan = replace(today.plan, approved=approved.plan.digest, beyond=compared.beyond)
    return check, replace(today, plan=plan)
