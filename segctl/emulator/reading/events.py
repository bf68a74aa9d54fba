"""Segment Membership Change events, in the forms in which they are read.

The log contains runs; here each run is expanded into its single events.  The names of
the four properties are the vendor's: three with spaces, one with underscores.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

from segctl.emulator.errors import DataDeletedError
from segctl.emulator.service import Service
from segctl.emulator.storage.event_runs import EventRun, RunFilter, cut_run
from segctl.emulator.storage.profiles import Keys
from segctl.emulator.storage.state import Account, Segment, User

EVENT_NAME = "Segment Membership Change"
EVENTS_PER_PIECE = 250

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One user was added to, or removed from, one segment.

    ``apply`` is the number of the apply that caused it, 0 if none did.
    """

    seq: int
    ts: float
    account: Account
    number: int
    keys: Keys
    action: str
    segment: Segment
    apply: int
    zone: tzinfo

    @property
    def user(self) -> User:
        """The profile's identity, or its object id if it has no identity."""
        return self.account.profiles.user_of(self.number, self.keys)

    @property
    def identity(self) -> str | None:
        """The profile's identity, if it has one."""
        return self.keys[0]

    @property
    def object_id(self) -> str:
        """The profile's CleverTap id."""
        return self.account.profiles.object_id_of(self.number, self.keys)

    def properties(self) -> dict[str, Any]:
        """Return the event's four properties."""
        return event_properties(self.segment, self.action, event=self.seq)

    def line(self) -> dict[str, Any]:
        """Return the event as in the emulator's own list and live stream."""
        return {
            "seq": self.seq,
            "account": self.account.id,
            "event_name": EVENT_NAME,
            "profile": {self.user.kind: self.user.value},
            "ts": stamp(self.ts, self.zone),
            "event_props": self.properties(),
        }

    def export_line(self, *, object_id: bool) -> dict[str, Any]:
        """Return the event as a line of the vendor's event export."""
        profile = {} if self.identity is None else {"identity": self.identity}
        if object_id:
            profile["objectId"] = self.object_id
        return {
            "eventName": EVENT_NAME,
            "profile": profile,
            "ts": stamp(self.ts, self.zone),
            "eventProps": self.properties(),
        }


def event_properties(segment: Segment, action: str, *, event: int) -> dict[str, Any]:
    """Return the four properties of the event with this number."""
    return {
        "Action": action,
        "Segment Name": segment.name_at(event),
        "Segment ID": segment.id,
        "Customer_Segment_ID": segment.customer_id,
    }


def stamp(ts: float, zone: tzinfo) -> int:
    """Return a time as the vendor writes it, yyyymmddhhmmss."""
    return _stamp(math.floor(ts), zone)


@lru_cache(maxsize=1000)
def _stamp(ts: int, zone: tzinfo) -> int:
    return int(datetime.fromtimestamp(ts, tz=zone).strftime("%Y%m%d%H%M%S"))


def day(ts: float, zone: tzinfo) -> int:
    """Return the day of a time as yyyymmdd."""
    return int(datetime.fromtimestamp(ts, tz=zone).strftime("%Y%m%d"))


def iso(ts: float, zone: tzinfo = UTC) -> str:
    """Return a time in ISO 8601 with milliseconds and its offset; Z is UTC."""
    text = datetime.fromtimestamp(ts, tz=zone).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def day_range(service: Service, first: int, last: int) -> tuple[float, float]:
    """Return the first and the last moment of the days ``first`` to ``last``, yyyymmdd.

    Both are in seconds since 1970; an event of these days is neither before the one nor
    after the other.  Raises ValueError for a number that is not a day.
    """
    start = _midnight(first, service.zone, days=0)
    end = _midnight(last, service.zone, days=1)
    return start, math.nextafter(end, -math.inf)


def _midnight(number: int, zone: tzinfo, *, days: int) -> float:
    parsed = date(number // 10_000, number // 100 % 100, number % 100)
    try:
        return datetime.combine(parsed + timedelta(days), time(), tzinfo=zone).timestamp()
    except (OverflowError, ValueError):
        # The first or the last day that Python knows: no clock is there.
        return -math.inf if parsed.year == 1 else math.inf


def event_pieces(
    service: Service,
    *,
    account: Account | None = None,
    filter: RunFilter | None = None,  # noqa: A002 - the word for it
    start: int | None = None,
    newest_first: bool = False,
) -> Iterator[list[Event]]:
    """Yield the visible events that match, in pieces that take a few milliseconds.

    Oldest first, from number ``start`` on; or newest first, from ``start`` back.  A piece
    may be empty: it gives other work its turn.  Raises DataDeletedError if all data is
    deleted meanwhile.
    """
    store = service.store
    wanted = filter or RunFilter()
    if account is not None:
        wanted = replace(wanted, account=account.number)
    end = _visible_end(service)
    if end is not None:
        start, end = (min(end, start or end), None) if newest_first else (start, end)
    generation = store.generation
    zone = service.zone
    for piece in store.log.pieces(wanted, start=start, newest_first=newest_first):
        accounts = store.accounts_by_number()
        for runs in _split(piece, newest_first=newest_first):
            events = _expand(runs, accounts, zone, newest_first=newest_first)
            if end is not None and events and events[-1].seq > end:
                yield [event for event in events if event.seq <= end]
                return
            yield events
            if store.generation != generation:
                raise DataDeletedError("all data was deleted while it was read")


def _visible_end(service: Service) -> int | None:
    """Return the last event that is visible, None if all are."""
    until = service.visible_until()
    return None if until is None else service.store.log.first_after(until) - 1


def _split(runs: list[EventRun], *, newest_first: bool) -> Iterator[list[EventRun]]:
    """Yield runs in groups of at most ``EVENTS_PER_PIECE`` events, at least one group."""
    group: list[EventRun] = []
    size = 0
    for run in chain.from_iterable(_parts(each, newest_first=newest_first) for each in runs):
        if group and size + len(run.users) > EVENTS_PER_PIECE:
            yield group
            group, size = [], 0
        group.append(run)
        size += len(run.users)
    yield group


def _parts(run: EventRun, *, newest_first: bool) -> list[EventRun]:
    if len(run.users) <= EVENTS_PER_PIECE:
        return [run]
    starts = range(0, len(run.users), EVENTS_PER_PIECE)
    parts = [cut_run(run, low, low + EVENTS_PER_PIECE) for low in starts]
    return parts[::-1] if newest_first else parts


def _expand(
    runs: list[EventRun], accounts: Mapping[int, Account], zone: tzinfo, *, newest_first: bool
) -> list[Event]:
    numbers: dict[int, set[int]] = {}
    for run in runs:
        numbers.setdefault(run.account, set()).update(run.users)
    keys = {
        account: accounts[account].profiles.keys_of(found) for account, found in numbers.items()
    }
    events: list[Event] = []
    for run in runs:
        account = accounts[run.account]
        segment = account.segments[run.segment]
        keys_of = keys[run.account]
        run_events = [
            Event(
                seq=seq,
                ts=run.ts,
                account=account,
                number=number,
                keys=keys_of[number],
                action=run.action,
                segment=segment,
                apply=run.apply,
                zone=zone,
            )
            for seq, number in enumerate(run.users, start=run.seq)
        ]
        events += reversed(run_events) if newest_first else run_events
    return events
