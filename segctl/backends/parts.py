"""What a place provides so that ``stored_state.py`` can keep a state in it: files, head and lock.

Its journals are in ``journal.py``.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from segctl.backends.base import LatestHead, LockInfo, StoredHead

MEMBERS, HISTORY, PLANS = "members", "history", "plans"
"""The folders of a state, in every place."""


class StateFiles(Protocol):
    """The files of a state, in its folders ``members``, ``history`` and ``plans``.

    Methods raise ``OperationError``. A name is one of ``FILE_NAME`` or of an earlier head.
    ``is_local`` is true if ``fetch`` costs nothing.
    """

    is_local: bool

    def create(self) -> None:
        """Make sure that the place exists, before the lock is taken."""

    def prepare(self) -> None:
        """Remove unfinished files of a run that died; the lock is held."""

    def refresh(self) -> None:
        """Forget what was read, other than files that never change."""

    def fetch(self, name: str) -> Path:
        """Return the local path of a member file. It does not exist if the file is missing."""

    def name_of(self, digest: str) -> str:
        """Return the name for a new member file with this SHA-256, one of ``FILE_NAME``."""

    def add(self, scratch: Path, name: str) -> None:
        """Move a finished file to the member files, durably."""

    def member_sizes(self) -> Mapping[str, int]:
        """Return the size in bytes of everything among the member files, by name."""

    def read_history(self, name: str) -> tuple[bytes, float]:
        """Return a file of the history, and when it was written; raises ``OSError``."""

    def add_history(self, name: str, data: bytes) -> None:
        """Write a file of the history, durably, unless it is there."""

    def history_names(self) -> Sequence[str]:
        """Return the names of the files of the history, in any order."""

    def remove_history(self, names: Sequence[str]) -> None:
        """Remove files of the history, durably."""

    def remove_members(self, names: Sequence[str]) -> None:
        """Remove member files."""

    def keep_plan(self, name: str, file: Path) -> None:
        """Store a copy of a saved plan; needs no lock."""

    def fetch_plan(self, name: str, target: Path) -> bool:
        """Write a stored plan to a new file; return whether it exists."""

    def plan_names(self) -> Sequence[str]:
        """Return the names of the files in the folder ``plans``, in any order."""

    def remove_plans(self, names: Sequence[str]) -> None:
        """Remove files from the folder ``plans``."""

    def scratch_folder(self) -> Path:
        """Return a folder from which ``add`` is cheap; creates it if it is missing."""

    def check_writable(self, *, needed_bytes: int) -> None:
        """Raise ``OperationError`` if a run could not write: permissions, free space."""


class StateHead(Protocol):
    """The head of a state."""

    def read(self) -> StoredHead | None:
        """Return the head, or ``None``; raises ``StateDamaged`` if something else is there."""

    def read_raw(self) -> StoredHead | None:
        """Return the head, with the bytes that are there if it is damaged, none if it is gone."""

    def replace(self, data: bytes, *, current: StoredHead | None) -> None:
        """Replace the ``current`` head in one step; raises ``StateChanged`` if it is not there."""

    def moved_to(self) -> str:
        """Return the address that the state was migrated to, or an empty text."""

    def record_move(self, address: str) -> None:
        """Record where the state was migrated to; an empty text means that it is here again."""

    def latest(self) -> LatestHead | None:
        """Return the record of the latest head, if there is one."""

    def record_latest(self, latest: LatestHead) -> None:
        """Record which head is the latest."""


class StateLock(Protocol):
    """The lock of a state; see ``base.Backend`` for what its methods do."""

    abandoned: LockInfo | None
    max_request_seconds: float

    def acquire(self, *, command: str, timeout: float) -> LockInfo:
        """Take the lock, waiting at most ``timeout`` seconds; raises ``StateLocked``."""

    def release(self) -> None:
        """Release the lock, even if it was broken."""

    def guarded(self) -> AbstractContextManager[None]:
        """Raise ``StateChanged`` if the lock is lost.

        On a disk, it also cannot be broken during the block.
        """

    def check(self) -> None:
        """Raise ``StateChanged`` if the lock is lost."""

    def holder(self) -> LockInfo | None:
        """Return who holds the lock, or ``None``; writes nothing."""

    def living_holder(self) -> LockInfo | None:
        """Return who holds the lock and lives, or ``None``; waits until that is known."""

    def force(self, lock_id: str) -> None:
        """Break the lock with this id."""

    def record_plan(self, plan: str) -> None:
        """Record in the lock which saved plan is about to be applied."""
