"""Which columns of a database's result hold identities, guids and segment values."""

from collections.abc import Sequence
from typing import NamedTuple

from segctl.core.identity import Kind
from segctl.engine import source_errors

COPY_HEADER = "identity\tguid\tsegment_value\n"
"""The first line of a scratch file of copied rows, which the engine skips.

Without it, a byte order mark in the first value would be read as the mark of the file.
"""


class ResultColumns(NamedTuple):
    """Positions of columns in a result, in the order of ``COPY_HEADER``. None if absent."""

    identity: int | None
    guid: int | None
    segment_value: int | None


def table_columns(kind: Kind, segment_column: str | None) -> ResultColumns:
    """Return the positions in ``SELECT column, segment_column FROM table``."""
    segment_value = 1 if segment_column else None
    if kind == Kind.IDENTITY:
        return ResultColumns(0, None, segment_value)
    return ResultColumns(None, 0, segment_value)


def query_columns(columns: Sequence[str], segment_column: str | None) -> ResultColumns:
    """Find the columns of a query's result by name. Raises ``SourceError``.

    Case does not matter, as in SQL.
    """
    identity, guid = _find_column(columns, "identity"), _find_column(columns, "guid")
    if identity is None and guid is None:
        raise source_errors.no_member_column(columns)
    segment_value = None
    if segment_column:
        segment_value = _find_column(columns, segment_column)
        if segment_value is None:
            raise source_errors.missing_segment_column(segment_column, columns)
    return ResultColumns(identity, guid, segment_value)


def _find_column(columns: Sequence[str], name: str) -> int | None:
    found = [index for index, column in enumerate(columns) if column.lower() == name.lower()]
    if len(found) > 1:
        raise source_errors.duplicate_column(name)
    return found[0] if found else None
