"""The names of columns in the first line of a text file."""

import csv
import re

from segctl.engine import duckdb_errors


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
