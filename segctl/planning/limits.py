"""Check the limits of a plan: guards, overrides, freezes, and what was sent this month before."""

from collections.abc import Sequence
from dataclasses import replace

from segctl.core.diagnostics import Severity
from segctl.core.local_time import month_of
from segctl.manifests.desired import ProjectSettings
from segctl.plan.findings import NOTHING_RECORDED
from segctl.plan.freezes import check_freezes
from segctl.plan.guards import GuardedChange, check_guards, guarded_plan
from segctl.plan.holding import HELD_BACK
from segctl.plan.model import Finding, Plan
from segctl.plan.overrides import OF_SOURCES, USED, OverrideClock
from segctl.state.model import State
from segctl.state.usage import MonthUsage, usage_of


def month_usage(project: ProjectSettings, state: State, *, at: float) -> MonthUsage | None:
    """Return what was sent in the month of a time, ``None`` if months are not limited."""
    guards = project.guards
    if guards.max_billable_events_per_month is None and guards.max_requests_per_month is None:
        return None
    return usage_of(state.usage, month_of(at, project.time_zone))


def check_limits(
    plan: Plan,
    guarded: Sequence[GuardedChange],
    *,
    others: Sequence[Finding],
    place: str = "segctl.yaml",
) -> tuple[Finding, ...]:
    """Return the findings of guards, overrides and freezes at the time the plan was made.

    ``others`` are the plan's other findings, of which some are about overrides too. ``place`` is
    that of the settings of the workspace.
    """
    clock = OverrideClock(now=plan.made_at, zone=plan.time_zone)
    about_overrides = [finding for finding in others if finding.code in (USED, OF_SOURCES)]
    return (
        *check_guards(guarded, guarded_plan(plan, place=place), clock, others=about_overrides),
        *check_freezes(plan, now=plan.made_at),
    )


def with_findings(
    plan: Plan, findings: Sequence[Finding], guarded: Sequence[GuardedChange], *, place: str
) -> Plan:
    """Return the plan with these findings and those of its limits."""
    found = (*findings, *check_limits(plan, guarded, others=findings, place=place))
    return replace(plan, findings=tuple(sorted(found, key=_finding_order)))


def _finding_order(finding: Finding) -> tuple[int, Severity, str, str]:
    """Order findings by severity; what is held back comes first, then that nothing is recorded."""
    opening = (HELD_BACK, NOTHING_RECORDED)
    place = opening.index(finding.code) if finding.code in opening else len(opening)
    return place, finding.severity, finding.address or "", finding.summary
