"""Live streams and the event export.

Server-sent events need no library on either side: a browser's EventSource reads them,
reconnects by itself and sends the number of the last event it got.  What several tabs
get is read and written as text once.
"""

import asyncio
import contextlib
import json
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from segctl.emulator.control.parameters import (
    MAX_NUMBER,
    account_of,
    number_of,
    parse_number,
    service_of,
)
from segctl.emulator.control.responses import array_in_turns, json_lines, stream_text
from segctl.emulator.control.routing import PREFIX
from segctl.emulator.control.segments import described_pieces
from segctl.emulator.errors import bad_request
from segctl.emulator.reading.events import EVENT_NAME, day, day_range, event_pieces, stamp
from segctl.emulator.service import Service
from segctl.emulator.storage.event_runs import RunFilter
from segctl.emulator.storage.state import Account

KEEP_ALIVE_SECONDS = 15.0
FIGURES_SECONDS = 0.25
SHARE_OF_TIME = 0.1
"""The most of its time that the service spends on live figures."""

FIRST_DAY, LAST_DAY = 10101, 99991231
CACHED_PIECES = 100


def message(document: Any, *, event: str, number: int | None = None) -> str:
    """Return one server-sent event."""
    return message_of_text(json.dumps(document, ensure_ascii=False), event=event, number=number)


def message_of_text(text: str, *, event: str, number: int | None = None) -> str:
    """Return one server-sent event whose document is already JSON text."""
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {event}\ndata: {text}\n\n"


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


# -- events -------------------------------------------------------------------


class EventMessages:
    """Messages of events from a number on, kept for the other tabs that are at that number."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept: OrderedDict[Any, list[tuple[int, str]]] = OrderedDict()

    def after(self, account: Account | None, start: int) -> list[tuple[int, str]]:
        """Return the next events from number ``start`` on, as their numbers and messages."""
        store = self._service.store
        name = None if account is None else account.id
        key = (store.generation, self._service.settings.time_zone, name, start)
        found = self._kept.get(key)
        if found is None:
            pieces = event_pieces(self._service, account=account, start=start)
            events = next((piece for piece in pieces if piece), [])
            found = [
                (event.seq, message(event.line(), event="membership", number=event.seq))
                for event in events
            ]
            if found:
                self._kept[key] = found
                if len(self._kept) > CACHED_PIECES:
                    self._kept.popitem(last=False)
        return found


async def stream_events(request: Request) -> Response:
    """Send membership events as they happen, or from ``start`` on, at most ``limit``."""
    service = service_of(request)
    account = account_of(request)
    start = number_of(request, "start", service.store.next_event)
    last = parse_number(request.headers.get("last-event-id", ""))
    if last is not None:
        start = last + 1
    limit = number_of(request, "limit", MAX_NUMBER)
    messages: EventMessages = request.app.state.event_messages

    async def pieces() -> AsyncIterator[str]:
        generation = service.store.generation
        position, left = start, limit
        yield ": membership events\n\n"
        with subscription(service) as changed:
            while left and not service.is_closing:
                if service.store.generation != generation:
                    generation, position = service.store.generation, 1
                found = messages.after(account, position)[:left]
                if found:
                    position, left = found[-1][0] + 1, left - len(found)
                    yield "".join(text for _, text in found)
                    await asyncio.sleep(0)
                elif not await wait_for_change(service, changed):
                    yield ": still here\n\n"

    return event_stream(pieces())


# -- figures ------------------------------------------------------------------


class FiguresFeed:
    """The figures of one account, or of all, written once for all tabs that show them."""

    def __init__(self, service: Service, account: str | None) -> None:
        self._service = service
        self._account = account
        self._text = ""
        self._tabs: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None

    async def messages(self) -> AsyncIterator[str]:
        """Yield the figures now and whenever they differ, until the service closes."""
        news = asyncio.Event()
        self._tabs.add(news)
        if self._task is None or self._task.done():
            self._text = ""
            self._task = asyncio.create_task(self._write())
            self._task.add_done_callback(lambda _: self._wake())
        task = self._task
        sent = ""
        try:
            if self._text:
                news.set()
            # The stream of a tab ends when its figures are no longer written.
            while not task.done():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), KEEP_ALIVE_SECONDS)
                news.clear()
                if self._text != sent:
                    sent = self._text
                    yield message_of_text(sent, event="figures")
                elif not task.done():
                    yield ": still here\n\n"
        finally:
            self._tabs.discard(news)
            if not self._tabs and self._task is not None:
                self._task.cancel()

    async def _write(self) -> None:
        with subscription(self._service) as changed:
            while not self._service.is_closing:
                started = time.perf_counter()
                text = await self._figures()
                if text != self._text:
                    self._text = text
                    self._wake()
                took = time.perf_counter() - started
                await wait_for_change(self._service, changed)
                if not self._service.is_closing:
                    await asyncio.sleep(max(FIGURES_SECONDS, took / SHARE_OF_TIME))

    def _wake(self) -> None:
        for tab in self._tabs:
            tab.set()

    async def _figures(self) -> str:
        """Return the figures as JSON text. The account may be a new one after a reset."""
        account = self._service.find_account(self._account)
        segments = await array_in_turns(described_pieces(self._service, account))
        stats = json.dumps(self._service.stats(account), ensure_ascii=False)
        return f'{{"segments": {segments}, "stats": {stats}}}'


async def stream_figures(request: Request) -> Response:
    """Send segments and stats at every change, a few times a second at most."""
    account = account_of(request)
    name = None if account is None else account.id
    feeds: dict[str | None, FiguresFeed] = request.app.state.figures_feeds
    if name not in feeds:
        feeds[name] = FiguresFeed(service_of(request), name)
    return event_stream(feeds[name].messages())


# -- the export ---------------------------------------------------------------


async def export_events(request: Request) -> Response:
    """Send the events in the layout of the vendor's export: their name, then JSON Lines."""
    service = service_of(request)
    account = account_of(request)
    first = number_of(request, "from", FIRST_DAY)
    last = number_of(request, "to", LAST_DAY)
    try:
        since, until = day_range(service, first, last)
    except ValueError as error:
        raise bad_request("from and to must be days, yyyymmdd") from error
    object_id = service.settings.export_object_id == "present"

    def pieces() -> Iterator[str]:
        yield EVENT_NAME + "\n"
        wanted = RunFilter(since=since, until=until)
        for piece in event_pieces(service, account=account, filter=wanted):
            yield json_lines(event.export_line(object_id=object_id) for event in piece)

    now, zone = service.clock(), service.zone
    name = f"{int(now)}-{stamp(now, zone)}-{EVENT_NAME.replace(' ', '_')}-{day(now, zone)}-0-0.json"
    return stream_text(
        request,
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
