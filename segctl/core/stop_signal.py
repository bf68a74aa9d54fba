"""A request to stop that can be made from a signal handler and waited for in a loop."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from segctl.core.clock import Clock

if TYPE_CHECKING:
    import asyncio


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


class StoppableClock:
    """A clock on which a sleep ends early when somebody asks to stop; for one event loop."""

    def __init__(self, clock: Clock, stop: StopSignal) -> None:
        self._clock = clock
        self._stop = stop
        self._asked: asyncio.Event | None = None

    def now(self) -> float:
        """Give seconds since 1970; may jump."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Give seconds from some point; never goes back."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass, or less."""
        import asyncio  # noqa: PLC0415 - heavy; loaded by whoever runs the loop

        if self._asked is None:
            self._asked = asyncio.Event()
            self._stop.on_set(loop_callback(asyncio.get_running_loop(), self._asked.set))
        both = {
            asyncio.ensure_future(self._clock.sleep(seconds)),
            asyncio.ensure_future(self._asked.wait()),
        }
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)


def loop_callback(
    loop: "asyncio.AbstractEventLoop", call: Callable[[], object]
) -> Callable[[], None]:
    """Give what makes a call in a loop from a signal handler, which runs between any two steps."""

    def tell() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(call)

    return tell
