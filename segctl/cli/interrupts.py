"""Ctrl-C and SIGTERM during an apply: the first finishes requests in flight, the second exits.

Both are safe: the journal has what was sent.
"""

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import Any, Self

from segctl.core.stop_signal import StopSignal

_FIRST = b"\nStopping: finishing what is in flight; press again to leave at once.\n"
_SECOND = b"\nLeft at once. The journal knows what was sent; the next apply goes on from it.\n"
_SHOW_CURSOR = b"\x1b[?25h"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STDERR = 2


class Interrupts:
    """Turns signals into a ``StopSignal`` once armed. A context manager that disarms."""

    def __init__(self, stop: StopSignal) -> None:
        self._stop = stop
        self._before: dict[signal.Signals, Any] = {}
        self._asked = False

    def __enter__(self) -> Self:
        """Do nothing yet: until something is sent, Ctrl-C ends the program."""
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the previous signal handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def arm(self) -> None:
        """Handle the signals from now on. Call in the main thread, before sending."""
        for number in _SIGNALS:
            self._before.setdefault(number, signal.signal(number, self._handle))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        # Recorded first: a second signal can arrive while the first is being reported.
        again, self._asked = self._asked, True
        if not again:
            self._stop.set()
            _tell(_FIRST)
            return
        _tell(_SHOW_CURSOR if os.isatty(_STDERR) else b"")
        _tell(_SECOND)
        os._exit(130)


def _tell(message: bytes) -> None:
    # os.write: the handler may interrupt a print.
    with suppress(OSError):
        os.write(_STDERR, message)
