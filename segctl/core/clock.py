"""The clock that a run is given; tests pass a fake one."""

import time
from typing import Protocol


class Clock(Protocol):
    """The time functions that segctl uses."""

    def now(self) -> float:
        """Return seconds since 1970; may jump when the system time is set."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary point; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Sleep for ``seconds``."""


class SystemClock:
    """The system clock."""

    def now(self) -> float:
        """Return seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds since an arbitrary point; never goes back.

        On Linux, the time in which the machine was suspended counts: the lease of a lock runs out
        meanwhile. Elsewhere it may not.
        """
        clock_id = getattr(time, "CLOCK_BOOTTIME", None)
        return time.monotonic() if clock_id is None else time.clock_gettime(clock_id)

    async def sleep(self, seconds: float) -> None:
        """Sleep for ``seconds``."""
        import asyncio  # noqa: PLC0415 - slow to import; a plan needs no event loop

        await asyncio.sleep(seconds)
