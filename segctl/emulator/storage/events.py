"""Segment Membership Change events, in the forms in which they are read.

The log contains runs; here each run is expanded into its single events.  The names of
the four properties are the vendor's: three with spaces, one with underscores.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from segctl.emulator.service import Service
from segctl.emulator.storage.database import EventRun
from segctl.emulator.storage.state import Account, Segment, User

EVENT_NAME = "Segment Membership Change"
RUNS_PER_READ = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One user was added to, or removed from, one segment."""

    seq: int
    ts: float
    account: Account
    number: int
    action: str
    segment: Segment

    @property
    def user(self) -> User:
        """The profile's identity, or its guid if it has no identity."""
        return self.account.profiles.user(self.number)

    @property
    def identity(self) -> str | None:
        """The profile's identity, if it has one."""
        return self.account.profiles.keys[self.number][0]

    @property
    def object_id(self) -> str:
        """The profile's CleverTap id."""
        return self.account.profiles.object_id(self.number)

    def properties(self) -> dict[str, Any]:
        """Return the event's four properties."""
        return {
            "Action": self.action,
            "Segment Name": self.segment.name,
            "Segment ID": self.segment.id,
            "Customer_Segment_ID": self.segment.customer_id,
        }

    def record(self) -> dict[str, Any]:
        """Return the event as a record of Get Events."""
        profile: dict[str, Any] = {"objectId": self.object_id}
        if self.identity is not None:
            profile |= {"identity": self.identity, "all_identities": [self.identity]}
        return {"profile": profile, "ts": stamp(self.ts), "event_props": self.properties()}

    def line(self) -> dict[str, Any]:
        """Return the event as in the emulator's own list and live stream."""
        return {
            "seq": self.seq,
            "account": self.account.id,
            "event_name": EVENT_NAME,
            "profile": {self.user.kind: self.user.value},
            "ts": stamp(self.ts),
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
            "ts": stamp(self.ts),
            "eventProps": self.properties(),
        }


def stamp(ts: float) -> int:
    """Return a time as the vendor writes it, yyyymmddhhmmss, in UTC."""
    return int(_utc(ts).strftime("%Y%m%d%H%M%S"))


def day(ts: float) -> int:
    """Return the day of a time as yyyymmdd, in UTC."""
    return int(_utc(ts).strftime("%Y%m%d"))


def iso(ts: float) -> str:
    """Return a time in ISO 8601 with milliseconds, in UTC."""
    return _utc(ts).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _utc(ts: float) -> datetime:
    return datetime.fromtimestamp(ts, tz=UTC)


def read_events(service: Service, *, account: Account | None, start: int = 1) -> Iterator[Event]:
    """Yield the visible events from number ``start`` on, oldest first.

    The log is read in pieces, and no cursor stays open between two of them: a reader may
    be slow while the service continues to write.
    """
    accounts = service.store.accounts_by_number()
    until = service.visible_until()
    while True:
        runs = list(islice(service.store.database.read_runs(start=start), RUNS_PER_READ))
        runs = [run for run in runs if run.seq + len(run.users) > start]
        if not runs:
            return
        for run in runs:
            if until is not None and run.ts > until:
                return
            if account is None or run.account == account.number:
                for event in _expand(run, accounts[run.account]):
                    if event.seq >= start:
                        yield event
        start = runs[-1].seq + len(runs[-1].users)


def _expand(run: EventRun, account: Account) -> Iterator[Event]:
    segment = account.segments[run.segment]
    for seq, number in enumerate(run.users, start=run.seq):
        yield Event(
            seq=seq,
            ts=run.ts,
            account=account,
            number=number,
            action=run.action,
            segment=segment,
        )


def newest_events(service: Service, *, account: Account | None, limit: int) -> list[Event]:
    """Return the newest visible events, newest first."""
    accounts = service.store.accounts_by_number()
    until = service.visible_until()
    events: list[Event] = []
    for run in service.store.database.read_runs_backwards():
        if (until is not None and run.ts > until) or (
            account is not None and run.account != account.number
        ):
            continue
        events.extend(reversed(list(_expand(run, accounts[run.account]))))
        if len(events) >= limit:
            break
    return events[:limit]
