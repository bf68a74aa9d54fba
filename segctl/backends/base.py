"""The protocol of a place that stores a state and its lock."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import field
from pathlib import Path
from typing import Protocol

from segctl.backends.journal import Journals
from segctl.core.codec import OPTIONAL
from segctl.core.dataclass import dataclass
from segctl.state.model import FileRef


@dataclass(frozen=True, kw_only=True)
class StoredHead:
    """The bytes of a head, and an opaque token for exactly this version of them."""

    data: bytes
    version: str


@dataclass(frozen=True, kw_only=True)
class LockInfo:
    """Who holds a lock: ``who`` is ``user@host``, ``id`` is what ``force-unlock`` takes.

    ``since`` is seconds since 1970. ``plan`` is the digest of the saved plan that the holder
    applies, or empty. ``run`` is the address of its CI job, or empty.
    """

    id: str
    who: str
    pid: int
    command: str
    since: float
    plan: str = ""
    run: str = field(default="", metadata=OPTIONAL)


@dataclass(frozen=True, kw_only=True)
class EarlierHead:
    """A head of the history: its name, the serial in the name, and its bytes.

    If the bytes cannot be read or do not match the name, ``data`` is ``None`` and ``problem`` says
    why. ``stored`` is the head as it is stored, perhaps encrypted. ``until`` is when the head was
    replaced, in seconds since 1970. It is not reliable: copying a history may change it.
    """

    name: str
    serial: int
    data: bytes | None = None
    stored: bytes = b""
    problem: str = ""
    until: float | None = None


@dataclass(frozen=True, kw_only=True)
class LatestHead:
    """The latest head that was written: ``lineage`` is empty if it is not known."""

    lineage: str
    serial: int
    revision: int = 0

    @property
    def age(self) -> tuple[int, int]:
        """What ``State.age`` is for that head."""
        return self.serial, self.revision


class Backend(Protocol):
    """A place for one state: a head, immutable files, one journal, one lock.

    Reading needs no lock and writes nothing. Methods that write are called with the lock held.
    After a crash at any byte, either the old or the new head is there, complete, together with
    every file it refers to.
    """

    @property
    def journals(self) -> Journals:
        """The journal of the running apply, and the archive of earlier ones."""

    def refresh(self) -> None:
        """Read the state again from now on.

        Without the lock, what was read may be remembered until then, so that a run reads one
        version of the state.
        """

    def read_head(self) -> StoredHead | None:
        """Return the head, or ``None`` if there never was one.

        Raises ``StateDamaged`` if there is a history but no head.
        """

    def read_raw_head(self) -> StoredHead | None:
        """Return the head, or ``None`` if there is none, even if there is a history.

        Raises ``WrongState`` if the state was migrated.
        """

    def moved_to(self) -> str:
        """Return the address that the state was migrated to, or an empty text."""

    def accept_moved(self) -> None:
        """Use the state although it was moved: it is coming back, or a move is being finished."""

    def record_move(self, address: str) -> None:
        """Record where the state was migrated to; an empty text means that it is here again."""

    def latest(self) -> LatestHead | None:
        """Return what is known of the latest head, apart from the head itself."""

    def record_latest(self, latest: LatestHead) -> None:
        """Record which head is the latest; raises ``OperationError``."""

    def replace_head(
        self, data: bytes, *, expected: str | None, damaged: bool = False
    ) -> StoredHead:
        """Replace the head of the version ``expected``; ``None`` means that there is no head.

        The previous head is copied to the history. A ``damaged`` one is kept there as evidence
        but is not listed. Raises ``StateChanged`` if the head has another version.
        """

    def file_path(self, ref: FileRef) -> Path:
        """Return the local path of an immutable file that can be read.

        Raises ``StateDamaged`` if it is missing or its content has changed.
        """

    def check_present(self, ref: FileRef) -> None:
        """Raise ``StateDamaged`` for a missing or cut file, if looking costs no request."""

    def stored_path(self, ref: FileRef) -> Path:
        """Return the local path of an immutable file as it is stored, perhaps encrypted."""

    def add_file(self, scratch: Path, *, rows: int) -> FileRef:
        """Move a finished file into the state, durably, and name it by its content.

        Adding a file with the same content twice is allowed.
        """

    def key_id(self) -> str:
        """Return the id of the key that files are encrypted with, or an empty text."""

    def add_again(self, ref: FileRef) -> FileRef:
        """Add a file of the state once more, encrypted with the current key."""

    def copy_file(self, file: Path, name: str) -> None:
        """Add a copy of a member file of another place, under the same name."""

    def copy_earlier_head(self, head: EarlierHead) -> None:
        """Add an earlier head of another place, under the same name."""

    def file_sizes(self) -> Mapping[str, int]:
        """Return the size in bytes of each immutable file by name, needed or not."""

    def list_history(self) -> Sequence[str]:
        """Return the names of the earlier heads, oldest first."""

    def read_earlier_head(self, name: str) -> EarlierHead:
        """Return an earlier head. If it is gone by now, the result says so; it is not an error."""

    def keep_plan(self, digest: str, file: Path, *, until: float) -> None:
        """Keep a copy of a saved plan under its digest; needs no lock.

        ``file`` is as ``plan.file.save_plan`` wrote it, perhaps encrypted. It is an old plan after
        the time ``until`` (seconds since 1970).
        """

    def fetch_plan(self, digest: str, target: Path) -> bool:
        """Write the plan that is kept under ``digest`` to a new file; return whether there is one.

        It is not checked: a plan is proved before it is used.
        """

    def old_plans(self, *, now: float) -> Sequence[str]:
        """Return the names of the plans that are kept longer than they should be."""

    def remove_plans(self, names: Sequence[str]) -> None:
        """Remove plans that were kept."""

    def remove_garbage(self, *, heads: Sequence[str], files: Sequence[str]) -> None:
        """Remove earlier heads, then immutable files that no other head refers to.

        The heads are removed durably before the first file, so that no crash leaves a head without
        its files. Raises ``StateChanged`` if the lock is lost, because the next run may need the
        files: on a disk before each file, in a bucket before the heads and before the files.
        """

    def scratch_folder(self) -> Path:
        """Return a folder from which ``add_file`` is a rename; creates it if it is missing."""

    def lock(self, *, command: str, timeout: float) -> AbstractContextManager[LockInfo]:
        """Hold the lock for the length of the block; wait for it at most ``timeout`` seconds.

        Raises ``StateLocked`` with the holder's ``LockInfo``. The lock ends with the process that
        holds it, even if that is killed.
        """

    def record_plan(self, plan: str) -> None:
        """Record in the lock, durably, the digest of the saved plan that is about to be applied."""

    def abandoned_lock(self) -> LockInfo | None:
        """Return the previous holder of the lock if it died without releasing the lock."""

    def lock_holder(self) -> LockInfo | None:
        """Return the current holder of the lock, or ``None``."""

    def living_holder(self) -> LockInfo | None:
        """Return the holder of the lock if it lives; waits until that is known.

        ``lock_holder`` may return one that died, if the lock is a lease.
        """

    def check_lock(self) -> None:
        """Raise ``StateChanged`` if this run knows that it lost the lock; asks no store.

        A lease that another run broke is noticed at the next write to journal or root. One that
        could end while a request is under way counts as lost.
        """

    def max_request_seconds(self) -> float:
        """Return how long a request to the service may take while the lock is held."""

    def force_unlock(self, lock_id: str) -> None:
        """Break the lock with this id; raises ``WrongUsage`` if there is no such lock."""

    def check_writable(self, *, needed_bytes: int) -> None:
        """Raise ``OperationError`` if the state cannot be written: permissions, disk space."""
