"""The Error Stream: the entries that updates skipped.

The dashboard shows the type of an error and three fields: Segment ID, Customer Segment
ID and User Identity.  JSON and CSV use the same names here.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from segctl.emulator.errors import DataDeletedError
from segctl.emulator.service import Service
from segctl.emulator.storage.events import iso
from segctl.emulator.storage.state import Account
from segctl.emulator.storage.store import Store

COLUMNS = (
    "Error Type",
    "Segment ID",
    "Customer Segment ID",
    "User Identity",
    "Time",
    "Account",
    "Apply",
)
MAX_DIGITS = 18
ROWS_PER_PIECE = 1000
ENTRIES_PER_PIECE = 250


def error_pieces(
    service: Service,
    *,
    account: Account | None = None,
    error_type: str | None = None,
    segment: str | None = None,
    customer_id: str | None = None,
    user: str | None = None,
    newest_first: bool = False,
) -> Iterator[list[dict[str, Any]]]:
    """Yield the skipped entries that match all filters, in pieces of a few milliseconds.

    An entry is one user on one segment line.  A piece may be empty.  Raises
    DataDeletedError if all data is deleted meanwhile.
    """
    store = service.store
    generation = store.generation
    filters = {
        "account = ?": None if account is None else account.number,
        "type = ?": error_type,
        "segment = ?": segment,
        "customer_id = ?": customer_id,
        "instr(users, ?)": None if user is None else json.dumps(user),
        "ts <= ?": service.visible_until(),
    }
    filters = {clause: value for clause, value in filters.items() if value is not None}
    query = (
        "SELECT account, ts, type, segment, customer_id, users, apply FROM refusals "  # noqa: S608 - fixed clauses, bound values
        f"WHERE {' AND '.join(['number >= ?', 'number < ?', *filters])} "
        f"ORDER BY number {'DESC' if newest_first else ''}"
    )
    connection = store.database.connection
    (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM refusals").fetchone()
    firsts = range(1, last + 1, ROWS_PER_PIECE)
    for first in reversed(firsts) if newest_first else firsts:
        end = min(first + ROWS_PER_PIECE, last + 1)
        for row in connection.execute(query, (first, end, *filters.values())).fetchall():
            names = [name for name in json.loads(row[5]) if user is None or name == user]
            if newest_first:
                names.reverse()
            for start in range(0, len(names), ENTRIES_PER_PIECE):
                yield _entries(store, row, names[start : start + ENTRIES_PER_PIECE])
                if store.generation != generation:
                    raise DataDeletedError("all data was deleted while it was read")
        yield []
        if store.generation != generation:
            raise DataDeletedError("all data was deleted while it was read")


def _entries(store: Store, row: Sequence[Any], names: Sequence[str]) -> list[dict[str, Any]]:
    account, ts, error_type, segment_id, customer_id, _, apply = row
    account_id = store.accounts_by_number()[account].id
    return [
        {
            "Error Type": error_type,
            "Segment ID": _parse_segment_id(segment_id),
            "Customer Segment ID": customer_id,
            "User Identity": name,
            "Time": iso(ts),
            "Account": account_id,
            "Apply": apply,
        }
        for name in names
    ]


def read_error_stream(service: Service, **filters: Any) -> Iterator[dict[str, Any]]:
    """Yield the entries of ``error_pieces`` one by one."""
    return chain.from_iterable(error_pieces(service, **filters))


def _parse_segment_id(segment_id: str | None) -> int | str | None:
    """Return the id as a number if it is one; requests may contain any text."""
    if segment_id is None:
        return None
    digits = segment_id.removeprefix("-")
    is_number = digits.isascii() and digits.isdecimal() and len(digits) <= MAX_DIGITS
    return int(segment_id) if is_number else segment_id


def csv_pieces(
    pieces: Iterable[Sequence[dict[str, Any]]], *, columns: Sequence[str] = COLUMNS
) -> Iterator[str]:
    """Yield pieces of rows as CSV with a header; None is an empty field."""
    text = io.StringIO()
    # Only with this line end does the writer quote a cell that contains "\r".
    writer = csv.DictWriter(text, columns, lineterminator="\r\n")
    writer.writeheader()
    for piece in pieces:
        writer.writerows(piece)
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()
