"""What a place that keeps state and its lock must do."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from segctl.state.model import FileRef


@dataclass(frozen=True, kw_only=True)
class StoredHead:
    """The bytes of a head and an opaque token that names exactly this version of them."""

    data: bytes
    version: str


@dataclass(frozen=True, kw_only=True)
class LockInfo:
    """Who holds a lock: an id to break it by, ``user@host``, process, command, since when.

    ``since`` is seconds since 1970, ``plan`` the digest of the saved plan that it applies.
    """

    id: str
    who: str
    pid: int
    command: str
    since: float
    plan: str = ""


@dataclass(frozen=True, kw_only=True)
class EarlierHead:
    """A head of the history: its name there, the serial that this tells, and its bytes.

    ``data`` is ``None`` where they cannot be read, or are not those that were kept;
    ``problem`` says so.  ``until`` is when it was replaced, in seconds since 1970, as far
    as the place where it is kept knows: copying a history may change that.
    """

    name: str
    serial: int
    data: bytes | None = None
    problem: str = ""
    until: float | None = None


class Backend(Protocol):
    """A place for one state: a head, immutable files, one journal, one lock.

    Reading needs no lock and writes nothing.  Everything that writes is called with
    the lock held.  After a crash at any byte the old or the new head is there, whole,
    with every file that it names.
    """

    def read_head(self) -> StoredHead | None:
        """Give the head, ``None`` where there is none; raises ``StateDamaged``."""

    def replace_head(
        self, data: bytes, *, expected: str | None, damaged: bool = False
    ) -> StoredHead:
        """Put a head in place of the version ``expected`` (``None``: of none at all).

        The previous head is kept as history; where it is ``damaged``, beside the history,
        as evidence.  Raises ``StateChanged`` where another version is there.
        """

    def read_raw_head(self) -> StoredHead | None:
        """Give the head as it is; ``None`` where there is none now, though there may have been."""

    def file_path(self, ref: FileRef) -> Path:
        """Give a local path at which an immutable file can be read.

        Raises ``StateDamaged`` where it is missing or not what was added.
        """

    def add_file(self, scratch: Path, *, rows: int) -> FileRef:
        """Take a finished file into the state, durably, under the name of its content.

        ``scratch`` is gone afterwards; adding the same content twice is fine.
        """

    def file_sizes(self) -> Mapping[str, int]:
        """Give the bytes of all immutable files by name, referred to or not."""

    def list_history(self) -> Sequence[str]:
        """Give the names of the earlier heads that are kept, the oldest first."""

    def read_earlier_head(self, name: str) -> EarlierHead:
        """Give one of the earlier heads, which may be gone by now: a problem, not an error."""

    def remove_garbage(self, *, heads: Sequence[str], files: Sequence[str]) -> None:
        """Remove earlier heads, then immutable files that nothing refers to.

        The heads are gone for certain before the first file is, so that no crash leaves
        one without its files.  Each step is taken only while the lock is held: raises
        ``StateChanged`` where it was broken, since the run after may need the file.
        """

    def journal_folder(self) -> Path:
        """Give the local folder in which the journal of a running apply stands."""

    def applies_folder(self) -> Path:
        """Give the local folder in which the journals of ended applies are kept."""

    def scratch_folder(self) -> Path:
        """Give a folder from which ``add_file`` is a rename, made when missing."""

    def lock(self, *, command: str, timeout: float) -> AbstractContextManager[LockInfo]:
        """Hold the lock, waiting at most ``timeout`` seconds for it.

        Raises ``StateLocked`` with the holder's ``LockInfo``.  The lock ends with
        the process that holds it, however that ends.
        """

    def record_plan(self, plan: str) -> None:
        """Note, durably, which saved plan the holder of the lock is about to apply."""

    def abandoned_lock(self) -> LockInfo | None:
        """Give who held the lock before and never let go of it, ``None`` where it was let go."""

    def lock_holder(self) -> LockInfo | None:
        """Give who holds the lock now, ``None`` where nobody does."""

    def check_lock(self) -> None:
        """Raise ``StateChanged`` where the lock was broken; quick, for use before each request.

        Whoever took the lock afterwards reads everything that this run had written
        before the call.
        """

    def force_unlock(self, lock_id: str) -> None:
        """Break the lock of that id; raises ``WrongUsage`` where there is no such lock."""

    def check_writable(self, *, needed_bytes: int) -> None:
        """Raise ``OperationError`` if the state cannot be written: permissions, disk space."""
