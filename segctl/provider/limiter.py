"""How many requests may be in flight, learned from the service's refusals.

The service counts requests in flight per account and call, so another pipeline
may hold some of the slots.  The window grows by one for each window's worth of
answers and halves at a 429.  Nothing is saved up while nobody sends, so a pause is
followed by no burst.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from segctl.clock import Clock


class Slot:
    """The right to have one request in flight; ``window`` counts earlier reductions."""

    def __init__(self, window: int) -> None:
        self.window = window


class Limiter:
    """Grants slots, first come, first served; at most ``concurrency`` at once."""

    def __init__(self, *, concurrency: int, clock: Clock) -> None:
        if concurrency < 1:
            raise ValueError("at least one request must be allowed in flight")
        self._most = concurrency
        self._size = float(concurrency)
        self._clock = clock
        self._reductions = 0
        self._in_flight = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._not_before = 0.0

    @property
    def window(self) -> int:
        """How many requests may be in flight at present."""
        return int(self._size)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Wait for a slot and hold it for the length of the block."""
        await self._acquire()
        try:
            await self._wait_out_pause()
            yield Slot(self._reductions)
        finally:
            self._release()

    def answered(self) -> None:
        """Take note of an answer that was no 429: room for a little more."""
        self._size = min(float(self._most), self._size + 1 / self._size)
        self._wake()

    def throttled(self, slot: Slot, *, pause: float = 0.0) -> None:
        """Take note of a 429: half as many, and nothing for ``pause`` seconds.

        Requests that left together are refused together; their refusals count once.
        """
        self._not_before = max(self._not_before, self._clock.monotonic() + pause)
        if slot.window == self._reductions:
            self._reductions += 1
            self._size = max(1.0, self._size / 2)

    async def _wait_out_pause(self) -> None:
        while (left := self._not_before - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)

    async def _acquire(self) -> None:
        if self._in_flight < self.window and not self._waiters:
            self._in_flight += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiters.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                if turn in self._waiters:
                    self._waiters.remove(turn)
            else:  # granted and cancelled in the same moment: the slot goes to the next
                self._release()
            raise

    def _release(self) -> None:
        self._in_flight -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiters and self._in_flight < self.window:
            turn = self._waiters.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)
