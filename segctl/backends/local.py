"""State on the local disk: ``segctl.state.json`` and the folder ``segctl.state.d`` next to it.

    segctl.state.json          the head
    segctl.state.d/members/    immutable files, named by the SHA-256 of their bytes
    segctl.state.d/history/    earlier heads, named by serial and the start of their SHA-256;
                               applies/ has the archived journals; damaged-….json is a head
                               that could not be read when it was replaced
    segctl.state.d/journal/    the journal of the running apply
    segctl.state.d/scratch/    files being written; emptied when the lock is taken
    segctl.state.d/latest.json serial and revision of the latest head, written after the head
    segctl.state.d/lock*       see ``local_lock.py``

A file is durable before a head refers to it, and the head is replaced by one rename. A crash at
any byte therefore leaves the old or the new state.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from segctl.backends.base import EarlierHead, LatestHead, LockInfo, StoredHead
from segctl.backends.journal import last_archived_serial
from segctl.backends.local_lock import FileLock
from segctl.core.clock import Clock
from segctl.core.codec import DecodeError, dump_json, from_plain, load_json, to_plain
from segctl.core.disk import Disk, file_sha256, read_file, to_operation_error, translate_os_errors
from segctl.core.errors import OperationError, StateChanged, StateDamaged
from segctl.state.codec import FILE_NAME, lineage_and_serial
from segctl.state.model import FileRef

HEAD = "segctl.state.json"
FOLDER = "segctl.state.d"

_LATEST = "latest.json"
_TEMPORARY_HEAD = ".segctl.state.json."
_EARLIER_HEAD = re.compile(r"[0-9]{8,}-[0-9a-f]{8}\.json")
_PARTS = ("members", "history", "journal", "scratch")


def _short_id() -> str:
    return secrets.token_hex(4)


class LocalBackend:
    """A state in the folder ``root``; ``backends/base.py`` has the contract.

    The first lock creates the folder, not its parents.

    ``name_prefix`` precedes the names of its files in messages, empty for a state in the workspace.
    ``sleep`` is called between two attempts to take a lock that another run holds.
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
        new_id: Callable[[], str] = _short_id,
        disk: Disk | None = None,
        name_prefix: str = "",
    ) -> None:
        self._root = root
        self._head = root / HEAD
        self._folder = root / FOLDER
        self._parts = [self._folder / part for part in _PARTS]
        self._head_name, self._folder_name = f"{name_prefix}{HEAD}", f"{name_prefix}{FOLDER}"
        self._restore = f"Restore {self._folder_name} from a backup of the state."
        self._new_id = new_id
        self._disk = disk or Disk()
        self._verified: set[str] = set()
        self._lock = FileLock(
            self._folder, clock=clock, sleep=sleep, new_id=new_id, disk=self._disk
        )

    def read_head(self) -> StoredHead | None:
        """Return the head, or ``None``; raises ``StateDamaged`` if the head was lost."""
        stored = self.read_raw_head()
        if stored is None:
            self._check_no_history()
        return stored

    def read_raw_head(self) -> StoredHead | None:
        """Return the head, or ``None`` if there is none, even if there is a history."""
        try:
            data = read_file(self._head)
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
        return StoredHead(data=data, version=hashlib.sha256(data).hexdigest())

    def _check_is_folder(self) -> None:
        """Raise ``StateDamaged`` if a file has replaced the folder of a state without a head."""
        if os.path.lexists(self._folder) and not self._folder.is_dir():
            raise StateDamaged(
                f"{self._folder_name} is a file, not a folder: the state was overwritten",
                hint=f"Restore {self._head_name} and {self._folder_name} from a backup. A branch "
                "that has a file of this name in git overwrites them.",
            )

    def replace_head(
        self, data: bytes, *, expected: str | None, damaged: bool = False
    ) -> StoredHead:
        """Replace the head of version ``expected``; raises ``StateChanged``, ``OperationError``.

        After an error of the disk, the old or the new head is there, complete.
        """
        with self._lock.guarded(), translate_os_errors(f"write {self._head_name}"):
            current = self.read_raw_head()
            if (current.version if current else None) != expected:
                raise StateChanged(
                    f"another run replaced {self._head_name} while this run was in progress",
                    hint="Nothing was overwritten. Run the same command again.",
                )
            if current:
                self._copy_to_history(current, damaged=damaged)
            temporary = self._root / f"{_TEMPORARY_HEAD}{self._new_id()}.tmp"
            self._disk.replace(self._head, data, temporary=temporary)
        return StoredHead(data=data, version=hashlib.sha256(data).hexdigest())

    def latest(self) -> LatestHead | None:
        """Return the latest head that the folder knows, from its record and the history."""
        known = self._read_latest()
        history = [_serial_of(name) for name in self.list_history()[-1:]]
        with translate_os_errors(f"list {self._folder_name}/history/applies"):
            serial = max([last_archived_serial(self.applies_folder()), *history])
        if known and known.serial >= serial:
            return known
        return LatestHead(lineage=known.lineage if known else "", serial=serial) if serial else None

    def _read_latest(self) -> LatestHead | None:
        """Return the recorded latest head; ``None`` without a record, or with a damaged one."""
        try:
            return from_plain(LatestHead, load_json(read_file(self._folder / _LATEST)))
        except (OSError, DecodeError):
            return None

    def record_latest(self, latest: LatestHead) -> None:
        """Record which head is the latest, after it was written."""
        temporary = self._folder / "scratch" / f"{_LATEST}.{self._new_id()}"
        with self._lock.guarded(), translate_os_errors(f"write {self._folder_name}/{_LATEST}"):
            self._disk.replace(
                self._folder / _LATEST, dump_json(to_plain(latest)), temporary=temporary
            )

    def file_path(self, ref: FileRef) -> Path:
        """Return the path of an immutable file; raises ``StateDamaged``."""
        if not FILE_NAME.fullmatch(ref.name):
            raise StateDamaged("the state refers to a member file with an invalid name")
        path = self._folder / "members" / ref.name
        shown = f"{self._folder_name}/members/{ref.name}"
        try:
            status = path.lstat()
        except FileNotFoundError as error:
            raise StateDamaged(f"{shown} is missing", hint=self._restore) from error
        except OSError as error:
            raise to_operation_error(error, f"read {shown}") from error
        if not stat.S_ISREG(status.st_mode):
            raise StateDamaged(f"{shown} is not a regular file", hint=self._restore)
        if status.st_size != ref.bytes:
            raise StateDamaged(
                f"{shown} has {status.st_size:,} bytes instead of {ref.bytes:,}", hint=self._restore
            )
        self._check_content(path, ref, shown)
        return path

    def add_file(self, scratch: Path, *, rows: int) -> FileRef:
        """Move a finished file into the state, durably; raises ``OperationError``."""
        with translate_os_errors(f"add a file to {self._folder_name}/members"):
            self._disk.restrict(scratch)
            # Content before name: a file in members/ is always complete.
            self._disk.sync_file(scratch)
            size = scratch.stat().st_size
            name = f"{file_sha256(scratch)}.parquet"
            self._disk.move(scratch, self._folder / "members" / name)
        return FileRef(name=name, rows=rows, bytes=size)

    def file_sizes(self) -> Mapping[str, int]:
        """Return the size of each immutable file by name, sorted; ignores other files."""
        sizes = {}
        with translate_os_errors(f"list {self._folder_name}/members"):
            for path in sorted((self._folder / "members").glob("*.parquet")):
                with suppress(FileNotFoundError):  # another run just removed it as garbage
                    if FILE_NAME.fullmatch(path.name):
                        sizes[path.name] = path.lstat().st_size
        return sizes

    def list_history(self) -> Sequence[str]:
        """Return the names of the earlier heads, oldest first; raises ``OperationError``."""
        with translate_os_errors(f"list {self._folder_name}/history"):
            names = [path.name for path in (self._folder / "history").glob("*.json")]
        return sorted(
            filter(_EARLIER_HEAD.fullmatch, names), key=lambda name: (_serial_of(name), name)
        )

    def read_earlier_head(self, name: str) -> EarlierHead:
        """Return an earlier head, checked against the SHA-256 in its name."""
        serial = _serial_of(name)
        path = self._folder / "history" / name
        try:
            data, until = read_file(path), path.stat().st_mtime
        except OSError as error:
            return EarlierHead(name=name, serial=serial, problem=error.strerror or str(error))
        if name != _earlier_head_name(serial, hashlib.sha256(data).hexdigest()):
            return EarlierHead(
                name=name, serial=serial, problem="its content does not match its name"
            )
        return EarlierHead(name=name, serial=serial, data=data, until=until)

    def remove_garbage(self, *, heads: Sequence[str], files: Sequence[str]) -> None:
        """Remove earlier heads, then files that no other head refers to."""
        history, members = self._folder / "history", self._folder / "members"
        with translate_os_errors(f"remove old files from {self._folder_name}"):
            for name in heads:
                with self._lock.guarded():
                    self._disk.unlink(history / name)
            if heads:
                self._disk.sync_folder(history)
            if files:
                # A run may have been killed after it replaced the head and before it flushed the
                # folder. Without this, a power failure could bring back the old head.
                self._disk.sync_folder(self._root)
            for name in files:
                with self._lock.guarded():
                    self._disk.unlink(members / name)

    def journal_folder(self) -> Path:
        """Return the folder of the running apply's journal. It may not exist yet."""
        return self._folder / "journal"

    def applies_folder(self) -> Path:
        """Return the folder of archived journals. It may not exist yet."""
        return self._folder / "history" / "applies"

    def scratch_folder(self) -> Path:
        """Return the folder for files being written; creates it if it is missing."""
        folder = self._folder / "scratch"
        with translate_os_errors(f"create {self._folder_name}/scratch"):
            self._check_folders()
            for path in (self._folder, folder):
                self._disk.ensure_folder(path)
        return folder

    @contextmanager
    def lock(self, *, command: str, timeout: float = 0.0) -> Iterator[LockInfo]:
        """Hold the lock; waits at most ``timeout`` seconds, then raises ``StateLocked``."""
        with translate_os_errors(f"create {self._folder_name}"):
            if not self._root.is_dir():
                self._disk.ensure_folder(self._root)
            self._check_folders()
            self._disk.ensure_folder(self._folder)
        info = self._lock.acquire(command=command, timeout=timeout)
        try:
            with translate_os_errors(f"prepare {self._folder_name}"):
                for part in self._parts:
                    self._disk.ensure_folder(part)
                self._ignore_in_git()
                self._remove_leftovers()
            yield info
        finally:
            self._lock.release()

    def record_plan(self, plan: str) -> None:
        """Record in the lock which saved plan is about to be applied."""
        with translate_os_errors(f"write to {self._folder_name}"):
            self._lock.record_plan(plan)

    def abandoned_lock(self) -> LockInfo | None:
        """Return the previous holder of the lock if it died without releasing the lock."""
        return self._lock.abandoned

    def lock_holder(self) -> LockInfo | None:
        """Return the current holder of the lock, or ``None``."""
        return self._lock.holder()

    def check_lock(self) -> None:
        """Raise ``StateChanged`` if the lock was broken after this run took it."""
        self._lock.check()

    def force_unlock(self, lock_id: str) -> None:
        """Break the lock with this id; raises ``WrongUsage`` if there is no such lock.

        If the holder is still alive, it notices before it replaces the head.
        """
        self._lock.force(lock_id)

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

    def _ignore_in_git(self) -> None:
        """Keep the folder out of git, even if the workspace has no .gitignore."""
        path = self._folder / ".gitignore"
        if not os.path.lexists(path):
            temporary = self._folder / "scratch" / f"gitignore.{self._new_id()}"
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

    def _check_no_history(self) -> None:
        """Raise ``StateDamaged`` if earlier heads or applies show that the head was lost."""
        try:
            earlier = self.list_history()
            applies = [*self.applies_folder().glob("*")]
        except (OSError, OperationError):
            return
        if earlier:
            count = f"{len(earlier)} earlier state{'' if len(earlier) == 1 else 's'}"
            found = f"{count}, the latest is {earlier[-1]}"
        elif applies:
            found = "the journal of an earlier apply"
        else:
            return
        raise StateDamaged(
            f"{self._head_name} is missing, but {self._folder_name}/history contains {found}",
            hint=f"Restore a copy of {self._head_name} with `segctl state push FILE`. To start "
            f"over, move {self._folder_name} away as well; every member is then added again.",
        )

    def _check_content(self, path: Path, ref: FileRef, shown: str) -> None:
        """Raise ``StateDamaged`` for a file whose content does not match its name.

        Its content would be compared with the desired members, and the difference sent.
        """
        if ref.name in self._verified:
            return
        with translate_os_errors(f"read {shown}"):
            digest = file_sha256(path)
        if ref.name != f"{digest}.parquet":
            raise StateDamaged(
                f"{shown} is damaged: its content does not match its name", hint=self._restore
            )
        self._verified.add(ref.name)

    def _copy_to_history(self, head: StoredHead, *, damaged: bool) -> None:
        """Copy the head that is about to be replaced to the history."""
        _, serial = lineage_and_serial(head.data)
        if damaged or serial is None:
            # Not listed as an earlier head, and so never read again: only evidence.
            name = f"damaged-{head.version[:8]}.json"
        else:
            name = _earlier_head_name(serial, head.version)
        path = self._folder / "history" / name
        if not path.exists():
            temporary = self._folder / "scratch" / f"{name}.{self._new_id()}"
            self._disk.replace(path, head.data, temporary=temporary)

    def _remove_leftovers(self) -> None:
        """Remove unfinished files of a process that died, and nothing else."""
        for path in (self._folder / "scratch").iterdir():
            self._disk.remove_tree(path)
        for folder in (self._root, *self._parts):
            for path in folder.glob(f"{_TEMPORARY_HEAD}*.tmp"):
                self._disk.unlink(path)


def _earlier_head_name(serial: int, digest: str) -> str:
    """Return the file name of an earlier head: its serial and the start of its SHA-256."""
    return f"{serial:08d}-{digest[:8]}.json"


def _serial_of(name: str) -> int:
    return int(name.split("-", 1)[0])


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
