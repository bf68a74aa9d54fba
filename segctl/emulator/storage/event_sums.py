"""Sums over the event log: how many events there are, and which users they are of.

Both are read in pieces of a few milliseconds, and neither makes an object an event.
"""

import math
from array import array
from collections.abc import Iterator
from sqlite3 import Connection

from pyroaring import BitMap

from segctl.emulator.storage.event_log import EventLog
from segctl.emulator.storage.event_runs import RunFilter, sql_conditions

TALLIES_PER_SUM = 10_000
RUNS_PER_UNION = 500

TallySum = tuple[int, str, int, int]
"""Segment, action, the first minute of a span since 1970, and the events in it."""


def sum_tallies(
    connection: Connection, wanted: RunFilter, *, span: int
) -> Iterator[list[TallySum]]:
    """Yield sums of the tallies that match, by segment, action and span, in pieces.

    A span is so many minutes; a sum may come in several pieces.  The times of ``wanted``
    are those of whole minutes.
    """
    first = -math.inf if wanted.since is None else wanted.since // 60
    last = math.inf if wanted.until is None else wanted.until // 60
    clauses, values = sql_conditions(
        RunFilter(account=wanted.account, segments=wanted.segments, action=wanted.action)
    )
    while True:
        beyond = connection.execute(
            "SELECT minute FROM tallies WHERE minute BETWEEN ? AND ? "
            "ORDER BY minute LIMIT 1 OFFSET ?",
            (first, last, TALLIES_PER_SUM),
        ).fetchone()
        # One minute may have more tallies than that.
        end = last if beyond is None else max(beyond[0] - 1, first)
        yield connection.execute(
            "SELECT segment, action, minute / ? * ?, sum(events) FROM tallies "  # noqa: S608 - our own clauses, bound values
            f"WHERE minute BETWEEN ? AND ? {clauses} GROUP BY 1, 2, 3",
            (span, span, first, end, *values),
        ).fetchall()
        if beyond is None:
            return
        first = end + 1


def users_of_events(
    connection: Connection, log: EventLog, wanted: RunFilter, *, end: int
) -> Iterator[tuple[BitMap, int]]:
    """Yield the profile numbers of the users of events before ``end``, and how many events.

    A user may be in several pieces.  ``end`` is where a run ends, and ``wanted`` names one
    account: the numbers of another mean other profiles.
    """
    clauses, values = sql_conditions(wanted, log.numbers_of(wanted))
    for each in log.ranges(wanted, 1, end - 1):
        if each is None:
            yield BitMap(), 0
            continue
        first, last = each
        while first <= last:
            rows = connection.execute(
                "SELECT seq, events, users FROM runs "  # noqa: S608 - our own clauses, bound values
                f"WHERE seq BETWEEN ? AND ? {clauses} ORDER BY seq LIMIT {RUNS_PER_UNION}",
                (first, last, *values),
            ).fetchall()
            # The lines of one request have the same users.
            numbers = array("I", b"".join({row[2] for row in rows}))
            users = log.merges.replace_merged(wanted.account, BitMap(numbers))
            yield users, sum(row[1] for row in rows)
            if len(rows) < RUNS_PER_UNION:
                break
            first = rows[-1][0] + 1
