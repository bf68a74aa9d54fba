"""Scratch folders: made among the temporary files, and cleared away whatever ends the run.

Members pass through them in full, so none may stay behind, also after ``kill -9``.
A folder is named ``segctl-…`` and holds a file ``owner`` that its run keeps locked; the
lock ends with its process.  Whoever makes the next one removes those whose
owner is gone: this user's own, and never by way of a link.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from pathlib import Path

from segctl.core.disk import translate_os_errors

PREFIX = "segctl-"
_NAME = re.compile(rf"{PREFIX}[a-z0-9_]+")
_OWNER = "owner"
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """Make a folder in ``parent``, by default the system's for temporary files; remove it after.

    Raises ``OperationError`` where it cannot be made.
    """
    with translate_os_errors("make a folder for scratch files"):
        parent = parent or Path(tempfile.gettempdir())
    with translate_os_errors(f"make a folder for scratch files in {parent}"):
        remove_abandoned(parent)
        folder, descriptor = _made(parent)
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(descriptor)


def _made(parent: Path) -> tuple[Path, int]:
    """Make a folder that is locked; another run may have taken it for left behind meanwhile."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        owner = folder / _OWNER
        with suppress(FileNotFoundError):
            descriptor = os.open(owner, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            if _lock(descriptor) is not Lock.TAKEN and _is(owner, descriptor):
                return folder, descriptor
            os.close(descriptor)


def remove_abandoned(parent: Path) -> None:
    """Remove the scratch folders of this user's runs that were killed."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _clear(Path(entry.path))


def _clear(folder: Path) -> None:
    if folder.lstat().st_uid != os.geteuid():
        return
    try:
        descriptor = os.open(folder / _OWNER, _FLAGS)
    except FileNotFoundError:
        folder.rmdir()  # an empty one: its run was killed before it could lock it
        return
    try:
        if _lock(descriptor) is Lock.OURS:
            _remove(folder)
    finally:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    """Remove a folder, its lock last: what an end in between leaves is still known for ours."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _OWNER:
                path.unlink()
    shutil.rmtree(folder, ignore_errors=True)


class Lock(Enum):
    """What came of an attempt to lock a file; some file systems have no locks."""

    OURS = auto()
    TAKEN = auto()
    IMPOSSIBLE = auto()


def _lock(descriptor: int) -> Lock:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return Lock.TAKEN
    except OSError:
        return Lock.IMPOSSIBLE
    return Lock.OURS


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False
