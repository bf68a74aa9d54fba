"""Time as something passed in: tests run on a clock of their own."""

import time
from typing import Protocol


class Clock(Protocol):
    """What segctl needs to know of time."""

    def now(self) -> float:
        """Give seconds since 1970; may jump."""

    def monotonic(self) -> float:
        """Give seconds from some point; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Give seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Give seconds from some point; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        import asyncio  # noqa: PLC0415 - heavy, and a plan sleeps on no event loop

        await asyncio.sleep(seconds)
