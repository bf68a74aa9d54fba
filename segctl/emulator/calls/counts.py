"""Counts: events, profiles, the top values of properties, trends, and users of this moment.

Documented: the requests and the answers of all five, and that a long count answers
``partial`` with a ``req_id``, which is polled with GET until the status is ``success``.
The pages' samples: ``{"count": n}``; for top, ``STR`` or ``NUMBER`` with a count of each
value, by the key of the group; for trends, a count of each day (yyyymmdd), week (yyyyww)
and month (yyyymm), by the key of the group.

Inferred: days without events have the count 0; an event without a value counts for none;
equal counts are in the order of their values; ``req_id`` lives as long as a cursor.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from itertools import islice
from typing import Any

from pyroaring import BitMap
from starlette.responses import Response

from segctl.emulator.calls.event_search import (
    SEGMENT_NAME,
    WORK_PER_RUN,
    Bucket,
    EventSelection,
    count_by_user,
    count_events,
    count_of,
    filter_users,
    find_users,
    has_renamed_segments,
    properties_of,
    read_fields_of,
    select_events,
    snapshot,
    tally_events,
)
from segctl.emulator.calls.vendor_call import Handler, VendorRequest, json_response
from segctl.emulator.errors import bad_request
from segctl.emulator.query_language import EVENT_PROPERTIES, Query, as_text, parse_query
from segctl.emulator.searches import Work
from segctl.emulator.service import Service
from segctl.emulator.storage.state import Account

Answer = dict[str, Any]
Count = Callable[[Service, Account, Any], Work[Answer]]
"""From the document of a request, which it checks at once, to the work of the count."""

MAX_GROUPS = 5
MAX_TREND_DAYS = 366
"""Documented for trends: five groups and a year."""
DEFAULT_TOP, MAX_TOP = 10, 100
RANGES = 10
RESERVED = ("status", "req_id")
PROPERTY_TYPES = (
    "event_properties",
    "session_properties",
    "profile_fields",
    "app_fields",
    "demographics",
    "technographics",
    "reachability",
    "geo_fields",
)


def counting(call: str, count: Count) -> Mapping[str, Handler]:
    """Return the handlers of a call that counts: POST asks, GET polls."""

    def ask(service: Service, request: VendorRequest) -> Response:
        work = count(service, request.account, request.document)
        key = (call, service.searches.new_id())
        service.searches.open(key, request.account, lambda: work)
        return _answer(service, request.account, key)

    def poll(service: Service, request: VendorRequest) -> Response:
        text = request.query.get("req_id", "")
        is_number = text.isascii() and text.isdecimal() and len(text) <= 18
        return _answer(service, request.account, (call, int(text) if is_number else 0))

    return {"POST": ask, "GET": poll}


def _answer(service: Service, account: Account, key: tuple[str, int]) -> Response:
    search = service.searches.find(key, account)
    if search is None or service.clock() - search.started_at > service.settings.cursor_seconds:
        raise bad_request("Invalid request id: req_id is unknown or has expired; ask again")
    if search.go_on(service.settings):
        if search.calls == 1:
            service.searches.close(key, account)  # The client never learns its request id.
        return json_response({"status": "success", **search.result})
    number = key[1]
    is_text = service.settings.request_id_type == "string"
    return json_response({"req_id": str(number) if is_text else number, "status": "partial"})


# -- events and profiles ------------------------------------------------------


def event_count(service: Service, account: Account, document: Any) -> Work[Answer]:
    """Count the events of a query."""
    query = parse_query(document, settings=service.settings)
    at = snapshot(service)
    selection = select_events(service, account, query.event, at)

    def count() -> Work[Answer]:
        users = yield from filter_users(service, account, query, at)
        return {"count": (yield from count_events(service, selection, users))}

    return count()


def profile_count(service: Service, account: Account, document: Any) -> Work[Answer]:
    """Count the users of the events of a query."""
    query = parse_query(document, settings=service.settings, needs_base=False)
    at = snapshot(service)
    selection = select_events(service, account, query.event, at)

    def count() -> Work[Answer]:
        users = yield from filter_users(service, account, query, at)
        found = yield from find_users(service, selection)
        return {"count": len(found if users is None else found & users)}

    return count()


# -- top values ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class TopGroup:
    """The most, or least, frequent values of one property."""

    key: str
    is_of_event: bool
    name: str
    size: int
    is_ascending: bool


def top_counts(service: Service, account: Account, document: Any) -> Work[Answer]:
    """Count the events of a query by the values of properties."""
    query = parse_query(document, settings=service.settings)
    groups = [_parse_top(key, each) for key, each in _groups(document, limit=None)]
    at = snapshot(service)
    selection = select_events(service, account, query.event, at)

    def count() -> Work[Answer]:
        users = yield from filter_users(service, account, query, at)
        answer: Answer = {}
        for group in groups:
            if group.is_of_event:
                values = yield from _values_of_events(service, selection, users, group.name)
            else:
                values = yield from _values_of_profiles(service, selection, users, group.name)
            answer[group.key] = _top(values, group, ranges=service.settings.top_numbers == "ranges")
        return answer

    return count()


def _parse_top(key: str, group: Mapping[str, Any]) -> TopGroup:
    kind, name = group.get("property_type"), group.get("name")
    size, order = group.get("top_n", DEFAULT_TOP), group.get("order", "desc")
    if kind not in PROPERTY_TYPES or not isinstance(name, str) or not name:
        raise bad_request(
            f"Invalid group: property_type must be one of {', '.join(PROPERTY_TYPES)}, with a name"
        )
    if kind not in {"event_properties", "profile_fields"}:
        raise bad_request(f"Invalid group: {kind} are not emulated")
    if kind == "event_properties" and name not in EVENT_PROPERTIES:
        raise bad_request(f"Invalid group: the event has only {', '.join(EVENT_PROPERTIES)}")
    if type(size) is not int or not 1 <= size <= MAX_TOP:
        raise bad_request(f"top_n must be a whole number from 1 to {MAX_TOP}")
    if order not in ("asc", "desc"):
        raise bad_request("order must be asc or desc")
    return TopGroup(
        key=key,
        is_of_event=kind == "event_properties",
        name=name,
        size=size,
        is_ascending=order == "asc",
    )


Values = Counter[str | int | float]


def _values_of_events(
    service: Service, selection: EventSelection, users: BitMap | None, name: str
) -> Work[Values]:
    if name == SEGMENT_NAME and has_renamed_segments(selection.account):
        return (yield from _names_of_events(service, selection, users))
    tally = yield from tally_events(service, selection, users)
    by_run: Counter[tuple[int, str]] = Counter()
    for (segment, action, _), count in tally.items():
        by_run[segment, action] += count
    values: Values = Counter()
    for (segment, action), count in by_run.items():
        value = properties_of(action, selection.account.segments[segment])[name]
        if value is not None:
            values[value] += count
    return values


def _names_of_events(
    service: Service, selection: EventSelection, users: BitMap | None
) -> Work[Values]:
    """Count the events by the name that their segment had at their time."""
    values: Values = Counter()
    for runs, work in selection.runs(service):
        for run in runs:
            name = selection.account.segments[run.segment].name_at(run.seq)
            if count := len(run.users) if users is None else count_of(run, users):
                values[name] += count
        yield work
    return values


def _values_of_profiles(
    service: Service, selection: EventSelection, users: BitMap | None, name: str
) -> Work[Values]:
    counts = yield from count_by_user(service, [selection])
    values: Values = Counter()
    numbers = iter(BitMap(counts) if users is None else users & BitMap(counts))
    while batch := list(islice(numbers, STEP)):
        fields_of = read_fields_of(service, selection.account, batch)
        for number in batch:
            value = fields_of.get(number, {}).get(name)
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, str | int | float):
                    values[str(each) if isinstance(each, bool) else each] += counts[number]
        yield WORK_PER_RUN * STEP
    return values


STEP = 1_000
"""Profiles whose fields are read at once."""


def _top(values: Values, group: TopGroup, *, ranges: bool) -> Answer:
    """Return the counts of texts and of numbers, each in the order asked for."""
    texts = {each: count for each, count in values.items() if isinstance(each, str)}
    numbers = {each: count for each, count in values.items() if not isinstance(each, str)}
    counts_of = {"STR": texts, "NUMBER": _ranges(numbers) if ranges else _as_texts(numbers)}
    sign = 1 if group.is_ascending else -1
    return {
        kind: dict(sorted(counts.items(), key=lambda each: (sign * each[1], each[0]))[: group.size])
        for kind, counts in counts_of.items()
        if counts
    }


def _as_texts(numbers: Mapping[Any, int]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for number, count in numbers.items():
        counts[as_text(number)] += count
    return counts


def _ranges(numbers: Mapping[Any, int]) -> dict[str, int]:
    """Return counts by ten ranges of one width, from the least number to the greatest."""
    if not numbers:
        return {}
    least, greatest = int(min(numbers)), int(max(numbers))
    width = max(1, -(-(greatest - least + 1) // RANGES))
    counts: Counter[str] = Counter()
    for number, count in numbers.items():
        low = least + (int(number) - least) // width * width
        counts[f"{low}-{low + width}"] += count
    return counts


# -- trends -------------------------------------------------------------------


def trend_counts(service: Service, account: Account, document: Any) -> Work[Answer]:
    """Count the events, or their users, or sum a property, by day, week and month."""
    query = parse_query(document, settings=service.settings)
    groups = [(key, _parse_trend(each)) for key, each in _groups(document, limit=MAX_GROUPS)]
    is_unique, summed = document.get("unique", False), document.get("sum_event_prop")
    if not isinstance(is_unique, bool):
        raise bad_request("unique must be true or false")
    if summed is not None and EVENT_PROPERTIES.get(str(summed)) != "Integer":
        raise bad_request("sum_event_prop must be a property that is an integer: Segment ID")
    days = days_of(query)
    zone = service.zone
    at = snapshot(service)
    selection = select_events(service, account, query.event, at)

    def count() -> Work[Answer]:
        users = yield from filter_users(service, account, query, at)
        if is_unique:
            users_by_day = yield from _users_by_day(service, selection, users, zone)
            return _unique_trends(users_by_day, groups, days, weeks=service.settings.trend_weeks)
        tally = yield from tally_events(service, selection, users)
        by_day = _sum_by_day(tally, zone, times_segment=summed is not None)
        return _event_trends(by_day, groups, days, weeks=service.settings.trend_weeks)

    return count()


def _sum_by_day(tally: Mapping[Bucket, int], zone: tzinfo, *, times_segment: bool) -> Counter[date]:
    by_minute: Counter[int] = Counter()
    for (segment, _, minute), number in tally.items():
        by_minute[minute] += number * segment if times_segment else number
    by_day: Counter[date] = Counter()
    for minute, number in by_minute.items():
        by_day[datetime.fromtimestamp(minute * 60, tz=zone).date()] += number
    return by_day


def _event_trends(
    by_day: Counter[date], groups: list[tuple[str, str]], days: list[date], *, weeks: str
) -> Answer:
    answer: Answer = {}
    for key, kind in groups:
        counts: Counter[str] = Counter()
        for day in days:
            counts[_bucket(day, kind, weeks)] += by_day[day]
        answer[key] = dict(counts)
    return answer


def _parse_trend(group: Mapping[str, Any]) -> str:
    kind = group.get("trend_type")
    if kind not in ("daily", "weekly", "monthly"):
        raise bad_request("Invalid group: trend_type must be daily, weekly or monthly")
    return str(kind)


def days_of(query: Query) -> list[date]:
    """Return the days of the base query; raises RequestError 400 for more than a year."""
    first, last = (
        date(each // 10_000, each // 100 % 100, each % 100) for each in query.event.days or (0, 0)
    )
    if (last - first).days >= MAX_TREND_DAYS:
        raise bad_request("from and to must be at most a year apart")
    return [first + timedelta(number) for number in range((last - first).days + 1)]


def _bucket(day: date, kind: str, weeks: str) -> str:
    """Return the key of the day, week or month of a day.

    In the sample, the weeks of 2016-12-24 to 2017-01-03 are 201652 and 201701, the latter
    with three days.  Neither the one nor the other numbering gives exactly that.
    """
    if kind == "daily":
        return day.strftime("%Y%m%d")
    if kind == "monthly":
        return day.strftime("%Y%m")
    return day.strftime("%G%V" if weeks == "iso" else "%Y%U")


def _users_by_day(
    service: Service, selection: EventSelection, users: BitMap | None, zone: tzinfo
) -> Work[dict[date, BitMap]]:
    by_day: dict[date, BitMap] = {}
    for runs, work in selection.runs(service):
        for run in runs:
            day = datetime.fromtimestamp(run.ts, tz=zone).date()
            by_day.setdefault(day, BitMap()).update(run.users)
        yield work
    return by_day if users is None else {day: each & users for day, each in by_day.items()}


def _unique_trends(
    by_day: Mapping[date, BitMap], groups: list[tuple[str, str]], days: list[date], *, weeks: str
) -> Answer:
    answer: Answer = {}
    for key, kind in groups:
        found: dict[str, BitMap] = {}
        for day in days:
            bucket = found.setdefault(_bucket(day, kind, weeks), BitMap())
            bucket |= by_day.get(day, BitMap())
        answer[key] = {bucket: len(each) for bucket, each in found.items()}
    return answer


def _groups(document: Any, *, limit: int | None) -> list[tuple[str, Mapping[str, Any]]]:
    groups = document.get("groups")
    if not isinstance(groups, dict) or not groups:
        raise bad_request("groups must be an object with a key for each group")
    if not all(isinstance(each, dict) for each in groups.values()):
        raise bad_request("Invalid group: each must be an object")
    if len(groups) > (limit or MAX_TOP):
        raise bad_request(f"groups: at most {limit or MAX_TOP} in one request")
    if any(key in groups for key in RESERVED):
        raise bad_request(f"Invalid group: {' and '.join(RESERVED)} are keys of the answer")
    return list(groups.items())
