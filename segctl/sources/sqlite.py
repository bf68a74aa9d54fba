"""Copy rows of a SQLite file as text into a scratch file.

The database is opened read-only, and an authorizer allows a query only to read columns and
call functions. All rows come from one statement, so from one snapshot.
"""

import errno
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from segctl.core.disk import create_scratch_file
from segctl.engine.model import CopiedRows
from segctl.engine.source_errors import not_a_select
from segctl.engine.sql import identifier
from segctl.manifests.desired import SqliteSource
from segctl.manifests.sql_parameters import trim_statement
from segctl.sources import sqlite_errors as errors
from segctl.sources.result_columns import (
    COPY_HEADER,
    ResultColumns,
    query_columns,
    table_columns,
)

LOCK_TIMEOUT_SECONDS = 5.0
"""How long to wait for a database that another process has locked."""

_BATCH_ROWS = 10_000
_STEPS_BETWEEN_SIGNALS = 100_000
_ALLOWED = frozenset(
    (
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    )
)
_FORBIDDEN_FUNCTIONS = frozenset(("load_extension", "fts3_tokenizer", "edit"))
# What COPY escapes. NUL becomes another control character, which is as invalid in a member.
_SPECIAL = re.compile(r"[\\\t\n\r\0]")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\1"})
_TOKENS = re.compile(
    r"""'(?:[^']|'')*' | --[^\n]* | /\*.*?(?:\*/|\Z) | \[[^\]]*\] | `(?:[^`]|``)*`
    | "(?P<name>(?:[^"]|"")*)" """,
    re.VERBOSE | re.DOTALL,
)
_WAL_VERSION = b"\x02\x02"
"""Bytes 18 and 19 of a database in write-ahead logging mode."""

_Row = tuple[Any, ...]


def fetch(
    source: SqliteSource,
    file: Path,
    into: Path,
    *,
    segment_column: str | None = None,
    lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
) -> CopiedRows:
    """Copy the rows of a source into the new file ``into``.

    ``file`` is the database. The caller has checked that it may be read. Raises ``SourceError``,
    and ``MemoryError``, ``OSError`` or ``OperationError`` if memory or disk do not suffice.
    """
    with _explain_errors(), _open(file, lock_timeout_seconds) as connection:
        cursor = connection.execute(_select(source, segment_column), source.parameters)
        names = [name for name, *_ in cursor.description or ()]
        if not names:
            raise not_a_select()
        if source.table:
            columns = table_columns(source.kind, segment_column)
        else:
            columns = query_columns(names, segment_column)
        with create_scratch_file(into) as out:
            return CopiedRows(path=into, rows=_copy(cursor, columns, source, out))


def check(source: SqliteSource, file: Path, *, segment_column: str | None = None) -> None:
    """Check that SQLite can prepare the statement of a source. It reads no rows.

    Raises what ``fetch`` raises, except for the columns of the result of a query.
    """
    with _explain_errors(), _open(file, LOCK_TIMEOUT_SECONDS) as connection:
        statement = _select(source, segment_column)
        connection.execute(f"EXPLAIN {statement}", source.parameters).close()


@contextmanager
def _explain_errors() -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError:
        # A damaged page can hold the text of a schema, or of an error message.
        raise errors.explain(sqlite3.DatabaseError("SQLITE_CORRUPT")) from None
    except (sqlite3.Error, sqlite3.Warning) as error:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_INTERRUPT":
            raise KeyboardInterrupt from None
        if name == "SQLITE_NOMEM":
            raise MemoryError from None
        if name in ("SQLITE_FULL", "SQLITE_IOERR_WRITE"):
            raise OSError(errno.EFBIG, "File too large") from None  # its temporary files
        raise errors.explain(error) from None


@contextmanager
def _open(file: Path, lock_timeout_seconds: float) -> Iterator[sqlite3.Connection]:
    """Open a database so that no file is written, neither the database nor one next to it."""
    file = file.resolve()  # its log is next to the file itself, not next to a link to it
    for suffix in ("-journal", "-wal", "-shm"):
        _check_regular(file.with_name(file.name + suffix))
    is_at_rest = _is_at_rest(file)
    before = _size_and_time(file)
    options = "mode=ro" + ("&immutable=1" if is_at_rest else "")
    with closing(
        sqlite3.connect(
            f"file:{quote(os.fspath(file))}?{options}",
            uri=True,
            timeout=lock_timeout_seconds,
            isolation_level=None,
        )
    ) as connection:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.set_authorizer(_authorize)
        # Python handles signals when SQLite calls back. A KeyboardInterrupt ends the query.
        connection.set_progress_handler(lambda: 0, _STEPS_BETWEEN_SIGNALS)
        yield connection
    if is_at_rest and _size_and_time(file) != before:
        raise errors.database_changed()


def _check_regular(log: Path) -> None:
    """Raise ``SourceError`` unless the log is a regular file: SQLite would block on a pipe."""
    if os.path.lexists(log) and not log.is_file():
        raise errors.not_a_log(log.name)


def _is_at_rest(file: Path) -> bool:
    """Whether a database uses a write-ahead log, and the log is not there.

    Opening such a database in the usual way would create the log and its index.
    """
    with file.open("rb") as stream:
        version = stream.read(20)[18:]
    return version == _WAL_VERSION and not os.path.lexists(f"{file}-wal")


def _size_and_time(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    forbidden = action == sqlite3.SQLITE_FUNCTION and second in _FORBIDDEN_FUNCTIONS
    del first
    return sqlite3.SQLITE_OK if action in _ALLOWED and not forbidden else sqlite3.SQLITE_DENY


def _select(source: SqliteSource, segment_column: str | None) -> str:
    if not source.table:
        comments = (
            token.span() for token in _TOKENS.finditer(source.sql) if token[0][:2] in ("--", "/*")
        )
        return _TOKENS.sub(_quote_as_name, trim_statement(source.sql, comments))
    wanted = [column for column in (source.column, segment_column) if column]
    # SQLite reads an unknown name in double quotes as a string, unless a table precedes it.
    columns = ", ".join(f"t.{identifier(column)}" for column in wanted)
    return f"SELECT {columns} FROM {identifier(source.table)} AS t"  # noqa: S608 - quoted names


def _quote_as_name(token: re.Match[str]) -> str:
    """Put a name in double quotes into backticks, so that SQLite cannot read it as a string."""
    if token["name"] is None:
        return token[0]
    return "`" + token["name"].replace('""', '"').replace("`", "``") + "`"


def _copy(
    cursor: sqlite3.Cursor, columns: ResultColumns, source: SqliteSource, out: BinaryIO
) -> int:
    """Write each row as a line in the text format of COPY. Returns the number of rows."""
    out.write(COPY_HEADER.encode())
    rows = 0
    while batch := cursor.fetchmany(_BATCH_ROWS):
        cells = [_cells(batch, index, cursor, source) for index in columns]
        out.write("".join(map("{}\t{}\t{}\n".format, *cells)).encode())
        rows += len(batch)
    return rows


def _cells(
    batch: Sequence[_Row], index: int | None, cursor: sqlite3.Cursor, source: SqliteSource
) -> Sequence[str]:
    """Return one column of a batch as COPY writes it.

    Raises ``SourceError`` for a value that is neither text nor a whole number.
    """
    if index is None:
        return ["\\N"] * len(batch)
    values = [row[index] for row in batch]
    types = set(map(type, values))
    if others := types - {str, int, type(None)}:
        type_ = "BLOB" if bytes in others else "REAL"
        column = cursor.description[index][0]
        key = source.kind if source.table and index == 0 else column
        raise errors.column_not_text(column, type_, key, source.table)
    if types == {str} and not _SPECIAL.search("".join(values)):
        return values
    return ["\\N" if value is None else str(value).translate(_ESCAPES) for value in values]
