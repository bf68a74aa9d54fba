"""Scratch folders: created among the temporary files, removed when the run ends.

All members pass through scratch files, so none may stay behind, not even after ``kill -9``.
A folder is named ``segctl-…`` and contains a file ``owner``, which its run keeps locked. The
lock ends with the process. Each new scratch folder first removes the folders whose owner is
gone: only this user's, and never through a symbolic link.
"""

import atexit
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum, auto
from pathlib import Path

from segctl.core.disk import is_same_file, translate_os_errors

PREFIX = "segctl-"
_NAME = re.compile(rf"{PREFIX}[a-z0-9_]+")
_OWNER = "owner"
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


def link_or_copy(file: Path, to: Path) -> None:
    """Give a file a second name, or copy it where the file system has no hard links."""
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """Create a folder in ``parent`` and remove it afterwards.

    ``parent`` defaults to the system's folder for temporary files. Raises ``OperationError`` if
    the folder cannot be created.
    """
    with translate_os_errors("create a folder for scratch files"):
        parent = parent or Path(tempfile.gettempdir())
    with translate_os_errors(f"create a folder for scratch files in {parent}"):
        remove_abandoned(parent)
        folder, descriptor = _create_locked(parent)
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(descriptor)


_of_process: dict[tuple[int, Path | None], Path] = {}


def process_scratch(parent: Path | None = None) -> Path:
    """Return a scratch folder in ``parent`` that is removed when this process ends."""
    key = os.getpid(), parent  # a forked child has its own
    if key not in _of_process:
        stack = ExitStack()
        _of_process[key] = stack.enter_context(scratch_folder(parent))
        atexit.register(lambda: stack.close() if os.getpid() == key[0] else None)
    return _of_process[key]


def _create_locked(parent: Path) -> tuple[Path, int]:
    """Create a folder; return it with the descriptor of its locked owner file."""
    # Between mkdtemp and flock another run can take the folder for abandoned: it removes the
    # folder, or holds the lock while it does. Then start over with a new folder.
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        owner = folder / _OWNER
        with suppress(FileNotFoundError):
            descriptor = os.open(owner, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            if _try_lock(descriptor) is not LockResult.TAKEN and is_same_file(owner, descriptor):
                return folder, descriptor
            os.close(descriptor)


def remove_abandoned(parent: Path) -> None:
    """Remove the scratch folders that killed runs of this user left in ``parent``."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _remove_if_abandoned(Path(entry.path))


def _remove_if_abandoned(folder: Path) -> None:
    if folder.lstat().st_uid != os.geteuid():
        return
    try:
        descriptor = os.open(folder / _OWNER, _FLAGS)
    except FileNotFoundError:
        folder.rmdir()  # empty: its run was killed before it created the owner file
        return
    try:
        if _try_lock(descriptor) is LockResult.ACQUIRED:
            _remove(folder)
    finally:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    """Remove a folder, its owner file last.

    If the process is killed in between, the rest still has an owner file without a lock, so the
    next run removes it.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _OWNER:
                path.unlink()
    shutil.rmtree(folder, ignore_errors=True)


class LockResult(Enum):
    """The result of an attempt to lock a file; some file systems have no locks."""

    ACQUIRED = auto()
    TAKEN = auto()
    UNSUPPORTED = auto()


def _try_lock(descriptor: int) -> LockResult:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return LockResult.TAKEN
    except OSError:
        return LockResult.UNSUPPORTED
    return LockResult.ACQUIRED
