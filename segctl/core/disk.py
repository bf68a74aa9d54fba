"""The file operations that durability depends on.

A file that must survive a crash is written under a temporary name, flushed to the disk, and
renamed into place. The file is synced before the rename; otherwise its name may belong to an
empty file after a power failure. The folder is synced after the rename; otherwise the rename
itself may be lost. Backends, journal and saved plans change files only through a ``Disk``, so
that a test can fail any single step.
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
"""The error numbers of a write that does not fit."""

_CHUNK = 1 << 20
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW

_ADVICE = {
    errno.ENOSPC: "Free some space, then run the same command again.",
    errno.EDQUOT: "Free some of your quota, then run the same command again.",
    errno.EACCES: "Check the owner and the permissions of the file and its folder.",
    errno.EPERM: "Check the owner and the permissions of the file and its folder.",
    errno.EROFS: "The file system is mounted read-only. Mount it with write access.",
    errno.EIO: "The disk reports an error. Check the disk before you run segctl again.",
    errno.ENOENT: "Check that the path is correct and that its folder exists.",
    errno.ELOOP: "Replace the symbolic link with the file itself.",
    errno.ENOTDIR: "A part of the path is a file. Choose another path, or move the file away.",
    errno.EISDIR: "The path is a folder, not a file. Choose another path, or move the folder away.",
}


@contextmanager
def translate_os_errors(action: str) -> Iterator[None]:
    """Raise an ``OSError`` of the block as ``OperationError``: "cannot ``action``: reason"."""
    try:
        yield
    except OSError as error:
        raise to_operation_error(error, action) from error


def to_operation_error(error: OSError, action: str) -> OperationError:
    """Return the ``OperationError`` that explains an ``OSError``, with a hint if one is known."""
    reason = "symbolic link" if error.errno == errno.ELOOP else error.strerror or str(error)
    return OperationError(f"cannot {action}: {reason}", hint=_ADVICE.get(error.errno or 0, ""))


def read_file(path: Path) -> bytes:
    """Return the bytes of a regular file; raises ``OSError``, for a symbolic link ``ELOOP``."""
    with open_file(path) as file:
        return file.read()


def open_file(path: Path) -> io.BufferedReader:
    """Open a regular file for reading; raises ``OSError`` for a folder, a pipe or a link."""
    # O_NONBLOCK: without it, opening a pipe that has no writer blocks forever.
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
    """Return the SHA-256 of a regular file as 64 hexadecimal digits."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_same_file(path: Path, descriptor: int) -> bool:
    """Return whether ``path`` names the open file, and not one that replaced it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


class Disk:
    """The system calls that change files, and the operations built on them.

    Every method raises ``OSError``. A test replaces the methods up to ``remove_folder``; the
    others call only these.
    """

    def create(self, path: Path) -> int:
        """Create a file with mode 0600, regardless of the umask, and return its descriptor."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
        os.fchmod(descriptor, 0o600)
        return descriptor

    def append(self, path: Path) -> int:
        """Open an existing file for appending."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | _FLAGS)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Write the beginning of ``data`` and return how many bytes were written."""
        return os.write(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        """Truncate a file to ``size`` bytes."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Flush the content of a file to the disk."""
        # On macOS, fsync does not flush the cache of the drive; F_FULLFSYNC does.
        if full := getattr(fcntl, "F_FULLFSYNC", None):
            fcntl.fcntl(descriptor, full)
        else:
            os.fsync(descriptor)

    def sync_folder(self, path: Path) -> None:
        """Flush the entries of a folder to the disk: files created, renamed or removed in it."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def restrict(self, path: Path) -> None:
        """Make a file readable and writable only for its owner."""
        path.chmod(0o600)

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file atomically, replacing ``target`` if it exists."""
        source.rename(target)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def make_folder(self, path: Path) -> None:
        """Create a folder with mode 0700, regardless of the umask."""
        path.mkdir(mode=0o700)
        path.chmod(0o700)

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""
        path.rmdir()

    def write_all(self, descriptor: int, data: bytes) -> None:
        """Write all of ``data``, with one system call if possible."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.write(descriptor, rest) :]

    def write_new(self, path: Path, data: bytes) -> None:
        """Create a file and flush its content; its name is durable after ``sync_folder``."""
        with self.new_file(path) as descriptor:
            self.write_all(descriptor, data)
            self.sync(descriptor)

    def replace(self, path: Path, data: bytes, *, temporary: Path) -> None:
        """Replace a file durably; after a crash, the old or the new file is there, complete."""
        with self.new_file(temporary) as descriptor:
            self.write_all(descriptor, data)
            self.sync(descriptor)
            self.move(temporary, path)

    def move(self, source: Path, target: Path) -> None:
        """Rename a file durably; its content must have been flushed."""
        self.rename(source, target)
        self.sync_folder(target.parent)

    def copy_new(self, source: Path, target: Path) -> str:
        """Copy a file as ``write_new`` does and return the SHA-256 of its bytes."""
        digest = hashlib.sha256()
        with open_file(source) as file, self.new_file(target) as descriptor:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                self.write_all(descriptor, chunk)
            self.sync(descriptor)
        return digest.hexdigest()

    def sync_file(self, path: Path) -> None:
        """Flush the content of a file that other code wrote, such as an engine."""
        descriptor = self.append(path)
        try:
            self.sync(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def new_file(self, path: Path) -> Iterator[int]:
        """Create a file and yield its descriptor; remove the file if the block fails."""
        descriptor = self.create(path)
        try:
            yield descriptor
        except BaseException:
            # If the disk is full, the incomplete file must not keep it full.
            with suppress(OSError):
                self.unlink(path)
            raise
        finally:
            os.close(descriptor)

    def ensure_folder(self, path: Path) -> None:
        """Create a folder durably, unless it exists; its parent must exist."""
        if not path.is_dir():
            # Two runs may create it at the same time.
            with suppress(FileExistsError):
                self.make_folder(path)
        # Also if it exists: the run that created it may have died before this line.
        self.sync_folder(path.parent)

    def remove_tree(self, path: Path) -> None:
        """Remove a file, a link, or a folder with its content; does not follow links."""
        if path.is_dir() and not path.is_symlink():
            for child in sorted(path.iterdir()):
                self.remove_tree(child)
            self.remove_folder(path)
        else:
            self.unlink(path)


@contextmanager
def translate_scratch_errors(folder: Path) -> Iterator[None]:
    """Raise an ``OSError`` of a file in a scratch folder as ``OperationError``."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise disk_full_error(folder.parent, error.errno) from error
        raise to_operation_error(error, "write a scratch file") from error


def disk_full_error(folder: Path, code: int) -> OperationError:
    """Return the error for scratch files that do not fit in ``folder``.

    ``code`` is one of ``DISK_FULL_ERRNOS``.
    """
    return OperationError(
        f"no space for scratch files in {folder}: {os.strerror(code)}",
        hint="Free some space there, or set --temp-dir or SEGCTL_TEMP_DIR to a folder with more "
        "space. Then run the same command again.",
    )


@contextmanager
def create_scratch_file(path: Path, *, buffering: int = -1) -> Iterator[BinaryIO]:
    """Create a scratch file, readable only for its owner; raises ``OperationError``."""
    with (
        translate_scratch_errors(path.parent),
        os.fdopen(Disk().create(path), "wb", buffering=buffering) as file,
    ):
        yield file
