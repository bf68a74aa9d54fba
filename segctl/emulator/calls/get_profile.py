"""Get User Profiles: one profile by its key, or the profiles of the users of events.

Documented: the record with ``profileData``, ``platformInfo`` and, by event, how often and
when first and last a user had it; the cursor and batches of profiles by event; batches in
multiples of 23; the flags ``events`` and ``profile``.  The vendor's record has many more
fields: this one has what the emulator stores.  The keys of a profile are in
``all_identities`` too, as its page says.

Undocumented: a filter by segment.  The page on exports says that profiles can be read
"with segment filters", and shows none.  By the switch ``profile_segment_filter``, ``segment``
takes either id of a segment; this shape is ours.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Any

from pyroaring import BitMap
from starlette.responses import Response

from segctl.emulator.calls.cursors import (
    BUCKETS,
    EXPORT_NOT_ALLOWED,
    STILL_IN_PROGRESS,
    next_cursor,
    open_cursor,
    parse_batch,
    read_cursor,
    records_response,
)
from segctl.emulator.calls.event_search import (
    Snapshot,
    filter_users,
    find_users,
    read_fields_of,
    select_events,
)
from segctl.emulator.calls.vendor_call import VendorRequest, json_response
from segctl.emulator.errors import bad_request
from segctl.emulator.query_language import EventQuery, Query, parse_query
from segctl.emulator.reading.events import EVENT_NAME
from segctl.emulator.searches import Work
from segctl.emulator.service import Service
from segctl.emulator.storage.event_runs import RunFilter
from segctl.emulator.storage.profiles import Keys
from segctl.emulator.storage.state import Account, Segment, User

KEYS = ("identity", "email", "objectId")
CALL = "profiles"
ALL_DAYS = (19700101, 99991231)
PLATFORMS = {"apns": "iOS", "gcm": "Android", "fcm": "Android", "chrome": "Web"}


def get_profile(service: Service, request: VendorRequest) -> Response:
    """Answer with the profile's record, or null if there is no such profile."""
    given = [(key, value) for key in KEYS if (value := request.query.get(key))]
    if len(given) != 1:
        raise bad_request(f"one of {', '.join(KEYS)} is required")
    ((key, value),) = given
    account = request.account
    number = (
        _find_by_email(service, account, value)
        if key == "email"
        else account.profiles.find(User("identity" if key == "identity" else "guid", value))
    )
    if number is None:
        return json_response({"status": "success", "record": None})
    keys = account.profiles.keys_of((number,))[number]
    record = profile_record(account, number, keys, account.profiles.fields(number))
    if request.query.get("events") != "false":
        record |= _events(summarize_user(service, account, number))
    return json_response({"status": "success", "record": record})


def _find_by_email(service: Service, account: Account, email: str) -> int | None:
    row = service.store.database.connection.execute(
        "SELECT number FROM profiles WHERE account = ? AND json_extract(data, '$.Email') = ? "
        "ORDER BY number",
        (account.number, email),
    ).fetchone()
    return None if row is None else int(row[0])


def stored_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the uploaded fields as a record shows them."""
    return {name: value for name, value in fields.items() if name != "tokens"}


def profile_record(
    account: Account, number: int, keys: Keys, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the emulator stores of a profile, as a record."""
    object_id = account.profiles.object_id_of(number, keys)
    email = fields.get("Email")
    return {
        **({} if keys[0] is None else {"identity": keys[0], "all_identities": [keys[0]]}),
        **({"email": email} if email else {}),
        "profileData": stored_fields(fields),
        "platformInfo": [
            _platform(token) | {"objectId": object_id} for token in fields.get("tokens") or [{}]
        ],
    }


def _platform(token: Mapping[str, str]) -> dict[str, str]:
    platform = PLATFORMS.get(token.get("type", ""))
    return {} if platform is None else {"platform": platform, "push_token": token["id"]}


@dataclass(kw_only=True, slots=True)
class Summary:
    """How often, and when first and last, a user had the event."""

    count: int = 0
    first: float = inf
    last: float = -inf

    def add(self, ts: float, count: int) -> None:
        """Add events of one time."""
        self.count += count
        self.first, self.last = min(self.first, ts), max(self.last, ts)


def summarize_user(service: Service, account: Account, number: int) -> Summary:
    """Return the summary of one user, whose events the log finds by its index."""
    summary = Summary()
    wanted = RunFilter(account=account.number, user=number, until=service.visible_until())
    for piece in service.store.log.pieces(wanted):
        for run in piece:
            summary.add(run.ts, len(run.users))
    return summary


def summarize_events(
    service: Service, account: Account, users: BitMap, at: Snapshot
) -> Work[dict[int, Summary]]:
    """Return the summaries of many users, from one pass over the log."""
    every = EventQuery(name=EVENT_NAME, days=ALL_DAYS)
    summaries: dict[int, Summary] = {}
    for runs, work in select_events(service, account, every, at).runs(service):
        for run in runs:
            for number in run.users:
                if number in users:
                    summaries.setdefault(number, Summary()).add(run.ts, 1)
        yield work
    return summaries


def _events(summary: Summary | None) -> dict[str, Any]:
    if summary is None or not summary.count:
        return {}
    seen = {"first_seen": int(summary.first), "last_seen": int(summary.last)}
    return {"events": {EVENT_NAME: {"count": summary.count, **seen}}}


# -- profiles by event --------------------------------------------------------


def open_profiles_cursor(service: Service, request: VendorRequest) -> Response:
    """Handle the first call: answer with a cursor to the records."""
    query, segment = parse_profiles_query(service, request.account, request.document)
    is_export = query is not None and query.event.name == EVENT_NAME and segment is None
    if is_export and service.settings.event_export == "refuse":
        raise EXPORT_NOT_ALLOWED
    batch = parse_batch(request, service.settings, multiple=BUCKETS)
    return json_response(open_cursor(service, request, call=CALL, batch=batch, start=0))


def parse_profiles_query(
    service: Service, account: Account, document: Any
) -> tuple[Query | None, Segment | None]:
    """Return the event query, None if only a segment is named, and the segment, if one is.

    Raises RequestError 400.
    """
    named = document.get("segment") if isinstance(document, dict) else None
    if named is None:
        return parse_query(document, settings=service.settings, needs_base=False), None
    if service.settings.profile_segment_filter == "refuse":
        raise bad_request("segment: no page shows a filter by segment; leave it out")
    segment = find_segment(account, named)
    if set(document) == {"segment"}:
        return None, segment
    return parse_query(document, settings=service.settings, needs_base=False), segment


def find_segment(account: Account, named: Any) -> Segment:
    """Return the segment with this CleverTap id (number) or customer id; raises 400."""
    is_id = isinstance(named, int | str) and not isinstance(named, bool)
    segment = account.find_segment(named) if is_id else None
    if segment is None or segment.is_deleted:
        raise bad_request("segment: there is no such segment, or it was deleted")
    return segment


def profiles_page(service: Service, request: VendorRequest) -> Response:
    """Handle a further call: answer with a batch of records, or that it is in progress."""
    cursor = read_cursor(service, request, call=CALL)
    account = request.account
    key = (CALL, repr(cursor["query"]), cursor["begun"], cursor["end"])
    query, segment = parse_profiles_query(service, account, cursor["query"])
    at = Snapshot(now=cursor["begun"], end=cursor["end"])
    search = service.searches.open(
        key, account, lambda: find_profiles(service, account, query, segment, at)
    )
    if not search.go_on(service.settings):
        raise STILL_IN_PROGRESS
    merges = service.store.log.merges
    found = merges.without_doubles(account.number, search.result)
    numbers = list(islice(found.iter_equal_or_larger(cursor["start"]), cursor["batch"]))
    survivors = merges.survivors(account.number)
    page = [survivors.get(number, number) for number in numbers]
    summaries: Mapping[int, Summary] = {}
    if page and "events" in cursor["with"]:
        page_key = (CALL, request.query["cursor"])
        summary = service.searches.open(
            page_key, account, lambda: summarize_events(service, account, BitMap(page), at)
        )
        if not summary.go_on(service.settings):
            raise STILL_IN_PROGRESS
        summaries = summary.result
        service.searches.close(page_key, account)
    keys, fields_of = account.profiles.keys_of(page), read_fields_of(service, account, page)
    records = [
        json.dumps(
            profile_record(account, number, keys[number], fields_of.get(number, {}))
            | _events(summaries.get(number))
        )
        for number in page
    ]
    following = None
    if numbers and numbers[-1] != found.max():
        following = next_cursor(service, cursor, start=numbers[-1] + 1)
    return records_response(service, records, cursor=following)


def find_profiles(
    service: Service, account: Account, query: Query | None, segment: Segment | None, at: Snapshot
) -> Work[BitMap]:
    """Return the numbers of the profiles that a query, a segment or both mean."""
    members = None
    if segment is not None:
        members = service.store.members_at(account, segment, service.visible_until())[0].copy()
    if query is None:
        return BitMap() if members is None else members
    users = yield from filter_users(service, account, query, at)
    selection = select_events(service, account, query.event, at)
    found = yield from find_users(service, selection)
    for each in (users, members):
        found = found if each is None else found & each
    return found
