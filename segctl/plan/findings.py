"""What a plan tells its reviewer beside the changes: steps by hand, and what is held back."""

from collections.abc import Iterator, Sequence

from segctl.core.diagnostics import Severity
from segctl.plan.diff import Draft
from segctl.plan.model import Action, Change, Figures, Finding


def build_findings(changes: Sequence[Change], drafts: Sequence[Draft]) -> Iterator[Finding]:
    """Give the findings that refuse nothing, change by change."""
    for change, item in zip(changes, drafts, strict=True):
        yield from _renamed(change, item)
        yield from _shell(change, item)
        yield from _missing(change, item)
        yield from _set_aside(change, item)
        if change.members.quarantined:
            yield Finding(
                severity=Severity.WARNING,
                code="quarantined",
                address=change.address,
                summary=f"{change.address}: {change.members.quarantined:,} refused earlier, "
                "not retried",
                detail="`segctl rejects list` shows them and why. They are sent again once their "
                "source rows changed and that was applied, or after `segctl rejects retry`.",
                figures=_users(change, change.members.quarantined),
            )
        if change.members.reasserted:
            yield Finding(
                severity=Severity.INFO,
                code="reasserted",
                address=change.address,
                summary=f"{change.address}: {change.members.reasserted:,} sent again, since their "
                "last request got no answer",
                detail="The service may bill a repeated ADD.",
                figures=_users(change, change.members.reasserted),
            )


def _users(change: Change, count: int) -> Figures:
    return Figures(count=count, segments=(change.address,))


def _set_aside(change: Change, item: Draft) -> Iterator[Finding]:
    """Count the users who would be members but for a hold-out, or for the suppressed ones."""
    held_out, suppressed = change.members.held_out, change.members.suppressed
    if held_out and item.segment and item.segment.holdout:
        holdout = item.segment.holdout
        yield Finding(
            severity=Severity.INFO,
            code="held-out",
            address=change.address,
            summary=f"{change.address}: {held_out:,} held out "
            f'({holdout.percent:g}% of all users, salt "{holdout.salt}")',
            figures=_users(change, held_out),
        )
    if suppressed:
        yield Finding(
            severity=Severity.INFO,
            code="suppressed",
            address=change.address,
            summary=f"{change.address}: {suppressed:,} suppressed by spec.suppress",
            figures=_users(change, suppressed),
        )


def _shell(change: Change, item: Draft) -> Iterator[Finding]:
    """Say what becomes of an emptied segment."""
    gone = item.old_record or item.record
    emptied = change.action in (Action.DESTROY, Action.REPLACE)
    if emptied and gone and not gone.missing and not item.is_tombstone:
        yield Finding(
            severity=Severity.INFO,
            code="delete-shell",
            address=change.address,
            summary=f'the emptied segment "{gone.remote_name}" ({gone.key}) stays in CleverTap',
            detail="Delete it in the dashboard: the service has no call for that. "
            "A manifest that comes back before that adopts its segment.",
        )


def _missing(change: Change, item: Draft) -> Iterator[Finding]:
    """Say that nothing is sent to a segment that the service does not find."""
    record = item.record
    if record is None or not record.missing or item.segment is None:
        return
    name = change.address.removeprefix("segment.")
    yield Finding(
        severity=Severity.WARNING,
        code="missing",
        address=change.address,
        summary=f"{change.address}: CleverTap does not find {record.key}, or it was deleted "
        "there; nothing is sent to it",
        detail=f"Restore it in the dashboard, then run `segctl rejects retry --target {name}`. "
        "Or give it a new customerSegmentId: a new segment is created, with all its members.",
    )


def _renamed(change: Change, item: Draft) -> Iterator[Finding]:
    """Say that a new display name stays here: the service has no rename."""
    if item.segment is None or item.record is None or not item.record.created:
        return
    declared, remote = item.segment.display_name, item.record.remote_name
    known = item.record.declared_name if change.action is not Action.ADOPT else remote
    if declared not in (remote, known):
        yield Finding(
            severity=Severity.WARNING,
            code="no-rename",
            address=change.address,
            summary=f'{change.address} is declared as "{declared}"; the service goes on calling '
            f'it "{remote}"',
            detail="The service has no rename call; the new name is recorded in the state alone.",
        )
