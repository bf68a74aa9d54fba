"""The log of membership events, read by time, segment, user and account.

The log has a row for each *run* of events.  About a thousand runs are a *block*, and
the table of blocks has what a reader needs to skip one: its first and last event, the
least and the greatest time (a clock may go backwards), and bitmaps of its segments and
its users.  The newest runs, which do not fill a block yet, are scanned.
"""

import math
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from sqlite3 import Connection

from pyroaring import BitMap, BitMap64

from segctl.emulator.storage.event_runs import (
    COLUMNS,
    EventRun,
    RunFilter,
    RunRow,
    decode_run,
    pack_numbers,
    sql_conditions,
)
from segctl.emulator.storage.merges import Merges
from segctl.emulator.storage.state import ADD
from segctl.emulator.storage.tallies import Tally, count_runs, read_tallies

RUNS_PER_BLOCK = 1000
EVENTS_PER_BLOCK = 100_000
"""A block ends at either of the two, so that reading one takes a few milliseconds."""

BLOCKS_PER_STEP = 50
RUNS_PER_STEP = 100

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    seq INTEGER PRIMARY KEY, account INTEGER NOT NULL, segment INTEGER NOT NULL,
    action TEXT NOT NULL, changed INTEGER NOT NULL, events INTEGER NOT NULL,
    points INTEGER NOT NULL, ts REAL NOT NULL, users BLOB NOT NULL,
    apply INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS blocks (
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL, least REAL NOT NULL,
    greatest REAL NOT NULL);
CREATE TABLE IF NOT EXISTS block_contents (
    first INTEGER PRIMARY KEY, accounts BLOB NOT NULL, segments BLOB NOT NULL,
    users BLOB NOT NULL);
"""


class EventLog:
    """The membership events of all accounts, numbered from 1."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.merges = Merges(connection)
        row = connection.execute("SELECT last FROM blocks ORDER BY first DESC LIMIT 1").fetchone()
        self._tail = 1 if row is None else row[0] + 1
        """The first event that is in no block."""
        self._tail_runs, tail_events, end = connection.execute(
            "SELECT count(*), total(events), max(seq + events) FROM runs WHERE seq >= ?",
            (self._tail,),
        ).fetchone()
        self._tail_events = int(tail_events)
        self.next_event: int = self._tail if end is None else end
        """The number of the next event."""

    # -- writing, in the caller's transaction ---------------------------------

    def append(self, runs: Sequence[EventRun]) -> None:
        """Append runs, whose numbers continue the log."""
        if not runs:
            return
        self._connection.executemany(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    run.seq,
                    run.account,
                    run.segment,
                    run.action,
                    run.changed,
                    len(run.users),
                    run.points,
                    run.ts,
                    pack_numbers(run.users),
                    run.apply,
                )
                for run in runs
            ],
        )
        count_runs(self._connection, runs)
        self.next_event = runs[-1].seq + len(runs[-1].users)
        self._tail_runs += len(runs)
        self._tail_events += sum(len(run.users) for run in runs)
        self.make_blocks()

    def make_blocks(self) -> None:
        """Make blocks of the runs that are in none, as long as they fill one."""
        while self._tail_runs >= RUNS_PER_BLOCK or self._tail_events >= EVENTS_PER_BLOCK:
            self._make_block()

    def _make_block(self) -> None:
        rows = []
        size = 0
        for row in self._connection.execute(
            "SELECT seq, events, account, segment, ts, users FROM runs WHERE seq >= ? "
            "ORDER BY seq LIMIT ?",
            (self._tail, RUNS_PER_BLOCK),
        ):
            rows.append(row)
            size += row[1]
            if size >= EVENTS_PER_BLOCK:
                break
        first, last = rows[0][0], rows[-1][0] + rows[-1][1] - 1
        times = [row[4] for row in rows]
        self._connection.execute(
            "INSERT INTO blocks VALUES (?, ?, ?, ?)", (first, last, min(times), max(times))
        )
        # The lines of one request have the same users.
        users = BitMap(array("I", b"".join({row[5] for row in rows})))
        users.run_optimize()
        self._connection.execute(
            "INSERT INTO block_contents VALUES (?, ?, ?, ?)",
            (
                first,
                BitMap({row[2] for row in rows}).serialize(),
                BitMap64({row[3] for row in rows}).serialize(),
                users.serialize(),
            ),
        )
        self._tail = last + 1
        self._tail_runs -= len(rows)
        self._tail_events -= size

    # -- reading --------------------------------------------------------------

    def pieces(
        self,
        wanted: RunFilter,
        *,
        start: int | None = None,
        newest_first: bool = False,
        as_stored: bool = False,
    ) -> Iterator[list[EventRun]]:
        """Yield the runs of the events that match, in pieces of a few milliseconds of work.

        Oldest first, from event ``start`` on; or newest first, from ``start`` back.  Runs
        are cut to the events that match.  A piece may be empty.  No cursor stays open
        between two pieces, and events that are added meanwhile are not read.  Profiles that
        were merged appear as the one that is left, unless ``as_stored``.
        """
        ranges = self._ranges_backwards if newest_first else self.ranges
        first = 1 if start is None or newest_first else start
        last = self.next_event - 1
        if newest_first and start is not None:
            last = min(last, start)
        for each in ranges(wanted, first, last):
            if each is None:
                yield []
            else:
                yield from self._read_range(
                    wanted, *each, newest_first=newest_first, as_stored=as_stored
                )

    def ranges(self, wanted: RunFilter, first: int, last: int) -> Iterator[tuple[int, int] | None]:
        """Yield the ranges of events that may match, and None to give others their turn."""
        while True:
            tail = self._tail
            blocks = self._select_blocks(
                wanted, "last >= ? AND first <= ? ORDER BY first", first, last
            )
            for block_first, block_last, may_match in blocks:
                if may_match:
                    yield max(first, block_first), min(last, block_last)
            if len(blocks) < BLOCKS_PER_STEP:
                break
            yield None
            first = blocks[-1][1] + 1
        if max(first, tail) <= last:
            yield max(first, tail), last

    def _ranges_backwards(
        self, wanted: RunFilter, first: int, last: int
    ) -> Iterator[tuple[int, int] | None]:
        if self._tail <= last:
            tail, end = self._tail, last
            last = tail - 1
            yield tail, end
        while True:
            blocks = self._select_blocks(
                wanted, "last >= ? AND first <= ? ORDER BY first DESC", first, last
            )
            for block_first, block_last, may_match in blocks:
                if may_match:
                    yield block_first, min(last, block_last)
            if len(blocks) < BLOCKS_PER_STEP:
                return
            yield None
            last = blocks[-1][0] - 1

    def _select_blocks(
        self, wanted: RunFilter, clause: str, first: int, last: int
    ) -> list[tuple[int, int, bool]]:
        """Return first and last event of the blocks of the right time, and if they may match."""
        has_contents = wanted.account is not None or wanted.segments is not None
        rows = self._connection.execute(
            "SELECT first, last FROM blocks WHERE greatest >= ? AND least <= ? AND "  # noqa: S608 - one of two fixed clauses
            f"{clause} LIMIT {BLOCKS_PER_STEP}",
            (_at_least(wanted.since), _at_most(wanted.until), first, last),
        ).fetchall()
        return [
            (block_first, block_last, not has_contents or self._may_match(wanted, block_first))
            for block_first, block_last in rows
        ]

    def _may_match(self, wanted: RunFilter, block: int) -> bool:
        column = "NULL" if wanted.user is None else "users"
        accounts, segments, users = self._connection.execute(
            f"SELECT accounts, segments, {column} FROM block_contents WHERE first = ?",  # noqa: S608 - one of two columns
            (block,),
        ).fetchone()
        return (
            (wanted.account is None or wanted.account in BitMap.deserialize(accounts))
            and (
                wanted.segments is None
                or not wanted.segments.isdisjoint(BitMap64.deserialize(segments))
            )
            and (
                wanted.user is None
                or not BitMap.deserialize(users).isdisjoint(BitMap(self.numbers_of(wanted)))
            )
        )

    def numbers_of(self, wanted: RunFilter) -> list[int]:
        """Return the numbers under which the user of a filter is stored."""
        if wanted.user is None or wanted.account is None:
            return []
        return self.merges.numbers_of(wanted.account, wanted.user)

    def _read_range(
        self, wanted: RunFilter, first: int, last: int, *, newest_first: bool, as_stored: bool
    ) -> Iterator[list[EventRun]]:
        """Yield the runs of events ``first`` to ``last`` that match, cut to these events."""
        # The run that contains the first event may begin before it.
        low = self._connection.execute(
            "SELECT coalesce((SELECT max(seq) FROM runs WHERE seq <= ?), ?)", (first, first)
        ).fetchone()[0]
        high = last
        conditions, values = sql_conditions(wanted, self.numbers_of(wanted))
        order = "DESC" if newest_first else ""
        while low <= high:
            rows: list[RunRow] = self._connection.execute(
                f"SELECT {COLUMNS} FROM runs WHERE seq BETWEEN ? AND ? {conditions} "  # noqa: S608 - our own clauses, bound values
                f"ORDER BY seq {order} LIMIT {RUNS_PER_STEP}",
                (low, high, *values),
            ).fetchall()
            yield [
                run
                for row in rows
                for run in decode_run(
                    row,
                    wanted.user,
                    first,
                    last,
                    newest_first=newest_first,
                    survivors={} if as_stored else self.merges.survivors(row[1]),
                )
            ]
            if len(rows) < RUNS_PER_STEP:
                return
            if newest_first:
                high = rows[-1][0] - 1
            else:
                low = rows[-1][0] + 1

    def first_after(self, ts: float) -> int:
        """Return the number of the first event with a later time than ``ts``."""
        for piece in self.pieces(RunFilter(since=math.nextafter(ts, math.inf))):
            if piece:
                return piece[0].seq
        return self.next_event

    def tallies(self, wanted: RunFilter) -> Iterator[Tally]:
        """Yield the tallies of ``read_tallies``."""
        return read_tallies(self._connection, wanted)

    def sizes(self, segment: int) -> Iterator[tuple[int, int]]:
        """Yield the minutes in which the members of a segment changed, with the net change."""
        net: Counter[int] = Counter()
        for tally in self.tallies(RunFilter(segments=frozenset({segment}), changed=True)):
            net[tally.minute] += tally.changed if tally.action == ADD else -tally.changed
        for minute, members in self.merges.losses(segment):
            net[minute] -= members
        yield from sorted(net.items())


def _at_least(since: float | None) -> float:
    return -math.inf if since is None else since


def _at_most(until: float | None) -> float:
    return math.inf if until is None else until
