"""Signals while nothing is sent: they end the run and remove its scratch files.

Light to import, since every run starts with it.
"""

import signal
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class TerminationSignals:
    """Raises ``KeyboardInterrupt`` on a signal, and records it in ``received``.

    A running DuckDB query then ends with another error, which is not a bug.
    """

    def __init__(self) -> None:
        self.received = False

    def listen(self) -> None:
        """Handle the signals that have their default action; keep ignored ones (``nohup``)."""
        for number in _SIGNALS:
            if signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}:
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.received = True
        raise KeyboardInterrupt
