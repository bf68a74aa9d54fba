"""Rows of a PostgreSQL database, copied as text into a scratch file.

The server proves that a query is one SELECT before it is copied: it is declared as a
cursor first, alone in its message, where nothing but a SELECT parses.  A text that
parses alone has no parenthesis that could end the one of ``COPY (…)`` around it.

COPY takes no parameters from the server, so that the values of variables become
literals; libpq writes them, which knows how this server reads quotes and backslashes.
Everything happens in one transaction that may only read and sees one moment.
"""

import logging
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from segctl.core.disk import create_scratch_file
from segctl.engine.base import CopiedRows
from segctl.manifests.desired import Connection, PostgresSource
from segctl.manifests.variables import replace_parameters
from segctl.sources import postgres_errors as failures

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable, Composed

GRACE_SECONDS = 15.0
"""How long after its own time limit a server may go on before it is taken for hung."""

_HEADER = b"identity\tguid\tlabel\n"
"""A line of our own: a byte order mark in the first value is not one of the file."""

_DEFAULTS = {
    "connect_timeout": "10",
    # A network that drops packets in silence is noticed within a minute or so.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
_BUFFER = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Database:
    """One database as a run reaches it; ``url`` is what the environment's ``variable`` holds."""

    name: str
    variable: str
    timeout_seconds: float
    url: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A column of a query's result; ``is_text`` for text, varchar, char, name, citext, enums."""

    name: str
    type: str
    is_text: bool


def database(
    name: str, connections: Mapping[str, Connection], environment: Mapping[str, str]
) -> Database:
    """Find the database that a source names; raises ``SourceError``."""
    declared = connections[name]
    url = environment.get(declared.variable, "")
    if not url.strip():
        raise failures.no_url(name, declared.variable)
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
    """Copy the rows of a source into the new file ``into``; raises ``SourceError``.

    A copy that ends early is never taken for a short one: the server's count of the
    rows must be that of the rows which came.
    """
    try:
        import psycopg  # noqa: PLC0415 - heavy, and an extra
    except ImportError:
        raise failures.no_library() from None
    with _connection(database) as connection:
        began = monotonic()
        with _cut_when_hung(connection, database.timeout_seconds + grace_seconds) as hung:
            try:
                return _copied(connection, source, database, into, segment_column)
            except psycopg.Error as error:
                if hung.is_set():
                    raise failures.connection_lost("the server hangs") from None
                too_long = monotonic() - began >= database.timeout_seconds
                if isinstance(error, psycopg.errors.QueryCanceled) and too_long:
                    raise failures.too_slow(database.name, database.timeout_seconds) from None
                raise failures.while_reading(error) from None


@contextmanager
def _connection(database: Database) -> "Iterator[psycopg.Connection[Any]]":
    import psycopg.conninfo  # noqa: PLC0415 - heavy, and an extra

    # Its warnings name host, user and database.
    logging.getLogger("psycopg").disabled = True
    try:
        settings = _DEFAULTS | psycopg.conninfo.conninfo_to_dict(database.url)
        settings |= {"application_name": "segctl", "client_encoding": "UTF8"}
        connection = psycopg.connect(psycopg.conninfo.make_conninfo("", **settings))
    except (psycopg.Error, UnicodeError, ValueError) as error:
        # Their texts quote the URL, with its password where that is what cannot be read.
        raise failures.while_connecting(error, database.variable) from None
    with closing(connection):
        yield connection


@contextmanager
def _cut_when_hung(
    connection: "psycopg.Connection[Any]", seconds: float
) -> Iterator[threading.Event]:
    """Cut the connection after so many seconds; the event tells that it was."""
    hung = threading.Event()

    def cut() -> None:
        hung.set()
        with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield hung
    finally:
        timer.cancel()


def _copied(
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
    # LOCAL: behind a pooler, the session goes on with somebody else's transactions.
    connection.execute(
        "SELECT set_config('statement_timeout', %s, true),"
        " set_config('default_transaction_read_only', 'on', true),"
        " set_config('standard_conforming_strings', 'on', true)",
        [f"{milliseconds}ms"],
    )
    query = _query(connection, source, segment_column)
    columns = _described(connection, query)
    statement = sql.SQL("COPY (SELECT {} FROM ({}\n) AS q ({})) TO STDOUT (FORMAT text)").format(
        sql.SQL(", ").join(_chosen(columns, source, segment_column)),
        query,
        sql.SQL(", ").join(_numbered(place) for place in range(len(columns))),
    )
    return CopiedRows(path=into, rows=_stream(connection, statement, into))


def _query(
    connection: "psycopg.Connection[Any]", source: PostgresSource, segment_column: str | None
) -> "Composable":
    """Give the SELECT of a source, with literals for its parameters."""
    from psycopg import DataError, sql  # noqa: PLC0415 - as above

    if source.table:
        wanted = [column for column in (source.column, segment_column) if column]
        return sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(map(sql.Identifier, wanted)),
            sql.Identifier(*source.table.split(".")),
        )

    def literal(name: str) -> str:
        try:
            # In parentheses, it is not read on from a literal in the line above.
            return f"({sql.Literal(source.parameters[name]).as_string(connection)})"
        except (DataError, UnicodeError):
            raise failures.bad_parameter(name) from None

    return sql.SQL(replace_parameters(source.sql.strip().rstrip(";").rstrip(), literal))


def _described(connection: "psycopg.Connection[Any]", query: "Composable") -> Sequence[_Column]:
    """Let the server check that the query is a SELECT; give the columns of its result."""
    from psycopg import NotSupportedError, ProgrammingError, sql  # noqa: PLC0415 - as above

    try:
        # Binary: in such a message the server takes one statement, and no second.
        cursor = connection.execute(
            sql.SQL("DECLARE segctl_rows NO SCROLL CURSOR FOR {}").format(query), binary=True
        )
        cursor.execute("FETCH 0 FROM segctl_rows", binary=True)
        described = [(column.name, column.type_code) for column in cursor.description or ()]
        cursor.execute("CLOSE segctl_rows")
    except (NotSupportedError, ProgrammingError) as error:
        raise failures.while_checking(error) from None
    cursor.execute(
        "SELECT oid, format_type(oid, NULL), typcategory FROM pg_type WHERE oid = ANY(%s)",
        [[type_ for _, type_ in described]],
    )
    types = {oid: (type_, category) for oid, type_, category in cursor}
    # S are the types of text, E the enums.
    return [
        _Column(name=column, type=types[oid][0], is_text=types[oid][1] in ("S", "E"))
        for column, oid in described
    ]


def _chosen(
    columns: Sequence[_Column], source: PostgresSource, segment_column: str | None
) -> "list[Composable]":
    """Give the expressions for identity, guid and label over the numbered columns."""
    from psycopg import sql  # noqa: PLC0415 - as above

    find = _places_in_table if source.table else _places_in_result
    places = find(columns, source, segment_column)
    return [
        sql.SQL("NULL") if place is None else sql.SQL("{}::text").format(_numbered(place))
        for place in (places.get(key) for key in ("identity", "guid", "label"))
    ]


def _numbered(place: int) -> "Composable":
    from psycopg import sql  # noqa: PLC0415 - as above

    return sql.Identifier(f"c{place}")


def _places_in_table(
    columns: Sequence[_Column], source: PostgresSource, segment_column: str | None
) -> Mapping[str, int | None]:
    if not columns[0].is_text:
        raise failures.column_not_text(source.column, columns[0].type, source.table)
    return {str(source.kind): 0, "label": 1 if segment_column else None}


def _places_in_result(
    columns: Sequence[_Column], source: PostgresSource, segment_column: str | None
) -> Mapping[str, int | None]:
    del source
    places = {key: _place(columns, key) for key in ("identity", "guid")}
    for key, place in places.items():
        if place is not None and not columns[place].is_text:
            raise failures.result_not_text(key, columns[place].type)
    there = [column.name for column in columns]
    if not any(place is not None for place in places.values()):
        raise failures.no_members(there)
    label = _place(columns, segment_column) if segment_column else None
    if segment_column and label is None:
        raise failures.no_segment_column(segment_column, there)
    return {**places, "label": label}


def _place(columns: Sequence[_Column], name: str) -> int | None:
    places = [n for n, column in enumerate(columns) if column.name.lower() == name.lower()]
    if len(places) > 1:
        raise failures.column_twice(name)
    return places[0] if places else None


def _stream(connection: "psycopg.Connection[Any]", statement: "Composed", into: Path) -> int:
    """Write what a COPY sends, line by line as it comes; give how many rows that is."""
    came = 0
    with create_scratch_file(into, buffering=_BUFFER) as file:
        file.write(_HEADER)
        with connection.cursor() as cursor:
            with cursor.copy(statement) as copy:
                for line in copy:
                    file.write(line)
                    came += 1
            sent = cursor.rowcount
    if sent != came:
        raise failures.connection_lost(f"the server sent {sent:,} rows, and {came:,} came")
    return came
