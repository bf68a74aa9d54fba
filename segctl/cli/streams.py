"""Standard streams that never fail.

A closed pipe, a full disk or a closed descriptor must end the output, not the work.  A closed
descriptor must also not be reused by a file of the state, into which a message would then be
written.
"""

import io
import os
import select
import sys
from typing import Any


class Outlet(io.RawIOBase):
    """Writes to a descriptor until that fails, and discards the rest.

    ``error`` is the failure. Waits for a non-blocking descriptor.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.error: OSError | None = None

    def writable(self) -> bool:
        """Return true."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether the descriptor is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        """Write some of ``data``, or discard all of it. Return the number of bytes."""
        while self.error is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.error = error
        return len(data)


def install() -> Outlet:
    """Replace Python's streams. Return that of standard output."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free descriptor, which is this one.
            os.open(os.devnull, os.O_RDWR)
    if not sys.stdin:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - never closed
    outlet = Outlet(1)
    sys.stdout = _text(outlet, sys.stdout)
    sys.stderr = _text(Outlet(2), sys.stderr)
    return outlet


def _text(outlet: Outlet, before: Any) -> io.TextIOWrapper:
    # A character that the terminal cannot show is escaped.
    encoding = before.encoding if before else "utf-8"
    buffer = io.BufferedWriter(outlet)
    return io.TextIOWrapper(buffer, encoding=encoding, errors="backslashreplace")
