"""Build the findings that do not block a plan: manual steps, and members that are not sent."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from segctl.core.diagnostics import Severity
from segctl.core.identity import SetDigest
from segctl.core.listing import list_first
from segctl.core.loopback import is_loopback
from segctl.manifests.desired import IgnoredPath
from segctl.plan.diff import Draft
from segctl.plan.model import Action, Change, Figures, Finding
from segctl.state.model import State

NOTHING_RECORDED = "nothing-recorded"
"""The code of the warning with which a plan without any record opens."""

POSSIBLE_RENAME = "possible-rename"
"""The code of the warning that two segments may be one under another name."""

_SERVICE = "api.clevertap.com"

MAX_DOCUMENTS_SHOWN = 5
"""How many documents that were passed over are named."""


def build_findings(changes: Sequence[Change], drafts: Sequence[Draft]) -> Iterator[Finding]:
    """Yield the findings of each change. ``drafts`` are in the same order as ``changes``."""
    for change, draft in zip(changes, drafts, strict=True):
        yield from _ignored_rename(change, draft)
        yield from _empty_segment(change)
        yield from _remaining_shell(change, draft)
        yield from _missing_segment(change, draft)
        yield from _excluded_users(change, draft)
        yield from _refused_and_repeated(change)


def nothing_recorded(changes: Sequence[Change], state: State) -> Iterator[Finding]:
    """Warn that the state has no record, so that everything declared is new."""
    if state.segments or state.tombstones or not changes:
        return
    what = "There is no state yet." if not state.lineage else "The state records no segment."
    yield Finding(
        severity=Severity.WARNING,
        code=NOTHING_RECORDED,
        summary="nothing is recorded: every segment is created, and every member is added",
        detail=f"{what} If the segments exist in CleverTap, the state was lost or this is another "
        "folder:\nrestore the state, or adopt the segments with `segctl import`.",
        figures=Figures(count=len(changes)),
    )


def removed_drafts(drafts: Sequence[Draft]) -> list[Draft]:
    """Return the recorded segments whose members a plan removes."""
    return [d for d in drafts if d.action is Action.DESTROY and d.record and not d.is_tombstone]


def possible_renames(
    drafts: Sequence[Draft], new_members: Mapping[str, SetDigest]
) -> Iterator[Finding]:
    """Warn of a segment that is created while a similar one is destroyed: it may be a rename.

    They are similar if they have the same name, or else the same members. ``new_members`` are
    those of created segments, by address. Each segment is in one pair at most.
    """
    gone = removed_drafts(drafts)
    created = [d for d in drafts if d.action is Action.CREATE and not d.record and d.segment]
    for what, is_similar in (
        ("the same name", _has_same_name),
        ("the same members", partial(_has_same_members, new_members)),
    ):
        for draft in list(created):
            similar = [d for d in gone if is_similar(draft, d)]
            if similar:
                created.remove(draft)
                gone.remove(similar[0])
                others = [*similar[1:], *(d for d in created if is_similar(d, similar[0]))]
                yield _possible_rename(draft, similar[0], what, others)


def _has_same_name(new: Draft, old: Draft) -> bool:
    record, segment = old.record, new.segment
    names = (record.declared_name, record.remote_name) if record else ()
    return segment is not None and segment.display_name in names


def _has_same_members(new_members: Mapping[str, SetDigest], new: Draft, old: Draft) -> bool:
    members = new_members.get(new.address)
    return old.record is not None and members == old.record.members.digest


def _possible_rename(new: Draft, old: Draft, what: str, others: Sequence[Draft]) -> Finding:
    detail = _rename_advice(new.address, old)
    if others:
        names = " and ".join(draft.address for draft in others[:MAX_DOCUMENTS_SHOWN])
        more = len(others) - MAX_DOCUMENTS_SHOWN
        names += f" and {more:,} more" if more > 0 else ""
        verb = "has" if len(others) == 1 else "have"
        detail += f"\n{names} {verb} {what}, too: check which segment was renamed to which."
    return Finding(
        severity=Severity.WARNING,
        code=POSSIBLE_RENAME,
        address=new.address,
        summary=f"{new.address} is created and {old.address} is destroyed, and both have {what}",
        detail=detail,
        figures=Figures(count=1, segments=(new.address, old.address)),
    )


def _rename_advice(address: str, gone: Draft) -> str:
    """Return the ways to rename a segment without sending anything.

    A new address alone is free only if the segment has no customerSegmentId: its default is the
    name, so it would change, too.
    """
    record = gone.record
    if record and record.customer_segment_id is not None:
        return (
            f"If it is a rename, write customerSegmentId: {record.customer_segment_id} in the "
            f"manifest of {address}:\nthe segment then keeps its members, and nothing is sent. A "
            "moved block or `segctl state mv` alone does not keep them."
        )
    return (
        f"If it is a rename, declare moved: [{{from: {gone.address}, to: {address}}}] in a "
        f"document of kind Refactoring,\nor run `segctl state mv {gone.address} {address}`: the "
        "segment then keeps its members, and nothing is sent."
    )


def other_host(host: str, changes: Sequence[Change]) -> Iterator[Finding]:
    """Warn that users and the passcode go to another host than CleverTap's or this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    if not changes or is_loopback(name) or name == _SERVICE or name.endswith(f".{_SERVICE}"):
        return
    yield Finding(
        severity=Severity.WARNING,
        code="other-host",
        summary=f"users and the passcode go to {host}, which is not CleverTap's",
        detail="Check spec.provider.baseUrl in segctl.yaml, and CLEVERTAP_BASE_URL.",
    )


def passed_over_documents(changes: Sequence[Change], documents: Sequence[str]) -> Iterator[Finding]:
    """Warn that a destroyed segment may be declared in a document that was passed over."""
    gone = removed_addresses(changes)
    if not gone or not documents:
        return
    count = f"{len(gone):,} segment{'' if len(gone) == 1 else 's'}"
    yield Finding(
        severity=Severity.WARNING,
        code="passed-over",
        summary=f"{count} would be removed, and these YAML documents were passed over: "
        + list_first(documents, MAX_DOCUMENTS_SHOWN),
        detail="If one of them declares a segment, correct its apiVersion and kind.",
        figures=Figures(count=len(documents), segments=tuple(gone)),
    )


def removed_addresses(changes: Sequence[Change]) -> Sequence[str]:
    """Return the segments that a plan removes because no manifest declares them."""
    return [
        c.address for c in changes if c.action in (Action.DESTROY, Action.FORGET) and not c.after
    ]


def ignored_manifests(ignored: Mapping[str, IgnoredPath]) -> Iterator[Finding]:
    """Refuse to remove a segment while ``spec.ignore`` hides a file that declares it.

    ``ignored`` are those files by the address of the segment.
    """
    for address, file in ignored.items():
        yield Finding(
            severity=Severity.ERROR,
            code="ignored-manifest",
            address=address,
            summary=f"{address} would be removed, and {file.path}, which spec.ignore hides with "
            f'"{file.pattern}", declares it',
            detail="Correct spec.ignore in segctl.yaml. To remove the segment, delete that "
            "manifest,\nor declare removed: "
            f"[{{address: {address}, onRemove: empty}}] in a document of kind Refactoring.",
            figures=Figures(count=1, segments=(address,)),
        )


def _empty_segment(change: Change) -> Iterator[Finding]:
    """Report a new segment without members: a source may be broken."""
    after = change.after
    if change.action is Action.CREATE and after and after.managed and not change.members.after:
        yield Finding(
            severity=Severity.WARNING,
            code="empty-segment",
            address=change.address,
            summary=f"{change.address} is created without members",
            detail="Check its sources, or remove its manifest until it has members.",
            figures=Figures(count=0, segments=(change.address,)),
        )


def _ignored_rename(change: Change, draft: Draft) -> Iterator[Finding]:
    """Report a new display name that CleverTap does not take over."""
    if draft.segment is None or draft.record is None or not draft.record.created:
        return
    declared, remote = draft.segment.display_name, draft.record.remote_name
    recorded = draft.record.declared_name if change.action is not Action.ADOPT else remote
    if declared not in (remote, recorded):
        yield Finding(
            severity=Severity.WARNING,
            code="no-rename",
            address=change.address,
            summary=f'{change.address}: displayName is "{declared}", but CleverTap keeps the '
            f'name "{remote}"',
            detail="The service cannot rename a segment. Only the state records the new name.",
        )


def _remaining_shell(change: Change, draft: Draft) -> Iterator[Finding]:
    """Report an emptied segment that only the dashboard can delete."""
    record = draft.old_record or draft.record
    is_emptied = change.action in (Action.DESTROY, Action.REPLACE)
    if is_emptied and record and not record.missing and not draft.is_tombstone:
        yield Finding(
            severity=Severity.INFO,
            code="delete-shell",
            address=change.address,
            summary=f'the emptied segment "{record.remote_name}" ({record.key}) stays in CleverTap',
            detail="Delete it in the dashboard: the service has no call for that. If its "
            "manifest returns before that, segctl adopts the segment.",
        )


def _missing_segment(change: Change, draft: Draft) -> Iterator[Finding]:
    """Report a declared segment that the service does not find, so nothing is sent to it."""
    record = draft.record
    if record is None or not record.missing or draft.segment is None:
        return
    name = change.address.removeprefix("segment.")
    yield Finding(
        severity=Severity.WARNING,
        code="missing",
        address=change.address,
        summary=f"{change.address}: CleverTap does not find {record.key}, or it was deleted "
        "there; nothing is sent to it",
        detail=f"Restore it in the dashboard, then run `segctl rejects retry --target {name}`. "
        "Or set a new customerSegmentId to create a new segment with all its members.",
    )


def _excluded_users(change: Change, draft: Draft) -> Iterator[Finding]:
    """Report the users who would be members without the hold-out or the suppression list."""
    held_out, suppressed = change.members.held_out, change.members.suppressed
    if held_out and draft.segment and draft.segment.holdout:
        holdout = draft.segment.holdout
        text = f'held out ({holdout.percent:g}% of all users, salt "{holdout.salt}")'
        yield _count_finding(change, Severity.INFO, "held-out", held_out, text)
    if suppressed:
        text = "suppressed by spec.suppress"
        yield _count_finding(change, Severity.INFO, "suppressed", suppressed, text)


def _refused_and_repeated(change: Change) -> Iterator[Finding]:
    """Report the quarantined changes, and those that repeat an unanswered request."""
    quarantined, reasserted = change.members.quarantined, change.members.reasserted
    if quarantined:
        text = "refused earlier, not retried"
        yield replace(
            _count_finding(change, Severity.WARNING, "quarantined", quarantined, text),
            detail="Run `segctl rejects list` to see them and the reasons. They are sent again "
            "after a change of their source rows is applied, or after `segctl rejects retry`.",
        )
    if reasserted:
        text = "sent again because their last request got no answer"
        yield replace(
            _count_finding(change, Severity.INFO, "reasserted", reasserted, text),
            detail="The service may bill a repeated ADD.",
        )


def _count_finding(change: Change, severity: Severity, code: str, count: int, text: str) -> Finding:
    """Return a finding about ``count`` users of a segment."""
    return Finding(
        severity=severity,
        code=code,
        address=change.address,
        summary=f"{change.address}: {count:,} {text}",
        figures=Figures(count=count, segments=(change.address,)),
    )
