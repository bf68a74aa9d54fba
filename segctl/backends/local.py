"""State on the local disk: ``segctl.state.json`` and, beside it, ``segctl.state.d``.

    segctl.state.json          the head
    segctl.state.d/members/    immutable files, named by the SHA-256 of their bytes
    segctl.state.d/history/    earlier heads: serial and the start of their SHA-256;
                               in applies/ the journals of ended applies; a head that
                               could not be read when it was replaced is damaged-….json
    segctl.state.d/journal/    the journal of a running apply
    segctl.state.d/scratch/    files being written; emptied when the lock is taken
    segctl.state.d/lock*       see ``local_lock.py``

A file is durable before a head names it, and the head is replaced in one rename,
so a crash at any byte leaves the old or the new state.
"""

import errno
import hashlib
import json
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from segctl.backends.base import EarlierHead, LockInfo, StoredHead
from segctl.backends.local_lock import FileLock
from segctl.core.clock import Clock
from segctl.core.disk import Disk, file_sha256, read_file, to_operation_error, translate_os_errors
from segctl.core.errors import OperationError, StateChanged, StateDamaged
from segctl.state.codec import FILE_NAME
from segctl.state.model import FileRef

HEAD = "segctl.state.json"
FOLDER = "segctl.state.d"

_TEMPORARY_HEAD = ".segctl.state.json."
_KEPT = re.compile(r"[0-9]{8,}-[0-9a-f]{8}\.json")
_PARTS = ("members", "history", "journal", "scratch")


def _short_id() -> str:
    return secrets.token_hex(4)


class LocalBackend:
    """A state in the folder ``root``, which must exist; see ``backends/base.py``.

    ``sleep`` passes the seconds between two looks at a lock that another run holds.
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
        new_id: Callable[[], str] = _short_id,
        disk: Disk | None = None,
    ) -> None:
        self._root = root
        self._head = root / HEAD
        self._folder = root / FOLDER
        self._new_id = new_id
        self._disk = disk or Disk()
        self._whole: set[str] = set()
        self._lock = FileLock(
            self._folder, clock=clock, sleep=sleep, new_id=new_id, disk=self._disk
        )

    def read_head(self) -> StoredHead | None:
        """Return the head, or ``None``; raises ``StateDamaged``, ``OperationError``."""
        found = self.read_raw_head()
        if found is None:
            self._check_never_there()
        return found

    def read_raw_head(self) -> StoredHead | None:
        """Give the head as it is, ``None`` where there is none now; see ``Backend.raw_head``."""
        try:
            data = read_file(self._head)
        except FileNotFoundError:
            return None
        except IsADirectoryError as error:
            raise StateDamaged(
                f"{HEAD} is a folder, not a file", hint="Move it away and put the state back."
            ) from error
        except OSError as error:
            raise to_operation_error(error, f"read {HEAD}") from error
        return StoredHead(data=data, version=hashlib.sha256(data).hexdigest())

    def replace_head(
        self, data: bytes, *, expected: str | None, damaged: bool = False
    ) -> StoredHead:
        """Replace the head of version ``expected``; raises ``StateChanged``, ``OperationError``.

        After an error of the disk either head may be there; both are whole.
        """
        with self._lock.held(), translate_os_errors(f"write {HEAD}"):
            current = self.read_raw_head()
            if (current.version if current else None) != expected:
                raise StateChanged(
                    f"{HEAD} was replaced by another writer while this run was at work",
                    hint="Nothing was overwritten. Run the same command again.",
                )
            if current:
                self._keep(current, damaged=damaged)
            temporary = self._root / f"{_TEMPORARY_HEAD}{self._new_id()}.tmp"
            self._disk.replace(self._head, data, temporary=temporary)
        return StoredHead(data=data, version=hashlib.sha256(data).hexdigest())

    def file_path(self, ref: FileRef) -> Path:
        """Give where an immutable file stands; raises ``StateDamaged``."""
        if not FILE_NAME.fullmatch(ref.name):
            raise StateDamaged("the state names a member file that cannot be one of its own")
        path = self._folder / "members" / ref.name
        shown = f"{FOLDER}/members/{ref.name}"
        try:
            found = path.lstat()
        except FileNotFoundError as error:
            raise StateDamaged(f"{shown} is missing", hint=_RESTORE) from error
        except OSError as error:
            raise to_operation_error(error, f"read {shown}") from error
        if not stat.S_ISREG(found.st_mode):
            raise StateDamaged(f"{shown} is not a regular file", hint=_RESTORE)
        if found.st_size != ref.bytes:
            raise StateDamaged(
                f"{shown} has {found.st_size:,} bytes instead of {ref.bytes:,}", hint=_RESTORE
            )
        self._check_content(path, ref, shown)
        return path

    def add_file(self, scratch: Path, *, rows: int) -> FileRef:
        """Store a finished file of ``rows`` rows durably; raises ``OperationError``."""
        with translate_os_errors(f"add a file to {FOLDER}/members"):
            self._disk.restrict(scratch)
            # Content before name: a name under members/ always stands for whole content.
            self._disk.sync_file(scratch)
            size = scratch.stat().st_size
            name = f"{file_sha256(scratch)}.parquet"
            self._disk.move(scratch, self._folder / "members" / name)
        return FileRef(name=name, rows=rows, bytes=size)

    def file_sizes(self) -> Mapping[str, int]:
        """Give the bytes of all immutable files by name, sorted; other files are not ours."""
        sizes = {}
        with translate_os_errors(f"list {FOLDER}/members"):
            for path in sorted((self._folder / "members").glob("*.parquet")):
                with suppress(FileNotFoundError):  # a run that holds the lock removed it just now
                    if FILE_NAME.fullmatch(path.name):
                        sizes[path.name] = path.lstat().st_size
        return sizes

    def list_history(self) -> Sequence[str]:
        """Give the names of the earlier heads, the oldest first; raises ``OperationError``."""
        with translate_os_errors(f"list {FOLDER}/history"):
            names = [path.name for path in (self._folder / "history").glob("*.json")]
        return sorted(filter(_KEPT.fullmatch, names), key=lambda name: (_serial_in(name), name))

    def read_earlier_head(self, name: str) -> EarlierHead:
        """Give an earlier head; its name tells whether its bytes are those that were kept."""
        serial = _serial_in(name)
        path = self._folder / "history" / name
        try:
            data, until = read_file(path), path.stat().st_mtime
        except OSError as error:
            return EarlierHead(name=name, serial=serial, problem=error.strerror or str(error))
        if name != _kept_name(serial, hashlib.sha256(data).hexdigest()):
            return EarlierHead(name=name, serial=serial, problem="it is not what was written")
        return EarlierHead(name=name, serial=serial, data=data, until=until)

    def remove_garbage(self, *, heads: Sequence[str], files: Sequence[str]) -> None:
        """Remove earlier heads, then files that nothing refers to; see ``Backend.drop``."""
        history, members = self._folder / "history", self._folder / "members"
        with translate_os_errors(f"clear {FOLDER}"):
            for name in heads:
                with self._lock.held():
                    self._disk.unlink(history / name)
            if heads:
                self._disk.sync_folder(history)
            if files:
                # A run that died may have replaced the head and not seen to it that this lasts.
                self._disk.sync_folder(self._root)
            for name in files:
                with self._lock.held():
                    self._disk.unlink(members / name)

    def journal_folder(self) -> Path:
        """Give where the journal of a running apply stands; it may not exist yet."""
        return self._folder / "journal"

    def applies_folder(self) -> Path:
        """Give where the journals of ended applies are kept; it may not exist yet."""
        return self._folder / "history" / "applies"

    def scratch_folder(self) -> Path:
        """Give the folder for files being written, made when missing."""
        folder = self._folder / "scratch"
        with translate_os_errors(f"make {FOLDER}/scratch"):
            self._check_folders()
            for path in (self._folder, folder):
                self._disk.ensure_folder(path)
        return folder

    @contextmanager
    def lock(self, *, command: str, timeout: float = 0.0) -> Iterator[LockInfo]:
        """Hold the lock, waiting at most ``timeout`` seconds; raises ``StateLocked``."""
        with translate_os_errors(f"make {FOLDER}"):
            self._check_folders()
            self._disk.ensure_folder(self._folder)
        info = self._lock.acquire(command=command, timeout=timeout)
        try:
            with translate_os_errors(f"prepare {FOLDER}"):
                for part in _PARTS:
                    self._disk.ensure_folder(self._folder / part)
                self._clean()
            yield info
        finally:
            self._lock.release()

    def record_plan(self, plan: str) -> None:
        """Note, durably, which saved plan the holder of the lock is about to apply."""
        with translate_os_errors(f"write in {FOLDER}"):
            self._lock.record_plan(plan)

    def abandoned_lock(self) -> LockInfo | None:
        """Give who held the lock before and never let go of it, ``None`` where it was let go."""
        return self._lock.abandoned

    def lock_holder(self) -> LockInfo | None:
        """Give who holds the lock now, ``None`` where nobody does."""
        return self._lock.holder()

    def check_lock(self) -> None:
        """Raise ``StateChanged`` where the lock was broken since this run took it."""
        self._lock.check()

    def force_unlock(self, lock_id: str) -> None:
        """Break the lock of that id; raises ``WrongUsage`` where there is no such lock.

        A holder that is still alive finds out before it replaces the head.
        """
        self._lock.force(lock_id)

    def check_writable(self, *, needed_bytes: int) -> None:
        """Raise ``OperationError`` where the state could not be written; tries every folder."""
        for folder in (self._root, *(self._folder / part for part in _PARTS)):
            shown = folder.relative_to(self._root.parent)
            with translate_os_errors(f"write in {shown}"):
                probe = folder / f"{_TEMPORARY_HEAD}{self._new_id()}.tmp"
                self._disk.write_new(probe, b"\0")
                self._disk.unlink(probe)
        free = shutil.disk_usage(self._folder).free
        if free < needed_bytes:
            raise OperationError(
                f"the disk with {FOLDER} has {_size(free)} free; "
                f"this run may need {_size(needed_bytes)}",
                hint="Free some space, then run the same command again.",
            )

    def _check_folders(self) -> None:
        """Refuse to write through a link: it may lead to a place that renames do not reach."""
        for path in (self._folder, *(self._folder / part for part in _PARTS)):
            with translate_os_errors(f"write in {path.relative_to(self._root)}"):
                if path.is_symlink():
                    raise OSError(errno.ELOOP, "symbolic link")
                if path.exists() and not path.is_dir():
                    raise NotADirectoryError(errno.ENOTDIR, "Not a folder")

    def _check_never_there(self) -> None:
        """Tell a lost head from a first run: earlier heads and ended applies had one."""
        try:
            earlier = self.list_history()
            applies = [*self.applies_folder().glob("*")]
        except (OSError, OperationError):
            return
        if earlier:
            count = f"{len(earlier)} earlier state{'' if len(earlier) == 1 else 's'}"
            held = f"{count}, the last one {earlier[-1]}"
        elif applies:
            held = "the journal of an apply that wrote one"
        else:
            return
        raise StateDamaged(
            f"{HEAD} is missing, but {FOLDER}/history holds {held}",
            hint=f"`segctl state push FILE` puts a copy of {HEAD} back. To start over although "
            f"every member would be added again, move {FOLDER} away too.",
        )

    def _check_content(self, path: Path, ref: FileRef, shown: str) -> None:
        """Refuse a file that a disk or a hand has changed: what it says would be sent."""
        if ref.name in self._whole:
            return
        with translate_os_errors(f"read {shown}"):
            digest = file_sha256(path)
        if ref.name != f"{digest}.parquet":
            raise StateDamaged(f"{shown} is not what was written", hint=_RESTORE)
        self._whole.add(ref.name)

    def _keep(self, head: StoredHead, *, damaged: bool) -> None:
        """Copy the head that is about to be replaced into the history."""
        serial = None if damaged else _serial(head.data)
        name = _aside(head.version) if serial is None else _kept_name(serial, head.version)
        path = self._folder / "history" / name
        if not path.exists():
            temporary = self._folder / "scratch" / f"{name}.{self._new_id()}"
            self._disk.replace(path, head.data, temporary=temporary)

    def _clean(self) -> None:
        """Remove what a process that died left half-written; nothing else is touched."""
        for path in (self._folder / "scratch").iterdir():
            self._disk.remove_tree(path)
        for folder in (self._root, *(self._folder / part for part in _PARTS)):
            for path in folder.glob(f"{_TEMPORARY_HEAD}*.tmp"):
                self._disk.unlink(path)


_RESTORE = f"Restore {FOLDER} from a backup of the workspace."


def _serial(data: bytes) -> int | None:
    """Give the serial of a head, ``None`` of one so damaged that it tells none."""
    try:
        serial = json.loads(data)["serial"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    # ``True`` is an ``int`` too.
    return serial if type(serial) is int and serial >= 0 else None


def _kept_name(serial: int, digest: str) -> str:
    """Name an earlier head by its serial and the SHA-256 of its bytes."""
    return f"{serial:08d}-{digest[:8]}.json"


def _aside(digest: str) -> str:
    """Name the bytes of a head that tells no serial: evidence, of which nothing is read."""
    return f"damaged-{digest[:8]}.json"


def _serial_in(name: str) -> int:
    return int(name.split("-", 1)[0])


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
