"""Why rows of a PostgreSQL database could not be had, in words that give nothing away.

The texts of libpq and of the server quote hosts, users, passwords and rows.  Only what
a server says of a query that it has not begun to run is passed on: it quotes the query.
"""

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from segctl.engine.base import SourceError

if TYPE_CHECKING:
    import psycopg

_HOST = "Check the host in {url}; a password in front of it has %XX for special characters."
_CONNECTING = (
    ("certificate", "TLS fails", "Check sslmode and sslrootcert in {url}."),
    ("failed to resolve", "its host is not known", _HOST),
    ("could not translate", "its host is not known", _HOST),
    ("timeout", "its host does not answer", "Check host and port in {url}, and the network."),
    ("refused", "nothing listens there", "Check host and port in {url}; is the server running?"),
    ("no such file", "nothing listens there", "Check the socket's folder in {url}."),
    ("authentication", "the server refuses the login", "Check user and password in {url}."),
    ("password", "the server refuses the login", "Check user and password in {url}."),
    ("role ", "the server refuses the login", "Check user and password in {url}."),
    (
        "pg_hba.conf",
        "the server refuses the login",
        "Its pg_hba.conf lets no such user in.",
    ),
    ("database ", "the server has no such database", "Check the database in {url}."),
    ("too many", "the server has no connection to spare", "Try again later."),
    ("connection slots", "the server has no connection to spare", "Try again later."),
    ("starting up", "the server is starting or stopping", "Try again later."),
    ("shutting down", "the server is starting or stopping", "Try again later."),
    ("recovery mode", "the server is starting or stopping", "Try again later."),
    ("ssl", "TLS fails", "Check sslmode and sslrootcert in {url}."),
)
"""Marks in what libpq says, with what we say; the first that fits."""

_RUNNING = {
    "57014": ("query-failed", "somebody canceled the query", "Run the same command again."),
    "25006": (
        "query-forbidden",
        "the query would change something, which is not allowed",
        "It runs in a transaction that may only read.",
    ),
    "40001": (
        "query-failed",
        "the server took the query back because of a conflict with another",
        "Run the same command again; on a standby, raise max_standby_streaming_delay.",
    ),
    "42601": ("query-syntax", "the query has a semicolon before its end", "Remove it."),
    "22021": ("not-utf8", "a value cannot be written in UTF-8", "Mend the data."),
    "22P05": ("not-utf8", "a value cannot be written in UTF-8", "Mend the data."),
    "53100": ("query-failed", "the server's disk is full", "Its administrator can help."),
    "53200": ("query-failed", "the server is out of memory", "Its administrator can help."),
}
"""What we say of an error while rows are read, by its SQLSTATE: code, summary, detail."""

_NAMES = re.compile(r"""\"[^"]*"|'[^']*'""")

_OWN_WORDS = "Its own words may quote your data; run the query in psql to see them."
_GRANT = "Let the role read it: GRANT SELECT ON … TO …"
_ONE_SELECT = "Write one SELECT; it may begin with WITH."


def no_library() -> SourceError:
    """Say that the extra is not installed."""
    return SourceError(
        "missing-library",
        "reading from PostgreSQL needs the library psycopg, which is not installed",
        "Install it: pip install 'segctl[postgres]'.",
    )


def no_url(name: str, variable: str) -> SourceError:
    """Say that the environment does not tell where the database is."""
    return SourceError(
        "connection-without-url",
        f"{variable} is not set in the environment",
        f"Set it to postgresql://USER:PASSWORD@HOST:5432/DATABASE, or change "
        f"spec.connections.{name}.env in segctl.yaml.",
    )


def while_connecting(error: Exception, variable: str) -> SourceError:
    """Explain why there is no connection."""
    import psycopg  # noqa: PLC0415 - loaded by the caller

    if not isinstance(error, psycopg.OperationalError):
        return SourceError(
            "connection-url",
            f"what {variable} holds is no URL of a PostgreSQL database",
            "Write postgresql://USER:PASSWORD@HOST:5432/DATABASE, with special characters as %XX.",
        )
    text = _NAMES.sub("", str(error)).lower()
    summary, advice = next(
        ((summary, advice) for mark, summary, advice in _CONNECTING if mark in text),
        ("the connection fails", 'psql "${url}" shows why.'),
    )
    return SourceError("connection-failed", summary, advice.format(url=variable))


def while_checking(error: "psycopg.Error") -> SourceError:
    """Explain why a query is refused before it ran; the server quotes the query alone.

    What is said from within a function may quote anything: the server runs those that
    are called immutable while it plans.
    """
    if error.diag.context:
        return while_reading(error)
    said = error.diag.message_primary or ""
    if "multiple commands" in said:
        return SourceError("query-not-select", "the query has several statements", _ONE_SELECT)
    if error.sqlstate == "42501":
        hidden = "row-level security" in said
        advice = "Let a policy show it all rows." if hidden else _GRANT
        return SourceError("query-failed", f"the query fails: {said}", advice)
    if error.sqlstate in ("42601", "0A000"):
        return SourceError("query-syntax", f"the query is not a SELECT: {said}", _ONE_SELECT)
    return SourceError("query-failed", f"the query fails: {said}", error.diag.message_hint or "")


def while_reading(error: "psycopg.Error") -> SourceError:
    """Explain why a query that ran gave no result."""
    state = error.sqlstate or ""
    if not state or state.startswith(("08", "57P")):
        return connection_lost("the connection broke while rows were read")
    if state in _RUNNING:
        return SourceError(*_RUNNING[state])
    what = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    return SourceError("query-failed", f"the query fails: {what} ({state})", _OWN_WORDS)


def too_slow(name: str, limit: float) -> SourceError:
    """Say that the server ended a query that ran for so many seconds."""
    return SourceError(
        "query-timeout",
        f"the query runs longer than {limit:g} seconds",
        f"Make it faster, or raise spec.connections.{name}.timeoutSeconds in segctl.yaml.",
    )


def connection_lost(summary: str) -> SourceError:
    """Say that a copy ended early."""
    return SourceError(
        "connection-lost", summary, "Nothing of them was used. Run the same command again."
    )


def bad_parameter(variable: str) -> SourceError:
    """Say that a variable's value cannot be sent."""
    return SourceError(
        "bad-variable",
        f'the value of the variable "{variable}" cannot be written in UTF-8 without NUL',
        "Give it another value.",
    )


def bad_text() -> SourceError:
    """Say that a query cannot be sent."""
    return SourceError("query-syntax", "the query cannot be written in UTF-8", "Mend it.")


def column_not_text(column: str, type_: str, table: str) -> SourceError:
    """Say that a column of a table holds no text, and how to make it text."""
    return SourceError(
        "column-not-text",
        f'column "{column}" is {type_}, not text',
        f"Cast it with sql in place of table {table}: CAST({_quoted(column)} AS text) AS identity.",
    )


def result_not_text(key: str, type_: str) -> SourceError:
    """Say that a column of a query's result holds no text."""
    return SourceError(
        "column-not-text",
        f"the query's column {key} is {type_}, not text",
        f"Cast it: CAST(… AS text) AS {key}.",
    )


def column_twice(name: str) -> SourceError:
    """Say that a query's result is ambiguous."""
    return SourceError("query-columns", f"the query gives two columns {name}", "Name each once.")


def no_members(there: list[str]) -> SourceError:
    """Say that a query gives no members."""
    gives = f"It gives: {_listed(there)}. " if there else ""
    return SourceError(
        "query-columns",
        "the query gives neither a column identity nor a column guid",
        f"{gives}Rename one: SELECT … AS identity.",
    )


def no_segment_column(column: str, there: list[str]) -> SourceError:
    """Say that a query does not tell which segments its rows fill."""
    near = get_close_matches(column, there, n=1)
    advice = f'Did you mean "{near[0]}"?' if near else f"It gives: {_listed(there)}."
    return SourceError("missing-column", f'the query gives no column "{column}"', advice)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
