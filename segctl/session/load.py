"""Read the state without its lock, while other runs may replace it."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from segctl.backends.base import Backend
from segctl.core.errors import SegctlError
from segctl.engine.protocols import OutcomeFolder
from segctl.session.loaded_state import LoadedState, load_head
from segctl.session.recovery import merge_journal
from segctl.state.model import FileRef

Result = TypeVar("Result")

MAX_READS = 5
"""How often ``read_stable`` reads a state that other runs keep replacing."""


def load_state(
    backend: Backend, open_engine: Callable[[], OutcomeFolder], *, now: float
) -> LoadedState:
    """Load the state with the journal of an interrupted apply merged in memory; writes nothing.

    Files that the merge makes stay in the engine's scratch folder.
    """
    # The journal is opened before the head. If an apply ends between the two reads, the head
    # already contains the journal, and ``folded`` says so. In the other order the journal would
    # be gone and its outcomes missing.
    journal = backend.journals.open()
    loaded = load_head(backend)
    if journal is None or journal.id == loaded.state.folded:
        return loaded
    scratch_files: dict[str, Path] = {}

    def store_file(scratch: Path, rows: int) -> FileRef:
        scratch_files[scratch.name] = scratch
        return FileRef(name=scratch.name, rows=rows, bytes=scratch.stat().st_size)

    def locate(ref: FileRef) -> Path:
        return scratch_files.get(ref.name) or backend.file_path(ref)

    state, recovered = merge_journal(loaded, journal, open_engine(), store_file=store_file, now=now)
    return LoadedState(state=state, version=loaded.version, locate=locate, recovered=recovered)


def read_stable(
    backend: Backend,
    read: Callable[[], Result],
    *,
    is_conclusive: Callable[[Result], bool] = lambda _: True,
) -> Result:
    """Call ``read``, which reads the state without the lock, until no other run interfered.

    While another run replaces the state, ``read`` can fail or return something that is true of
    neither the old nor the new state: the journal ended, or a member file was removed as garbage.
    An error, or a result that is not conclusive, therefore counts only if the head and the
    journal are the same before and after the read. The last of ``MAX_READS`` reads always counts.
    """

    def is_unchanged() -> bool:
        backend.refresh()
        return _head_and_journal(backend) == before

    for reads_left in reversed(range(MAX_READS)):
        before = _head_and_journal(backend)
        try:
            result = read()
        except Exception:
            if not reads_left or is_unchanged():
                raise
        else:
            if is_conclusive(result) or not reads_left or is_unchanged():
                return result
    raise AssertionError  # the last read returned or raised


def _head_and_journal(backend: Backend) -> object:
    """Return a value that changes when the head or the journal is replaced."""
    try:
        stored = backend.read_head()
    except SegctlError as error:
        return error.message
    return stored and stored.version, backend.journals.identity()
