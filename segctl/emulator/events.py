"""Segment Membership Change events, read from the log in the forms they are asked for.

The log holds runs; here each run becomes its single events again.  The spelling
of the four properties is the vendor's: three with spaces, one with underscores.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from segctl.emulator.database import Run
from segctl.emulator.service import Service, names_of
from segctl.emulator.state import Account, Segment, User

EVENT_NAME = "Segment Membership Change"
RUNS_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One user came into, or went out of, one segment."""

    seq: int
    ts: float
    account: Account
    number: int
    action: str
    segment: Segment

    @property
    def user(self) -> User:
        """The profile's identity, or its guid where it has none."""
        return self.account.profiles.user(self.number)

    def properties(self) -> dict[str, Any]:
        """Return the event's four properties."""
        return {
            "Action": self.action,
            "Segment Name": self.segment.name,
            "Segment ID": self.segment.id,
            "Customer_Segment_ID": self.segment.customer_id,
        }

    def profile(self) -> dict[str, Any]:
        """Return the profile as Get Events shows it."""
        identity, _ = self.account.profiles.names[self.number]
        shown: dict[str, Any] = {"objectId": self.account.profiles.object_id(self.number)}
        if identity is not None:
            shown |= {"identity": identity, "all_identities": [identity]}
        return shown

    def record(self) -> dict[str, Any]:
        """Return the event as a record of Get Events."""
        return {"profile": self.profile(), "ts": stamp(self.ts), "event_props": self.properties()}

    def line(self) -> dict[str, Any]:
        """Return the event as our own list and the live stream give it."""
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
        identity, _ = self.account.profiles.names[self.number]
        profile: dict[str, Any] = {} if identity is None else {"identity": identity}
        if object_id:
            profile["objectId"] = self.account.profiles.object_id(self.number)
        return {
            "eventName": EVENT_NAME,
            "profile": profile,
            "ts": stamp(self.ts),
            "eventProps": self.properties(),
        }


def stamp(ts: float) -> int:
    """Return a time as the vendor writes it, yyyymmddhhmmss; ours is in UTC."""
    return int(datetime.fromtimestamp(ts, tz=UTC).strftime("%Y%m%d%H%M%S"))


def day(ts: float) -> int:
    """Return the day of a time as yyyymmdd, in UTC."""
    return int(datetime.fromtimestamp(ts, tz=UTC).strftime("%Y%m%d"))


def iso(ts: float) -> str:
    """Return a time for people, in UTC."""
    return (
        datetime.fromtimestamp(ts, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def read_events(service: Service, *, account: Account | None, start: int = 1) -> Iterator[Event]:
    """Give the visible events from number ``start`` on, in order.

    The log is read in pieces, none of which is held open between two events: a
    reader may be slow while the service goes on writing.
    """
    accounts = names_of(service.store.accounts)
    until = service.visible_until()
    while True:
        runs = list(islice(service.store.database.runs(start=start), RUNS_AT_ONCE))
        runs = [run for run in runs if run.seq + len(run.users) > start]
        if not runs:
            return
        for run in runs:
            if until is not None and run.ts > until:
                return
            if account is None or run.account == account.number:
                yield from _expand(run, accounts[run.account], start=start)
        start = runs[-1].seq + len(runs[-1].users)


def _expand(run: Run, account: Account, *, start: int) -> Iterator[Event]:
    segment = account.segments[run.segment]
    for seq, number in enumerate(run.users, start=run.seq):
        if seq >= start:
            yield Event(
                seq=seq,
                ts=run.ts,
                account=account,
                number=number,
                action=run.action,
                segment=segment,
            )


def last_events(service: Service, *, account: Account | None, most: int) -> list[Event]:
    """Return the newest visible events, newest first."""
    accounts = names_of(service.store.accounts)
    until = service.visible_until()
    found: list[Event] = []
    for run in service.store.database.runs(backwards=True):
        if (until is not None and run.ts > until) or (
            account is not None and run.account != account.number
        ):
            continue
        found.extend(reversed(list(_expand(run, accounts[run.account], start=run.seq))))
        if len(found) >= most:
            break
    return found[:most]
