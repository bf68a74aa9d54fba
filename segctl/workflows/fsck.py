"""Check the whole state: head, member files, digests, history and journal against each other.

A problem does not end the check, and the readable part of a damaged head is checked like an
intact one. Reads every member and writes nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from segctl.backends.base import Backend, EarlierHead
from segctl.core.errors import InvalidInput, SegctlError, StateDamaged, WrongState
from segctl.core.events import Recovered
from segctl.engine.model import Audit
from segctl.engine.protocols import StateAuditor
from segctl.session.context import Context
from segctl.session.engine_session import EngineSession, engine_session
from segctl.session.load import load_state, read_stable
from segctl.session.loaded_state import check_newest, recorded_members
from segctl.state import codec as state_codec
from segctl.state.history import StateCheck, StateProblem
from segctl.state.model import FileRef, MemberSet, SegmentRecord, State

if TYPE_CHECKING:
    from segctl.session.open_state import OpenState

_RESTORE = "Restore the head and the files of the state from one backup."
_RECORD_AGAIN = (
    f"{_RESTORE} Without a backup: `segctl state rm` forgets the segment, and `segctl import` "
    "records it again with a list of its members."
)
_PUSH = (
    "`segctl state history` lists the earlier heads, and `segctl state push --force NAME` "
    "restores one. `segctl state push FILE` records an edit."
)
_EARLIER = "Only a return to this version needs it. It is removed when it is the oldest."


def check_state(context: Context) -> StateCheck:
    """Check the state of a workspace. Problems are in the result."""
    state = context.open_state()
    return read_stable(
        state.backend,
        lambda: _check(context, state),
        is_conclusive=lambda check: not check.problems,
    )


def _check(context: Context, state: "OpenState") -> StateCheck:
    with engine_session(context.limits) as session:
        checker = _Checker(state.backend, session.open_engine())
        checker.check_known(state)
        checker.check_head()
        checker.check_history()
        checker.check_journal(session, now=context.clock.now())
        return checker.result()


@dataclass
class _Checker:
    """One check, and what it has found so far."""

    backend: Backend
    engine: StateAuditor
    problems: list[StateProblem] = field(default_factory=list)
    state: State | None = None
    records: list[tuple[str, SegmentRecord]] = field(default_factory=list)
    unreadable: int = 0
    faulty: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    recovered: Recovered | None = None

    def result(self) -> StateCheck:
        """Return what was found."""
        holder = self.backend.lock_holder()
        sizes = self.backend.file_sizes()
        # The unreadable part of a damaged head could name any file.
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
            recovered=self.recovered,
            running=f"process {holder.pid}, {holder.who}" if holder else "",
        )

    def check_known(self, state: "OpenState") -> None:
        """Check that the state is the one that the workspace had."""
        try:
            state.check()
        except WrongState as error:
            self._report(error.message, error.hint)
        except InvalidInput as error:
            self._report(str(error.diagnostics[0]), error.diagnostics[0].detail)
        except SegctlError:
            pass  # a damaged head has its own problem

    def check_head(self) -> None:
        """Check the current head as far as it is readable."""
        try:
            stored = self.backend.read_head()
        except SegctlError as error:
            self._report(error.message, f"{error.hint} {_PUSH}")
            self._check_all_files()
            return
        if stored is None:
            return
        try:
            self.state = state_codec.decode(stored.data)
            self.records = [*self.state.records()]
            self._check_newest(self.state)
        except StateDamaged as error:
            self.records, problems = state_codec.salvage(stored.data)
            self.unreadable = len(problems)
            for problem in problems or [error.message]:
                self._report(f"segctl.state.json: {problem}", _PUSH)
        if not self.records:
            self._check_all_files()
        keys: dict[str, str] = {}
        for address, record in self.records:
            if (other := keys.setdefault(record.key, address)) != address:
                self._report(
                    f"{address} and {other} are the same segment {record.key}",
                    "`segctl state rm` forgets one of them.",
                )
            self._check_record(address, record)

    def _check_newest(self, state: State) -> None:
        try:
            check_newest(self.backend, state)
        except StateDamaged as error:
            self._report(error.message, error.hint)

    def _check_record(self, address: str, record: SegmentRecord) -> None:
        self.named.update(ref.name for ref in record.files())
        problems = [*_file_problems(self.backend, [*record.files()])]
        if not problems:
            try:
                where = recorded_members(record, self.backend.file_path)
                problems = [*_record_problems(record, self.engine.audit(where))]
            except SegctlError as error:
                problems = [error.message]
        for problem in problems:
            self.faulty.add(address)
            self._report(f"{address}: {problem}", _RECORD_AGAIN)

    def _check_all_files(self) -> None:
        """Check every member file against its name, when no head says which are needed."""
        sizes = self.backend.file_sizes()
        self.named.update(sizes)
        for name, size in sizes.items():
            for problem in _file_problems(self.backend, [FileRef(name=name, rows=0, bytes=size)]):
                self._report(problem, _RESTORE)

    def check_history(self) -> None:
        """Check the earlier heads, their files, and the journals of finished applies."""
        for name in self.backend.list_history():
            try:
                refs = _earlier_files(self.backend.read_earlier_head(name))
            except StateDamaged as error:
                self._report(f"the earlier head {name} cannot be read: {error.message}", _EARLIER)
                continue
            fresh = {ref.name: ref for ref in refs if ref.name not in self.named}
            self.named.update(fresh)
            for problem in _file_problems(self.backend, [*fresh.values()], is_earlier=True):
                self._report(f"the earlier head {name}: {problem}", _EARLIER)
        try:
            for apply in self.backend.journals.archived():
                _ = apply.delta
                for _ in apply.records():
                    pass
        except SegctlError as error:
            self._report(error.message, error.hint)

    def check_journal(self, session: EngineSession, *, now: float) -> None:
        """Check that an interrupted apply can be recovered."""
        try:
            unfinished = self.backend.journals.open()
            if unfinished is None:
                return
            for _ in unfinished.records():
                pass
            if not self.problems:
                loaded = load_state(self.backend, session.open_engine, now=now)
                self.recovered = loaded.recovered
        except SegctlError as error:
            self._report(error.message, error.hint)

    def _report(self, summary: str, advice: str) -> None:
        self.problems.append(StateProblem(summary=summary, advice=advice.strip()))


def _earlier_files(head: EarlierHead) -> list[FileRef]:
    """Return the files of an earlier head. Raises ``StateDamaged``."""
    if head.data is None:
        raise StateDamaged(head.problem)
    return [ref for _, record in state_codec.decode(head.data).records() for ref in record.files()]


def _file_problems(
    backend: Backend, refs: Sequence[FileRef], *, is_earlier: bool = False
) -> Iterator[str]:
    """Yield problems of single files: missing, or not as written.

    Those of an earlier head need not be encrypted.
    """
    stored = backend.file_sizes()
    for ref in refs:
        try:
            path = backend.stored_path(ref)
            if not is_earlier:
                backend.file_path(ref)
        except SegctlError as error:
            yield error.message
            continue
        if ref.name not in stored:
            yield f"{ref.name} is missing; this machine has a copy of it: {path}"


def _record_problems(record: SegmentRecord, audit: Audit) -> Iterator[str]:
    """Yield differences between the head and the files of one record."""
    members, pairs = record.members, record.pairs
    if audit.digest.count != members.digest.count:
        yield (f"the head has {members.digest.count:,} members, its files {audit.digest.count:,}")
    elif audit.digest != members.digest:
        yield "its files have other members than the head"
    yield from _count_problems(members, audit)
    if audit.invalid_rows:
        yield f"{audit.invalid_rows:,} rows of its files are not a member or a change"
    if (audit.uncertain, audit.refused) != (pairs.uncertain, pairs.refused):
        yield (
            f"the head has {pairs.uncertain:,} uncertain and {pairs.refused:,} refused pairs, "
            f"its file {audit.uncertain:,} and {audit.refused:,}"
        )
    if audit.invalid_pairs:
        yield f"{audit.invalid_pairs:,} rows of its pairs are invalid or repeated"


def _count_problems(members: MemberSet, audit: Audit) -> Iterator[str]:
    """Yield wrong row counts and contradictions of a set, file by file."""
    if audit.duplicates:
        yield f"{audit.duplicates:,} members are repeated in its base"
    base = [(members.base, audit.base_rows)] if members.base else []
    for ref, rows in [*base, *zip(members.changes, audit.change_rows, strict=True)]:
        if ref.rows != rows:
            yield f"the head has {ref.rows:,} rows for {ref.name}, which has {rows:,}"
    for ref, rows in zip(members.changes, audit.contradictions, strict=True):
        if rows:
            yield f"{rows:,} changes of {ref.name} add a present member or remove an absent one"
