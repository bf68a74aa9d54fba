"""Change freezes: times in which nothing is sent.

``apply`` refuses to start in one, and stops before the next one begins.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, time, timedelta

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Severity
from segctl.core.local_time import format_moment, local_date, local_timestamp, parse_hours
from segctl.manifests.limits import Freeze, PlanOverride
from segctl.plan.model import Finding, Plan
from segctl.plan.overrides import OverrideClock, override_yaml

AHEAD_DAYS = 7
"""A plan reports a freeze with dates this many days before it begins."""

_DAY = 86_400.0
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CHANGE_FREEZE = "change-freeze"
"""The code of findings about a freeze that is on."""

_MAX_JOINED = 1_000
"""At most this many freezes without a gap between them are joined."""


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """A period in which nothing is sent, in seconds since 1970, and the reason for it."""

    begins_at: float
    ends_at: float
    reason: str


def find_freeze(freezes: Iterable[Freeze], at: float, zone: str) -> Frozen | None:
    """Return the freeze at a time, or ``None``. Freezes without a gap between them are joined."""
    freezes = tuple(freezes)
    found = next(_freezes_at(freezes, at, zone), None)
    if found is None:
        return None
    ends_at = found.ends_at
    for _ in range(_MAX_JOINED):
        later = max((f.ends_at for f in _freezes_at(freezes, ends_at, zone)), default=ends_at)
        if later <= ends_at:
            break
        ends_at = later
    return Frozen(begins_at=found.begins_at, ends_at=ends_at, reason=found.reason)


def next_begin(freezes: Iterable[Freeze], after: float, zone: str) -> float | None:
    """Return when the next freeze begins after a time, ``None`` if none is known."""
    begins = [
        frozen.begins_at
        for freeze in freezes
        for frozen in _occurrences(freeze, local_date(after, zone), zone)
        if frozen.begins_at > after
    ]
    return min(begins, default=None)


def _freezes_at(freezes: Sequence[Freeze], at: float, zone: str) -> Iterator[Frozen]:
    for freeze in freezes:
        for frozen in _occurrences(freeze, local_date(at, zone), zone):
            if frozen.begins_at <= at < frozen.ends_at:
                yield frozen


def _occurrences(freeze: Freeze, day: date, zone: str) -> Iterator[Frozen]:
    """Yield the periods of a freeze from the day before ``day`` to a week after it."""
    if freeze.begins_at is not None and freeze.ends_at is not None:
        yield Frozen(begins_at=freeze.begins_at, ends_at=freeze.ends_at, reason=freeze.reason)
        return
    begin, end = parse_hours(freeze.hours) if freeze.hours else (time(), time())
    for offset in range(-1, 8):
        first = day + timedelta(days=offset)
        if freeze.days and _WEEKDAYS[first.weekday()] not in freeze.days:
            continue
        last = first + timedelta(days=int(end <= begin))
        yield Frozen(
            begins_at=local_timestamp(first, begin, zone),
            ends_at=local_timestamp(last, end, zone, is_end=True),
            reason=freeze.reason,
        )


def may_freeze(plan: Plan, now: float) -> bool:
    """Whether a plan has freezes and no override that allows it to be applied in one."""
    return bool(plan.freezes) and not _is_exempt(plan.allow, now)


def _is_exempt(allow: PlanOverride | None, now: float) -> bool:
    return allow is not None and allow.freeze and not allow.has_expired(now)


def find_plan_freeze(plan: Plan, now: float) -> Frozen | None:
    """Return the freeze that keeps a plan from being applied now, or ``None``."""
    return find_freeze(plan.freezes, now, plan.time_zone) if may_freeze(plan, now) else None


def next_plan_freeze(plan: Plan, now: float) -> float | None:
    """Return when a freeze next stops a plan that may be sent now, ``None`` if none is known."""
    if may_freeze(plan, now) or plan.allow is None:
        return next_begin(plan.freezes, now, plan.time_zone)
    expires_at = plan.allow.expires_at
    if find_freeze(plan.freezes, expires_at, plan.time_zone):
        return expires_at
    return next_begin(plan.freezes, expires_at, plan.time_zone)


def describe_freeze(frozen: Frozen, zone: str) -> str:
    """Return until when changes are frozen, and why."""
    reason = f": {frozen.reason}" if frozen.reason else ""
    return f"changes are frozen until {format_moment(frozen.ends_at, zone)}{reason}"


def frozen_finding(plan: Plan, frozen: Frozen, *, now: float) -> Finding:
    """Return the error that refuses an apply during a freeze."""
    clock = OverrideClock(now=now, zone=plan.time_zone)
    allow = override_yaml(plan.allow, {"freeze": True}, clock, ends_at=frozen.ends_at)
    return Finding(
        severity=Severity.ERROR,
        code=CHANGE_FREEZE,
        summary=describe_freeze(frozen, plan.time_zone),
        detail="Run it again after that. If it cannot wait, set this in spec of segctl.yaml, with "
        f"the reason, and plan again:\n  allow: {allow}",
    )


def check_freezes(plan: Plan, *, now: float) -> Iterator[Finding]:
    """Yield a warning if the plan cannot be applied now, or will not be in the next days."""
    if plan.is_empty or not plan.freezes:
        return
    frozen = find_freeze(plan.freezes, now, plan.time_zone)
    if frozen and plan.allow and _is_exempt(plan.allow, now):
        yield Finding(
            severity=Severity.WARNING,
            code="freeze-override-used",
            summary=f"{describe_freeze(frozen, plan.time_zone)}; applying is allowed until "
            f"{plan.allow.until}: {plan.allow.reason}",
        )
    elif frozen:
        yield Finding(
            severity=Severity.WARNING,
            code=CHANGE_FREEZE,
            summary=describe_freeze(frozen, plan.time_zone),
            detail="Until then, `segctl apply` refuses this plan.",
        )
    elif may_freeze(plan, now):
        yield from _upcoming(plan, now)


def _upcoming(plan: Plan, now: float) -> Iterator[Finding]:
    dated = [f for f in plan.freezes if f.begins_at is not None]
    begins_at = next_begin(dated, now, plan.time_zone)
    if begins_at is not None and begins_at - now <= AHEAD_DAYS * _DAY:
        yield Finding(
            severity=Severity.INFO,
            code="change-freeze-ahead",
            summary=f"a change freeze begins at {format_moment(begins_at, plan.time_zone)}",
            detail="An apply that is not finished by then stops, and goes on afterwards.",
        )
