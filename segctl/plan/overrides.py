"""Overrides: what a plan may do beyond a guard, for a time and for a reason.

A refusal prints the override that would allow the plan. An override that is used, has expired or
is not needed is a finding.
"""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Severity
from segctl.core.local_time import local_date
from segctl.manifests.limits import Override, PlanOverride, SegmentOverride
from segctl.plan.model import Figures, Finding, Plan

USED = "override-used"
"""The code of the finding about an override that allows something beyond a guard."""

OF_SOURCES = "max-shrink-percent"
"""The code of the refusal of a source that lost too much, which an override can allow."""

PROPOSED_DAYS = 7
"""How long the override that a refusal prints is valid."""

_TERMS = ("until", "expires_at", "reason")
"""The fields of an override that allow nothing by themselves."""

Needs = Mapping[str, float | bool]
"""What an override must allow, by its fields."""


@dataclass(frozen=True, kw_only=True)
class OverridePlace:
    """An override, or the place where one can be added.

    ``path`` is the mapping that it belongs to, ``place`` its file, line and column.
    """

    override: Override | None
    path: str
    place: str | None
    address: str | None = None

    @property
    def where(self) -> str:
        """The path of the mapping that ``allow`` belongs to, and its location if that is known."""
        return f"{self.path} ({self.place})" if self.place else self.path


@dataclass(frozen=True, kw_only=True)
class Excess:
    """Something beyond a guard: what it is, the guard, and what an override must allow.

    ``advice`` is what to do if it is not intended.
    """

    code: str
    text: str
    guard: str
    figures: Figures
    needs: Needs
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class OverrideClock:
    """The time for which overrides are checked, and the time zone of the workspace."""

    now: float
    zone: str = "UTC"

    @property
    def proposed_until(self) -> str:
        """The last day of the override that a refusal prints."""
        return str(local_date(self.now, self.zone) + timedelta(days=PROPOSED_DAYS))


def resolve(
    excesses: Sequence[Excess], at: OverridePlace, clock: OverrideClock
) -> Iterator[Finding]:
    """Yield an error for each excess, or a warning if the override allows it."""
    override = at.override
    is_live = override is not None and not override.has_expired(clock.now)
    needs: dict[str, float | bool] = {}
    for excess in excesses:
        for name, value in excess.needs.items():
            needs[name] = max(needs.get(name, 0), value)
    for excess in excesses:
        if override and is_live and allows(override, excess.needs):
            yield used(excess, override, at)
        else:
            yield Finding(
                severity=Severity.ERROR,
                code=excess.code,
                address=at.address,
                summary=f"{excess.text}, {excess.guard}{_insufficient(override, excess, clock)}",
                detail=_advice(excess, at, needs, clock),
                figures=excess.figures,
            )


def allows(override: Override, needs: Needs) -> bool:
    """Whether an override allows all of this. One for an empty segment needs no number."""
    for name, value in needs.items():
        allowed = getattr(override, name)
        if allowed is None:
            if "empty" not in needs:
                return False
        elif value > allowed:
            return False
    return True


def used(excess: Excess, override: Override, at: OverridePlace) -> Finding:
    """Return the warning that an override allows something beyond a guard."""
    numbers = [
        getattr(override, name)
        for name, value in excess.needs.items()
        if not isinstance(value, bool) and getattr(override, name) is not None
    ]
    figures = excess.figures
    limit = f" up to {numbers[0]:,}" if numbers else ""
    if "shrink_percent" in excess.needs:
        limit = f" up to {numbers[0]:g}%"
    return Finding(
        severity=Severity.WARNING,
        code=USED,
        address=at.address,
        summary=f"{excess.text}: allowed{limit} until {override.until}: {override.reason}",
        detail=f"The override is allow in {at.where}. Without it, {excess.code} refuses the plan.",
        figures=Figures(
            count=figures.count,
            of=figures.of,
            limit=int(numbers[0]) if numbers else figures.limit,
            segments=figures.segments,
            place=at.place,
        ),
    )


def _insufficient(override: Override | None, excess: Excess, clock: OverrideClock) -> str:
    """Return why the override does not allow this; empty if it is about something else."""
    if override is None or not any(getattr(override, name) for name in excess.needs):
        return ""
    if override.has_expired(clock.now):
        return f"; its override expired ({override.until})"
    allowed = [
        f"{_yaml_name(name)}: {_yaml_value(getattr(override, name))}"
        for name in excess.needs
        if getattr(override, name)
    ]
    return f"; its override allows only {', '.join(allowed)}"


def _advice(excess: Excess, at: OverridePlace, needs: Needs, clock: OverrideClock) -> str:
    """Return the override to add, with its place, and what to do if it is not intended."""
    verb = "change allow" if at.override else "add this"
    yaml = override_yaml(at.override, needs, clock)
    return (
        f"If this is intended, {verb} in {at.where}, with the reason:\n  allow: {yaml}\n"
        f"{excess.advice}"
    ).rstrip()


def override_yaml(
    override: Override | None, needs: Needs, clock: OverrideClock, *, ends_at: float | None = None
) -> str:
    """Return the YAML of an override with all that the old one allows, and with ``needs``.

    It ends no later than on the day of ``ends_at``.
    """
    values: dict[str, float | bool] = {}
    if override and not override.has_expired(clock.now):
        known = {f.name: getattr(override, f.name) for f in fields(override)}
        values = {name: value for name, value in known.items() if value and name not in _TERMS}
    for name, value in needs.items():
        whole = math.ceil(value) if isinstance(value, float) else value
        values[name] = max(values.get(name, 0), whole)
    items = [f"{_yaml_name(name)}: {_yaml_value(value)}" for name, value in values.items()]
    until = clock.proposed_until
    if ends_at is not None:
        until = min(until, str(local_date(ends_at - 1, clock.zone)))
    items.append(f"until: {until}")
    items.append(f"reason: {json.dumps('...')}")
    return "{" + ", ".join(items) + "}"


def _yaml_name(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _yaml_value(value: float | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if value % 1 else str(int(value))


def check_override(
    at: OverridePlace, clock: OverrideClock, *, findings: Collection[Finding], is_partial: bool
) -> Iterator[Finding]:
    """Yield a warning for an override that has expired, or that this plan does not need.

    ``findings`` are about guards that overrides apply to. A plan ``is_partial`` if
    it may leave out what the override is for.
    """
    override = at.override
    if override is None:
        return
    of = f" of {at.address}" if at.address else ""
    if override.has_expired(clock.now):
        yield Finding(
            severity=Severity.WARNING,
            code="override-expired",
            address=at.address,
            summary=f"the override{of} expired ({override.until}): {override.reason}",
            detail=f"It allows nothing any more. Remove allow in {at.where}.",
            figures=Figures(count=0, place=at.place),
        )
    elif not is_partial and not any(f.address == at.address for f in findings):
        yield Finding(
            severity=Severity.WARNING,
            code="override-not-needed",
            address=at.address,
            summary=f"this plan does not need the override{of} (until {override.until}): "
            f"{override.reason}",
            detail=f"If its change was applied, remove allow in {at.where}.",
            figures=Figures(count=0, place=at.place),
        )


def expired_overrides(plan: Plan, *, now: float) -> Iterator[Finding]:
    """Yield an error for each override that the plan uses and that expired after it was made."""
    used_by = {finding.address for finding in plan.findings if finding.code == USED}
    overrides: dict[str | None, PlanOverride | SegmentOverride] = {
        change.address: change.after.allow
        for change in plan.changes
        if change.after and change.after.allow
    }
    if plan.allow:
        overrides[None] = plan.allow
    for address, override in overrides.items():
        # Which losses of sources are allowed cannot be proved later.
        counts = address in used_by or override.shrink_percent is not None
        if counts and not override.has_expired(plan.made_at) and override.has_expired(now):
            of = f" of {address}" if address else ""
            yield Finding(
                severity=Severity.ERROR,
                code="override-expired",
                address=address,
                summary=f"the override{of} expired ({override.until}) after the plan was made",
                detail="If it is still intended, set a later until, and plan again.",
            )
