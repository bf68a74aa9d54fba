"""Files that a run writes for programs: JSON documents and streams, named on the command line.

They hold no user keys and no credentials, so they get the permissions that the umask gives, as
with a redirection of the shell. A link is never followed. Only a file that is JSON already is
replaced, so that a mistyped name never overwrites a manifest.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from segctl.core.disk import open_file, translate_os_errors
from segctl.core.errors import OperationError, WrongUsage

_FLAGS = os.O_WRONLY | os.O_CLOEXEC
_RESERVED = "segctl.state"
"""How the names of the state's files begin."""


class OutputFile:
    """A file to write to, opened before the run does anything.

    A ``stream`` has its name from the start, and each ``send`` is written immediately. Any other
    file appears complete with ``commit``, in place of an existing one. A pipe, such as the
    shell's ``>(…)``, is written to directly.

    An existing file is replaced if it is empty or begins with ``starts``.

    Raises ``WrongUsage`` for a name of the state's files, and ``OperationError`` if the file cannot
    be written.
    """

    def __init__(self, path: Path, *, option: str, stream: bool, starts: bytes = b"{") -> None:
        self.path = path
        self._starts = starts
        self.error: OSError | None = None
        self._action = f"write {option} {path}"
        self._temporary: Path | None = None
        if any(part.startswith(_RESERVED) for part in path.absolute().parts):
            raise WrongUsage(
                f"{option}: {path} is a name of the state's files", hint="Choose another name."
            )
        with translate_os_errors(self._action):
            self.is_pipe = self._names_pipe()
            if self.is_pipe:
                # Without O_NONBLOCK, opening a pipe that nobody reads blocks forever.
                self._descriptor = os.open(path, _FLAGS | os.O_NONBLOCK)
                os.set_blocking(self._descriptor, True)
                return
            self._check_replaceable(option)
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            with suppress(FileNotFoundError):
                temporary.unlink()
            self._descriptor = os.open(temporary, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666)
            self._temporary = temporary
            if stream:
                self._move()

    def _names_pipe(self) -> bool:
        try:
            mode = self.path.stat().st_mode
        except FileNotFoundError:
            return False
        return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)

    def _check_replaceable(self, option: str) -> None:
        """Raise unless there is no such file, or one that is empty or begins like JSON."""
        try:
            if self.path.is_symlink():
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            with open_file(self.path) as file:
                start = file.read(64).lstrip()
        except FileNotFoundError:
            return
        if start and not start.startswith(self._starts):
            raise OperationError(
                f"{option}: {self.path} exists, and is not JSON",
                hint="Choose another name, or remove the file.",
            )

    def send(self, data: bytes) -> None:
        """Write ``data`` to a stream at once. The first failure is kept, and ends the writing.

        A full disk, or a reader that closed the pipe, must not end an apply.
        """
        if self.error is None:
            try:
                self._write(data)
            except OSError as error:
                self.error = error

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def commit(self, data: bytes) -> None:
        """Write ``data`` and put the file in its place, durably. Raises ``OperationError``."""
        with translate_os_errors(self._action):
            self._write(data)
            if self._temporary:
                os.fsync(self._descriptor)
                self._move()

    def _move(self) -> None:
        if self._temporary:
            self._temporary.rename(self.path)
            self._temporary = None

    def close(self) -> None:
        """Close the file, and remove it if it was not committed."""
        with suppress(OSError):
            os.close(self._descriptor)
        if self._temporary:
            with suppress(OSError):
                self._temporary.unlink()
