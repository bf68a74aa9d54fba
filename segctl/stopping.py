"""A request to stop that can be made from a signal handler and waited for in a loop."""

from collections.abc import Callable


class StopSignal:
    """Set once; whoever waits is told at once, whoever asks later learns of it."""

    def __init__(self) -> None:
        self._set = False
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_set(self) -> bool:
        """Whether somebody asked to stop."""
        return self._set

    def set(self) -> None:
        """Ask to stop; safe in a signal handler as far as the listeners are."""
        self._set = True
        for listener in self._listeners:
            listener()

    def on_set(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when the signal is set, or now where it is already."""
        self._listeners.append(listener)
        if self._set:
            listener()
