"""Ctrl-C and SIGTERM during an apply: the first finishes what is in flight, the second leaves.

Both are safe: the journal knows what was sent.
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
    """Turns signals into a ``StopSignal`` once armed; a context manager that disarms."""

    def __init__(self, stop: StopSignal) -> None:
        self._stop = stop
        self._before: dict[signal.Signals, Any] = {}
        self._asked = False

    def __enter__(self) -> Self:
        """Do nothing yet: until something is sent, Ctrl-C simply ends the program."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def arm(self) -> None:
        """Take the signals over; call in the main thread, when sending may begin."""
        for number in _SIGNALS:
            self._before.setdefault(number, signal.signal(number, self._handle))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        # Taken note of before anything else: the second may come while the first is told.
        again, self._asked = self._asked, True
        if not again:
            self._stop.set()
            _tell(_FIRST)
            return
        _tell(_SHOW_CURSOR if os.isatty(_STDERR) else b"")
        _tell(_SECOND)
        os._exit(130)


def _tell(message: bytes) -> None:
    # os.write: printing from a handler may run into a half-done print.
    with suppress(OSError):
        os.write(_STDERR, message)
