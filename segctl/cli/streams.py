"""Standard streams that an apply can rely on, whatever stands behind them.

A reader that leaves, a full disk or a closed descriptor must end the printing, not
the work.  And a closed descriptor must not be taken by a file of the state, into
which a message for the terminal would then be written.
"""

import io
import os
import select
import sys
from typing import Any


class Outlet(io.RawIOBase):
    """Writes to a descriptor until that fails; from then on to nowhere.

    ``error`` is what failed.  A descriptor that does not block is waited for.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.error: OSError | None = None

    def writable(self) -> bool:
        """Tell that it is."""
        return True

    def fileno(self) -> int:
        """Give the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Tell whether a terminal is behind it."""
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        """Write some of ``data``, or drop all of it; give how much."""
        while self.error is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.error = error
        return len(data)


def install() -> Outlet:
    """Put such streams in place of Python's own; give that of standard output."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest that is free, which is this one.
            os.open(os.devnull, os.O_RDWR)
    if not sys.stdin:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - never closed
    outlet = Outlet(1)
    sys.stdout = _text(outlet, sys.stdout)
    sys.stderr = _text(Outlet(2), sys.stderr)
    return outlet


def _text(outlet: Outlet, before: Any) -> io.TextIOWrapper:
    # A terminal that lacks a character gets its escape, not a traceback.
    encoding = before.encoding if before else "utf-8"
    buffer = io.BufferedWriter(outlet)
    return io.TextIOWrapper(buffer, encoding=encoding, errors="backslashreplace")
