"""The file operations that durability rests on, in one place.

What must survive a crash is written beside, brought to the disk, and moved into
place: ``fsync`` of the file before the rename (else the name may stand for an
empty file after a power cut), ``fsync`` of the folder after it (else the rename
itself may be lost).  Backends, journal and saved plans change files through a
``Disk`` and nothing else, so that a test can die at, or fail, any one step.
"""

import errno
import fcntl
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from segctl.core.errors import OperationError

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where something does not fit."""

_CHUNK = 1 << 20
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW

_ADVICE = {
    errno.ENOSPC: "Free some space, then run the same command again.",
    errno.EDQUOT: "Free some of your quota, then run the same command again.",
    errno.EACCES: "Check the owner and the permissions of the file and its folder.",
    errno.EPERM: "Check the owner and the permissions of the file and its folder.",
    errno.EROFS: "The file system is mounted read-only; write access is needed.",
    errno.EIO: "The disk reports an error: check it before running segctl again.",
    errno.ENOENT: "Check the path, and that its folder is there.",
    errno.ELOOP: "Put the file itself in the place of the symbolic link.",
    errno.ENOTDIR: "A file stands where a folder should be.",
    errno.EISDIR: "A folder stands where a file should be.",
}


@contextmanager
def translate_os_errors(doing: str) -> Iterator[None]:
    """Turn an ``OSError`` into ``OperationError``; ``doing`` completes "cannot …"."""
    try:
        yield
    except OSError as error:
        raise to_operation_error(error, doing) from error


def to_operation_error(error: OSError, doing: str) -> OperationError:
    """Give the ``OperationError`` that explains an ``OSError``, with advice where there is some."""
    reason = "symbolic link" if error.errno == errno.ELOOP else error.strerror or str(error)
    return OperationError(f"cannot {doing}: {reason}", hint=_ADVICE.get(error.errno or 0, ""))


def read_file(path: Path) -> bytes:
    """Give the bytes of a regular file; raises ``OSError``, ``ELOOP`` for a symbolic link."""
    with open_file(path) as file:
        return file.read()


def open_file(path: Path) -> io.BufferedReader:
    """Open a regular file to read; a folder, a pipe or a symbolic link raises ``OSError``."""
    # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | _FLAGS)
    try:
        _check_regular(descriptor, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(descriptor: int, path: Path) -> None:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def file_sha256(path: Path) -> str:
    """Give the SHA-256 of a regular file's bytes, as 64 hexadecimal digits."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Disk:
    """The system calls that change files, and what is built of them.

    Every method raises ``OSError``.  The first group is what a test replaces; the
    second calls nothing but the first.
    """

    def create(self, path: Path) -> int:
        """Make a new file, mode 0600 whatever the umask, and give its descriptor."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
        os.fchmod(descriptor, 0o600)
        return descriptor

    def append(self, path: Path) -> int:
        """Open an existing file to write at its end."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | _FLAGS)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Write some of ``data``; give how much."""
        return os.write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file off."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Bring a file's content to the disk."""
        # On macOS fsync stops at the drive's cache; this one does not.
        if full := getattr(fcntl, "F_FULLFSYNC", None):
            fcntl.fcntl(descriptor, full)
        else:
            os.fsync(descriptor)

    def sync_folder(self, path: Path) -> None:
        """Bring a folder's entries (files made, renamed, removed in it) to the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def restrict(self, path: Path) -> None:
        """Make a file readable and writable for its owner alone."""
        path.chmod(0o600)

    def rename(self, source: Path, target: Path) -> None:
        """Move into place, atomically, over what is there."""
        source.rename(target)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def make_folder(self, path: Path) -> None:
        """Make one folder, mode 0700 whatever the umask."""
        path.mkdir(mode=0o700)
        path.chmod(0o700)

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""
        path.rmdir()

    def write_all(self, descriptor: int, data: bytes) -> None:
        """Write all of ``data``, in one call where the system lets it."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.write(descriptor, rest) :]

    def write_new(self, path: Path, data: bytes) -> None:
        """Make a file whose content, not yet its name, is on the disk when this returns."""
        with self.creating(path) as descriptor:
            self.write_all(descriptor, data)
            self.sync(descriptor)

    def replace(self, path: Path, data: bytes, *, temporary: Path) -> None:
        """Put a file in the place of another, so that a crash leaves one of the two, whole."""
        with self.creating(temporary) as descriptor:
            self.write_all(descriptor, data)
            self.sync(descriptor)
            self.move(temporary, path)

    def move(self, source: Path, target: Path) -> None:
        """Rename a file whose content is on the disk, durably."""
        self.rename(source, target)
        self.sync_folder(target.parent)

    def copy_new(self, source: Path, target: Path) -> str:
        """Copy a file durably under a new name; give the SHA-256 of its bytes."""
        digest = hashlib.sha256()
        with open_file(source) as file, self.creating(target) as descriptor:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                self.write_all(descriptor, chunk)
            self.sync(descriptor)
        return digest.hexdigest()

    def sync_file(self, path: Path) -> None:
        """Bring the content of a file written by someone else to the disk."""
        descriptor = self.append(path)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def creating(self, path: Path) -> Iterator[int]:
        """Make a new file and give its descriptor; an error or a signal removes the half of it."""
        descriptor = self.create(path)
        try:
            yield descriptor
        except BaseException:
            # A full disk should not stay full because of what did not fit.
            with suppress(OSError):
                self.unlink(path)
            raise
        finally:
            os.close(descriptor)

    def ensure_folder(self, path: Path) -> None:
        """Make a folder where there is none, durably; its parent must be there."""
        if not path.is_dir():
            # Two first runs may come here at the same time.
            with suppress(FileExistsError):
                self.make_folder(path)
        # Also for a folder found: who made it may have died before this line.
        self.sync_folder(path.parent)

    def remove_tree(self, path: Path) -> None:
        """Remove a file, a link, or a folder with all that is in it; follows no link."""
        if path.is_dir() and not path.is_symlink():
            for child in sorted(path.iterdir()):
                self.remove_tree(child)
            self.remove_folder(path)
        else:
            self.unlink(path)


@contextmanager
def translate_scratch_errors(folder: Path) -> Iterator[None]:
    """Turn an ``OSError`` of the files in a scratch folder into ``OperationError``."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise disk_full_error(folder.parent, error.errno) from error
        raise to_operation_error(error, "write a scratch file") from error


def disk_full_error(place: Path, code: int) -> OperationError:
    """Say that scratch files do not fit into the place where scratch folders stand."""
    return OperationError(
        f"no room for scratch files in {place}: {os.strerror(code)}",
        hint="Free some space there, or name a roomier folder with --temp-dir or "
        "SEGCTL_TEMP_DIR, then run the same command again.",
    )


@contextmanager
def create_scratch_file(path: Path, *, buffering: int = -1) -> Iterator[BinaryIO]:
    """Write a new file for its owner alone, which need not last; raises ``OperationError``."""
    with (
        translate_scratch_errors(path.parent),
        os.fdopen(Disk().create(path), "wb", buffering=buffering) as file,
    ):
        yield file
