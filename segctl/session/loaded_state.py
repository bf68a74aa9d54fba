"""The state as one run sees it: its value, its version in the backend, where its files are."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from segctl.backends.base import Backend
from segctl.core.events import Recovered
from segctl.engine.model import RecordedFiles
from segctl.state import codec as state_codec
from segctl.state.model import EMPTY_STATE, FileRef, SegmentRecord, State

LocateFile = Callable[[FileRef], Path]
"""Returns the path of a member file that the state names."""


@dataclass(frozen=True, kw_only=True)
class LoadedState:
    """A state with the version of its head and the paths of its files.

    ``version`` is what ``Backend.replace_head`` expects, ``None`` if there is no head.
    ``recovered`` describes the interrupted apply that was merged on loading, if any.
    """

    state: State
    version: str | None
    locate: LocateFile = field(repr=False)
    recovered: Recovered | None = None

    def recorded(self) -> dict[str, RecordedFiles]:
        """Return the member files of every record, tombstones included, by segment key."""
        return {
            record.key: recorded_members(record, self.locate) for _, record in self.state.records()
        }


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
    return LoadedState(state=state, version=stored.version, locate=backend.file_path)


def write_head(backend: Backend, loaded: LoadedState, state: State) -> LoadedState:
    """Replace the head that was loaded and return the new state; needs the lock.

    Raises ``StateChanged`` if another run replaced the head after it was loaded.
    """
    stored = backend.replace_head(state_codec.encode(state), expected=loaded.version)
    return LoadedState(state=state, version=stored.version, locate=backend.file_path)
