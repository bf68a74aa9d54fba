"""Signals during an apply: the first finishes requests in flight, a second one exits.

Both are safe: the journal has what was sent. SIGHUP never exits at once: when a terminal closes,
it can arrive twice, from the shell and from the kernel, and next to SIGTERM.
"""

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import Any, Self

from segctl.core.stop_signal import StopSignal

_FIRST = b"\nStopping: finishing what is in flight; press again to leave at once.\n"
_HUNG_UP = b"\nStopping: finishing what is in flight.\n"
_SECOND = b"\nLeft at once. The journal knows what was sent; the next apply goes on from it.\n"
_SHOW_CURSOR = b"\x1b[?25h"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
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
        """Handle the signals from now on, except ignored ones (``nohup``).

        Call in the main thread, before sending.
        """
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before.setdefault(number, signal.signal(number, self._handle))

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGHUP:
            if not self._stop.is_set:
                self._stop.set()
                _tell(_HUNG_UP)
            return
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
