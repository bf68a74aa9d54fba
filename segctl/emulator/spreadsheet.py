"""CSV cells that a spreadsheet would run as formulas.

A segment's id or a user's key may be any text.  A spreadsheet runs a cell that starts
with one of a few characters; an apostrophe in front makes it show the text instead.
"""

from collections.abc import Mapping
from typing import Any

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def guard_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row with an apostrophe before each text that a spreadsheet would run."""
    return {
        name: f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
        for name, value in row.items()
    }
