"""Get Events: read the events of a query in batches.

Documented: the base query is needed, and all filters of the query language apply.  Records
have no unique id.  A search that takes long answers that it is still in progress (public
clients report it); the same cursor goes on where the search stopped.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from segctl.emulator.calls.cursors import (
    EXPORT_NOT_ALLOWED,
    STILL_IN_PROGRESS,
    Cursor,
    next_cursor,
    open_cursor,
    parse_batch,
    read_cursor,
    records_response,
)
from segctl.emulator.calls.event_search import (
    Snapshot,
    filter_users,
    properties_of,
    read_fields_of,
    select_events,
)
from segctl.emulator.calls.get_profile import stored_fields
from segctl.emulator.calls.vendor_call import VendorRequest, json_response
from segctl.emulator.query_language import Query, parse_query
from segctl.emulator.reading.events import EVENT_NAME, stamp
from segctl.emulator.searches import Work
from segctl.emulator.service import Service
from segctl.emulator.storage.event_runs import EventRun
from segctl.emulator.storage.profiles import Keys
from segctl.emulator.storage.state import Account

CALL = "events"


@dataclass(frozen=True, kw_only=True, slots=True)
class EventPage:
    """A batch of events: runs, with the numbers of the users of theirs that are in it.

    ``next_start`` is the number of the first event of the next batch, None if there is none.
    """

    runs: list[tuple[EventRun, list[int]]]
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
    query = parse_query(cursor["query"], settings=service.settings)
    search = service.searches.open(key, account, lambda: find_page(service, account, query, cursor))
    if not search.go_on(service.settings):
        raise STILL_IN_PROGRESS
    service.searches.close(key, account)
    page: EventPage = search.result
    records = event_records(service, account, page, has_fields="profile" in cursor["with"])
    following = None
    if page.next_start is not None:
        following = next_cursor(service, cursor, start=page.next_start)
    return records_response(service, records, cursor=following)


def find_page(service: Service, account: Account, query: Query, cursor: Cursor) -> Work[EventPage]:
    """Return the batch of a cursor with this query."""
    at = Snapshot(now=cursor["begun"], end=cursor["end"])
    selection = select_events(service, account, query.event, at)
    users = yield from filter_users(service, account, query, at)
    left = cursor["batch"]
    found: list[tuple[EventRun, list[int]]] = []
    for runs, work in selection.runs(service, start=cursor["start"]):
        for run in runs:
            positions: Sequence[int] = range(len(run.users))
            if users is not None:
                positions = [each for each in positions if run.users[each] in users]
            if len(positions) > left:
                numbers = [run.users[each] for each in positions[:left]]
                start = run.seq + positions[left]
                return EventPage(runs=[*found, (run, numbers)], next_start=start)
            if positions:
                found.append((run, [run.users[each] for each in positions]))
            left -= len(positions)
        yield work
    return EventPage(runs=found, next_start=None)


def event_records(
    service: Service, account: Account, page: EventPage, *, has_fields: bool
) -> list[str]:
    """Return the records of a batch as JSON; the events of a run share time and properties."""
    numbers = list({number for _, numbers in page.runs for number in numbers})
    fields_of = read_fields_of(service, account, numbers) if has_fields else {}
    profiles = {}
    for number, keys in account.profiles.keys_of(numbers).items():
        profile = _profile(account, number, keys)
        if has_fields:
            profile["profileData"] = stored_fields(fields_of.get(number, {}))
        profiles[number] = json.dumps(profile)
    records = []
    for run, run_numbers in page.runs:
        segment = account.segments[run.segment]
        properties = json.dumps(properties_of(run.action, segment, event=run.seq))
        rest = f'"ts": {stamp(run.ts, service.zone)}, "event_props": {properties}'
        records += [f'{{"profile": {profiles[number]}, {rest}}}' for number in run_numbers]
    return records


def _profile(account: Account, number: int, keys: Keys) -> dict[str, Any]:
    object_id = account.profiles.object_id_of(number, keys)
    identity = keys[0]
    if identity is None:
        return {"objectId": object_id}
    return {"objectId": object_id, "identity": identity, "all_identities": [identity]}
