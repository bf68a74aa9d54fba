"""Clocks for tests that must not wait."""

import asyncio


class SwiftClock:
    """A clock that advances by each sleep without waiting."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        """Return seconds since 1970."""
        return 1_800_000_000.0 + self.time

    def monotonic(self) -> float:
        """Return monotonic seconds."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Advance by ``seconds`` without waiting."""
        self.wait(seconds)
        await asyncio.sleep(0)

    def wait(self, seconds: float) -> None:
        """Advance by ``seconds`` without waiting."""
        self.time += seconds


class PatientClock(SwiftClock):
    """A swift clock that lets threads and sockets have their turn at each sleep.

    With a task that sleeps in a loop, a swift clock alone lets an hour pass while another task
    waits for an answer, and a lease ends.
    """

    async def sleep(self, seconds: float) -> None:
        """Advance by ``seconds``; wait for some milliseconds at most."""
        self.wait(seconds)
        await asyncio.sleep(min(seconds, 0.005))
