"""Member files that were read from a store, kept on this machine.

Files never change and are named by the SHA-256 of their bytes, so a copy is as good as the stored
file, and the folder can be deleted at any time.
"""

import os
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from segctl.core.disk import file_sha256, translate_os_errors
from segctl.core.scratch import link_or_copy
from segctl.state.codec import FILE_NAME, is_named

MAX_BYTES = 4 << 30
"""How many bytes are kept. What was used within the last hour is kept even beyond that."""

_IN_USE_SECONDS = 3600.0
_OWN_NAME = re.compile(rf"{FILE_NAME.pattern}|\.{FILE_NAME.pattern}\.[0-9a-f]{{8}}")


class FileCache:
    """A folder of files that are named by their SHA-256, readable only for its owner."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def fetch(self, name: str, download: Callable[[Path], bool]) -> Path:
        """Return the path of a file; ``download`` writes it if it is not here, or damaged.

        ``download`` returns whether there is such a file. If not, the path does not exist. A
        downloaded file that does not match its name is returned as it is, and downloaded again by
        the next call.
        """
        path = self._folder / name
        if _is_intact(path):
            with suppress(OSError):
                os.utime(path)  # the cache removes what was not used for longest
            return path
        self._create()
        part = self._folder / f".{name}.{secrets.token_hex(4)}"
        try:
            if download(part):
                with translate_os_errors("write to the cache"):
                    part.replace(path)
            else:
                path.unlink(missing_ok=True)
        finally:
            part.unlink(missing_ok=True)
        self._prune()
        return path

    def keep(self, name: str, file: Path) -> None:
        """Keep a copy of a file that was stored under this name, if there is room for it."""
        part = self._folder / f".{name}.{secrets.token_hex(4)}"
        with suppress(OSError):
            self._create()
            try:
                link_or_copy(file, part)
                part.chmod(0o600)
                part.replace(self._folder / name)
            finally:
                part.unlink(missing_ok=True)
            self._prune()

    def _create(self) -> None:
        with translate_os_errors(f"create {self._folder}"):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)

    def _prune(self) -> None:
        """Remove the files that were not used for longest, and leftovers of killed runs."""
        with suppress(OSError):
            files = [
                (path, path.lstat())
                for path in self._folder.iterdir()
                if _OWN_NAME.fullmatch(path.name)
            ]
            room, unused_since = self._max_bytes, time.time() - _IN_USE_SECONDS
            for path, status in sorted(files, key=lambda file: -file[1].st_mtime):
                room -= status.st_size
                is_leftover = path.name.startswith(".")
                if status.st_mtime < unused_since and (room < 0 or is_leftover):
                    with suppress(OSError):
                        path.unlink()


def _is_intact(path: Path) -> bool:
    try:
        return is_named(path.name, file_sha256(path))
    except OSError:
        return False
