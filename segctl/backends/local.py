"""State on the local disk: ``segctl.state.json`` and the folder ``segctl.state.d`` next to it.

    segctl.state.json          the head
    segctl.state.d/members/    immutable files, named by the SHA-256 of their bytes
    segctl.state.d/history/    earlier heads, named by serial and the start of their SHA-256;
                               applies/ has the archived journals; damaged-….json is a head
                               that could not be read when it was replaced
    segctl.state.d/plans/      saved plans, named by their digest; removed after some time
    segctl.state.d/journal/    the journal of the running apply; see ``local_journals.py``
    segctl.state.d/scratch/    files being written; emptied when the lock is taken
    segctl.state.d/latest.json serial and revision of the latest head, written after the head
    segctl.state.d/moved.json  where the state was migrated to
    segctl.state.d/lock*       see ``local_lock.py``

The head is replaced by one rename. The rules of a state are in ``stored_state.py``.
"""

import errno
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from segctl.backends.base import LatestHead, StoredHead
from segctl.backends.holders import new_lock_id
from segctl.backends.local_journals import LocalJournals
from segctl.backends.local_lock import FileLock
from segctl.backends.parts import HISTORY, MEMBERS, PLANS
from segctl.backends.sealing import NO_SEALING, Sealer, UnsealedFiles
from segctl.backends.stored_state import StoredState, head_version
from segctl.core.clock import Clock
from segctl.core.codec import DecodeError, dump_json, from_plain, load_json, to_plain
from segctl.core.disk import Disk, read_file, to_operation_error, translate_os_errors
from segctl.core.errors import OperationError, StateDamaged

HEAD = "segctl.state.json"
FOLDER = "segctl.state.d"

MOVED = "moved.json"

_LATEST = "latest.json"
_TEMPORARY_HEAD = ".segctl.state.json."
_PARTS = (MEMBERS, HISTORY, PLANS, "journal", "scratch")


class LocalBackend(StoredState):
    """A state in the folder ``root``; ``backends/base.py`` has the contract.

    The first lock creates the folder, not its parents.

    ``name_prefix`` precedes the names of its files in messages, empty for a state in the workspace.
    ``sleep`` is called between two attempts to take a lock that another run holds. ``scratch`` is
    the folder for readable copies of what ``sealer`` sealed.
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
        new_id: Callable[[], str] = new_lock_id,
        disk: Disk | None = None,
        name_prefix: str = "",
        sealer: Sealer = NO_SEALING,
        scratch: Path | None = None,
    ) -> None:
        disk = disk or Disk()
        unsealed = UnsealedFiles(sealer, scratch)
        folder = root / FOLDER
        lock = FileLock(folder, clock=clock, sleep=sleep, new_id=new_id, disk=disk)
        files = _LocalFiles(
            root, lock, new_id=new_id, disk=disk, folder_name=f"{name_prefix}{FOLDER}"
        )
        super().__init__(
            files=files,
            head=_LocalHead(
                root,
                new_id=new_id,
                disk=disk,
                head_name=f"{name_prefix}{HEAD}",
                folder_name=f"{name_prefix}{FOLDER}",
            ),
            lock=lock,
            journals=LocalJournals(
                folder / "journal",
                folder / HISTORY / "applies",
                disk=disk,
                sealer=sealer,
                unsealed=unsealed,
            ),
            sealer=sealer,
            unsealed=unsealed,
            head_name=f"{name_prefix}{HEAD}",
            folder_name=f"{name_prefix}{FOLDER}",
        )


class _LocalHead:
    """The head in ``root``, and the record of the latest one in the state's folder."""

    def __init__(
        self,
        root: Path,
        *,
        new_id: Callable[[], str],
        disk: Disk,
        head_name: str,
        folder_name: str,
    ) -> None:
        self._root = root
        self._path = root / HEAD
        self._folder = root / FOLDER
        self._new_id = new_id
        self._disk = disk
        self._head_name, self._folder_name = head_name, folder_name

    def read(self) -> StoredHead | None:
        """Return the head, or ``None``."""
        try:
            data = read_file(self._path)
        except FileNotFoundError:
            self._check_is_folder()
            return None
        except IsADirectoryError as error:
            raise StateDamaged(
                f"{self._head_name} is a folder, not a file",
                hint="Move it away, then restore the state.",
            ) from error
        except OSError as error:
            raise to_operation_error(error, f"read {self._head_name}") from error
        return StoredHead(data=data, version=head_version(data))

    def read_raw(self) -> StoredHead | None:
        """Return the head, or ``None``."""
        return self.read()

    def _check_is_folder(self) -> None:
        """Raise ``StateDamaged`` if a file has replaced the folder of a state without a head."""
        if os.path.lexists(self._folder) and not self._folder.is_dir():
            raise StateDamaged(
                f"{self._folder_name} is a file, not a folder: the state was overwritten",
                hint=f"Restore {self._head_name} and {self._folder_name} from a backup. A branch "
                "that has a file of this name in git overwrites them.",
            )

    def replace(self, data: bytes, *, current: StoredHead | None) -> None:
        """Replace the head by one rename. The guard of the lock protects the ``current`` one."""
        del current
        temporary = self._root / f"{_TEMPORARY_HEAD}{self._new_id()}.tmp"
        self._disk.replace(self._path, data, temporary=temporary)

    def moved_to(self) -> str:
        """Return the address that the state was migrated to, or an empty text."""
        try:
            document = load_json(read_file(self._folder / MOVED))
        except FileNotFoundError:
            return ""
        except (OSError, DecodeError) as error:
            raise StateDamaged(
                f"{self._folder_name}/{MOVED} cannot be read",
                hint="It says where the state was moved to. Remove it only if the state is here.",
            ) from error
        address = document.get("to") if isinstance(document, dict) else None
        return str(address or "another place")

    def record_move(self, address: str) -> None:
        """Record where the state was migrated to."""
        with translate_os_errors(f"write {self._folder_name}/{MOVED}"):
            if address:
                temporary = self._folder / "scratch" / f"{MOVED}.{self._new_id()}"
                data = dump_json({"to": address})
                self._disk.replace(self._folder / MOVED, data, temporary=temporary)
            else:
                with suppress(FileNotFoundError):
                    self._disk.unlink(self._folder / MOVED)
                self._disk.sync_folder(self._folder)

    def latest(self) -> LatestHead | None:
        """Return the recorded latest head; ``None`` without a record, or with a damaged one."""
        try:
            return from_plain(LatestHead, load_json(read_file(self._folder / _LATEST)))
        except (OSError, DecodeError):
            return None

    def record_latest(self, latest: LatestHead) -> None:
        """Record which head is the latest."""
        temporary = self._folder / "scratch" / f"{_LATEST}.{self._new_id()}"
        with translate_os_errors(f"write {self._folder_name}/{_LATEST}"):
            self._disk.replace(
                self._folder / _LATEST, dump_json(to_plain(latest)), temporary=temporary
            )


class _LocalFiles:
    """The folders of a state in ``root``; ``parts.StateFiles`` has the contract."""

    is_local = True

    def __init__(
        self,
        root: Path,
        lock: FileLock,
        *,
        new_id: Callable[[], str],
        disk: Disk,
        folder_name: str,
    ) -> None:
        self._root = root
        self._folder = root / FOLDER
        self._members, self._history = self._folder / MEMBERS, self._folder / HISTORY
        self._plans = self._folder / PLANS
        self._parts = [self._folder / part for part in _PARTS]
        self._lock = lock
        self._new_id = new_id
        self._disk = disk
        self._folder_name = folder_name

    def create(self) -> None:
        """Create the folder of the state."""
        with translate_os_errors(f"create {self._folder_name}"):
            if not self._root.is_dir():
                self._disk.ensure_folder(self._root)
            self._check_folders()
            self._disk.ensure_folder(self._folder)

    def prepare(self) -> None:
        """Create the folders in it; remove unfinished files of a process that died."""
        with translate_os_errors(f"prepare {self._folder_name}"):
            for part in self._parts:
                self._disk.ensure_folder(part)
            self._ignore_in_git(self._folder / "scratch" / f"gitignore.{self._new_id()}")
            self._remove_leftovers()

    def refresh(self) -> None:
        """Do nothing: everything is read when it is asked for."""

    def fetch(self, name: str) -> Path:
        """Return the path of a member file."""
        return self._members / name

    def name_of(self, digest: str) -> str:
        """Return the name of a file, the same for the same content."""
        return f"{digest}.parquet"

    def add(self, scratch: Path, name: str) -> None:
        """Move a finished file to the member files, by one rename."""
        self._disk.restrict(scratch)
        # Content before name: a file in members/ is always complete.
        self._disk.sync_file(scratch)
        self._disk.move(scratch, self._members / name)

    def member_sizes(self) -> Mapping[str, int]:
        """Return the size of each file among the member files."""
        sizes = {}
        with translate_os_errors(f"list {self._folder_name}/{MEMBERS}"):
            for path in self._members.glob("*.parquet"):
                with suppress(FileNotFoundError):  # another run just removed it as garbage
                    sizes[path.name] = path.lstat().st_size
        return sizes

    def read_history(self, name: str) -> tuple[bytes, float]:
        """Return a file of the history, and the time of its last change."""
        path = self._history / name
        return read_file(path), path.stat().st_mtime

    def add_history(self, name: str, data: bytes) -> None:
        """Write a file of the history, unless it is there."""
        if not (self._history / name).exists():
            temporary = self._folder / "scratch" / f"{name}.{self._new_id()}"
            self._disk.replace(self._history / name, data, temporary=temporary)

    def history_names(self) -> Sequence[str]:
        """Return the names of the files of the history."""
        with translate_os_errors(f"list {self._folder_name}/{HISTORY}"):
            return [path.name for path in self._history.glob("*.json")]

    def remove_history(self, names: Sequence[str]) -> None:
        """Remove files of the history, each under the guard of the lock."""
        for name in names:
            with self._lock.guarded():
                self._disk.unlink(self._history / name)
        self._disk.sync_folder(self._history)

    def remove_members(self, names: Sequence[str]) -> None:
        """Remove member files, each under the guard of the lock."""
        # A run may have been killed after it replaced the head and before it flushed the
        # folder. Without this, a power failure could bring back the old head.
        self._disk.sync_folder(self._root)
        for name in names:
            with self._lock.guarded():
                self._disk.unlink(self._members / name)

    def keep_plan(self, name: str, file: Path) -> None:
        """Store a copy of a saved plan, by one rename."""
        self._disk.ensure_folder(self._plans)
        # Not in scratch/, which the next run that takes the lock empties.
        temporary = self._plans / f".{name}.{self._new_id()}"
        self._ignore_in_git(temporary)
        try:
            self._disk.copy_new(file, temporary)
            self._disk.move(temporary, self._plans / name)
        finally:
            temporary.unlink(missing_ok=True)

    def fetch_plan(self, name: str, target: Path) -> bool:
        """Write a copy of a stored plan to a new file."""
        try:
            self._disk.copy_new(self._plans / name, target)
        except FileNotFoundError:
            return False
        return True

    def plan_names(self) -> Sequence[str]:
        """Return the names of the stored plans, and of what killed runs left."""
        return [path.name for path in self._plans.glob("*.segplan*")]

    def remove_plans(self, names: Sequence[str]) -> None:
        """Remove stored plans."""
        for name in names:
            with suppress(FileNotFoundError):
                self._disk.unlink(self._plans / name)

    def scratch_folder(self) -> Path:
        """Return the folder for files being written; creates it if it is missing."""
        folder = self._folder / "scratch"
        with translate_os_errors(f"create {self._folder_name}/scratch"):
            self._check_folders()
            for path in (self._folder, folder):
                self._disk.ensure_folder(path)
        return folder

    def check_writable(self, *, needed_bytes: int) -> None:
        """Raise ``OperationError`` if the state cannot be written; writes to every folder."""
        for folder in (self._root, *self._parts):
            shown = folder.relative_to(self._root.parent)
            with translate_os_errors(f"write to {shown}"):
                probe = folder / f"{_TEMPORARY_HEAD}{self._new_id()}.tmp"
                self._disk.write_new(probe, b"\0")
                self._disk.unlink(probe)
        free = shutil.disk_usage(self._folder).free
        if free < needed_bytes:
            raise OperationError(
                f"the disk with {self._folder_name} has {_megabytes(free)} free; "
                f"this run may need {_megabytes(needed_bytes)}",
                hint="Free some space, then run the same command again.",
            )

    def _ignore_in_git(self, temporary: Path) -> None:
        """Keep the folder out of git, even if the workspace has no .gitignore."""
        path = self._folder / ".gitignore"
        if not os.path.lexists(path):
            self._disk.replace(path, b"*\n", temporary=temporary)

    def _check_folders(self) -> None:
        """Raise an error for a folder that is a link: it may be on a different file system.

        A rename works only within one file system.
        """
        for path in (self._folder, *self._parts):
            with translate_os_errors(f"write to {path.relative_to(self._root)}"):
                if path.is_symlink():
                    raise OSError(errno.ELOOP, "symbolic link")
                if path.exists() and not path.is_dir():
                    raise NotADirectoryError(errno.ENOTDIR, "Not a directory")

    def _remove_leftovers(self) -> None:
        """Remove unfinished files of a process that died, and nothing else."""
        for path in (self._folder / "scratch").iterdir():
            self._disk.remove_tree(path)
        for folder in (self._root, *self._parts):
            for path in folder.glob(f"{_TEMPORARY_HEAD}*.tmp"):
                self._disk.unlink(path)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
