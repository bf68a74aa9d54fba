"""The names of columns in the first line of a text file."""

import csv
import json
import re
from contextlib import suppress
from pathlib import Path

from segctl.engine import duckdb_errors
from segctl.engine.file_contents import first_line, name_file_in_errors


def parse_header(header: str, delimiter: str) -> list[str]:
    """Return the names in a header line.

    Raises ``SourceError`` for a line whose end DuckDB may look for in the lines below. It does so
    after an open quote, after a quote within an unquoted name, and after a byte order mark if the
    first name seems to begin another name.
    """
    mark = re.escape(delimiter)
    name = f'(?:[^"{mark}]*|"(?:[^"]|"")*")'
    try:
        names = next(csv.reader([header], delimiter=delimiter), [])
    except csv.Error:
        raise duckdb_errors.unreadable_header() from None
    regular = re.fullmatch(f"{name}(?:{mark}{name})*", header)
    if not regular or (names and re.search(f'{mark} *("|$)', names[0])):
        raise duckdb_errors.unreadable_header()
    return names


def first_keys(path: Path) -> list[str]:
    """Return the keys of the first object of JSON Lines, if its line can be read."""
    with suppress(ValueError, RecursionError), name_file_in_errors(path):
        first = json.loads(first_line(path))
        return list(first) if isinstance(first, dict) else []
    return []
