"""Describe the change of each segment: its action, its attributes and the number of its members."""

from collections.abc import Mapping
from dataclasses import replace

from segctl.engine.model import TargetDiff
from segctl.plan.diff import Draft, attribute_changes
from segctl.plan.guards import GuardedChange
from segctl.plan.model import Action, Change, MemberCounts
from segctl.planning.compare import ComparisonResult
from segctl.planning.targets import PlannedSegment
from segctl.state.model import SegmentRecord


def describe_change(
    segment: PlannedSegment, comparison: ComparisonResult, definitions: Mapping[str, str]
) -> GuardedChange:
    """Describe the change of a segment, with what the guards need to know about it."""
    draft, diffs, declared = segment.draft, comparison.diffs, segment.draft.segment
    diff = _diff_of(segment.target_index, draft.record, diffs)
    change = _change(draft, diff, segment.target_index, definitions)
    if segment.old_target_index is not None:
        old_diff = _diff_of(segment.old_target_index, draft.old_record, diffs)
        change = replace(_with_emptied(change, old_diff), old_target=segment.old_target_index)
    record = draft.old_record or draft.record
    return GuardedChange(
        change=change,
        members_removed=diff.leaving,
        members_added=diff.joining,
        new_shapes=comparison.new_shapes.get(index_of(change), {}),
        is_protected=bool(record and record.lifecycle.prevent_destroy),
        is_tombstone=draft.is_tombstone,
        is_created=draft.to_target().create and segment.target_index is not None,
        path=declared.path if declared else "spec",
        place=str(declared.allow_location or declared.location) if declared else None,
    )


def index_of(change: Change) -> int:
    """Return the target of a change, -1 for one that has none."""
    return -1 if change.target is None else change.target


def _diff_of(
    target_index: int | None, record: SegmentRecord | None, diffs: Mapping[int, TargetDiff]
) -> TargetDiff:
    """Return the diff of a target. A target that was not compared keeps its members."""
    if target_index is not None and target_index in diffs:
        return diffs[target_index]
    count = record.members.digest.count if record else 0
    return TargetDiff(desired=count, recorded=count)


def _change(
    draft: Draft, diff: TargetDiff, target_index: int | None, definitions: Mapping[str, str]
) -> Change:
    members = MemberCounts(
        before=diff.recorded,
        after=diff.desired,
        add=diff.add,
        remove=diff.remove,
        reasserted=diff.reasserted,
        quarantined=diff.quarantined,
        held_out=diff.held_out,
        suppressed=diff.suppressed,
    )
    before, after = draft.before, draft.after
    attributes = attribute_changes(before, after)
    action, reason = draft.action, draft.reason
    if action is Action.UPDATE and not reason:
        reason = _update_reason(members, bool(attributes))
        action = action if members.sent or attributes else Action.NO_OP
    if draft.is_tombstone and not members.sent:
        action = Action.NO_OP  # only refused members are left
    return Change(
        address=draft.address,
        action=action,
        reason=reason,
        before=before,
        after=after,
        attributes=attributes,
        members=members,
        sample=diff.sample,
        target=target_index,
        definition=definitions[draft.address] if after else "",
        moved_from=draft.moved_from,
        imported=draft.record.members.digest if draft.is_imported and draft.record else None,
    )


def _update_reason(members: MemberCounts, attributes_differ: bool) -> str:
    reasons = []
    if members.add or members.remove:
        reasons.append("its members differ")
    if members.reasserted:
        reasons.append("requests without an answer are sent again")
    if attributes_differ:
        reasons.append("its manifest differs")
    return " and ".join(reasons)


def _with_emptied(change: Change, old_diff: TargetDiff) -> Change:
    """Add the removals from the segment that is replaced to the change that replaces it."""
    members = replace(
        change.members,
        before=old_diff.recorded,
        remove=change.members.remove + old_diff.remove,
        reasserted=change.members.reasserted + old_diff.reasserted,
        quarantined=change.members.quarantined + old_diff.quarantined,
    )
    sample = replace(change.sample, remove=old_diff.sample.remove)
    return replace(change, members=members, sample=sample)
