"""The page of events: filtered, counted, in pages, grouped by apply; and as a file."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segctl.emulator.control.parameters import service_of
from segctl.emulator.control.responses import in_turns
from segctl.emulator.errors import bad_request
from segctl.emulator.pages.files import send_file
from segctl.emulator.pages.history import (
    HistoryQuery,
    group_by_apply,
    read_page,
    read_query,
)
from segctl.emulator.pages.rendering import address, render
from segctl.emulator.reading.events import Event, event_pieces, iso
from segctl.emulator.service import Service
from segctl.emulator.storage.event_runs import RunFilter
from segctl.emulator.storage.state import ADD, REMOVE

COUNTED_RUNS = 100_000
"""Runs of events that are read to count events, where no tally has the count."""

ACTIONS = (ADD, REMOVE)
COLUMNS = ("No.", "Time", "Action", "Segment ID", "Customer Segment ID", "Segment Name", "User")


async def show_events(request: Request) -> Response:
    """Show events, newest first."""
    service = service_of(request)
    query = read_query(request)
    action = read_action(request)

    def read(start: int | None, newest_first: bool) -> AsyncIterator[Sequence[Event]]:
        return in_turns(
            matching_events(service, query, action, start=start, newest_first=newest_first)
        )

    page = await read_page(
        request,
        read,
        number=lambda event: event.seq,
        total=await count_events(request, query, action),
    )
    return render(
        "events.html",
        request,
        account=query.account,
        filter=query,
        action=action,
        actions=ACTIONS,
        groups=group_by_apply(request, page.rows, lambda event: event.apply),
        page=page.pager,
        export=lambda extra: address("/events/export", {**request.query_params, **extra}),
    )


def read_action(request: Request) -> str:
    """Return the action of the address, "" for both; raises RequestError 400."""
    action = request.query_params.get("action", "")
    if action and action not in ACTIONS:
        raise bad_request("action must be ADD or REMOVE")
    return action


def run_filter(query: HistoryQuery, action: str) -> RunFilter:
    """Return the filter of the event log."""
    profile, apply = query.profile, query.apply
    times = [(query.since, query.until)] + ([(apply.first, apply.last)] if apply else [])
    since = [start for start, _ in times if start is not None]
    until = [end for _, end in times if end is not None]
    found = RunFilter(
        account=query.account.number if query.account else None,
        segments=query.segments,
        action=action or None,
        since=max(since, default=None),
        until=min(until, default=None),
    )
    if profile is not None:
        return replace(found, account=profile.account.number, user=profile.number)
    return found


def matching_events(
    service: Service,
    query: HistoryQuery,
    action: str,
    *,
    start: int | None = None,
    newest_first: bool = False,
) -> Iterator[Sequence[Event]]:
    """Yield the events that match, in pieces."""
    if query.user and query.profile is None:
        return
    pieces = event_pieces(
        service, filter=run_filter(query, action), start=start, newest_first=newest_first
    )
    for piece in pieces:
        yield [event for event in piece if is_chosen(query, event.apply)]


async def count_events(request: Request, query: HistoryQuery, action: str) -> int | None:
    """Return how many events match, None if counting them would mean reading too many."""
    service = service_of(request)
    if query.user and query.profile is None:
        return 0
    chosen = run_filter(query, action)
    has_lag = service.settings.visibility_lag_ms > 0
    if query.apply and not (query.profile or query.segment or action or query.is_timed or has_lag):
        return query.apply.events
    if not (query.profile or query.apply or has_lag):
        tallies = in_turns(service.store.log.tallies(chosen))
        return sum([tally.events async for tally in tallies])
    visible = service.visible_until()
    if visible is not None:
        chosen = replace(chosen, until=min(visible, chosen.until or visible))
    total = read = 0
    async for runs in in_turns(service.store.log.pieces(chosen)):
        total += sum(len(run.users) for run in runs if is_chosen(query, run.apply))
        read += len(runs)
        if read > COUNTED_RUNS:
            return None
    return total


def is_chosen(query: HistoryQuery, apply: int) -> bool:
    """Whether the number of an apply is the one that the address names, if it names one."""
    return query.apply is None or apply == query.apply.number


async def export_events(request: Request) -> Response:
    """Send the events that match, oldest first."""
    return send_file(
        request,
        matching_events(service_of(request), read_query(request), read_action(request)),
        name="events",
        columns=COLUMNS,
        csv_row=csv_row,
        document=Event.line,
    )


def csv_row(event: Event) -> dict[str, Any]:
    """Return an event as a row of ``COLUMNS``."""
    segment = event.segment
    values = (
        event.seq,
        iso(event.ts, event.zone),
        event.action,
        segment.id,
        segment.customer_id,
        segment.name,
        event.user.value,
    )
    return dict(zip(COLUMNS, values, strict=True))


def routes() -> list[Route]:
    """Return the routes of the page and the file."""
    return [Route("/events", show_events), Route("/events/export", export_events)]
