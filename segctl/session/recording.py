"""Take what an apply came to into the state: fold outcomes, keep files, advance the head."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from segctl.backends.base import Backend
from segctl.backends.journal import Journal, current, sweep
from segctl.core.disk import Disk
from segctl.core.errors import SegctlError, StateDamaged
from segctl.core.events import Recovered
from segctl.core.outcomes import Ledger, Outcome, fold, of_dead_run
from segctl.engine.base import Engine, FoldedTarget, Recorded
from segctl.plan import codec as plan_codec
from segctl.plan.model import Plan
from segctl.session.advance import ApplyInfo, StoredMembers, advance, record_of
from segctl.state import codec as state_codec
from segctl.state.model import EMPTY, FileRef, MemberSet, Pairs, SegmentRecord, State

StoreFile = Callable[[Path, int], FileRef]
"""Takes a scratch file of so many rows into the state, or pretends to."""

LocateFile = Callable[[FileRef], Path]

Seen = TypeVar("Seen")

MOST_LOOKS = 5
"""How often a state that others replace all the time is looked at before giving up."""


@dataclass(frozen=True, kw_only=True)
class LoadedState:
    """The state as a run sees it: its value, its version in the backend, where its files are."""

    state: State
    version: str | None
    locate: LocateFile = field(repr=False)
    recovered: Recovered | None = None

    def recorded(self) -> dict[str, Recorded]:
        """Give where the members of every recorded segment stand, by its name on the wire."""
        state = self.state
        records = (*state.segments.values(), *(t.record for t in state.tombstones))
        return {record.key: recorded_at(record, self.locate) for record in records}


def recorded_at(record: SegmentRecord, locate: LocateFile) -> Recorded:
    """Give where the members of one segment stand."""
    members, pairs = record.members, record.pairs
    return Recorded(
        digest=members.digest,
        base=locate(members.base) if members.base else None,
        base_rows=members.base.rows if members.base else 0,
        changes=tuple(locate(ref) for ref in members.changes),
        change_rows=sum(ref.rows for ref in members.changes),
        pairs=locate(pairs.file) if pairs.file else None,
    )


def read(backend: Backend, engine: Callable[[], Engine], *, now: float) -> LoadedState:
    """Read the state, the journal of an interrupted apply folded in; writes nothing."""
    # The journal first: an apply that ends in between has its head read, and is whole.
    journal = Journal.open(backend.journal_folder())
    loaded = _head(backend)
    if journal is None or journal.id == loaded.state.folded:
        return loaded
    overlay: dict[str, Path] = {}

    def keep(scratch: Path, rows: int) -> FileRef:
        overlay[scratch.name] = scratch
        return FileRef(name=scratch.name, rows=rows, bytes=scratch.stat().st_size)

    def locate(ref: FileRef) -> Path:
        return overlay.get(ref.name) or backend.path_of(ref)

    state, recovered = _recovered(loaded, journal, engine(), keep, now)
    return LoadedState(state=state, version=loaded.version, locate=locate, recovered=recovered)


def steady(
    backend: Backend, look: Callable[[], Seen], *, sound: Callable[[Seen], bool] = lambda _: True
) -> Seen:
    """Do something that reads the state without its lock, anew where a writer came between.

    What ``look`` meets in a state that is replaced meanwhile may be neither the old one
    nor the new one: a journal that ended, a member file that nothing needs any more.
    An error in a state that has stayed as it was is raised, and what is not ``sound`` given.
    """
    for left in reversed(range(MOST_LOOKS)):
        before = _whereabouts(backend)
        try:
            seen = look()
        except Exception:
            if not left or _whereabouts(backend) == before:
                raise
        else:
            if sound(seen) or not left or _whereabouts(backend) == before:
                return seen
    raise AssertionError  # the last look returned or raised


def _whereabouts(backend: Backend) -> object:
    """Tell one head and journal from any other."""
    try:
        stored = backend.read_head()
    except SegctlError as error:
        return error.message
    return stored and stored.version, current(backend.journal_folder())


def recover(
    backend: Backend, engine: Callable[[], Engine], *, disk: Disk, now: float
) -> LoadedState:
    """Take the journal of an interrupted apply into the state; needs the lock."""
    loaded = _head(backend)
    sweep(backend.journal_folder(), disk=disk)
    journal = Journal.open(backend.journal_folder(), disk=disk)
    if journal is None:
        return loaded
    if journal.id == loaded.state.folded:  # the crash came between the head and this
        archive(backend, journal)
        return loaded
    state, recovered = _recovered(
        loaded, journal, engine(), lambda scratch, rows: backend.add_file(scratch, rows=rows), now
    )
    if state is loaded.state:
        journal.remove()
    else:
        loaded = write(backend, loaded, state)
        archive(backend, journal)
    return replace(loaded, recovered=recovered)


def archive(backend: Backend, journal: Journal) -> None:
    """End a journal that the state has taken in, and keep it as evidence of what was sent."""
    journal.archive(backend.applies_folder(), serial=int(journal.header["serial"]) + 1)


def write(backend: Backend, loaded: LoadedState, state: State) -> LoadedState:
    """Replace the head; give the state as it is held from now on."""
    stored = backend.replace_head(state_codec.encode(state), expected=loaded.version)
    return LoadedState(state=state, version=stored.version, locate=backend.path_of)


def merge_outcomes(
    loaded: LoadedState,
    plan: Plan,
    ledger: Ledger,
    *,
    delta: Path | None,
    engine: Engine,
    keep: StoreFile,
    run: ApplyInfo,
) -> State:
    """Give the state after an apply, its new files kept; ``delta`` as it was sent."""
    state = loaded.state
    if not state.lineage:
        state = replace(state, lineage=_first_lineage(run.journal))
    records = {place: record_of(state, target) for place, target in enumerate(plan.targets)}
    files: dict[int, StoredMembers] = {}
    if delta is not None:
        where = {
            place: recorded_at(record, loaded.locate) if record else Recorded()
            for place, record in records.items()
        }
        for place, folded in engine.fold(delta, ledger, where).items():
            files[place] = kept(records[place], folded, keep)
    return advance(state, plan, ledger, files, run)


def _first_lineage(journal: str | None) -> str:
    """Name the history that begins; after its journal, so that whoever reads it says the same."""
    return str(uuid.UUID(journal) if journal else uuid.uuid4())


def kept(record: SegmentRecord | None, folded: FoldedTarget, keep: StoreFile) -> StoredMembers:
    """Take what an engine made of one segment into the state; give the segment's files."""
    members = record.members if record else MemberSet()
    if folded.moved and folded.change:
        change = keep(folded.change, folded.change_rows)
        changes = (*members.changes, change)
        members = MemberSet(digest=folded.digest, base=members.base, changes=changes)
    elif folded.moved:
        base = keep(folded.base, folded.digest.count) if folded.base else None
        members = MemberSet(digest=folded.digest, base=base)
    if folded.pairs is None:
        return StoredMembers(members=members, pairs=Pairs(), complete=folded.complete)
    file = keep(folded.pairs, folded.uncertain + folded.refused)
    pairs = Pairs(file=file, uncertain=folded.uncertain, refused=folded.refused)
    return StoredMembers(members=members, pairs=pairs)


def _head(backend: Backend) -> LoadedState:
    stored = backend.read_head()
    if stored is None:
        return LoadedState(state=EMPTY, version=None, locate=backend.path_of)
    state = state_codec.decode(stored.data)
    return LoadedState(state=state, version=stored.version, locate=backend.path_of)


def _recovered(
    loaded: LoadedState, journal: Journal, engine: Engine, keep: StoreFile, now: float
) -> tuple[State, Recovered]:
    header = journal.header
    state = loaded.state
    if (header["lineage"], header["serial"]) != (state.lineage, state.serial):
        raise StateDamaged(
            f"an interrupted apply began from serial {header['serial']} of the state, which is "
            f"at serial {state.serial} now",
            hint="Put back the state that the apply began from; the journal tells what was sent.",
        )
    plan = plan_codec.decode(header["plan"])
    ledger = of_dead_run(fold(journal.records()), now=now)
    run = ApplyInfo(
        journal=journal.id,
        now=float(header["at"]),
        account=header["account"],
        host=header["host"],
    )
    if not ledger.is_void:
        state = merge_outcomes(
            loaded, plan, ledger, delta=journal.delta, engine=engine, keep=keep, run=run
        )
        # Complete or not, nobody was told: whoever applies the same plan again is right to.
        state = replace(state, unfinished=plan.digest)
    return state, Recovered(
        acknowledged=ledger.count(Outcome.ACKNOWLEDGED),
        uncertain=ledger.count(Outcome.UNCERTAIN),
    )
