"""How many requests may be in flight, learned from the service's refusals.

The service counts requests in flight per account and call, so another pipeline
may hold some of the slots.  The window grows by one for each window's worth of
answers and halves at a 429.  Nothing is saved up while nobody sends, so a pause is
followed by no burst.

Requests that leave together come back together, and each then waits for the work on
the others, here and at the service.  So they leave a little apart, and stay so.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from segctl.core.clock import Clock

APART = 0.012
"""Seconds between two departures, and no more than a share of what an answer takes."""

_MEMORY = 8
"""How many answers the mean of their times reaches back, about."""


class Slot:
    """The right to have one request in flight, from the time ``since``.

    ``window`` counts earlier reductions.
    """

    def __init__(self, window: int, since: float = 0.0) -> None:
        self.window = window
        self.since = since


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
        self._ended = False
        self._departure = 0.0
        self._answer_time = 0.0

    @property
    def window(self) -> int:
        """How many requests may be in flight at present."""
        return int(self._size)

    @property
    def _has_room(self) -> bool:
        return self._ended or self._in_flight < self.window

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Wait for a slot and hold it for the length of the block."""
        await self._acquire()
        try:
            await self._wait_out_pause()
            await self._keep_apart()
            yield Slot(self._reductions, self._clock.monotonic())
        finally:
            self._release()

    def answered(self, slot: Slot) -> None:
        """Take note of an answer that was no 429: room for a little more."""
        took = self._clock.monotonic() - slot.since
        self._answer_time += (took - self._answer_time) / _MEMORY
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

    def end(self) -> None:
        """Let everybody in, since nobody sends any more; a sleep is for the clock to cut."""
        self._ended = True
        self._wake()

    async def _wait_out_pause(self) -> None:
        while not self._ended and (left := self._not_before - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)

    async def _keep_apart(self) -> None:
        """Wait until the last departure is long enough ago."""
        now = self._clock.monotonic()
        apart = min(APART, self._answer_time / (2 * self._most))
        # Only who is much too close is moved, and then far: each move costs time.
        mine = self._departure + apart if now < self._departure + apart / 12 else now
        self._departure = mine
        if mine > now:
            await self._clock.sleep(mine - now)

    async def _acquire(self) -> None:
        if self._has_room and not self._waiters:
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
        while self._waiters and self._has_room:
            turn = self._waiters.popleft()
            if not turn.done():
                self._in_flight += 1
                turn.set_result(None)
