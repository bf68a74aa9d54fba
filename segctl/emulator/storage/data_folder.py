"""The folder for all data: its files, its lock, and how the last run left them.

One process uses a folder at a time: it holds a lock on ``emulator.lock``.  The text of
that file is a record of how the last run ended, since SQLite itself does not notice a
write-ahead log that is missing or belongs to another file, a file that became empty, or
a changed byte of a value.  Without the record the files are taken as they are.
"""

import fcntl
import hashlib
import json
import os
import sqlite3
import stat
import uuid
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from segctl.emulator.errors import DataFormatError, DataInUseError
from segctl.emulator.storage.damage import damage_reported, damaged

FILE = "emulator.sqlite3"
WAL = f"{FILE}-wal"
LOCK = "emulator.lock"
MAX_DIGEST_BYTES = 64 << 20
"""The size up to which a file is compared byte for byte, which takes a tenth of a second."""
MAX_RECORD_BYTES = 4096
FORGET = f"If you changed it with another program yourself, delete {LOCK}, and start again."


@dataclass(frozen=True, kw_only=True)
class ClosedFile:
    """The file as it was when it was closed."""

    size: int
    mtime_ns: int
    digest: str | None
    """SHA-256, None for a large file."""


@dataclass(frozen=True, kw_only=True)
class FolderRecord:
    """What the lock file says about the last run."""

    data_id: str
    """The id that is in the file, too."""
    is_in_use: bool
    """Whether the file is open. It stays true after ``kill -9``."""
    closed: ClosedFile | None = None


class DataFolder:
    """A locked data folder."""

    def __init__(self, folder: Path) -> None:
        """Create the folder if necessary, and lock it.

        Raises DataInUseError if another process has the lock, and DataFormatError if the
        files cannot be those that the last run left.
        """
        self.folder = folder
        self.file = folder / FILE
        _create(folder)
        self._lock = _open_lock(folder / LOCK)
        self.record = self._read_record()
        """The record of the last run."""
        self._data_id: str | None = None
        try:
            self.is_unchanged = self._check_files()
            if not self.file.exists():
                with damage_reported(self.file):
                    _create_file(self.file)
        except BaseException:
            self.unlock()
            raise

    def begin(self, data_id: str) -> None:
        """Record that the file, which has this id, is in use.

        Raises DataFormatError if it is not the one that the last run used.
        """
        if self.record is not None and self.record.data_id != data_id:
            raise damaged(
                self.file,
                f"it, or its {WAL}, is of another data folder",
                hint=f"If you put it there yourself, delete {LOCK}, and start again.",
            )
        self._data_id = data_id
        self._write_record(FolderRecord(data_id=data_id, is_in_use=True))

    def distrust(self) -> None:
        """Record nothing about the file, which is damaged: the next start looks again."""
        self._data_id = None
        if self.record is None:
            os.ftruncate(self._lock, 0)
        else:
            self._write_record(replace(self.record, is_in_use=False, closed=None))

    def closing(self) -> None:
        """Record that the file is about to be closed, after which it has no log."""
        if self._data_id is not None:
            self._write_record(FolderRecord(data_id=self._data_id, is_in_use=False))

    def end(self) -> None:
        """Record how the file is now that it is closed, and unlock the folder."""
        if self._data_id is not None:
            with suppress(OSError):
                closed = _describe(self.file)
                self._write_record(
                    FolderRecord(data_id=self._data_id, is_in_use=False, closed=closed)
                )
        self.unlock()

    def unlock(self) -> None:
        """Unlock the folder."""
        os.close(self._lock)

    def _check_files(self) -> bool:
        """Return whether the file is as the last run left it; raises DataFormatError."""
        has_file = _is_file(self.file)
        has_wal = _is_file(self.folder / WAL)
        _is_file(self.folder / f"{FILE}-shm")
        record = self.record
        if not has_file:
            if has_wal or record is not None:
                raise damaged(
                    self.file,
                    "it is missing",
                    hint=f"To start without data here, delete {LOCK} and {WAL}.",
                )
            return True
        if self.file.stat().st_size == 0:
            raise damaged(self.file, "it is empty")
        if record is None:
            return False
        if record.is_in_use:
            if not has_wal:
                raise damaged(
                    self.folder / WAL,
                    "it is missing, and has the last changes of an emulator that was killed",
                    hint=f"If another program opened {FILE} since, it has them: delete {LOCK}, "
                    "and start again.",
                )
            return False
        return record.closed is not None and self._is_as_closed(record.closed, has_wal=has_wal)

    def _is_as_closed(self, closed: ClosedFile, *, has_wal: bool) -> bool:
        if has_wal:
            raise damaged(self.folder / WAL, f"it does not belong to {FILE}", hint=FORGET)
        found = _describe(self.file)
        if closed.digest is not None and found.digest != closed.digest:
            raise damaged(self.file, "it changed since the emulator closed it", hint=FORGET)
        return found == closed or (closed.digest is not None and found.digest == closed.digest)

    def _read_record(self) -> FolderRecord | None:
        """Return the record, or None if there is none that can be read."""
        try:
            document = json.loads(os.pread(self._lock, MAX_RECORD_BYTES, 0))
            closed = document.pop("closed")
            return FolderRecord(**document, closed=closed and ClosedFile(**closed))
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
            return None

    def _write_record(self, record: FolderRecord) -> None:
        text = json.dumps(asdict(record)).encode()
        # One write of the same length or longer: a record is never half the old one.
        os.pwrite(self._lock, text.ljust(MAX_RECORD_BYTES // 8), 0)


def new_data_id() -> str:
    """Return the id of a new file."""
    return uuid.uuid4().hex


def _create(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (FileExistsError, NotADirectoryError):
        text = f"{folder} is not a folder"
        raise DataFormatError(text, hint="Use another data folder.") from None
    except OSError as error:
        raise _unusable(folder, error) from error


def _create_file(file: Path) -> None:
    """Create a file without tables, under its name only when it is complete.

    So ``kill -9`` at any moment leaves no empty file, which would look damaged.
    """
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    with closing(sqlite3.connect(new)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    new.chmod(0o600)
    new.replace(file)


def _open_lock(path: Path) -> int:
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise DataInUseError(
            f"another emulator is using {path.parent}; stop it, or use another data folder"
        ) from error
    return lock


def _unusable(path: Path, error: OSError) -> DataFormatError:
    return DataFormatError(
        f"{path}: {error.strerror}",
        hint="Use a data folder that this user can write to, or none to keep the data in memory.",
    )


def _is_file(path: Path) -> bool:
    """Return whether there is a file; raises DataFormatError for anything else."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unusable(path, error) from error
    if not stat.S_ISREG(mode):
        raise DataFormatError(f"{path} is not a file", hint="Use another data folder.")
    return True


def _describe(file: Path) -> ClosedFile:
    found = file.stat()
    digest = None
    if found.st_size <= MAX_DIGEST_BYTES:
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    return ClosedFile(size=found.st_size, mtime_ns=found.st_mtime_ns, digest=digest)
