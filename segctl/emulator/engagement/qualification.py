"""From events and audiences to triggers, in pieces of some milliseconds.

A run of events has one segment and one action, and all four properties are of the run:
whether it qualifies is decided once for all its users.
"""

from collections.abc import Collection, Iterator

from pyroaring import BitMap

from segctl.emulator.engagement.audience import reachable_users
from segctl.emulator.engagement.campaign import (
    ANY,
    COMPLETED,
    JOURNEY,
    OFFLINE,
    PENDING,
    RUNNING,
    SENT,
    UNREACHABLE,
    Campaign,
)
from segctl.emulator.engagement.campaign_store import CampaignStore, NewTrigger
from segctl.emulator.query_language import Comparison, comparison
from segctl.emulator.reading.events import event_properties
from segctl.emulator.service import Service
from segctl.emulator.storage.event_runs import EventRun, RunFilter, cut_run
from segctl.emulator.storage.state import ADD, REMOVE, Account

EVENTS_PER_PIECE = 300
PARTS_PER_PIECE = 20


def make_event_triggers(service: Service, store: CampaignStore) -> Iterator[None]:
    """Store the triggers of the events that running campaigns have not seen yet, in pieces.

    Blocks of the log without an event of their segments are skipped.
    """
    campaigns = _waiting(store)
    end = service.store.next_event
    if (until := service.visible_until()) is not None:
        end = service.store.log.first_after(until)
    start = min((each.position for each in campaigns), default=end)
    if start >= end:
        return
    ids = {each.id for each in campaigns}
    generation = service.store.generation
    for runs in service.store.log.pieces(_common_filter(campaigns), start=start):
        for piece in _split([_before(run, end) for run in runs if run.seq < end]) or [[]]:
            if piece:
                with store.transaction():
                    _apply_runs(service, store, piece, ids)
            yield
            if service.store.generation != generation:
                return
    with store.transaction():
        _advance(store, end, ids)


def _waiting(store: CampaignStore, ids: Collection[int] | None = None) -> list[Campaign]:
    """Return the campaigns that events trigger now; with ``ids``, only those of them.

    A campaign that is started between two pieces waits for the next pass: this one may
    skip events of its segment.
    """
    return [
        each
        for each in store.running()
        if each.waits_for_events and (ids is None or each.id in ids)
    ]


def _common_filter(campaigns: list[Campaign]) -> RunFilter:
    """Return a filter that no event of interest to one of the campaigns fails."""
    rules = [each.definition.trigger for each in campaigns]
    segments = {None if rule is None else rule.segment for rule in rules}
    return RunFilter(
        segments=frozenset(each for each in segments if each is not None)
        if None not in segments
        else None
    )


def _split(runs: list[EventRun]) -> list[list[EventRun]]:
    """Return runs in groups of at most ``EVENTS_PER_PIECE`` events."""
    groups: list[list[EventRun]] = []
    left = 0
    for run in runs:
        for low in range(0, len(run.users), EVENTS_PER_PIECE):
            part = cut_run(run, low, low + EVENTS_PER_PIECE)
            if len(part.users) > left:
                groups.append([])
                left = EVENTS_PER_PIECE
            groups[-1].append(part)
            left -= len(part.users)
    return groups


def _before(run: EventRun, end: int) -> EventRun:
    return run if run.seq + len(run.users) <= end else cut_run(run, 0, end - run.seq)


def _apply_runs(
    service: Service, store: CampaignStore, runs: list[EventRun], ids: Collection[int]
) -> None:
    """Store what runs mean for those of the campaigns ``ids`` that still run."""
    accounts = service.store.accounts_by_number()
    for campaign in _waiting(store, ids):
        own = [run for run in runs if run.account == campaign.account]
        _apply_events(service, store, campaign, accounts[campaign.account], own)
    _advance(store, runs[-1].seq + len(runs[-1].users), ids)


def _advance(store: CampaignStore, position: int, ids: Collection[int]) -> None:
    for campaign in _waiting(store, ids):
        if campaign.position < position:
            store.change(campaign, position=position)


def _apply_events(
    service: Service,
    store: CampaignStore,
    campaign: Campaign,
    account: Account,
    runs: list[EventRun],
) -> None:
    """Store what the events mean for one campaign."""
    triggers: list[NewTrigger] = []
    exits = 0
    compare = comparison(service.settings)
    reachable = reachable_users(account.profiles, campaign.definition.channel)
    for run in runs:
        is_qualified = qualifies(campaign, account, run, compare=compare)
        if not is_qualified and not _leaves_journey(campaign, run):
            continue
        # Events from before the campaign's position do not qualify, or did already.
        seen = max(0, campaign.position - run.seq)
        for seq, user in enumerate(run.users[seen:], start=run.seq + seen):
            if is_qualified:
                if _may_enter(service, store, campaign, user):
                    triggers.append(_trigger(campaign, run, seq, user, reachable))
            else:
                exits += store.leave_journey(campaign, _numbers_of(service, campaign, user))
    if triggers or exits:
        store.add_triggers(triggers)
        is_journey = campaign.definition.kind == JOURNEY
        store.change(
            store.campaigns[campaign.id],
            triggers=campaign.triggers + len(triggers),
            entries=campaign.entries + len(triggers) * is_journey,
            exits=campaign.exits + exits,
        )


def qualifies(campaign: Campaign, account: Account, run: EventRun, *, compare: Comparison) -> bool:
    """Whether the events of a run trigger the campaign."""
    rule = campaign.definition.trigger
    if rule is None or rule.action not in {ANY, run.action}:
        return False
    if rule.segment not in {None, run.segment}:
        return False
    properties = event_properties(account.segments[run.segment], run.action, event=run.seq)
    return all(each.predicate(compare)(properties[each.name]) for each in rule.where)


def _leaves_journey(campaign: Campaign, run: EventRun) -> bool:
    rule = campaign.definition.trigger
    return (
        campaign.definition.exit_on_leave
        and rule is not None
        and rule.action == ADD
        and run.action == REMOVE
        and run.segment == rule.segment
    )


def _may_enter(service: Service, store: CampaignStore, campaign: Campaign, user: int) -> bool:
    if campaign.definition.kind != JOURNEY:
        return True
    once = service.settings.journey_entry == "once"
    return store.enter_journey(campaign, _numbers_of(service, campaign, user), once=once)


def _numbers_of(service: Service, campaign: Campaign, user: int) -> list[int]:
    """Return the user's number, and those of profiles that were merged into it."""
    return service.store.log.merges.numbers_of(campaign.account, user)


def _trigger(
    campaign: Campaign, run: EventRun, seq: int, user: int, reachable: BitMap | None
) -> NewTrigger:
    rule = campaign.definition.trigger
    delay = 0 if rule is None else rule.delay_seconds
    is_complete = campaign.definition.webhook is None and not delay
    status = status_without_attempt(user, reachable) if is_complete else PENDING
    return NewTrigger(
        campaign=campaign.id,
        event=seq,
        action=run.action,
        segment=run.segment,
        ts=run.ts,
        due=run.ts + delay,
        status=status,
        users=(user,),
    )


def status_without_attempt(user: int, reachable: BitMap | None) -> str:
    """Return the status of a message that does not leave this machine."""
    return SENT if reachable is None or user in reachable else UNREACHABLE


def make_audience_triggers(service: Service, store: CampaignStore) -> Iterator[None]:
    """Store the triggers of offline webhook campaigns that run, in pieces.

    Each has a part of the audience.  A campaign without pending triggers is complete.
    """
    for campaign in store.running():
        if campaign.definition.kind == OFFLINE:
            yield from _split_audience(service, store, campaign.id)


def _split_audience(service: Service, store: CampaignStore, campaign_id: int) -> Iterator[None]:
    audience: BitMap | None = None
    part = service.settings.webhook_profiles
    # It may be stopped or deleted between two pieces.
    while (campaign := store.campaigns.get(campaign_id)) and campaign.status == RUNNING:
        size = campaign.audience or 0
        if campaign.position >= size:
            if not store.has_pending(campaign):
                with store.transaction():
                    store.change(campaign, status=COMPLETED)
            return
        if audience is None:
            audience = store.read_audience(campaign)
        starts_at = campaign.starts_at or campaign.created_at
        end = min(size, campaign.position + part * PARTS_PER_PIECE)
        triggers = [
            NewTrigger(
                campaign=campaign.id,
                event=None,
                action=None,
                segment=None,
                ts=starts_at,
                due=starts_at,
                status=PENDING,
                users=tuple(audience[start : min(end, start + part)]),
            )
            for start in range(campaign.position, end, part)
        ]
        with store.transaction():
            store.add_triggers(triggers)
            store.change(campaign, position=end, triggers=campaign.triggers + len(triggers))
        yield
