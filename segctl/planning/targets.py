"""The segments of a plan with the targets that their members are sent to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from segctl.core.dataclass import dataclass
from segctl.plan.diff import Draft
from segctl.plan.model import Action, Target
from segctl.state.model import SegmentRecord


@dataclass(frozen=True, kw_only=True)
class PlannedSegment:
    """A draft with the indexes of its targets in ``Plan.targets``.

    ``target_index`` is ``None`` if the segment is only forgotten. ``old_target_index`` is
    the index of the segment that is replaced.
    """

    draft: Draft
    target_index: int | None
    old_target_index: int | None


def assign_targets(
    drafts: Sequence[Draft],
) -> tuple[Sequence[PlannedSegment], tuple[Target, ...]]:
    """Return the targets of a plan, and each draft with the indexes of its targets."""
    segments: list[PlannedSegment] = []
    targets: list[Target] = []
    for draft in drafts:
        target_index = old_target_index = None
        if draft.action is not Action.FORGET:
            target_index = len(targets)
            targets.append(draft.to_target())
        if draft.old_record:
            old_target_index = len(targets)
            old = replace(draft, record=draft.old_record, segment=None, old_record=None)
            targets.append(old.to_target())
        segments.append(
            PlannedSegment(
                draft=draft, target_index=target_index, old_target_index=old_target_index
            )
        )
    return segments, tuple(targets)


def filled_targets(segments: Sequence[PlannedSegment]) -> Mapping[str, int]:
    """Return the target indexes of the segments that their sources fill, by address."""
    return {
        segment.draft.address: segment.target_index
        for segment in segments
        if segment.draft.wanted and segment.target_index is not None
    }


def recorded_targets(
    segments: Sequence[PlannedSegment],
) -> Mapping[int, tuple[SegmentRecord | None, bool]]:
    """Return the record of each target to compare, and whether it is wanted."""
    recorded: dict[int, tuple[SegmentRecord | None, bool]] = {}
    for segment in segments:
        draft, old_record = segment.draft, segment.draft.old_record
        if draft.wanted is not None and segment.target_index is not None:
            recorded[segment.target_index] = (draft.record, draft.wanted)
        if old_record and not old_record.missing and segment.old_target_index is not None:
            recorded[segment.old_target_index] = (old_record, False)
    return recorded


def with_fingerprints(
    targets: Sequence[Target], planned: Mapping[str, int], fingerprints: Mapping[str, str]
) -> tuple[Target, ...]:
    """Return the targets with the fingerprints of what their members are computed from."""
    by_index = {index: fingerprints.get(address) for address, index in planned.items()}
    return tuple(replace(t, sources=by_index.get(index)) for index, t in enumerate(targets))


def shaped_targets(segments: Sequence[PlannedSegment]) -> Sequence[int]:
    """Return the indexes of the targets whose new shapes are limited."""
    return [
        segment.target_index
        for segment in segments
        if segment.target_index is not None
        and segment.draft.wanted
        and segment.draft.segment
        and segment.draft.segment.guards.max_new_shapes_percent is not None
    ]
