"""The Error Stream: entries that updates skipped, kept and listed.

The dashboard shows an error's type with three fields: Segment ID, Customer Segment
ID and User Identity.  The same names head the JSON and the CSV here.
"""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from segctl.emulator.events import iso
from segctl.emulator.service import Service, names_of
from segctl.emulator.state import Account

COLUMNS = ("Error Type", "Segment ID", "Customer Segment ID", "User Identity", "Time", "Account")
LONGEST_NUMBER = 18


def read_refusals(
    service: Service,
    *,
    account: Account | None = None,
    kind: str | None = None,
    segment: str | None = None,
    customer_id: str | None = None,
    user: str | None = None,
    newest_first: bool = False,
) -> Iterator[dict[str, Any]]:
    """Give one line for each refused user and segment line, filtered."""
    accounts = names_of(service.store.accounts)
    clauses = []
    parameters: list[Any] = []
    for clause, value in (
        ("account = ?", None if account is None else account.number),
        ("type = ?", kind),
        ("segment = ?", segment),
        ("customer_id = ?", customer_id),
        ("ts <= ?", service.visible_until()),
    ):
        if value is not None:
            clauses.append(clause)
            parameters.append(value)
    where = f"WHERE {' AND '.join(clauses)} " if clauses else ""
    rows = service.store.database.connection.execute(
        "SELECT account, ts, type, segment, customer_id, users FROM refusals "  # noqa: S608 - fixed clauses, bound values
        f"{where}ORDER BY number {'DESC' if newest_first else ''}",
        parameters,
    )
    for number, ts, type_, segment_id, customer, users in rows:
        for name in json.loads(users):
            if user is None or name == user:
                yield {
                    "Error Type": type_,
                    "Segment ID": _as_given(segment_id),
                    "Customer Segment ID": customer,
                    "User Identity": name,
                    "Time": iso(ts),
                    "Account": accounts[number].id,
                }


def _as_given(segment_id: str | None) -> int | str | None:
    if segment_id is None:
        return None
    digits = segment_id.removeprefix("-")
    plain = digits.isascii() and digits.isdecimal() and len(digits) <= LONGEST_NUMBER
    return int(segment_id) if plain else segment_id


def as_csv(lines: Iterator[dict[str, Any]]) -> str:
    """Return the lines as CSV with a header; an absent id is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()
