"""Record requests as sent before they leave, so that what the journal does not have was never sent.

On a disk each request is recorded on its own. Where a write takes long, several are recorded at a
time, ahead of sending, and the next ones are recorded while these are sent. If the run dies, those
that were recorded and not answered are uncertain, which is at most one and a half windows and what
is in flight.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from segctl.applying.send_context import SendContext

LONG_SYNC_SECONDS = 0.001
"""A slower sync runs in a thread, so that answers are processed meanwhile."""

STORE_SECONDS = 2.0
"""How long an outcome may wait to be stored."""


class SendWindow:
    """The requests that are recorded as sent. Create it inside the running event loop."""

    def __init__(self, context: SendContext) -> None:
        self._context = context
        self._log = context.log
        self._size = context.log.window
        self._total = context.plan.requests.update
        self._end = 0  # requests below it are stored
        self._appended = 0  # requests below it are in the log, perhaps not stored
        self._last = -1
        self._entered: set[int] = set()
        self._extending = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._stored_at = context.clock.monotonic()
        self._sync_is_slow = self._size > 1

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Store outcomes regularly during the block; afterwards say what was not sent."""
        regular = asyncio.create_task(self._store_regularly()) if self._size > 1 else None
        try:
            yield
        finally:
            for task in (regular, self._next):
                if task:
                    task.cancel()
            await asyncio.gather(*filter(None, (regular, self._next)), return_exceptions=True)
        for number in sorted(set(range(self._appended)) - self._entered):
            self._log.append({"type": "kept_back", "request": number}, durable=False)

    async def enter(self, number: int) -> None:
        """Return when it is stored that this request may be sent. Call it in sending order."""
        if self._size == 1:
            sent = {"type": "sent", "request": number, "at": self._context.clock.now()}
            self._log.append(sent, durable=False)
            await self._sync()  # several requests that wait here share a flush
            return
        self._entered.add(number)
        self._last = number
        while number >= self._end:
            await self._extend(number)
        is_low = self._end - number <= self._size // 2
        if is_low and self._end < self._end_of_phase() and not self._next:
            self._next = asyncio.create_task(self._extend(self._end))
            self._next.add_done_callback(self._forget_next)

    async def _extend(self, first: int) -> None:
        """Record the requests from ``first`` on, unless that happened meanwhile."""
        async with self._extending:
            if first >= self._end:
                await self._store(first, first + self._size)

    async def _store(self, first: int, end: int) -> None:
        """Store the outcomes so far, and that the requests from ``first`` on may be sent."""
        end = min(end, self._end_of_phase())
        now = self._context.clock.now()
        for number in range(first, end):
            self._log.append({"type": "sent", "request": number, "at": now}, durable=False)
        self._appended = max(self._appended, end)
        self._stored_at = self._context.clock.monotonic()
        await self._sync()
        self._end = max(self._end, end)

    def _end_of_phase(self) -> int:
        """Return the end of the requests that are sent without a long wait in between."""
        settle_from = self._context.plan.settle_from
        if settle_from is not None and self._last < settle_from:
            return settle_from
        return self._total

    def _forget_next(self, task: asyncio.Task[None]) -> None:
        # An error shows again as soon as something is appended.
        if not task.cancelled():
            task.exception()
        self._next = None

    async def _sync(self) -> None:
        """Store the log; in a thread if the last sync was slow."""
        begun = self._context.clock.monotonic()
        if self._sync_is_slow:
            await asyncio.to_thread(self._log.sync)
        else:
            self._log.sync()
        self._sync_is_slow = (
            self._size > 1 or self._context.clock.monotonic() - begun > LONG_SYNC_SECONDS
        )

    async def _store_regularly(self) -> None:
        """Store outcomes in time, and with the same write the requests that are next."""
        while True:
            elapsed = self._context.clock.monotonic() - self._stored_at
            if elapsed < STORE_SECONDS:
                await self._context.clock.sleep(STORE_SECONDS - elapsed)
                continue
            async with self._extending:
                await self._store(max(self._end, self._last + 1), self._last + 1 + self._size)
