"""Live streams and the event export.

Server-sent events need no library on either side: a browser's EventSource reads them,
reconnects by itself and sends the number of the last event it got.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from segctl.emulator.control.endpoints import (
    MAX_NUMBER,
    PREFIX,
    account_of,
    describe_all,
    number_of,
    parse_number,
    service_of,
)
from segctl.emulator.service import Service
from segctl.emulator.storage.events import EVENT_NAME, day, read_events, stamp

KEEP_ALIVE_SECONDS = 15.0
FIGURES_SECONDS = 0.25
EVENTS_PER_WRITE = 500


def message(document: Any, *, event: str, number: int | None = None) -> str:
    """Return one server-sent event."""
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {event}\ndata: {json.dumps(document, ensure_ascii=False)}\n\n"


def event_stream(pieces: AsyncIterator[str]) -> Response:
    """Return a response of server-sent events that must not be cached."""
    return StreamingResponse(
        pieces, media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


async def wait_for_change(service: Service, changed: asyncio.Event) -> bool:
    """Wait for a change, at most for the keep-alive interval; return whether one came."""
    lag = service.settings.visibility_lag_ms / 1000
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(changed.wait(), min(lag or KEEP_ALIVE_SECONDS, KEEP_ALIVE_SECONDS))
    has_changed = changed.is_set()
    changed.clear()
    return has_changed


@contextlib.contextmanager
def subscription(service: Service) -> Iterator[asyncio.Event]:
    """Yield an event that is set at every change of the store."""
    changed = asyncio.Event()
    service.streams.add(changed)
    try:
        yield changed
    finally:
        service.streams.discard(changed)


async def stream_events(request: Request) -> Response:
    """Send membership events as they happen, or from ``start`` on, at most ``limit``."""
    service = service_of(request)
    account = account_of(request)
    start = number_of(request, "start", service.store.next_event)
    last = parse_number(request.headers.get("last-event-id", ""))
    if last is not None:
        start = last + 1
    limit = number_of(request, "limit", MAX_NUMBER)

    async def pieces() -> AsyncIterator[str]:
        position, left = start, limit
        yield ": membership events\n\n"
        with subscription(service) as changed:
            while left and not service.is_closing:
                events = read_events(service, account=account, start=position)
                page = list(islice(events, min(left, EVENTS_PER_WRITE)))
                for event in page:
                    yield message(event.line(), event="membership", number=event.seq)
                if page:
                    position, left = page[-1].seq + 1, left - len(page)
                elif not await wait_for_change(service, changed):
                    yield ": still here\n\n"

    return event_stream(pieces())


async def stream_figures(request: Request) -> Response:
    """Send segments and stats at every change, a few times a second at most."""
    service = service_of(request)
    account = account_of(request)

    async def pieces() -> AsyncIterator[str]:
        with subscription(service) as changed:
            while not service.is_closing:
                figures = {
                    "segments": describe_all(service, account),
                    "stats": service.stats(account),
                }
                yield message(figures, event="figures")
                await wait_for_change(service, changed)
                await asyncio.sleep(FIGURES_SECONDS)

    return event_stream(pieces())


async def export_events(request: Request) -> Response:
    """Send the events in the layout of the vendor's export: their name, then JSON Lines."""
    service = service_of(request)
    account = account_of(request)
    first = number_of(request, "from", 0)
    last = number_of(request, "to", MAX_NUMBER)
    object_id = service.settings.export_object_id == "present"

    async def pieces() -> AsyncIterator[str]:
        yield EVENT_NAME + "\n"
        events = (
            event
            for event in read_events(service, account=account)
            if first <= day(event.ts, service.zone) <= last
        )
        while page := list(islice(events, EVENTS_PER_WRITE)):
            yield "".join(
                json.dumps(event.export_line(object_id=object_id), ensure_ascii=False) + "\n"
                for event in page
            )

    now, zone = service.clock(), service.zone
    name = f"{int(now)}-{stamp(now, zone)}-{EVENT_NAME.replace(' ', '_')}-{day(now, zone)}-0-0.json"
    return StreamingResponse(
        pieces(),
        media_type="text/plain",
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


def routes() -> list[Route]:
    """Return the routes of the streams and the export."""
    return [
        Route(f"{PREFIX}/events/stream", stream_events, methods=["GET"]),
        Route(f"{PREFIX}/figures/stream", stream_figures, methods=["GET"]),
        Route(f"{PREFIX}/exports/events", export_events, methods=["GET"]),
    ]
