"""Check the guards: limits on how much one plan may change.

Guards protect recorded members, so a create is exempt. A destroy has a separate guard. A
segment recorded with ``preventDestroy`` stays protected until a plan that turns it off has
been applied.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from segctl.core.diagnostics import Severity
from segctl.manifests.desired import Guards
from segctl.plan.model import Action, Change, Figures, Finding


@dataclass(frozen=True, kw_only=True)
class GuardedChange:
    """A change, and the facts about its segment that guards depend on.

    ``members_removed`` counts the recorded members that the segment loses. ``is_protected``
    is the recorded ``preventDestroy``. ``is_tombstone`` marks a segment that was destroyed
    by an earlier plan.
    """

    change: Change
    members_removed: int
    is_protected: bool
    is_tombstone: bool = False


def check_guards(changes: Iterable[GuardedChange], *, max_destroys: int) -> tuple[Finding, ...]:
    """Return an error finding for each guard that the changes violate."""
    items = tuple(changes)
    findings = [finding for item in items for finding in _check_segment(item)]
    destroyed = [
        item.change.address
        for item in items
        if item.change.action in (Action.DESTROY, Action.REPLACE) and not item.is_tombstone
    ]
    if len(destroyed) > max_destroys:
        findings.append(
            Finding(
                severity=Severity.ERROR,
                code="max-destroys",
                summary=f"the plan destroys {len(destroyed):,} segments, more than "
                f"spec.guards.maxDestroys allows ({max_destroys:,})",
                detail="If this is intended, raise spec.guards.maxDestroys in segctl.yaml, "
                "or destroy a few segments at a time with --target.",
                figures=Figures(
                    count=len(destroyed), limit=max_destroys, segments=tuple(destroyed)
                ),
            )
        )
    return tuple(findings)


def _check_segment(item: GuardedChange) -> Iterator[Finding]:
    change = item.change
    if item.is_protected and change.action in (Action.DESTROY, Action.REPLACE):
        yield Finding(
            severity=Severity.ERROR,
            code="prevent-destroy",
            address=change.address,
            summary=f"{change.address} is protected: spec.lifecycle.preventDestroy is true",
            detail="If this is intended, first apply its manifest with preventDestroy: false.",
        )
    if change.action in (Action.UPDATE, Action.ADOPT) and change.after:
        yield from _check_removals(change, change.after.guards, item.members_removed)


def _check_removals(change: Change, guards: Guards, removed: int) -> Iterator[Finding]:
    before, after = change.members.before, change.members.after
    if not removed:
        return
    if after == 0:
        if not guards.allow_empty:
            yield Finding(
                severity=Severity.ERROR,
                code="allow-empty",
                address=change.address,
                summary=f"{change.address} loses all of its {before:,} recorded members, and "
                "spec.guards.allowEmpty is false",
                detail="If this is intended, set spec.guards.allowEmpty: true in its manifest. "
                "If not, check its sources.",
                figures=Figures(count=removed, of=before, segments=(change.address,)),
            )
        return
    percent = 100 * removed / before
    if before >= guards.from_members and percent > guards.max_remove_percent:
        yield Finding(
            severity=Severity.ERROR,
            code="max-remove-percent",
            address=change.address,
            summary=f"{change.address} loses {removed:,} of {before:,} members "
            f"({percent:.1f}%), more than spec.guards.maxRemovePercent allows "
            f"({guards.max_remove_percent:g}%)",
            detail="If this is intended, raise spec.guards.maxRemovePercent in its manifest. "
            "If not, check its sources.",
            figures=Figures(
                count=removed,
                of=before,
                limit=int(before * guards.max_remove_percent / 100),
                segments=(change.address,),
            ),
        )
