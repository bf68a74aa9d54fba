"""Rows as CSV, read in small pieces, and guarded on request.

A segment's id or a user's key may be any text.  A spreadsheet runs a cell that starts
with one of a few characters; an apostrophe in front makes it show the text instead.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from starlette.requests import Request

from segctl.emulator.errors import bad_request

FORMULA_STARTS = (*"=+-@", "\t", "\r", "\n", *"\uff1d\uff0b\uff0d\uff20")
"""The last four are the full-width forms of the first, which some spreadsheets run too."""


def is_guarded(request: Request) -> bool:
    """Whether ``?guard=spreadsheet`` asks for CSV without formulas; raises RequestError 400."""
    guard = request.query_params.get("guard")
    if guard not in {None, "spreadsheet"}:
        raise bad_request("guard must be spreadsheet, or left out")
    return guard is not None


def csv_pieces(
    pieces: Iterable[Iterable[Mapping[str, Any]]], *, columns: Sequence[str], guarded: bool
) -> Iterator[str]:
    """Yield pieces of rows as CSV with a header; None is an empty field.

    If ``guarded``, no cell is a formula.
    """
    text = io.StringIO()
    # Only with this line end does the writer quote a cell that contains "\r".
    writer = csv.DictWriter(text, columns, lineterminator="\r\n")
    writer.writeheader()
    for piece in pieces:
        writer.writerows(map(_guard_row, piece) if guarded else piece)
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()


def _guard_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row with an apostrophe before each text that a spreadsheet would run."""
    return {
        name: f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
        for name, value in row.items()
    }
