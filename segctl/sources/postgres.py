"""Copy rows of a PostgreSQL database as text into a scratch file.

Before a query is copied, the server proves that it is one SELECT: the query is declared as
a cursor, alone in its message, where only a SELECT parses. A text that parses alone has no
parenthesis that could close the one of ``COPY (…)`` around it.

COPY does not accept parameters, so values of variables become literals. libpq writes them:
it knows how this server reads quotes and backslashes. Everything runs in one read-only
transaction with one snapshot.
"""

import logging
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from segctl.core.dataclass import dataclass
from segctl.core.disk import create_scratch_file
from segctl.core.identity import Kind
from segctl.core.whitespace import REMOVE_WHITESPACE, describe_surrounding_whitespace
from segctl.engine.model import CopiedRows, SourceError
from segctl.engine.source_errors import cast_hint, column_not_text, missing_library
from segctl.manifests.desired import DEFAULT_TIME_ZONE, Connection, PostgresSource
from segctl.manifests.sql_parameters import replace_parameters, trim_statement
from segctl.sources import postgres_errors as errors
from segctl.sources.result_columns import COPY_HEADER, query_columns, table_columns

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable, Composed

GRACE_SECONDS = 15.0
"""How long a server may exceed its time limit before its connection is closed."""

_DEFAULTS = {
    "connect_timeout": "10",
    # A network that silently drops packets is noticed within about a minute.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
_BUFFER_BYTES = 1 << 20
_CERTAIN_TYPES = frozenset({20, 21, 23, 2950})
"""The oids of bigint, smallint, integer and uuid, which no server changes."""


@dataclass(frozen=True, kw_only=True)
class Database:
    """A declared connection with its ``url``, the value of the environment's ``variable``."""

    name: str
    variable: str
    timeout_seconds: float
    url: str = field(repr=False)
    time_zone: str = DEFAULT_TIME_ZONE


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A column of a result.

    ``is_certain`` for types whose values have one spelling: text, varchar, char, name, citext,
    enums, whole numbers and UUIDs.
    """

    name: str
    type: str
    is_certain: bool


def find_database(
    name: str, connections: Mapping[str, Connection], environment: Mapping[str, str]
) -> Database:
    """Return the database of a connection. Raises ``SourceError`` if its URL is not set."""
    declared = connections[name]
    url = environment.get(declared.variable, "")
    if not url.strip():
        raise errors.missing_url(name, declared.variable)
    if edges := describe_surrounding_whitespace(declared.variable, url):
        raise SourceError("connection-url", edges, REMOVE_WHITESPACE)
    return Database(
        name=name,
        variable=declared.variable,
        timeout_seconds=declared.timeout_seconds,
        url=url,
    )


def fetch(
    source: PostgresSource,
    database: Database,
    into: Path,
    *,
    segment_column: str | None = None,
    grace_seconds: float = GRACE_SECONDS,
) -> CopiedRows:
    """Copy the rows of a source into the new file ``into``. Raises ``SourceError``.

    A copy that ends early is an error: the number of rows received must equal the number
    that the server reports.
    """
    try:
        import psycopg  # noqa: PLC0415 - heavy, and an extra
    except ImportError:
        raise missing_library("reading from PostgreSQL", "psycopg", "postgres") from None
    with _connect(database) as connection:
        started = monotonic()
        with _close_if_hung(connection, database.timeout_seconds + grace_seconds) as hung:
            try:
                return _copy(connection, source, database, into, segment_column)
            except psycopg.Error as error:
                if hung.is_set():
                    raise errors.connection_lost("the server stopped responding") from None
                too_long = monotonic() - started >= database.timeout_seconds
                if isinstance(error, psycopg.errors.QueryCanceled) and too_long:
                    raise errors.query_timeout(database.name, database.timeout_seconds) from None
                raise errors.explain_reading(error) from None


@contextmanager
def _connect(database: Database) -> "Iterator[psycopg.Connection[Any]]":
    import psycopg.conninfo  # noqa: PLC0415 - heavy, and an extra

    # Its warnings contain host, user and database.
    logging.getLogger("psycopg").disabled = True
    try:
        settings = _DEFAULTS | psycopg.conninfo.conninfo_to_dict(database.url)
        settings |= {"application_name": "segctl", "client_encoding": "UTF8"}
        connection = psycopg.connect(psycopg.conninfo.make_conninfo("", **settings))
    except (psycopg.Error, UnicodeError, ValueError) as error:
        # The message quotes the URL, with its password if that is what does not parse.
        raise errors.explain_connecting(error, database.variable) from None
    with closing(connection):
        yield connection


@contextmanager
def _close_if_hung(
    connection: "psycopg.Connection[Any]", seconds: float
) -> Iterator[threading.Event]:
    """Close the connection's socket after ``seconds``, and set the event that is yielded."""
    hung = threading.Event()

    def shut_down() -> None:
        hung.set()
        with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield hung
    finally:
        timer.cancel()


def _copy(
    connection: "psycopg.Connection[Any]",
    source: PostgresSource,
    database: Database,
    into: Path,
    segment_column: str | None,
) -> CopiedRows:
    from psycopg import IsolationLevel, sql  # noqa: PLC0415 - loaded by the caller

    connection.read_only = True
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    milliseconds = max(1, round(database.timeout_seconds * 1000))
    # LOCAL: behind a pooler, the session continues with other clients' transactions.
    connection.execute(
        "SELECT set_config('statement_timeout', %s, true),"
        " set_config('default_transaction_read_only', 'on', true),"
        " set_config('standard_conforming_strings', 'on', true),"
        " set_config('TimeZone', %s, true)",
        [f"{milliseconds}ms", database.time_zone],
    )
    query = _select(connection, source, segment_column)
    if source.sql:
        # The whole text first: what is cut off cannot be another statement.
        _describe(connection, _select(connection, source, segment_column, whole=True))
    columns = _describe(connection, query)
    statement = sql.SQL("COPY (SELECT {} FROM ({}\n) AS q ({})) TO STDOUT (FORMAT text)").format(
        sql.SQL(", ").join(_copied_columns(columns, source, segment_column)),
        query,
        sql.SQL(", ").join(_column_name(index) for index in range(len(columns))),
    )
    return CopiedRows(path=into, rows=_stream(connection, statement, into))


def _select(
    connection: "psycopg.Connection[Any]",
    source: PostgresSource,
    segment_column: str | None,
    *,
    whole: bool = False,
) -> "Composable":
    """Return the SELECT of a source, with literals for its parameters.

    Unless ``whole``, without the semicolons around it.
    """
    from psycopg import DataError, sql  # noqa: PLC0415 - as above

    if source.table:
        wanted = [column for column in (source.column, segment_column) if column]
        return sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(map(sql.Identifier, wanted)),
            sql.Identifier(*source.table.split(".")),
        )

    def literal(name: str) -> str:
        try:
            # Without parentheses, it could continue a literal on the line above.
            return f"({sql.Literal(source.parameters[name]).as_string(connection)})"
        except (DataError, UnicodeError):
            raise errors.bad_parameter(name) from None

    text = source.sql if whole else trim_statement(source.sql)
    return sql.SQL(replace_parameters(text, literal))


def _describe(connection: "psycopg.Connection[Any]", query: "Composable") -> Sequence[_Column]:
    """Let the server check that a query is one SELECT, and return the columns of its result."""
    from psycopg import NotSupportedError, ProgrammingError, sql  # noqa: PLC0415 - as above

    try:
        # Binary: the server accepts only one statement in such a message.
        cursor = connection.execute(
            sql.SQL("DECLARE segctl_rows NO SCROLL CURSOR FOR {}").format(query), binary=True
        )
        cursor.execute("FETCH 0 FROM segctl_rows", binary=True)
        described = [(column.name, column.type_code) for column in cursor.description or ()]
        cursor.execute("CLOSE segctl_rows")
    except (NotSupportedError, ProgrammingError) as error:
        raise errors.explain_check(error) from None
    cursor.execute(
        "SELECT oid, format_type(oid, NULL), typcategory FROM pg_type WHERE oid = ANY(%s)",
        [[type_ for _, type_ in described]],
    )
    types = {oid: (type_, category) for oid, type_, category in cursor}
    # Category S is text, E is enums.
    return [
        _Column(
            name=column,
            type=types[oid][0],
            is_certain=types[oid][1] in ("S", "E") or oid in _CERTAIN_TYPES,
        )
        for column, oid in described
    ]


def _copied_columns(
    columns: Sequence[_Column], source: PostgresSource, segment_column: str | None
) -> "list[Composable]":
    """Return the expressions for the columns of ``COPY_HEADER``. Raises ``SourceError``."""
    from psycopg import sql  # noqa: PLC0415 - as above

    if source.table:
        indexes = table_columns(source.kind, segment_column)
    else:
        indexes = query_columns([column.name for column in columns], segment_column)
    for kind, index in ((Kind.IDENTITY, indexes.identity), (Kind.GUID, indexes.guid)):
        if index is not None and not columns[index].is_certain:
            column = columns[index]
            hint = cast_hint(column.name, kind, source.table)
            raise column_not_text(column.name, column.type, hint)
    return [
        sql.SQL("NULL") if index is None else sql.SQL("{}::text").format(_column_name(index))
        for index in indexes
    ]


def _column_name(index: int) -> "Composable":
    from psycopg import sql  # noqa: PLC0415 - as above

    return sql.Identifier(f"c{index}")


def _stream(connection: "psycopg.Connection[Any]", statement: "Composed", into: Path) -> int:
    """Write the lines of a COPY to a file as they arrive. Returns the number of rows."""
    received = 0
    with create_scratch_file(into, buffering=_BUFFER_BYTES) as file:
        file.write(COPY_HEADER.encode())
        with connection.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for line in copy:
                    file.write(line)
                    received += 1
            sent = cursor.rowcount
    if sent != received:
        raise errors.connection_lost(f"the server sent {sent:,} rows, but {received:,} arrived")
    return received
