"""The state as one run sees it: its value, its version in the backend, where its files are."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path

from segctl.backends.base import Backend, LatestHead
from segctl.core.dataclass import dataclass
from segctl.core.errors import WrongState
from segctl.core.events import Recovered
from segctl.core.member_hash import KEY_DIGITS
from segctl.engine.model import RecordedFiles
from segctl.state import codec as state_codec
from segctl.state.model import EMPTY_STATE, FileRef, SegmentRecord, State

_NOT_NEWEST = (
    "Restore the latest segctl.state.json together with segctl.state.d. To go back on purpose: "
    "`segctl state push --force FILE`, with this segctl.state.json; what was sent since is then "
    "unknown."
)

LocateFile = Callable[[FileRef], Path]
"""Returns the path of a member file that the state names."""


@dataclass(frozen=True, kw_only=True)
class LoadedState:
    """A state with the version of its head and the paths of its files.

    ``version`` is what ``Backend.replace_head`` expects, ``None`` if there is no head.
    ``check_present`` raises ``StateDamaged`` for a file that is known to be missing.
    ``recovered`` describes the interrupted apply that was merged on loading, if any.
    """

    state: State
    version: str | None
    locate: LocateFile = field(repr=False)
    check_present: Callable[[FileRef], None] = field(repr=False, default=lambda _: None)
    recovered: Recovered | None = None

    def recorded(self) -> Mapping[str, RecordedFiles]:
        """Return the member files of every record, tombstones included, by segment key.

        The files of a record are located when they are asked for, which may fetch them. Raises
        ``StateDamaged`` if one is missing and that is known without asking for it.
        """
        for _, record in self.state.records():
            for ref in record.files():
                self.check_present(ref)
        return _FilesByKey(self.state, self.locate)


class _FilesByKey(Mapping[str, RecordedFiles]):
    """The member files of each record of a state, located on the first access."""

    def __init__(self, state: State, locate: LocateFile) -> None:
        self._records = {record.key: record for _, record in state.records()}
        self._locate = locate
        self._located: dict[str, RecordedFiles] = {}

    def __getitem__(self, key: str) -> RecordedFiles:
        if key not in self._located:
            self._located[key] = recorded_members(self._records[key], self._locate)
        return self._located[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


def recorded_members(record: SegmentRecord, locate: LocateFile) -> RecordedFiles:
    """Return the member files of one record, as an engine reads them."""
    members, pairs = record.members, record.pairs
    return RecordedFiles(
        digest=members.digest,
        base=locate(members.base) if members.base else None,
        base_rows=members.base.rows if members.base else 0,
        changes=tuple(locate(ref) for ref in members.changes),
        change_rows=sum(ref.rows for ref in members.changes),
        pairs=locate(pairs.file) if pairs.file else None,
    )


def load_head(backend: Backend) -> LoadedState:
    """Read the head without the journal; without a head, the empty state."""
    stored = backend.read_head()
    if stored is None:
        return LoadedState(state=EMPTY_STATE, version=None, locate=backend.file_path)
    state = state_codec.decode(stored.data)
    check_newest(backend, state)
    return LoadedState(
        state=state,
        version=stored.version,
        locate=backend.file_path,
        check_present=backend.check_present,
    )


def check_newest(backend: Backend, state: State) -> None:
    """Raise ``WrongState`` if the backend has seen a later head than this one.

    A head from a backup, a cache or another folder does not know what was sent since.
    """
    latest = backend.latest()
    if latest is None:
        return
    if latest.lineage and latest.lineage != state.lineage:
        raise WrongState(
            "the state has another lineage than its history: it was copied from another workspace",
            hint=_NOT_NEWEST,
        )
    if state.age < latest.age:
        raise WrongState(
            f"the state is older than its own history: it is at serial {state.serial}, and serial "
            f"{latest.serial} was written since",
            hint=_NOT_NEWEST,
        )


def write_head(backend: Backend, loaded: LoadedState, state: State) -> LoadedState:
    """Replace the head that was loaded and return the new state; needs the lock.

    A state without a key for the hashes of members gets one.
    Raises ``StateChanged`` if another run replaced the head after it was loaded.
    """
    state = replace(
        _reseal(backend, state),
        revision=loaded.state.revision + 1,
        member_key=state.member_key or new_key(),
    )
    stored = backend.replace_head(state_codec.encode(state), expected=loaded.version)
    record_latest(backend, state)
    return LoadedState(
        state=state,
        version=stored.version,
        locate=backend.file_path,
        check_present=backend.check_present,
    )


def new_key() -> str:
    """Return a new random key for the hashes of members."""
    return secrets.token_hex(KEY_DIGITS // 2)


def _reseal(backend: Backend, state: State) -> State:
    """Return the state with all its files encrypted with the current key.

    Only the first head after the key was changed has files to write again.
    """
    key_id = backend.key_id()
    if state.sealed_with == key_id:
        return state
    if not key_id:
        return replace(state, sealed_with="")
    written: dict[str, FileRef] = {}

    def again(ref: FileRef) -> FileRef:
        if ref.name not in written:
            written[ref.name] = backend.add_again(ref)
        return written[ref.name]

    def resealed(record: SegmentRecord) -> SegmentRecord:
        members, pairs = record.members, record.pairs
        return replace(
            record,
            members=replace(
                members,
                base=again(members.base) if members.base else None,
                changes=tuple(map(again, members.changes)),
            ),
            pairs=replace(pairs, file=again(pairs.file) if pairs.file else None),
        )

    return replace(
        state,
        sealed_with=key_id,
        segments={address: resealed(record) for address, record in state.segments.items()},
        tombstones=tuple(replace(t, record=resealed(t.record)) for t in state.tombstones),
    )


def record_latest(backend: Backend, state: State) -> None:
    """Record that this head is the latest one; needs the lock."""
    latest = LatestHead(lineage=state.lineage, serial=state.serial, revision=state.revision)
    backend.record_latest(latest)
