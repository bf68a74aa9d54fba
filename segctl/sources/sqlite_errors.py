"""Errors of a SQLite source.

SQLite's messages can quote values. Only those about names and syntax are shown.
"""

import re

from segctl.engine.model import SourceError
from segctl.engine.source_errors import (
    FIX_VALUE,
    cast_hint,
    hidden_message_hint,
    parameter_without_value,
    query_failed,
    several_statements,
)

_SHOWN = re.compile(
    r"no such (table|column|function|collation sequence|view): |near \"|ambiguous column name"
    r"|wrong number of arguments|misuse of |incomplete input|circular reference"
    r"|SELECTs to the left and right|unrecognized token"
)
_FORBIDDEN = ("not authorized", "prohibited", "authorization denied", "unsafe use")

_CAST_WARNING = "10.0 is not 10: cast whole numbers to INTEGER first."


def database_changed() -> SourceError:
    """Return the error for a database that another process wrote while it was read."""
    return SourceError(
        "unreadable-file",
        "the database was changed while it was read",
        "Run the same command again, or read a copy of the file.",
    )


def not_a_log(name: str) -> SourceError:
    """Return the error for something else where the log of a database would be."""
    return SourceError(
        "unreadable-file",
        f"{name} is not a regular file",
        "SQLite would read it as the log of the database. Remove it.",
    )


def column_not_text(column: str, type_: str, key: str, table: str) -> SourceError:
    """Return the error for a column with values of another type.

    ``key`` is the name that the hint gives to the cast column.
    """
    if type_ == "BLOB":
        hint = "Identities are text: store them as TEXT."
    else:
        hint = f"{cast_hint(column, key, table)} {_CAST_WARNING}"
    return SourceError(
        "column-not-text", f'column "{column}" has values of type {type_}, not text', hint
    )


def explain(error: Exception) -> SourceError:
    """Return the error for an exception of ``sqlite3``."""
    message = str(error)
    name = getattr(error, "sqlite_errorname", "")
    if "one statement at a time" in message:
        return several_statements()
    if "Binding " in message or "binding parameter" in message:
        return parameter_without_value()
    for marks, code, summary, hint in _KNOWN:
        if name.startswith(marks) or any(mark in message for mark in marks):
            return SourceError(code, summary, hint)
    if any(mark in message for mark in _FORBIDDEN):
        return SourceError(
            "query-forbidden",
            "the query does more than read data, which is not allowed",
            "A query can only read data with SELECT.",
        )
    if _SHOWN.search(message):
        # A column of a table is selected as t."email".
        return query_failed(message.replace("no such column: t.", "no such column: ", 1))
    return query_failed(
        f"SQLite reports {name or type(error).__name__}", hidden_message_hint("sqlite3")
    )


_KNOWN: tuple[tuple[tuple[str, ...], str, str, str], ...] = (
    (
        ("SQLITE_BUSY", "SQLITE_LOCKED"),
        "database-locked",
        "the database is locked by another process",
        "Run the same command again when that process has finished.",
    ),
    (
        ("SQLITE_NOTADB",),
        "unreadable-file",
        "the file is not a SQLite database",
        "Check the path.",
    ),
    (
        ("SQLITE_CORRUPT",),
        "unreadable-file",
        "the database is damaged",
        "Restore it from a backup. `sqlite3 FILE 'PRAGMA integrity_check'` shows the damage.",
    ),
    (
        ("SQLITE_READONLY", "SQLITE_CANTOPEN"),
        "unreadable-file",
        "the database cannot be opened read-only",
        "If a writer left its journal, open the file once with sqlite3, or read a copy of it.",
    ),
    (
        ("SQLITE_IOERR",),
        "unreadable-file",
        "the database cannot be read: the disk reports an error",
        "Check the disk, or restore the file from a backup.",
    ),
    (
        ("Could not decode to UTF-8",),
        "unreadable-file",
        "a value in the database is not UTF-8",
        FIX_VALUE,
    ),
)
"""The start of an error's name or a part of its message, then code, summary and hint."""
