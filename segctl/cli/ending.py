"""Signals while nothing is sent: they end the run, with its scratch files cleared away.

Light, since every run begins with it.
"""

import signal
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending:
    """Raises ``KeyboardInterrupt`` at a signal, and remembers it in ``asked``.

    A query that runs in DuckDB ends with another error, which is no bug then.
    """

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Take over the signals that nobody else took, nor told to be ignored (``nohup``)."""
        for number in _ENDING:
            if signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}:
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.asked = True
        raise KeyboardInterrupt
