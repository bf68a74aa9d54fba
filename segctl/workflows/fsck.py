"""Prove the state in full: head, member files, digests, history and journal, each by the rest.

Nothing is taken for granted and nothing stops the check: what of a damaged head can be
read is proved like a sound one.  Reads every member; writes nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from segctl.backends import journal
from segctl.backends.base import Backend, EarlierHead
from segctl.backends.journal import Journal
from segctl.core.errors import SegctlError, StateDamaged
from segctl.engine.model import Audit
from segctl.engine.protocols import StateAuditor
from segctl.session.context import Context
from segctl.session.engine_session import EngineSession, engine_session
from segctl.session.load import load_state, read_stable
from segctl.session.loaded_state import recorded_members
from segctl.state import codec as state_codec
from segctl.state.history import StateCheck, StateProblem
from segctl.state.model import FileRef, MemberSet, SegmentRecord, State

_RESTORE = "Restore segctl.state.json and segctl.state.d from one backup."
_RECORD_ANEW = (
    f"{_RESTORE} Without one: `segctl state rm` forgets the segment, and `segctl import` "
    "records it anew with a list of who is in it."
)
_PUSH = (
    "`segctl state history` lists the earlier heads, and `segctl state push --force FILE` "
    "puts one in its place."
)
_EARLIER = "Nothing but going back to it needs it; it goes when it is the oldest."


def check_state(context: Context) -> StateCheck:
    """Prove the state of a workspace; problems are in the result."""
    backend = context.backend()
    return read_stable(
        backend, lambda: _look(context, backend), is_conclusive=lambda found: not found.problems
    )


def _look(context: Context, backend: Backend) -> StateCheck:
    with engine_session(context.limits) as at:
        proof = _Proof(backend, at.open_engine())
        proof.check_head()
        proof.check_history()
        proof.check_journal(at, now=context.clock.now())
        return proof.found()


@dataclass
class _Proof:
    """One check, and what it has come to so far."""

    backend: Backend
    engine: StateAuditor
    problems: list[StateProblem] = field(default_factory=list)
    state: State | None = None
    records: list[tuple[str, SegmentRecord]] = field(default_factory=list)
    unreadable: int = 0
    faulty: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)

    def found(self) -> StateCheck:
        """Give what was found."""
        sizes = self.backend.file_sizes()
        # What of a damaged head cannot be read may name any file.
        unused = sizes.keys() - self.named if self.state or not self.problems else set()
        return StateCheck(
            segments=len(self.records) + self.unreadable,
            sound=len(self.records) - len(self.faulty),
            members=sum(record.members.digest.count for _, record in self.records),
            files=len({ref.name for _, record in self.records for ref in record.files()}),
            versions=len(self.backend.list_history()),
            unused=len(unused),
            unused_bytes=sum(sizes[name] for name in unused),
            problems=tuple(dict.fromkeys(self.problems)),
        )

    def check_head(self) -> None:
        """Prove the present head, as far as it can be read."""
        try:
            stored = self.backend.read_head()
        except SegctlError as error:
            self._tell(error.message, f"{error.hint} {_PUSH}")
            self._check_all_files()
            return
        if stored is None:
            return
        try:
            self.state = state_codec.decode(stored.data)
            self.records = [*self.state.records()]
        except StateDamaged as error:
            self.records, told = state_codec.salvage(stored.data)
            self.unreadable = len(told)
            for problem in told or [error.message]:
                self._tell(f"segctl.state.json: {problem}", _PUSH)
        if not self.records:
            self._check_all_files()
        keys: dict[str, str] = {}
        for address, record in self.records:
            if (other := keys.setdefault(record.key, address)) != address:
                self._tell(
                    f"{address} and {other} are the same segment {record.key}",
                    "`segctl state rm` forgets one of them.",
                )
            self._check_record(address, record)

    def _check_record(self, address: str, record: SegmentRecord) -> None:
        self.named.update(ref.name for ref in record.files())
        problems = [*_missing(self.backend, [*record.files()])]
        if not problems:
            try:
                where = recorded_members(record, self.backend.file_path)
                problems = [*_contradictions(record, self.engine.audit(where))]
            except SegctlError as error:
                problems = [error.message]
        for problem in problems:
            self.faulty.add(address)
            self._tell(f"{address}: {problem}", _RECORD_ANEW)

    def _check_all_files(self) -> None:
        """Prove every member file by its name, where no head tells which are needed."""
        sizes = self.backend.file_sizes()
        self.named.update(sizes)
        for name, size in sizes.items():
            for problem in _missing(self.backend, [FileRef(name=name, rows=0, bytes=size)]):
                self._tell(problem, _RESTORE)

    def check_history(self) -> None:
        """Prove the earlier heads, their files, and the journals of ended applies."""
        for name in self.backend.list_history():
            try:
                refs = _refs_of(self.backend.read_earlier_head(name))
            except StateDamaged as error:
                self._tell(f"the earlier head {name} cannot be read: {error.message}", _EARLIER)
                continue
            fresh = {ref.name: ref for ref in refs if ref.name not in self.named}
            self.named.update(fresh)
            for problem in _missing(self.backend, [*fresh.values()]):
                self._tell(f"the earlier head {name}: {problem}", _EARLIER)
        try:
            for apply in journal.archived_applies(self.backend.applies_folder()):
                for _ in apply.records():
                    pass
        except SegctlError as error:
            self._tell(error.message, error.hint)

    def check_journal(self, at: EngineSession, *, now: float) -> None:
        """Prove that an interrupted apply can be taken in."""
        try:
            open_ = Journal.open(self.backend.journal_folder())
            if open_ is None:
                return
            for _ in open_.records():
                pass
            if self.state is not None and not self.faulty:
                load_state(self.backend, at.open_engine, now=now)
        except SegctlError as error:
            self._tell(error.message, error.hint)

    def _tell(self, summary: str, advice: str) -> None:
        self.problems.append(StateProblem(summary=summary, advice=advice.strip()))


def _refs_of(head: EarlierHead) -> list[FileRef]:
    """Give what an earlier head refers to; raises ``StateDamaged``."""
    if head.data is None:
        raise StateDamaged(head.problem)
    return [ref for _, record in state_codec.decode(head.data).records() for ref in record.files()]


def _missing(backend: Backend, refs: Sequence[FileRef]) -> Iterator[str]:
    """Give what is wrong with files by themselves: not there, or not what was written."""
    for ref in refs:
        try:
            backend.file_path(ref)
        except SegctlError as error:
            yield error.message


def _contradictions(record: SegmentRecord, audit: Audit) -> Iterator[str]:
    """Give where the head and the files of one record do not say the same."""
    members, pairs = record.members, record.pairs
    if audit.digest.count != members.digest.count:
        yield (
            f"the head says {members.digest.count:,} members, its files hold {audit.digest.count:,}"
        )
    elif audit.digest != members.digest:
        yield "its files hold other members than the head says"
    yield from _miscounted(members, audit)
    if audit.invalid_rows:
        yield f"{audit.invalid_rows:,} rows of its files hold no member or no change"
    if (audit.uncertain, audit.refused) != (pairs.uncertain, pairs.refused):
        yield (
            f"the head says {pairs.uncertain:,} uncertain and {pairs.refused:,} refused pairs, "
            f"its file holds {audit.uncertain:,} and {audit.refused:,}"
        )
    if audit.invalid_pairs:
        yield f"{audit.invalid_pairs:,} rows of its pairs hold none, or one that stands twice"


def _miscounted(members: MemberSet, audit: Audit) -> Iterator[str]:
    """Give what is wrong with the base and the changes of a set, file by file."""
    if audit.duplicates:
        yield f"{audit.duplicates:,} members stand twice in its base"
    base = [(members.base, audit.base_rows)] if members.base else []
    for ref, rows in [*base, *zip(members.changes, audit.change_rows, strict=True)]:
        if ref.rows != rows:
            yield f"the head says {ref.rows:,} rows of {ref.name}, it holds {rows:,}"
    for ref, rows in zip(members.changes, audit.contradictions, strict=True):
        if rows:
            yield f"{rows:,} changes of {ref.name} add who is there, or remove who is not"
