"""Limits the number of requests in flight, and adapts the limit to the answers.

The service counts requests in flight per account and call, so another pipeline may use some of
the slots. The window, the number of requests allowed in flight, grows by one per window of
answers and halves at a 429. Idle time earns no credit, so no burst follows a pause.

Requests sent at the same moment are answered at the same moment, and each then waits while the
others are processed, here and in the service. The limiter therefore spaces them slightly apart.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from segctl.core.clock import Clock

MAX_SPACING = 0.012
"""Maximum spacing between two requests, in seconds. It is less if answers are fast."""

_AVERAGED_ANSWERS = 8
"""Number of answers that the moving average of answer times covers, approximately."""


class Slot:
    """Permission for one request in flight, granted at ``started_at`` on the monotonic clock.

    ``reductions`` is how often the window had been halved by then.
    """

    def __init__(self, reductions: int, started_at: float = 0.0) -> None:
        self.reductions = reductions
        self.started_at = started_at


class Limiter:
    """Grants slots in the order of the requests, at most ``concurrency`` at a time."""

    def __init__(self, *, concurrency: int, clock: Clock) -> None:
        if concurrency < 1:
            raise ValueError("at least one request must be allowed in flight")
        self._concurrency = concurrency
        self._size = float(concurrency)
        self._clock = clock
        self._reductions = 0
        self._in_flight = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._paused_until = 0.0
        self._ended = False
        self._last_sent = 0.0
        self._mean_answer_time = 0.0

    @property
    def window(self) -> int:
        """The number of requests that may be in flight now."""
        return int(self._size)

    @property
    def _has_room(self) -> bool:
        return self._ended or self._in_flight < self.window

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Wait for a slot. It is released at the end of the ``async with`` block."""
        await self._acquire()
        try:
            await self._wait_out_pause()
            await self._space_out()
            yield Slot(self._reductions, self._clock.monotonic())
        finally:
            self._release()

    def record_answer(self, slot: Slot) -> None:
        """Record an acknowledgement or a refusal: widen the window a little."""
        answer_time = self._clock.monotonic() - slot.started_at
        self._mean_answer_time += (answer_time - self._mean_answer_time) / _AVERAGED_ANSWERS
        self._size = min(float(self._concurrency), self._size + 1 / self._size)
        self._wake()

    def record_throttled(self, slot: Slot, *, pause: float = 0.0) -> None:
        """Record a 429: halve the window, and send nothing for ``pause`` seconds.

        The 429s of requests that were in flight together halve the window once.
        """
        self._paused_until = max(self._paused_until, self._clock.monotonic() + pause)
        if slot.reductions == self._reductions:
            self._reductions += 1
            self._size = max(1.0, self._size / 2)

    def end(self) -> None:
        """Grant every waiting request a slot. The caller then sends nothing.

        A sleep in progress is not ended here; the clock has to end it.
        """
        self._ended = True
        self._wake()

    async def _wait_out_pause(self) -> None:
        while (
            not self._ended and (seconds_left := self._paused_until - self._clock.monotonic()) > 0
        ):
            await self._clock.sleep(seconds_left)

    async def _space_out(self) -> None:
        """Wait until the previous request was sent long enough ago."""
        now = self._clock.monotonic()
        spacing = min(MAX_SPACING, self._mean_answer_time / (2 * self._concurrency))
        # Each delay costs time, so only a request much too close to the previous one is delayed,
        # and then by the whole spacing.
        is_too_close = now < self._last_sent + spacing / 12
        send_at = self._last_sent + spacing if is_too_close else now
        self._last_sent = send_at
        if send_at > now:
            await self._clock.sleep(send_at - now)

    async def _acquire(self) -> None:
        if self._has_room and not self._waiters:
            self._in_flight += 1
            return
        granted = asyncio.get_running_loop().create_future()
        self._waiters.append(granted)
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                if granted in self._waiters:
                    self._waiters.remove(granted)
            else:  # granted and cancelled at the same time: pass the slot on
                self._release()
            raise

    def _release(self) -> None:
        self._in_flight -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiters and self._has_room:
            granted = self._waiters.popleft()
            if not granted.done():
                self._in_flight += 1
                granted.set_result(None)
