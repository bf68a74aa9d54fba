"""The page of events: filtered, counted, in pages, grouped by apply; and as a file."""

import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from segctl.emulator.control.endpoints import NDJSON, service_of
from segctl.emulator.errors import bad_request
from segctl.emulator.pages.history import (
    HistoryQuery,
    group_by_apply,
    read_page,
    read_query,
)
from segctl.emulator.pages.rendering import address, render
from segctl.emulator.storage.event_log import RunFilter
from segctl.emulator.storage.events import Event, event_pieces, in_turns, iso
from segctl.emulator.storage.state import ADD, REMOVE

COUNTED_RUNS = 100_000
"""Runs of events that are read to count events, where no tally has the count."""

ACTIONS = (ADD, REMOVE)
COLUMNS = ("No.", "Time", "Action", "Segment ID", "Customer Segment ID", "Segment Name", "User")


async def show_events(request: Request) -> Response:
    """Show events, newest first."""
    query = read_query(request)
    action = read_action(request)

    def read(start: int | None, newest_first: bool) -> AsyncIterator[Sequence[Event]]:
        return read_events(request, query, action, start=start, newest_first=newest_first)

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
        export=lambda form: address("/events/export", {**request.query_params, "format": form}),
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


async def read_events(
    request: Request,
    query: HistoryQuery,
    action: str,
    *,
    start: int | None = None,
    newest_first: bool = False,
) -> AsyncIterator[Sequence[Event]]:
    """Yield the events that match, in pieces."""
    if query.user and query.profile is None:
        return
    pieces = event_pieces(
        service_of(request),
        filter=run_filter(query, action),
        start=start,
        newest_first=newest_first,
    )
    async for piece in in_turns(pieces):
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
    """Send the events that match, oldest first, as CSV or JSON lines."""
    query, action = read_query(request), read_action(request)
    form = request.query_params.get("format", "jsonl")
    if form not in {"csv", "jsonl"}:
        raise bad_request("format must be csv or jsonl")

    async def pieces() -> AsyncIterator[str]:
        if form == "csv":
            yield as_csv([COLUMNS])
        async for piece in read_events(request, query, action):
            if form == "csv":
                yield as_csv([csv_row(event) for event in piece])
            else:
                yield "".join(
                    json.dumps(event.line(), ensure_ascii=False) + "\n" for event in piece
                )

    return download(
        pieces(), name=f"events.{form}", media_type="text/csv" if form == "csv" else NDJSON
    )


def csv_row(event: Event) -> tuple[Any, ...]:
    """Return an event as a row of ``COLUMNS``."""
    segment = event.segment
    return (
        event.seq,
        iso(event.ts, event.zone),
        event.action,
        segment.id,
        segment.customer_id,
        segment.name,
        event.user.value,
    )


def as_csv(rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as CSV; None is an empty field."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def download(pieces: AsyncIterator[str], *, name: str, media_type: str) -> Response:
    """Return a response that a browser saves as a file."""
    return StreamingResponse(
        pieces,
        media_type=media_type,
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


def routes() -> list[Route]:
    """Return the routes of the page and the file."""
    return [Route("/events", show_events), Route("/events/export", export_events)]
