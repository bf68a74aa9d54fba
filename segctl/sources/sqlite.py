"""Rows of a SQLite file, copied as text into a scratch file.

The database is opened to be read, and what a query may do is allowed by name: read
columns and call functions.  All rows are those of one statement, and so of one moment.
"""

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from segctl.core.disk import create_scratch_file
from segctl.engine.base import CopiedRows
from segctl.manifests.desired import SqliteSource
from segctl.sources import sqlite_errors as failures

PATIENCE_SECONDS = 5.0
"""How long a database may be locked by somebody who writes."""

_BATCH = 10_000
_STEPS_BETWEEN_SIGNALS = 100_000
_HEADER = "identity\tguid\tlabel\n"
_ALLOWED = frozenset(
    (
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    )
)
_FORBIDDEN_FUNCTIONS = frozenset(("load_extension", "fts3_tokenizer", "edit"))
# What COPY escapes; a NUL is turned into another control character, which is no more valid.
_SPECIAL = re.compile(r"[\\\t\n\r\0]")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\1"})
_TOKENS = re.compile(
    r"""'(?:[^']|'')*' | --[^\n]* | /\*.*?(?:\*/|\Z) | \[[^\]]*\] | `(?:[^`]|``)*`
    | "(?P<name>(?:[^"]|"")*)" """,
    re.VERBOSE | re.DOTALL,
)
_WAL_VERSION = b"\x02\x02"
"""Bytes 18 and 19 of a database whose changes go to a file of their own first."""

_Row = tuple[Any, ...]


def fetch(
    source: SqliteSource,
    file: Path,
    into: Path,
    *,
    segment_column: str | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> CopiedRows:
    """Copy the rows of a source into the new file ``into``; raises ``SourceError``.

    ``file`` is the database, which may be read.
    """
    try:
        with _opened(file, patience_seconds) as connection:
            cursor = connection.execute(_statement(source, segment_column), source.parameters)
            columns = [name for name, *_ in cursor.description or ()]
            if not columns:
                raise failures.not_a_select()
            places = _places(columns, source, segment_column)
            with create_scratch_file(into) as out:
                return CopiedRows(path=into, rows=_copy(cursor, places, source, out))
    except (sqlite3.Error, sqlite3.Warning) as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
            raise KeyboardInterrupt from None
        raise failures.explained(error) from None


@contextmanager
def _opened(file: Path, patience_seconds: float) -> Iterator[sqlite3.Connection]:
    """Open a database so that nothing can be written, neither to it nor beside it."""
    file = file.resolve()  # its log lies beside the file itself, and not beside a link to it
    at_rest = _at_rest(file)
    before = _mark(file)
    options = "mode=ro" + ("&immutable=1" if at_rest else "")
    with closing(
        sqlite3.connect(
            f"file:{quote(os.fspath(file))}?{options}",
            uri=True,
            timeout=patience_seconds,
            isolation_level=None,
        )
    ) as connection:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.set_authorizer(_authorize)
        # Signals are looked after between two calls; their KeyboardInterrupt ends the query.
        connection.set_progress_handler(lambda: 0, _STEPS_BETWEEN_SIGNALS)
        yield connection
    if at_rest and _mark(file) != before:
        raise failures.changed()


def _at_rest(file: Path) -> bool:
    """Tell whether nobody has written to a database with a write-ahead log since it was closed.

    To read it the usual way would leave such a log beside it, and an index of that.
    """
    with file.open("rb") as stream:
        version = stream.read(20)[18:]
    return version == _WAL_VERSION and not os.path.lexists(f"{file}-wal")


def _mark(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    forbidden = action == sqlite3.SQLITE_FUNCTION and second in _FORBIDDEN_FUNCTIONS
    del first
    return sqlite3.SQLITE_OK if action in _ALLOWED and not forbidden else sqlite3.SQLITE_DENY


def _statement(source: SqliteSource, segment_column: str | None) -> str:
    if not source.table:
        return _TOKENS.sub(_as_name, source.sql)
    wanted = [column for column in (source.column, segment_column) if column]
    # With the table in front, a column that is not there is no string.
    columns = ", ".join(f"t.{failures.quoted(column)}" for column in wanted)
    return f"SELECT {columns} FROM {failures.quoted(source.table)} AS t"  # noqa: S608 - quoted names


def _as_name(token: re.Match[str]) -> str:
    """Keep SQLite from reading a misspelled name in double quotes as a text."""
    if token["name"] is None:
        return token[0]
    return "`" + token["name"].replace('""', '"').replace("`", "``") + "`"


def _places(
    columns: Sequence[str], source: SqliteSource, segment_column: str | None
) -> tuple[int | None, int | None, int | None]:
    """Give where identity, guid and label stand among the columns of the result."""
    if source.table:
        label = 1 if segment_column else None
        return (0, None, label) if source.kind == "identity" else (None, 0, label)
    identity, guid = _place(columns, "identity"), _place(columns, "guid")
    if identity is None and guid is None:
        raise failures.no_members(columns)
    label = _place(columns, segment_column) if segment_column else None
    if segment_column and label is None:
        raise failures.no_segment_column(segment_column, columns)
    return identity, guid, label


def _place(columns: Sequence[str], name: str) -> int | None:
    places = [n for n, column in enumerate(columns) if column.lower() == name.lower()]
    if len(places) > 1:
        raise failures.column_twice(name)
    return places[0] if places else None


def _copy(
    cursor: sqlite3.Cursor,
    places: tuple[int | None, ...],
    source: SqliteSource,
    out: BinaryIO,
) -> int:
    """Write every row as a line; give how many there were."""
    out.write(_HEADER.encode())
    rows = 0
    while batch := cursor.fetchmany(_BATCH):
        cells = [_cells(batch, place, cursor, source) for place in places]
        out.write("".join(map("{}\t{}\t{}\n".format, *cells)).encode())
        rows += len(batch)
    return rows


def _cells(
    batch: Sequence[_Row], place: int | None, cursor: sqlite3.Cursor, source: SqliteSource
) -> Sequence[str]:
    """Give one column of some rows as COPY writes it; raises ``SourceError`` for no text."""
    if place is None:
        return ["\\N"] * len(batch)
    values = [row[place] for row in batch]
    types = set(map(type, values))
    if others := types - {str, type(None)}:
        found = "BLOB" if bytes in others else "INTEGER" if int in others else "REAL"
        raise failures.not_text(cursor.description[place][0], found, source.table)
    if types == {str} and not _SPECIAL.search("".join(values)):
        return values
    return ["\\N" if value is None else value.translate(_ESCAPES) for value in values]
