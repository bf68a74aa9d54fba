"""Limits on how much one plan may change.

What was recorded decides what is dangerous: a create is exempt, a destroy has a
guard of its own, and a segment recorded as protected stays so until a plan that
lifts the protection was applied.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from segctl.core.diagnostics import Severity
from segctl.manifests.desired import Guards
from segctl.plan.model import Action, Change, Figures, Finding


@dataclass(frozen=True, kw_only=True)
class GuardedChange:
    """A change with what guards need to know: ``members_removed`` of its recorded members."""

    change: Change
    members_removed: int
    is_protected: bool
    is_tombstone: bool = False


def check_guards(weighed: Iterable[GuardedChange], *, max_destroys: int) -> tuple[Finding, ...]:
    """Give a finding of severity error for each guard that the changes trip."""
    items = tuple(weighed)
    findings = [finding for item in items for finding in _segment(item)]
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
                detail="If that is meant, raise spec.guards.maxDestroys in segctl.yaml, "
                "or destroy some at a time with --target.",
                figures=Figures(
                    count=len(destroyed), limit=max_destroys, segments=tuple(destroyed)
                ),
            )
        )
    return tuple(findings)


def _segment(item: GuardedChange) -> Iterator[Finding]:
    change = item.change
    if item.is_protected and change.action in (Action.DESTROY, Action.REPLACE):
        yield Finding(
            severity=Severity.ERROR,
            code="prevent-destroy",
            address=change.address,
            summary=f"{change.address} is protected: spec.lifecycle.preventDestroy is true",
            detail="If that is meant, apply its manifest with preventDestroy: false first.",
        )
    if change.action in (Action.UPDATE, Action.ADOPT) and change.after:
        yield from _members(change, change.after.guards, item.members_removed)


def _members(change: Change, guards: Guards, members_removed: int) -> Iterator[Finding]:
    before, after = change.members.before, change.members.after
    if not members_removed:
        return
    if after == 0:
        if not guards.allow_empty:
            yield Finding(
                severity=Severity.ERROR,
                code="allow-empty",
                address=change.address,
                summary=f"{change.address} loses all of its {before:,} recorded members, and "
                "spec.guards.allowEmpty is false",
                detail="If that is meant, set spec.guards.allowEmpty: true in its manifest; "
                "if not, look at its sources.",
                figures=Figures(count=members_removed, of=before, segments=(change.address,)),
            )
        return
    percent = 100 * members_removed / before
    if before >= guards.from_members and percent > guards.max_remove_percent:
        yield Finding(
            severity=Severity.ERROR,
            code="max-remove-percent",
            address=change.address,
            summary=f"{change.address} loses {members_removed:,} of {before:,} members "
            f"({percent:.1f}%), more than spec.guards.maxRemovePercent allows "
            f"({guards.max_remove_percent:g}%)",
            detail="If that is meant, raise spec.guards.maxRemovePercent in its manifest; "
            "if not, look at its sources.",
            figures=Figures(
                count=members_removed,
                of=before,
                limit=int(before * guards.max_remove_percent / 100),
                segments=(change.address,),
            ),
        )
