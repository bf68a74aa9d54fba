"""Merge what an apply did into the state: store the new member files, build the next state."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from segctl.core.identity import SetDigest
from segctl.core.outcomes import Ledger
from segctl.engine.model import FoldedTarget, RecordedFiles
from segctl.engine.protocols import OutcomeFolder
from segctl.plan.model import Plan
from segctl.session.advance import ApplyInfo, StoredMembers, advance_state, find_records
from segctl.session.loaded_state import LoadedState, recorded_members
from segctl.state.model import FileRef, MemberSet, Pairs, SegmentRecord, State
from segctl.state.shapes import Shapes, advance_shapes

StoreFile = Callable[[Path, int], FileRef]
"""Stores a scratch file with the given number of rows and returns the reference to it.

``Backend.add_file`` moves it into the state. A run that must not write leaves it in its
scratch folder.
"""


def merge_outcomes(
    loaded: LoadedState,
    plan: Plan,
    ledger: Ledger,
    *,
    delta: Path | None,
    engine: OutcomeFolder,
    store_file: StoreFile,
    run: ApplyInfo,
) -> State:
    """Return the state after an apply of ``plan``, its new member files stored.

    ``delta`` is the file of membership changes that the apply sent, ``None`` if it sent none.
    The head is not written.
    """
    state = loaded.state
    if not state.lineage:
        state = replace(state, lineage=_first_lineage(run.journal))
    records = dict(enumerate(find_records(state, plan.targets)))
    stored: dict[int, StoredMembers] = {}
    events: Mapping[int, int] = {}
    if delta is not None:
        untouched = _untouched_records(plan, records)
        for index, record in untouched.items():
            stored[index] = StoredMembers(
                members=record.members, pairs=record.pairs, is_complete=True
            )
        recorded = {
            index: recorded_members(record, loaded.locate) if record else RecordedFiles()
            for index, record in records.items()
            if index not in untouched
        }
        for index, folded in engine.fold(delta, ledger, recorded).items():
            stored[index] = store_folded(records[index], folded, store_file)
        shapes = _known_shapes(plan, records)
        for index, changes in engine.count_changed_shapes(shapes).items():
            members = stored[index].members.digest
            known = advance_shapes(shapes[index], changes, members)
            stored[index] = replace(stored[index], shapes=known)
        events = engine.count_sent_events()
    return advance_state(state, plan, ledger, stored, run, events=events)


def _known_shapes(plan: Plan, records: Mapping[int, SegmentRecord | None]) -> Mapping[int, Shapes]:
    """Return the shapes of the members before an apply, by target index, where they are known.

    A plan that is continued finds them in the state. Otherwise the plan has counted them.
    """
    shapes = {}
    for change in plan.changes:
        planned = plan.shapes.get(change.address)
        if planned is None or change.target is None or not change.members.sent:
            continue
        record = records[change.target]
        members = record.members.digest if record else SetDigest()
        for known in (record.shapes if record else None, planned):
            if known and known.members == members:
                shapes[change.target] = known
                break
    return shapes


def _untouched_records(
    plan: Plan, records: Mapping[int, SegmentRecord | None]
) -> Mapping[int, SegmentRecord]:
    """Return the records whose members an apply leaves alone, so that no file has to be read."""
    untouched = {}
    for change in plan.changes:
        if change.target is None or change.members.sent or change.members.quarantined:
            continue
        record = records[change.target]
        if record and not record.pairs.file:
            untouched[change.target] = record
    return untouched


def _first_lineage(journal_id: str | None) -> str:
    """Return the lineage of a new state.

    It is the journal's id, so that a plan which merges an interrupted first apply in memory
    and the run that later writes it arrive at the same lineage.
    """
    return str(uuid.UUID(journal_id) if journal_id else uuid.uuid4())


def store_folded(
    record: SegmentRecord | None, folded: FoldedTarget, store_file: StoreFile
) -> StoredMembers:
    """Store the files that an engine wrote for one segment and return the segment's file set."""
    members = record.members if record else MemberSet()
    if folded.has_changed and folded.change:
        change = store_file(folded.change, folded.change_rows)
        changes = (*members.changes, change)
        members = MemberSet(digest=folded.digest, base=members.base, changes=changes)
    elif folded.has_changed:
        base = store_file(folded.base, folded.digest.count) if folded.base else None
        members = MemberSet(digest=folded.digest, base=base)
    if folded.pairs is None:
        return StoredMembers(members=members, pairs=Pairs(), is_complete=folded.is_complete)
    file = store_file(folded.pairs, folded.uncertain + folded.refused)
    pairs = Pairs(file=file, uncertain=folded.uncertain, refused=folded.refused)
    return StoredMembers(members=members, pairs=pairs)
