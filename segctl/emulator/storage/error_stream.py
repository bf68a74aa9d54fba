"""The Error Stream: the entries that updates skipped.

The dashboard shows the type of an error and three fields: Segment ID, Customer Segment
ID and User Identity.  JSON and CSV use the same names here.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from segctl.emulator.service import Service
from segctl.emulator.storage.events import iso
from segctl.emulator.storage.state import Account

COLUMNS = ("Error Type", "Segment ID", "Customer Segment ID", "User Identity", "Time", "Account")
MAX_DIGITS = 18


def read_error_stream(
    service: Service,
    *,
    account: Account | None = None,
    error_type: str | None = None,
    segment: str | None = None,
    customer_id: str | None = None,
    user: str | None = None,
    newest_first: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield the skipped entries that match all filters, one for each user and segment line."""
    accounts = service.store.accounts_by_number()
    filters = {
        "account = ?": None if account is None else account.number,
        "type = ?": error_type,
        "segment = ?": segment,
        "customer_id = ?": customer_id,
        "ts <= ?": service.visible_until(),
    }
    filters = {clause: value for clause, value in filters.items() if value is not None}
    rows = service.store.database.connection.execute(
        "SELECT account, ts, type, segment, customer_id, users FROM refusals "  # noqa: S608 - fixed clauses, bound values
        f"WHERE {' AND '.join(filters) or 'TRUE'} "
        f"ORDER BY number {'DESC' if newest_first else ''}",
        list(filters.values()),
    )
    for number, ts, row_type, segment_id, row_customer_id, users in rows:
        for name in json.loads(users):
            if user is None or name == user:
                yield {
                    "Error Type": row_type,
                    "Segment ID": _parse_segment_id(segment_id),
                    "Customer Segment ID": row_customer_id,
                    "User Identity": name,
                    "Time": iso(ts),
                    "Account": accounts[number].id,
                }


def _parse_segment_id(segment_id: str | None) -> int | str | None:
    """Return the id as a number if it is one; requests may contain any text."""
    if segment_id is None:
        return None
    digits = segment_id.removeprefix("-")
    is_number = digits.isascii() and digits.isdecimal() and len(digits) <= MAX_DIGITS
    return int(segment_id) if is_number else segment_id


def as_csv(lines: Iterable[dict[str, Any]]) -> str:
    """Return the entries as CSV with a header; an absent id is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
