"""Find the events, the users and the counts of a query, in pieces of bounded work.

An event's four properties follow from its segment and its action, so filters on
properties become a set of segments for each action, which the log looks up in its index.
Counts without a filter on users come from the log's tallies.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from pyroaring import BitMap

from segctl.emulator.query_language import (
    Behaviour,
    Comparison,
    Condition,
    EventQuery,
    Query,
    comparison,
)
from segctl.emulator.reading.events import EVENT_NAME, day_range
from segctl.emulator.searches import Work
from segctl.emulator.service import Service
from segctl.emulator.storage.event_runs import EventRun, RunFilter
from segctl.emulator.storage.event_sums import TallySum, sum_tallies, users_of_events
from segctl.emulator.storage.state import ADD, REMOVE, Account, Segment

DEFAULT_DAYS = 365
"""Documented: without a base query, the events of the past 365 days count."""
PROFILES_PER_STEP = 2_000
SEGMENT_NAME = "Segment Name"
WORK_PER_RUN = 20
"""Reading a run costs about as much as this many events."""
WORK_PER_SUM = 125_000
"""Summing tallies up costs about as much as this many events."""
EVENTS_IN_UNION = 5
"""Events of which only the set of users is needed cost this much less."""
SPAN = 15
"""Minutes: the offset of every time zone from UTC is a multiple of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventSelection:
    """The events of one account that an event query means.

    ``segments`` has the ids of the segments by action.  The times are in seconds since
    1970, both inclusive.  ``end`` is the number of the first event not to read.
    """

    account: Account
    segments: dict[str, frozenset[int]]
    since: float
    until: float
    end: int
    has_whole_days: bool
    """Whether the times are those of whole days, and not cut by what is visible."""
    is_named: Callable[[str], bool] | None = None
    """Whether a segment's name is meant; None if no name of a renamed segment matters."""

    def selects(self, run: EventRun) -> bool:
        """Return whether the query selects the events of a run that its ``cover`` selects."""
        if run.seq >= self.end or run.segment not in self.segments[run.action]:
            return False
        name = self.account.segments[run.segment].name_at(run.seq)
        return self.is_named is None or self.is_named(name)

    def filters(self) -> list[RunFilter]:
        """Return the filters of the log that together select these events, and no others.

        With ``is_named``, they select others too.
        """
        adds, removes = self.segments[ADD], self.segments[REMOVE]
        every = frozenset(self.account.segments)
        actions = [(None, adds)] if adds == removes else [(ADD, adds), (REMOVE, removes)]
        return [
            RunFilter(
                account=self.account.number,
                segments=None if segments == every else segments,
                action=action,
                since=self.since,
                until=self.until,
            )
            for action, segments in actions
            if segments
        ]

    def cover(self) -> RunFilter | None:
        """Return one filter of the log for all these events, and perhaps for others."""
        filters = self.filters()
        if len(filters) < 2:
            return filters[0] if filters else None
        segments = self.segments[ADD] | self.segments[REMOVE]
        return RunFilter(
            account=self.account.number, segments=segments, since=self.since, until=self.until
        )

    def runs(self, service: Service, *, start: int = 1) -> Iterator[tuple[list[EventRun], int]]:
        """Yield the runs of these events from number ``start`` on, oldest first, with the work."""
        cover = self.cover()
        if cover is None:
            return
        for piece in service.store.log.pieces(cover, start=start):
            runs = [run for run in piece if self.selects(run)]
            yield runs, WORK_PER_RUN * (1 + len(piece)) + sum(len(run.users) for run in runs)
            if piece and piece[-1].seq >= self.end:
                return


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """When a query was sent: what came later is not part of its answer.

    ``now`` is in seconds since 1970, ``end`` the number of the next event.
    """

    now: float
    end: int


def snapshot(service: Service) -> Snapshot:
    """Return the snapshot of a query that is sent now."""
    return Snapshot(now=service.clock(), end=service.store.log.next_event)


def select_events(
    service: Service, account: Account, query: EventQuery, at: Snapshot
) -> EventSelection:
    """Return the events that the query means, as they were visible at a moment."""
    if query.days is None:
        today = datetime.fromtimestamp(at.now, tz=service.zone)
        first = today - timedelta(days=DEFAULT_DAYS)
        days = (int(first.strftime("%Y%m%d")), int(today.strftime("%Y%m%d")))
    else:
        days = query.days
    since, until = day_range(service, *days)
    lag = service.settings.visibility_lag_ms
    compare = comparison(service.settings)
    nothing: dict[str, frozenset[int]] = {ADD: frozenset(), REMOVE: frozenset()}
    return EventSelection(
        account=account,
        segments=_match_segments(account, query, compare) if query.name == EVENT_NAME else nothing,
        since=since,
        until=min(until, at.now - lag / 1000) if lag else until,
        end=at.end,
        has_whole_days=not lag,
        is_named=_name_predicate(account, query, compare),
    )


def has_renamed_segments(account: Account) -> bool:
    """Return whether events of one segment can have different names."""
    return any(segment.former_names for segment in account.segments.values())


def _name_predicate(
    account: Account, query: EventQuery, compare: Comparison
) -> Callable[[str], bool] | None:
    """Return what the query asks of segments' names, None if all events of a segment have one.

    An event keeps the name that the segment had at its time.
    """
    if not has_renamed_segments(account):
        return None
    asked = [each.predicate(compare) for each in query.conditions if each.name == SEGMENT_NAME]
    return (lambda name: all(is_match(name) for is_match in asked)) if asked else None


def _match_segments(
    account: Account, query: EventQuery, compare: Comparison
) -> dict[str, frozenset[int]]:
    if not query.conditions:
        return dict.fromkeys((ADD, REMOVE), frozenset(account.segments))
    predicates = [(each.name, each.predicate(compare)) for each in query.conditions]
    is_match_of: dict[str, list[Callable[[Any], bool]]] = {}
    for name, predicate in predicates:
        is_match_of.setdefault(name, []).append(predicate)
    values: dict[str, Callable[[Segment], list[Any]]] = {
        SEGMENT_NAME: lambda segment: [segment.name, *(name for _, name in segment.former_names)],
        "Segment ID": lambda segment: [segment.id],
        "Customer_Segment_ID": lambda segment: [segment.customer_id],
    }
    found = frozenset(
        segment.id
        for segment in account.segments.values()
        if all(
            any(map(is_match, value(segment)))
            for name, value in values.items()
            for is_match in is_match_of.get(name, ())
        )
    )
    return {
        action: found
        if all(is_match(action) for is_match in is_match_of.get("Action", ()))
        else frozenset()
        for action in (ADD, REMOVE)
    }


# -- counts and users ---------------------------------------------------------


def count_events(service: Service, selection: EventSelection, users: BitMap | None) -> Work[int]:
    """Count the events, those of ``users`` if it is not None."""
    counts = yield from tally_events(service, selection, users)
    return counts.total()


Bucket = tuple[int, str, int]
"""Segment, action and first minute, since 1970, of a span of ``SPAN`` minutes."""


def tally_events(
    service: Service, selection: EventSelection, users: BitMap | None
) -> Work[Counter[Bucket]]:
    """Count the events by segment, action and time, those of ``users`` if it is not None."""
    counts: Counter[Bucket] = Counter()
    if users is None and selection.has_whole_days and selection.is_named is None:
        for wanted in selection.filters():
            for piece, work in _sums(service, wanted):
                for segment, action, minute, events in piece:
                    counts[segment, action, minute] += events
                yield work
        return counts
    for runs, work in selection.runs(service):
        for run in runs:
            count = len(run.users) if users is None else count_of(run, users)
            if count:
                counts[run.segment, run.action, int(run.ts // (60 * SPAN)) * SPAN] += count
        yield work
    return counts


def _sums(service: Service, wanted: RunFilter) -> Iterator[tuple[list[TallySum], int]]:
    """Yield sums of tallies, and the work; those of one segment are found by their index."""
    if wanted.segments is not None and len(wanted.segments) == 1:
        for each in service.store.log.tallies(wanted):
            yield [(each.segment, each.action, each.minute // SPAN * SPAN, each.events)], 10
        return
    for piece in sum_tallies(service.store.database.connection, wanted, span=SPAN):
        yield piece, WORK_PER_SUM + 2 * len(piece)


def count_of(run: EventRun, users: BitMap) -> int:
    """Return how many events of a run are those of ``users``."""
    if users.isdisjoint(BitMap(run.users)):
        return 0
    return sum(number in users for number in run.users)


def find_users(service: Service, selection: EventSelection) -> Work[BitMap]:
    """Return the profile numbers of the users of the events."""
    found = BitMap()
    store = service.store
    if selection.is_named is not None:
        for runs, work in selection.runs(service):
            for run in runs:
                found.update(run.users)
            yield work
        return found
    for wanted in selection.filters():
        pieces = users_of_events(store.database.connection, store.log, wanted, end=selection.end)
        for users, events in pieces:
            found |= users
            yield WORK_PER_RUN + events // EVENTS_IN_UNION
    return found


def count_by_user(service: Service, selections: Sequence[EventSelection]) -> Work[Counter[int]]:
    """Count the events of each user."""
    counts: Counter[int] = Counter()
    for selection in selections:
        for runs, work in selection.runs(service):
            for run in runs:
                counts.update(run.users)
            yield work
    return counts


# -- filters on users ---------------------------------------------------------


def filter_users(
    service: Service, account: Account, query: Query, at: Snapshot
) -> Work[BitMap | None]:
    """Return the users who meet the query's filters on users; None if there are none."""
    if not query.has_user_filters:
        return None
    compare = comparison(service.settings)
    found: BitMap | None = None
    if query.fields:
        found = yield from match_profiles(service, account, query.fields, compare)
    for behaviour in query.did:
        users = yield from _users_who_did(service, account, behaviour, compare, at)
        found = users if found is None else found & users
    if found is None:
        found = account.profiles.numbers()
    for behaviour in query.did_not:
        found -= yield from _users_who_did(service, account, behaviour, compare, at)
    return found


def _users_who_did(
    service: Service,
    account: Account,
    behaviour: Behaviour,
    compare: Comparison,
    at: Snapshot,
) -> Work[BitMap]:
    selections = [select_events(service, account, each, at) for each in behaviour.events]
    if behaviour.count is None:
        users = BitMap()
        for selection in selections:
            users |= yield from find_users(service, selection)
        return users
    counts = yield from count_by_user(service, selections)
    is_enough = behaviour.count.predicate(compare)
    # A user without an event did it 0 times.
    found = account.profiles.numbers() if is_enough(0) else BitMap()
    numbers = iter(counts)
    while batch := list(islice(numbers, PROFILES_PER_STEP)):
        found -= BitMap([number for number in batch if not is_enough(counts[number])])
        found |= BitMap([number for number in batch if is_enough(counts[number])])
        yield PROFILES_PER_STEP
    return found


def match_profiles(
    service: Service, account: Account, conditions: Sequence[Condition], compare: Comparison
) -> Work[BitMap]:
    """Return the profiles whose uploaded fields meet all conditions."""
    predicates = [(each.name, each.predicate(compare)) for each in conditions]

    def is_match(fields: dict[str, Any]) -> bool:
        return all(_any_value(fields.get(name), predicate) for name, predicate in predicates)

    found = BitMap()
    matches_empty = is_match({})
    for first in range(0, account.profiles.next_number, PROFILES_PER_STEP):
        last = min(first + PROFILES_PER_STEP, account.profiles.next_number) - 1
        if matches_empty:
            found.add_range(first, last + 1)
        rows = read_fields(service, account, first, last)
        for number, fields in rows:
            (found.add if is_match(fields) else found.discard)(number)
        yield PROFILES_PER_STEP + WORK_PER_RUN * len(rows)
    return found & account.profiles.numbers()


def properties_of(
    action: str, segment: Segment, *, event: int | None = None
) -> dict[str, str | int | None]:
    """Return the four properties of an event; without its number, with the present name."""
    return {
        "Action": action,
        SEGMENT_NAME: segment.name if event is None else segment.name_at(event),
        "Segment ID": segment.id,
        "Customer_Segment_ID": segment.customer_id,
    }


def _any_value(value: Any, predicate: Callable[[Any], bool]) -> bool:
    """Whether a field matches; one with several values matches if one of them does."""
    if isinstance(value, list):
        return any(predicate(each) for each in value) if value else predicate(None)
    return predicate(value)


def read_fields_of(
    service: Service, account: Account, numbers: Sequence[int]
) -> dict[int, dict[str, Any]]:
    """Return the uploaded fields of profiles by their numbers, of those that have some."""
    rows = service.store.database.connection.execute(
        "SELECT number, data FROM profiles WHERE account = ? AND data IS NOT NULL "
        "AND number IN (SELECT value FROM json_each(?))",
        (account.number, json.dumps(numbers)),
    )
    return {number: json.loads(data) for number, data in rows}


def read_fields(
    service: Service, account: Account, first: int, last: int
) -> list[tuple[int, dict[str, Any]]]:
    """Return the numbers and uploaded fields of the profiles from ``first`` to ``last``."""
    rows = service.store.database.connection.execute(
        "SELECT number, data FROM profiles WHERE account = ? AND number BETWEEN ? AND ? "
        "AND data IS NOT NULL",
        (account.number, first, last),
    )
    return [(number, json.loads(data)) for number, data in rows]
