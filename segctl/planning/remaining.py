"""The rest of a saved plan that an earlier apply did not finish."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from segctl.engine.model import RecordedFiles
from segctl.engine.protocols import RequestPacker
from segctl.plan.model import Action, Change, Plan
from segctl.planning.compare import files_of
from segctl.planning.planner import PlanBundle, with_requests
from segctl.session.advance import find_records
from segctl.state.model import SegmentRecord, State


def remaining_plan(
    saved: Plan,
    state: State,
    delta: Path,
    *,
    engine: RequestPacker,
    recorded_files: Mapping[str, RecordedFiles],
    scratch: Path,
) -> PlanBundle:
    """Return the part of a saved plan that an earlier apply did not finish, packed again.

    The state shows which rows of ``delta`` are done, and which segments exist by now.
    """
    records = find_records(state, saved.targets)
    targets = tuple(
        replace(
            target,
            create=target.create and not (record and record.created),
            ct_segment_id=record.ct_segment_id if record else target.ct_segment_id,
        )
        for target, record in zip(saved.targets, records, strict=True)
    )
    remaining = engine.load_saved_delta(
        delta,
        {index: files_of(record, recorded_files) for index, record in enumerate(records)},
    )
    packing = engine.pack(
        [target.key for target in targets],
        counting=saved.counting,
        settle_seconds=saved.settle_seconds,
    )
    rest = scratch / "rest.parquet"
    engine.save(rest)
    changes = tuple(_remaining_change(change, records) for change in saved.changes)
    plan = with_requests(
        replace(saved, targets=targets, changes=changes, remaining=remaining), packing
    )
    return PlanBundle(plan=plan, delta=rest)


def _remaining_change(change: Change, records: Sequence[SegmentRecord | None]) -> Change:
    """Turn the create of a segment that exists by now into an update."""
    record = records[change.target] if change.target is not None else None
    if change.action is Action.CREATE and record and record.created:
        return replace(change, action=Action.UPDATE, reason="it has already been created")
    return change
