"""The Error Stream: the entries that updates skipped, read in small pieces.

The dashboard shows the type of an error and three fields: Segment ID, Customer Segment
ID and User Identity.  JSON and CSV use the same names here.  The table has a row for each
skipped line of a request, with its users; here each user is an entry.  No cursor stays
open between two pieces.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from segctl.emulator.errors import DataDeletedError
from segctl.emulator.reading.events import iso
from segctl.emulator.service import Service
from segctl.emulator.storage.state import Account, Segment

COLUMNS = (
    "Error Type",
    "Segment ID",
    "Customer Segment ID",
    "User Identity",
    "Time",
    "Account",
    "Apply",
)
"""The keys of ``SkippedEntry.line``, in order."""

MAX_DIGITS = 18

ROWS_PER_QUERY = 500
"""Rows that a query returns at most."""

ENTRIES_PER_PIECE = 250

NUMBERS_PER_QUERY = 10_000
"""Rows that a query looks at: a few milliseconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedFilter:
    """Which entries to read; None is all. Times are in seconds since 1970, both inclusive."""

    account: int | None = None
    type: str | None = None
    segments: frozenset[int] | None = None
    """CleverTap ids. An entry matches by either of the two ids that it names."""
    named: str | None = None
    """Either id as the request had it, also of a segment that does not exist."""
    segment_id: str | None = None
    """The Segment ID as the request had it."""
    customer_id: str | None = None
    """The Customer Segment ID as the request had it."""
    user: str | None = None
    since: float | None = None
    until: float | None = None
    apply: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedEntry:
    """One user of a skipped line; the ids are as the request had them."""

    number: int
    """The number of the line; its entries follow each other."""
    account: Account
    ts: float
    type: str
    segment_id: str | None
    customer_id: str | None
    user: str
    apply: int

    @property
    def segment(self) -> Segment | None:
        """The segment that the entry names, if there is one."""
        by_customer_id = self.account.by_customer_id.get(self.customer_id or "")
        segment_id = self.segment_id_value()
        if isinstance(segment_id, int):
            return self.account.segments.get(segment_id, by_customer_id)
        return by_customer_id

    def segment_id_value(self) -> int | str | None:
        """Return the Segment ID as a number if it is one; requests may contain any text."""
        digits = (self.segment_id or "").removeprefix("-")
        is_number = digits.isascii() and digits.isdecimal() and len(digits) <= MAX_DIGITS
        return int(self.segment_id or 0) if is_number else self.segment_id

    def line(self) -> dict[str, Any]:
        """Return the entry by the names of the dashboard."""
        return {
            "Error Type": self.type,
            "Segment ID": self.segment_id_value(),
            "Customer Segment ID": self.customer_id,
            "User Identity": self.user,
            "Time": iso(self.ts),
            "Account": self.account.id,
            "Apply": self.apply,
        }


def skipped_pieces(
    service: Service,
    chosen: SkippedFilter,
    *,
    start: int | None = None,
    newest_first: bool = False,
) -> Iterator[list[SkippedEntry]]:
    """Yield the visible entries that match, in pieces that take a few milliseconds.

    Oldest first, from line ``start`` on; or newest first, from ``start`` back.  A piece
    may be empty.  Raises DataDeletedError if all data is deleted meanwhile.
    """
    generation = service.store.generation
    connection = service.store.database.connection
    accounts = service.store.accounts_by_number()
    (last,) = connection.execute("SELECT max(number) FROM refusals").fetchone()
    low, high = 1, last or 0
    if start is not None:
        low, high = (low, min(high, start)) if newest_first else (max(low, start), high)
    conditions, values = _conditions(service, chosen)
    order = "DESC" if newest_first else "ASC"
    while low <= high:
        first, end = low, high
        if newest_first:
            first = max(low, high - NUMBERS_PER_QUERY + 1)
        else:
            end = min(high, low + NUMBERS_PER_QUERY - 1)
        rows = connection.execute(
            "SELECT number, account, ts, type, segment, customer_id, users, apply "  # noqa: S608 - our own clauses, bound values
            f"FROM refusals WHERE number BETWEEN ? AND ? {conditions} "
            f"ORDER BY number {order} LIMIT {ROWS_PER_QUERY}",
            (first, end, *values),
        ).fetchall()
        for piece in _split(entry for row in rows for entry in _expand(row, accounts, chosen.user)):
            yield piece
            if service.store.generation != generation:
                raise DataDeletedError("all data was deleted while it was read")
        is_cut = len(rows) == ROWS_PER_QUERY
        if newest_first:
            high = rows[-1][0] - 1 if is_cut else first - 1
        else:
            low = rows[-1][0] + 1 if is_cut else end + 1


def _split(entries: Iterator[SkippedEntry]) -> Iterator[list[SkippedEntry]]:
    """Yield at least one piece, which may be empty."""
    yield list(islice(entries, ENTRIES_PER_PIECE))
    while piece := list(islice(entries, ENTRIES_PER_PIECE)):
        yield piece


def skipped_counts(service: Service, chosen: SkippedFilter) -> Iterator[int]:
    """Yield counts of visible entries that match, whose sum is the count of all."""
    if chosen.user is not None:
        yield from (len(piece) for piece in skipped_pieces(service, chosen))
        return
    connection = service.store.database.connection
    (last,) = connection.execute("SELECT max(number) FROM refusals").fetchone()
    conditions, values = _conditions(service, chosen)
    for first in range(1, (last or 0) + 1, NUMBERS_PER_QUERY):
        (count,) = connection.execute(
            "SELECT coalesce(sum(json_array_length(users)), 0) "  # noqa: S608 - our own clauses, bound values
            f"FROM refusals WHERE number BETWEEN ? AND ? {conditions}",
            (first, first + NUMBERS_PER_QUERY - 1, *values),
        ).fetchone()
        yield count


def _expand(
    row: tuple[Any, ...], accounts: dict[int, Account], user: str | None
) -> Iterator[SkippedEntry]:
    number, account, ts, kind, segment_id, customer_id, users, apply = row
    for name in json.loads(users):
        if user is None or name == user:
            yield SkippedEntry(
                number=number,
                account=accounts[account],
                ts=ts,
                type=kind,
                segment_id=segment_id,
                customer_id=customer_id,
                user=name,
                apply=apply,
            )


def _conditions(service: Service, chosen: SkippedFilter) -> tuple[str, list[Any]]:
    """Return the filter as SQL conditions, each with AND before it, and their values."""
    values: dict[str, Any] = {
        "account = ?": chosen.account,
        "type = ?": chosen.type,
        "segment = ?": chosen.segment_id,
        "customer_id = ?": chosen.customer_id,
        "ts >= ?": chosen.since,
        "ts <= ?": chosen.until,
        "ts <= ? ": service.visible_until(),
        "apply = ?": chosen.apply,
        # The users are JSON: an entry's exact name is compared when the row is read.
        "instr(users, ?)": None if chosen.user is None else json.dumps(chosen.user),
    }
    values = {clause: value for clause, value in values.items() if value is not None}
    clauses, bound = [*values], [*values.values()]
    if chosen.segments is not None:
        segments = [
            segment
            for account in service.store.accounts.values()
            for segment in account.segments.values()
            if segment.id in chosen.segments
        ]
        names = json.dumps([str(each.id) for each in segments] + [chosen.named])
        customer_ids = json.dumps([each.customer_id for each in segments] + [chosen.named])
        clauses.append(
            "(segment IN (SELECT value FROM json_each(?)) "
            "OR customer_id IN (SELECT value FROM json_each(?)))"
        )
        bound += [names, customer_ids]
    return "".join(f" AND {clause}" for clause in clauses), bound
