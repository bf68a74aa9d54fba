"""The work on campaigns in one event loop: its task, its transport, and the requests under way.

Requests are sent in the background and never delay a call: at most a few at once, and the
work between two turns of the event loop takes some milliseconds.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import httpx

from segctl.emulator.engagement.campaign import Campaign, Trigger, Webhook
from segctl.emulator.engagement.delivery import LIMITS, NOT_ALLOWED, Answer, check_url, post
from segctl.emulator.errors import InvalidFieldError

if TYPE_CHECKING:
    from segctl.emulator.engagement.engine import Engagement

MAX_IN_FLIGHT = 8
"""Webhook requests under way at once."""
MAX_IN_FLIGHT_PER_CAMPAIGN = 4
PAUSE_AFTER_PROBLEM = 5.0
SECONDS_TO_FINISH = 1.0
"""For the requests under way when the service stops."""

log = logging.getLogger(__name__)


class Runner:
    """The work of one event loop: a transport, and the requests under way."""

    def __init__(self, engagement: "Engagement", loop: asyncio.AbstractEventLoop) -> None:
        self.engagement = engagement
        self.loop = loop
        self._transport: httpx.AsyncBaseTransport | None = None
        self._is_open = asyncio.Event()
        self.changed = asyncio.Event()
        self._requests: dict[asyncio.Task[None], Trigger] = {}
        self._task: asyncio.Task[None] | None = None
        self._paused_until = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether the task ended, or its loop was closed."""
        return self.loop.is_closed() or (self._task is not None and self._task.done())

    def start(self) -> None:
        """Start the task."""
        self._task = self.loop.create_task(self._run())

    async def wait_for_end(self) -> None:
        """Wait until the task has ended, which it does when the service closes."""
        if self._task is not None:
            await self._task

    @contextlib.asynccontextmanager
    async def _open_transport(self) -> AsyncIterator[None]:
        async with await self.engagement.open_transport() as self._transport:
            self._is_open.set()
            yield

    async def run_once(self) -> None:
        """Work until nothing is due, without the task."""
        async with self._open_transport():
            await self.run_due()

    async def run_due(self) -> None:
        """Work until nothing is due; raises the first error."""
        await self._is_open.wait()
        while True:
            await self._work()
            if not self._requests:
                return
            done, _ = await asyncio.wait(self._requests, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _run(self) -> None:
        service, store = self.engagement.service, self.engagement.store
        service.streams.add(self.changed)
        async with self._open_transport():
            try:
                while not service.is_closing and (store.in_use or self._requests):
                    self.changed.clear()
                    seconds = await self._work_on()
                    if not service.is_closing:
                        with contextlib.suppress(TimeoutError):
                            await asyncio.wait_for(self.changed.wait(), seconds)
                if self._requests:
                    await asyncio.wait(self._requests, timeout=SECONDS_TO_FINISH)
            finally:
                service.streams.discard(self.changed)
                for task in self._requests:
                    task.cancel()

    async def _work_on(self) -> float | None:
        """Work, and return the seconds to wait if nothing changes; None is for ever.

        A problem is reported, and the work goes on after a pause.
        """
        try:
            await self._work()
            seconds = self.engagement.seconds_until_due()
        except Exception as error:  # noqa: BLE001 - a full disk must not end all campaigns
            self._report(error)
            seconds = PAUSE_AFTER_PROBLEM
        pause = self._paused_until - self.loop.time()
        return pause if pause > 0 else seconds

    def _report(self, error: BaseException) -> None:
        self._paused_until = self.loop.time() + PAUSE_AFTER_PROBLEM
        # Any text but SQLite's own could quote a row, and so a user's key.
        text = f": {error}" if isinstance(error, sqlite3.Error) else ""
        log.error(
            "campaigns: %s%s; trying again in %d s",
            type(error).__name__,
            text,
            PAUSE_AFTER_PROBLEM,
        )

    async def _work(self) -> None:
        for _ in self.engagement.pieces():
            self._send()
            await asyncio.sleep(0)
        self._send()

    def _send(self) -> None:
        """Send what is due, at most a few requests at once."""
        transport = self._transport
        if transport is None or self.loop.time() < self._paused_until:
            return
        store, now = self.engagement.store, self.engagement.service.clock()
        for campaign in store.running():
            webhook = campaign.definition.webhook
            if webhook is None:
                continue
            under_way = [each for each in self._requests.values() if each.campaign == campaign.id]
            known = {each.id for each in under_way}
            users = {each.users for each in under_way}
            for trigger in store.due_triggers(
                campaign, now=now, limit=2 * MAX_IN_FLIGHT_PER_CAMPAIGN
            ):
                if len(known) >= MAX_IN_FLIGHT_PER_CAMPAIGN or len(self._requests) >= MAX_IN_FLIGHT:
                    break
                # The events of one user are sent one after the other.
                if trigger.id in known or trigger.users in users:
                    continue
                known.add(trigger.id)
                users.add(trigger.users)
                task = self.loop.create_task(self._deliver(transport, campaign, webhook, trigger))
                self._requests[task] = trigger
                task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._requests.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(error)
        self.changed.set()

    async def _deliver(
        self,
        transport: httpx.AsyncBaseTransport,
        campaign: Campaign,
        webhook: Webhook,
        trigger: Trigger,
    ) -> None:
        engagement, service = self.engagement, self.engagement.service
        if campaign.id not in engagement.store.campaigns:
            return
        recipients = engagement.recipients(campaign, trigger)
        if not recipients:
            engagement.cancel(trigger)
            return
        started = service.clock()
        try:
            check_url(webhook.url, settings=service.settings, is_exposed=service.requires_passcode)
        except InvalidFieldError:
            answer = Answer(None, NOT_ALLOWED)
        else:
            body, headers = engagement.request(campaign, webhook, trigger, recipients)
            seconds = LIMITS[service.settings.webhook_limits].seconds
            answer = await post(transport, webhook.url, body, headers, seconds=seconds)
        engagement.record(trigger, answer, started=started)
