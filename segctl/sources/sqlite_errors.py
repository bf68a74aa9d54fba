"""What a SQLite file refuses, in the user's words.

SQLite's own messages may quote values; only those on names and syntax are shown.
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from segctl.engine.base import SourceError

_SHOWN = re.compile(
    r"no such (table|column|function|collation sequence|view): |near \"|ambiguous column name"
    r"|wrong number of arguments|misuse of |incomplete input|circular reference"
    r"|SELECTs to the left and right|unrecognized token"
)
_FORBIDDEN = ("not authorized", "prohibited", "authorization denied", "unsafe use")


def quoted(name: str) -> str:
    """Quote a name for SQLite."""
    return '"' + name.replace('"', '""') + '"'


def not_a_select() -> SourceError:
    """Say that a text is not a query."""
    return SourceError("query-not-select", "the query is not a SELECT", "Write one SELECT.")


def changed() -> SourceError:
    """Say that somebody wrote to the database while it was read."""
    return SourceError(
        "unreadable-file",
        "the database was changed while it was read",
        "Run the same command again, or read a copy of it.",
    )


def not_text(column: str, type_: str, table: str) -> SourceError:
    """Say that a column holds values that are no text, and how to make them text."""
    beware = "A number has no leading zeros."
    if type_ == "REAL":
        beware = "10.0 is not 10: cast whole numbers to INTEGER first."
    if type_ == "BLOB":
        advice = "Identities are text: store them as TEXT."
    elif table:
        cast = f"CAST({quoted(column)} AS TEXT) AS identity FROM {quoted(table)}"
        advice = f"Cast it in sql, in place of table: SELECT {cast}. {beware}"
    else:
        advice = f"Cast it: CAST(… AS TEXT) AS {quoted(column)}. {beware}"
    return SourceError(
        "column-not-text", f'column "{column}" holds values of type {type_}, not text', advice
    )


def no_members(there: Sequence[str]) -> SourceError:
    """Say that a query names no member."""
    return SourceError(
        "query-columns",
        "the query gives neither a column identity nor a column guid",
        f"It gives: {', '.join(there)}. Rename one: SELECT … AS identity.",
    )


def no_segment_column(column: str, there: Sequence[str]) -> SourceError:
    """Say that a query does not give the column that says which segment a row fills."""
    near = get_close_matches(column, there, n=1)
    return SourceError(
        "missing-column",
        f'the query gives no column "{column}"',
        f'Did you mean "{near[0]}"?' if near else f"It gives: {', '.join(there)}.",
    )


def column_twice(column: str) -> SourceError:
    """Say that a result is ambiguous."""
    return SourceError("query-columns", f"the query gives two columns {column}", "Name each once.")


def explained(error: Exception) -> SourceError:
    """Turn an error of SQLite into the user's words."""
    text = str(error)
    name = getattr(error, "sqlite_errorname", "")
    for marks, code, summary, detail in _KNOWN:
        if name.startswith(marks) or any(mark in text for mark in marks):
            return SourceError(code, summary, detail)
    if any(mark in text for mark in _FORBIDDEN):
        return SourceError(
            "query-forbidden",
            "the query does what is not allowed",
            "A query may read with SELECT, and nothing else.",
        )
    if _SHOWN.search(text):
        # A column of a table is asked for as t."email".
        said = text.replace("no such column: t.", "no such column: ", 1)
        return SourceError("query-failed", f"the query fails: {said}", "")
    what = name or type(error).__name__
    return SourceError(
        "query-failed",
        f"the query fails in SQLite ({what})",
        "Its own words may quote your data; run the query in sqlite3 to see them.",
    )


_Known = tuple[tuple[str, ...], str, str, str]

_KNOWN: tuple[_Known, ...] = (
    (
        ("SQLITE_BUSY", "SQLITE_LOCKED"),
        "database-locked",
        "the database is locked by somebody who writes to it",
        "Run the same command again once that has ended.",
    ),
    (("SQLITE_NOTADB",), "unreadable-file", "the file is not a SQLite database", ""),
    (
        ("SQLITE_CORRUPT",),
        "unreadable-file",
        "the database is damaged",
        "`sqlite3 FILE 'PRAGMA integrity_check'` says more; restore it from a backup.",
    ),
    (
        ("SQLITE_READONLY", "SQLITE_CANTOPEN"),
        "unreadable-file",
        "the database cannot be opened to be read alone",
        "A writer may have left its journal: open it once with sqlite3, or read a copy.",
    ),
    (
        ("SQLITE_IOERR",),
        "unreadable-file",
        "the database cannot be read: the disk reports an error",
        "",
    ),
    (
        ("SQLITE_NOMEM", "SQLITE_FULL"),
        "query-failed",
        "the query needs more room than there is",
        "",
    ),
    (("Could not decode to UTF-8",), "unreadable-file", "a value in the database is not UTF-8", ""),
    (
        ("one statement at a time",),
        "query-not-select",
        "the query has several statements",
        "Write one SELECT.",
    ),
    (
        ("Binding ", "binding parameter"),
        "query-failed",
        "the query has a parameter without a value",
        "Write $NAME for a variable of segctl.yaml.",
    ),
)
