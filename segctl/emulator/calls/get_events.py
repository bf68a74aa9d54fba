"""Get Events: read the events of a query in batches.

Documented: the base query is needed, and all filters of the query language apply.  Records
have no unique id.  A search that takes long answers that it is still in progress (public
clients report it); the same cursor goes on where the search stopped.
"""

from dataclasses import dataclass
from typing import Any

from pyroaring import BitMap
from starlette.responses import Response

from segctl.emulator.calls.cursors import (
    EXPORT_NOT_ALLOWED,
    STILL_IN_PROGRESS,
    Cursor,
    next_cursor,
    open_cursor,
    parse_batch,
    read_cursor,
)
from segctl.emulator.calls.event_search import Moment, filter_users, select_events
from segctl.emulator.calls.query_language import parse_query
from segctl.emulator.calls.vendor_call import VendorRequest, json_response
from segctl.emulator.searches import Work
from segctl.emulator.service import Service
from segctl.emulator.storage.event_log import EventRun
from segctl.emulator.storage.events import EVENT_NAME, Event
from segctl.emulator.storage.state import Account

CALL = "events"


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """One event of a run."""

    seq: int
    number: int
    run: EventRun


@dataclass(frozen=True, kw_only=True, slots=True)
class EventPage:
    """A batch of events, and where the next one starts; None if this is the last."""

    matches: list[Match]
    next_start: int | None


def open_events_cursor(service: Service, request: VendorRequest) -> Response:
    """Handle the first call: answer with a cursor to the records."""
    query = parse_query(request.document, settings=service.settings)
    if query.event.name == EVENT_NAME and service.settings.event_export == "refuse":
        raise EXPORT_NOT_ALLOWED
    batch = parse_batch(request, service.settings)
    return json_response(open_cursor(service, request, call=CALL, batch=batch))


def events_page(service: Service, request: VendorRequest) -> Response:
    """Handle a further call: answer with a batch of records, or that it is in progress."""
    cursor = read_cursor(service, request, call=CALL)
    account = request.account
    key = (CALL, request.query["cursor"])
    search = service.searches.open(key, account, lambda: find_page(service, account, cursor))
    if not search.go_on(service.settings):
        raise STILL_IN_PROGRESS
    service.searches.close(key)
    page: EventPage = search.result
    records = [each.record() for each in expand_matches(service, account, page.matches)]
    if "profile" in cursor["with"]:
        for match, record in zip(page.matches, records, strict=True):
            record["profile"]["profileData"] = account.profiles.fields(match.number)
    document: dict[str, Any] = {"status": "success", "records": records}
    if not records and service.settings.empty_records == "absent":
        del document["records"]
    if page.next_start is not None:
        document["next_cursor"] = next_cursor(service, cursor, start=page.next_start)
    return json_response(document)


def find_page(service: Service, account: Account, cursor: Cursor) -> Work[EventPage]:
    """Return the batch of a cursor."""
    query = parse_query(cursor["query"], settings=service.settings)
    at = Moment(now=cursor["begun"], end=cursor["end"])
    selection = select_events(service, account, query.event, at)
    users = yield from filter_users(service, account, query, at)
    size = cursor["batch"]
    matches: list[Match] = []
    for runs, work in selection.runs(service, start=cursor["start"]):
        for run in runs:
            matches += match_users(run, users, limit=size + 1 - len(matches))
            if len(matches) > size:
                return EventPage(matches=matches[:size], next_start=matches[size].seq)
        yield work
    return EventPage(matches=matches, next_start=None)


def match_users(run: EventRun, users: BitMap | None, *, limit: int) -> list[Match]:
    """Return the first ``limit`` events of a run, those of ``users`` if it is not None."""
    matches: list[Match] = []
    for seq, number in enumerate(run.users, start=run.seq):
        if users is None or number in users:
            matches.append(Match(seq=seq, number=number, run=run))
            if len(matches) == limit:
                break
    return matches


def expand_matches(service: Service, account: Account, matches: list[Match]) -> list[Event]:
    """Return the events with the keys of their users."""
    keys = account.profiles.keys_of({each.number for each in matches})
    zone = service.zone
    return [
        Event(
            seq=each.seq,
            ts=each.run.ts,
            account=account,
            number=each.number,
            keys=keys[each.number],
            action=each.run.action,
            segment=account.segments[each.run.segment],
            apply=each.run.apply,
            zone=zone,
        )
        for each in matches
    ]
