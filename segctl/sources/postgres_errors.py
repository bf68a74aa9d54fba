"""Errors of a PostgreSQL source.

Messages of libpq and of the server can quote hosts, users, passwords and rows, so they are
matched and not shown. The exception is a message about a query that has not started to
run: it quotes the query only.
"""

import re
from typing import TYPE_CHECKING

from segctl.engine.model import SourceError
from segctl.engine.source_errors import (
    FIX_VALUE,
    NOT_USED,
    ONE_SELECT,
    hidden_message_hint,
    query_failed,
    several_statements,
)

if TYPE_CHECKING:
    import psycopg

_URL_FORM = "postgresql://USER:PASSWORD@HOST:5432/DATABASE"
_RUN_LATER = "Run the same command again later."
_CHECK_HOST = "Check the host in {url}. Write special characters of the password as %XX."
_CHECK_PORT = "Check the host and the port in {url}, the network, and that the server runs."
_CHECK_LOGIN = "Check the user and the password in {url}."
_CHECK_TLS = "Check sslmode and sslrootcert in {url}."
_UNKNOWN_HOST = "the host name cannot be resolved"
_NO_LOGIN = "the server rejected the login"
_NO_TLS = "the TLS connection cannot be set up"
_TOO_MANY = "the server has no free connections"
_STARTING = "the server is starting or stopping"

_CONNECTION_ERRORS = (
    ("certificate", _NO_TLS, _CHECK_TLS),
    ("failed to resolve", _UNKNOWN_HOST, _CHECK_HOST),
    ("could not translate", _UNKNOWN_HOST, _CHECK_HOST),
    ("timeout", "the host does not respond", _CHECK_PORT),
    ("refused", "the connection was refused", _CHECK_PORT),
    ("no such file", "the server's socket does not exist", "Check the socket's folder in {url}."),
    ("authentication", _NO_LOGIN, _CHECK_LOGIN),
    ("password", _NO_LOGIN, _CHECK_LOGIN),
    ("role ", _NO_LOGIN, _CHECK_LOGIN),
    ("pg_hba.conf", _NO_LOGIN, "Allow this user and host in the server's pg_hba.conf."),
    ("database ", "the database does not exist on the server", "Check the database in {url}."),
    ("too many", _TOO_MANY, _RUN_LATER),
    ("connection slots", _TOO_MANY, _RUN_LATER),
    ("starting up", _STARTING, _RUN_LATER),
    ("shutting down", _STARTING, _RUN_LATER),
    ("recovery mode", _STARTING, _RUN_LATER),
    ("ssl", _NO_TLS, _CHECK_TLS),
)
"""Text in libpq's message, the summary and the hint. The first match counts."""

_SQLSTATES = {
    "57014": ("query-failed", "the server canceled the query", "Run the same command again."),
    "25006": (
        "query-forbidden",
        "the query writes or locks data, which is not allowed",
        "Queries run in a read-only transaction. Write a query that only reads.",
    ),
    "40001": (
        "query-failed",
        "the server canceled the query because it conflicts with another transaction",
        "Run the same command again. On a standby, raise max_standby_streaming_delay.",
    ),
    "22021": ("not-utf8", "a value cannot be converted to UTF-8", FIX_VALUE),
    "22P05": ("not-utf8", "a value cannot be converted to UTF-8", FIX_VALUE),
    "53100": (
        "query-failed",
        "the disk of the database server is full",
        "Free space on the server, then run the same command again.",
    ),
    "53200": (
        "query-failed",
        "the database server is out of memory",
        "Free memory on the server, then run the same command again.",
    ),
}
"""For a SQLSTATE while rows are read: code, summary and hint."""

_QUOTED_NAMES = re.compile(r"""\"[^"]*"|'[^']*'""")


def missing_url(name: str, variable: str) -> SourceError:
    """Return the error for a connection whose environment variable is not set."""
    return SourceError(
        "connection-without-url",
        f"{variable} is not set in the environment",
        f"Set it to {_URL_FORM}, or change spec.connections.{name}.env in segctl.yaml.",
    )


def explain_connecting(error: Exception, variable: str) -> SourceError:
    """Return the error for a connection that cannot be opened."""
    import psycopg  # noqa: PLC0415 - loaded by the caller

    if not isinstance(error, psycopg.OperationalError):
        return SourceError(
            "connection-url",
            f"the value of {variable} is not the URL of a PostgreSQL database",
            f"Write {_URL_FORM}, with special characters as %XX.",
        )
    text = _QUOTED_NAMES.sub("", str(error)).lower()
    summary, hint = next(
        ((summary, hint) for mark, summary, hint in _CONNECTION_ERRORS if mark in text),
        ("the connection failed", 'Run psql "${url}" to see the reason.'),
    )
    return SourceError("connection-failed", summary, hint.format(url=variable))


def explain_check(error: "psycopg.Error") -> SourceError:
    """Return the error for a query that the server refuses before it runs.

    The server's message quotes only the query, unless it has a context: immutable functions
    run while a query is planned, and their messages can quote anything.
    """
    if error.diag.context:
        return explain_reading(error)
    message = error.diag.message_primary or ""
    if "multiple commands" in message:
        return several_statements()
    if error.sqlstate == "42501":
        if "row-level security" in message:
            return query_failed(message, "Add a policy that lets the role see all rows.")
        return query_failed(message, "Let the role read it: GRANT SELECT ON … TO …")
    if error.sqlstate in ("42601", "0A000"):
        return SourceError(
            "query-syntax", f"the query is not a valid SELECT: {message}", ONE_SELECT
        )
    return query_failed(message, error.diag.message_hint or "")


def explain_reading(error: "psycopg.Error") -> SourceError:
    """Return the error for a query that failed while its rows were read."""
    state = error.sqlstate or ""
    if not state or state.startswith(("08", "57P")):
        return connection_lost("the connection was lost while rows were read")
    if state in _SQLSTATES:
        return SourceError(*_SQLSTATES[state])
    condition = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    return query_failed(f"{condition} ({state})", hidden_message_hint("psql"))


def query_timeout(connection: str, seconds: float) -> SourceError:
    """Return the error for a query that the server ended at its time limit."""
    return SourceError(
        "query-timeout",
        f"the query ran longer than {seconds:g} seconds",
        f"Make it faster, or raise spec.connections.{connection}.timeoutSeconds in segctl.yaml.",
    )


def connection_lost(summary: str) -> SourceError:
    """Return the error for a copy that ended early."""
    return SourceError("connection-lost", summary, NOT_USED)


def bad_parameter(variable: str) -> SourceError:
    """Return the error for a variable whose value PostgreSQL text cannot hold."""
    return SourceError(
        "bad-variable",
        f'the value of the variable "{variable}" contains NUL or is not UTF-8',
        "Set another value.",
    )
