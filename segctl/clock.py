"""Time as something passed in: tests run on a clock of their own."""

import asyncio
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
        await asyncio.sleep(seconds)
