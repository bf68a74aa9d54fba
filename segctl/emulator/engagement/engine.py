"""Run campaigns: start those that are due, make triggers, deliver them.

All that is to do is stored, so the work can stop at any moment and go on after a
restart: no trigger is lost.  A request that was under way may be sent a second time, with
the same delivery id.

The work runs in the background, in a task of the event loop.  The task starts when
there is something to do; the application needs no lifespan.
"""

import asyncio
import math
import ssl
from collections.abc import Iterable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import httpx
from pyroaring import BitMap

from segctl.emulator.engagement.audience import audience_of, count_reachable, reachable_users
from segctl.emulator.engagement.campaign import (
    CANCELLED,
    COMPLETED,
    DRAFT,
    FAILED,
    OFFLINE,
    PENDING,
    RUNNING,
    SCHEDULED,
    SENT,
    STOPPED,
    Attempt,
    Campaign,
    Definition,
    Trigger,
    Webhook,
)
from segctl.emulator.engagement.campaign_store import CampaignStore
from segctl.emulator.engagement.delivery import (
    LIMITS,
    Answer,
    Recipient,
    payload,
    request_headers,
)
from segctl.emulator.engagement.qualification import (
    make_audience_triggers,
    make_event_triggers,
    status_without_attempt,
)
from segctl.emulator.engagement.runner import MAX_IN_FLIGHT, Runner
from segctl.emulator.errors import RequestError
from segctl.emulator.reading.events import event_properties
from segctl.emulator.service import Service
from segctl.emulator.storage.state import Account, Segment

TRIGGERS_PER_PIECE = 300
LONGEST_WAIT = 60.0
"""Seconds until the clock is looked at again, in case it was set."""

WebhookTransport = httpx.AsyncBaseTransport
"""What sends the requests; tests replace it."""


class Engagement:
    """The campaigns of a service."""

    def __init__(
        self,
        service: Service,
        *,
        transport: WebhookTransport | None = None,
        runs_itself: bool = True,
    ) -> None:
        self.service = service
        self.store = CampaignStore(
            service.store.database, announce=lambda: service.announce("campaigns")
        )
        self._transport = transport
        self._runs_itself = runs_itself
        self._runner: Runner | None = None
        service.store.listen(self.wake)

    # -- what users do ----------------------------------------------------------

    def create(
        self, account: Account, definition: Definition, *, starts_at: float | None
    ) -> Campaign:
        """Create a campaign: a draft if ``starts_at`` is None, else scheduled or running."""
        now = self.service.clock()
        with self.store.transaction():
            campaign = self.store.add(account=account.number, definition=definition, now=now)
            if starts_at is not None and starts_at > now:
                campaign = self.store.change(campaign, status=SCHEDULED, starts_at=starts_at)
            elif starts_at is not None:
                campaign = self._start_now(campaign)
        self.wake()
        return campaign

    def start(self, campaign: Campaign) -> Campaign:
        """Start a draft, or a scheduled campaign before its time; raises RequestError 409."""
        if campaign.status not in {DRAFT, SCHEDULED}:
            raise RequestError(
                409, f"a {campaign.status} campaign cannot be started: create a new one"
            )
        segments = self.account_of(campaign).segments
        deleted = [each for each in campaign.definition.segments if segments[each].is_deleted]
        if deleted:
            names = ", ".join(map(str, sorted(deleted)))
            raise RequestError(
                409, f"segments of the campaign were deleted: {names}; create a new campaign"
            )
        with self.store.transaction():
            campaign = self._start_now(campaign)
        self.wake()
        return campaign

    def stop(self, campaign: Campaign) -> Campaign:
        """Stop a campaign for good: pending triggers are not delivered; raises RequestError 409."""
        if not campaign.is_in_use:
            raise RequestError(
                409,
                f"only a scheduled or running campaign can be stopped; this is {campaign.status}",
            )
        with self.store.transaction():
            return self.store.change(campaign, status=STOPPED)

    def delete(self, campaign: Campaign) -> Iterator[None]:
        """Delete a campaign that is not in use, in pieces; raises RequestError 409."""
        if campaign.is_in_use:
            raise RequestError(
                409, f"a {campaign.status} campaign cannot be deleted: stop it first"
            )
        return self.store.delete(campaign)

    def check_unused(self, segments: Iterable[Segment]) -> None:
        """Check that no scheduled or running campaign uses a segment; raises RequestError 409.

        The vendor's page on deletion: it is blocked while an engagement uses the segment.
        """
        uses = [
            f"{segment.id} by {campaign.status} {campaign.definition.kind} campaign "
            f"{campaign.definition.name!r} ({campaign.id})"
            for segment in segments
            for campaign in self.store.used_by(segment.id)
        ]
        if uses:
            raise RequestError(
                409, f"segments are in use: {'; '.join(uses)}; stop the campaigns first"
            )

    def forget(self) -> None:
        """Forget the campaigns, which were deleted with all data."""
        self.store.forget()

    def estimate(
        self, account: Account, *, include: tuple[int, ...], exclude: tuple[int, ...]
    ) -> BitMap:
        """Return the profile numbers that an offline campaign would have now."""
        store, until = self.service.store, self.service.visible_until()
        return audience_of(
            account,
            include=include,
            exclude=exclude,
            members_of=lambda segment: store.members_at(account, segment, until)[0],
        )

    def account_of(self, campaign: Campaign) -> Account:
        """Return the account of a campaign."""
        return self.service.store.accounts_by_number()[campaign.account]

    def _start_now(self, campaign: Campaign) -> Campaign:
        # History does not qualify.
        position = self.service.store.next_event
        return self._start(campaign, self.service.clock(), position=position)

    def _start(self, campaign: Campaign, starts_at: float, *, position: int) -> Campaign:
        """Start a campaign in the caller's transaction; ``position`` is its first event."""
        definition = campaign.definition
        if definition.kind != OFFLINE:
            return self.store.change(
                campaign, status=RUNNING, starts_at=starts_at, position=position
            )
        account = self.account_of(campaign)
        audience = self.estimate(account, include=definition.include, exclude=definition.exclude)
        self.store.save_audience(campaign, audience)
        return self.store.change(
            campaign,
            # Only a webhook leaves more to do than to freeze the audience.
            status=COMPLETED if definition.webhook is None else RUNNING,
            starts_at=starts_at,
            audience=len(audience),
            reachable=count_reachable(account.profiles, audience, definition.channel),
        )

    # -- work in the background -------------------------------------------------

    def wake(self) -> None:
        """Look for something to do, now or soon, on the running event loop if there is one."""
        if not self._runs_itself or not self.store.in_use or self.service.is_closing:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._runner is None or self._runner.loop is not loop or self._runner.has_ended:
            self._runner = Runner(self, loop)
            self._runner.start()
        self._runner.changed.set()

    async def run_due(self) -> None:
        """Do everything that is due by the clock, and return when nothing is."""
        loop = asyncio.get_running_loop()
        if self._runner is not None and self._runner.loop is loop and not self._runner.has_ended:
            await self._runner.run_due()
            return
        await Runner(self, loop).run_once()

    async def close(self) -> None:
        """End the task; requests under way get a second to finish."""
        self.service.close_streams()
        if self._runner is not None and not self._runner.has_ended:
            await self._runner.wait_for_end()

    async def open_transport(self) -> WebhookTransport:
        """Return what sends webhooks: no redirects, no proxy, no cookies, no environment."""
        if self._transport is None:
            return await asyncio.to_thread(_make_transport)
        return self._transport

    def start_scheduled(self) -> None:
        """Start the campaigns whose time has come."""
        now = self.service.clock()
        for campaign in self.store.in_use:
            if campaign.status == SCHEDULED and (starts_at := campaign.starts_at or 0) <= now:
                # The events from its time on qualify, even if it starts a moment later.
                position = self.service.store.log.first_after(math.nextafter(starts_at, -math.inf))
                with self.store.transaction():
                    self._start(campaign, starts_at, position=position)

    def seconds_until_due(self) -> float | None:
        """Return the seconds until something will be due, or None if nothing will."""
        now = self.service.clock()
        times = [each.starts_at for each in self.store.in_use if each.status == SCHEDULED]
        times += [self.store.next_due(each, now=now) for each in self.store.running()]
        lag = self.service.settings.visibility_lag_ms / 1000
        next_event = self.service.store.next_event
        if lag and any(
            each.waits_for_events and each.position < next_event for each in self.store.running()
        ):
            times.append(now + lag)
        known = [each for each in times if each is not None]
        return min(max(0.0, min(known) - now), LONGEST_WAIT) if known else None

    def pieces(self) -> Iterator[None]:
        """Make triggers and set the status of those that are not sent, in small pieces."""
        self.start_scheduled()
        yield from make_event_triggers(self.service, self.store)
        yield from make_audience_triggers(self.service, self.store)
        for campaign in self.store.running():
            if campaign.definition.webhook is None:
                yield from self._finish_delayed(campaign)

    def _finish_delayed(self, campaign: Campaign) -> Iterator[None]:
        """Set the status of delayed messages that are due and do not leave this machine."""
        profiles = self.account_of(campaign).profiles
        survivors = self.service.store.log.merges.survivors(campaign.account)
        reachable = reachable_users(profiles, campaign.definition.channel)
        now = self.service.clock()
        while due := self.store.due_triggers(campaign, now=now, limit=TRIGGERS_PER_PIECE):
            with self.store.transaction():
                self.store.set_statuses(
                    (status_without_attempt(survivors.get(user, user), reachable), each.id)
                    for each in due
                    for user in each.users
                )
            yield

    def audience_now(self, campaign: Campaign) -> BitMap:
        """Return the frozen audience, with merged profiles replaced by those that are left."""
        audience = self.store.read_audience(campaign)
        return self.service.store.log.merges.replace_merged(campaign.account, audience)

    def recipients(self, campaign: Campaign, trigger: Trigger) -> BitMap:
        """Return the profiles to send to: those that are left of profiles merged since.

        Two profiles of an audience that were merged get it once, with the part of the
        first one.
        """
        merges, users = self.service.store.log.merges, BitMap(trigger.users)
        if campaign.definition.kind == OFFLINE and (merged := merges.involved(campaign.account)):
            audience = self.store.read_audience(campaign)
            users -= BitMap(
                user
                for user in users & merged
                if (audience & merges.same_as(campaign.account, user)).min() < user
            )
        return merges.replace_merged(campaign.account, users)

    def cancel(self, trigger: Trigger) -> None:
        """Settle a trigger that has nobody left to send to."""
        with self.store.transaction():
            self.store.set_statuses([(CANCELLED, trigger.id)])

    def request(
        self, campaign: Campaign, webhook: Webhook, trigger: Trigger, numbers: BitMap
    ) -> tuple[bytes, dict[str, str]]:
        """Return the body and the headers of the trigger's next attempt to these profiles."""
        account = self.account_of(campaign)
        properties: dict[str, Any] | None = None
        if trigger.segment and trigger.action and trigger.event:
            segment = account.segments[trigger.segment]
            properties = event_properties(segment, trigger.action, event=trigger.event)
        profiles = account.profiles
        recipients = [
            Recipient(
                profiles.user_of(number, keys),
                profiles.object_id_of(number, keys),
                profiles.fields(number),
                properties,
            )
            for number, keys in sorted(profiles.keys_of(list(numbers)).items())
        ]
        body = payload(campaign, recipients, settings=self.service.settings)
        headers = request_headers(
            webhook,
            body,
            delivery_id=delivery_id(trigger),
            attempt=trigger.attempts + 1,
            now=self.service.clock(),
        )
        return body, headers

    def record(self, trigger: Trigger, answer: Answer, *, started: float) -> None:
        """Store an attempt, and whether and when there will be another."""
        settings = self.service.settings
        ended = self.service.clock()
        attempt = Attempt(
            number=trigger.attempts + 1,
            started=started,
            ms=round(max(0.0, ended - started) * 1000, 1),
            status=answer.status,
            error=answer.error,
        )
        if answer.error is None:
            status = SENT
        elif answer.is_final or trigger.attempts >= LIMITS[settings.webhook_limits].retries:
            status = FAILED
        else:
            status = PENDING
        due = ended + settings.webhook_retry_seconds if status == PENDING else trigger.due
        with self.store.transaction():
            self.store.record_attempt(trigger, attempt, status=status, due=due)


def delivery_id(trigger: Trigger) -> str:
    """Return the id that all attempts of a trigger have."""
    return f"{trigger.campaign}-{trigger.id}"


def _make_transport() -> WebhookTransport:
    """Return what sends webhooks.

    The certificates, and the modules that the first connection needs, take a tenth of a
    second to load.  The caller does it in a thread, so that no call has to wait.
    """
    asyncio.run(anyio.lowlevel.checkpoint())
    limits = httpx.Limits(max_keepalive_connections=MAX_IN_FLIGHT)
    return httpx.AsyncHTTPTransport(
        verify=ssl.create_default_context(), limits=limits, trust_env=False
    )
