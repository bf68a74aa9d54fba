"""A stop request: set in a signal handler, awaited in an event loop."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from segctl.core.clock import Clock

if TYPE_CHECKING:
    import asyncio


class StopSignal:
    """A flag that can be set once and calls its listeners when it is set."""

    def __init__(self) -> None:
        self._set = False
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_set(self) -> bool:
        """Whether the run should stop."""
        return self._set

    def set(self) -> None:
        """Request a stop. Safe in a signal handler if the listeners are."""
        self._set = True
        for listener in self._listeners:
            listener()

    def on_set(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when the signal is set; immediately if it is set already."""
        self._listeners.append(listener)
        if self._set:
            listener()


class StoppableClock:
    """A clock whose sleep ends early when the run should stop. Use it in one event loop only."""

    def __init__(self, clock: Clock, stop: StopSignal) -> None:
        self._clock = clock
        self._stop = stop
        self._stopped: asyncio.Event | None = None

    def now(self) -> float:
        """Return seconds since 1970; may jump when the system time is set."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Return seconds since an arbitrary point; never goes back."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep for ``seconds``, or until the stop signal is set."""
        import asyncio  # noqa: PLC0415 - slow to import, and loaded already if a loop runs

        if self._stopped is None:
            self._stopped = asyncio.Event()
            self._stop.on_set(loop_callback(asyncio.get_running_loop(), self._stopped.set))
        tasks = {
            asyncio.ensure_future(self._clock.sleep(seconds)),
            asyncio.ensure_future(self._stopped.wait()),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def loop_callback(
    loop: "asyncio.AbstractEventLoop", callback: Callable[[], object]
) -> Callable[[], None]:
    """Return a function that schedules ``callback`` in ``loop``; safe in a signal handler.

    A signal handler can interrupt the loop at any point, so it must not call into it directly.
    """

    def schedule() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(callback)

    return schedule
