"""Tallies: the events of every minute, counted when they happen.

Counts, trends and the size of a segment over time need no reading of the log.
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from sqlite3 import Connection
from typing import Any

from segctl.emulator.storage.event_runs import EventRun, RunFilter

TALLIES_PER_STEP = 1000

MERGED_SEGMENTS = 100
"""Up to so many segments are read one by one, by the index of segments, and merged."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS tallies (
    minute INTEGER NOT NULL, account INTEGER NOT NULL, segment INTEGER NOT NULL,
    action TEXT NOT NULL, events INTEGER NOT NULL, changed INTEGER NOT NULL,
    PRIMARY KEY (minute, account, segment, action)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tallies_of_segment ON tallies (segment, minute);
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """The events of one segment and action in one minute, and how many changed a membership.

    ``minute`` is in minutes since 1970.
    """

    account: int
    segment: int
    action: str
    minute: int
    events: int
    changed: int


IN_ORDER = attrgetter("minute", "account", "segment", "action")


def count_runs(connection: Connection, runs: Iterable[EventRun]) -> None:
    """Add runs to the tallies, in the caller's transaction."""
    events: Counter[tuple[int, int, int, str]] = Counter()
    changed: Counter[tuple[int, int, int, str]] = Counter()
    for run in runs:
        key = (int(run.ts / 60), run.account, run.segment, run.action)
        events[key] += len(run.users)
        changed[key] += len(run.users) if run.changed else 0
    connection.executemany(
        "INSERT INTO tallies VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "events = events + excluded.events, changed = changed + excluded.changed",
        [(*key, count, changed[key]) for key, count in events.items()],
    )


def read_tallies(connection: Connection, wanted: RunFilter) -> Iterator[Tally]:
    """Yield the tallies that match, oldest first: whole minutes that overlap the time.

    A filter by user is a ValueError.  With ``changed`` set, the events that it excludes
    are not counted, and tallies without an event are left out.
    """
    if wanted.user is not None:
        raise ValueError("tallies are not counted by user")
    if wanted.segments is None:
        yield from _select(connection, wanted, "", [])
    elif len(wanted.segments) > MERGED_SEGMENTS:
        ids = sorted(wanted.segments)
        yield from _select(connection, wanted, f"AND segment IN ({', '.join('?' * len(ids))})", ids)
    else:
        by_segment = [
            _select(connection, wanted, "AND segment = ?", [segment], index="tallies_of_segment")
            for segment in wanted.segments
        ]
        yield from heapq.merge(*by_segment, key=IN_ORDER)


def _select(
    connection: Connection,
    wanted: RunFilter,
    clause: str,
    segments: list[int],
    *,
    index: str | None = None,
) -> Iterator[Tally]:
    first = -math.inf if wanted.since is None else wanted.since // 60
    last = math.inf if wanted.until is None else wanted.until // 60
    position: tuple[Any, ...] = (first, -1, -1, "")
    while True:
        rows = connection.execute(
            "SELECT minute, account, segment, action, events, changed FROM tallies "  # noqa: S608 - our own clauses, bound values
            f"{'' if index is None else f'INDEXED BY {index}'} "
            "WHERE minute >= ? AND minute <= ? AND (minute, account, segment, action) "
            "> (?, ?, ?, ?) AND (?7 IS NULL OR account = ?7) AND (?8 IS NULL OR action = ?8) "
            f"{clause} ORDER BY minute, account, segment, action LIMIT {TALLIES_PER_STEP}",
            (position[0], last, *position, wanted.account, wanted.action, *segments),
        ).fetchall()
        for row in rows:
            tally = _tally(row, changed=wanted.changed)
            if tally.events:
                yield tally
        if len(rows) < TALLIES_PER_STEP:
            return
        position = rows[-1][:4]


def _tally(row: tuple[Any, ...], *, changed: bool | None) -> Tally:
    minute, account, segment, action, events, with_effect = row
    return Tally(
        account=account,
        segment=segment,
        action=action,
        minute=minute,
        events={None: events, True: with_effect, False: events - with_effect}[changed],
        changed=0 if changed is False else with_effect,
    )
