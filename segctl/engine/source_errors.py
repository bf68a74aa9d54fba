"""Errors that several kinds of source raise, so that all of them use the same words.

The engine raises some of them for files and for queries over files, ``sources/`` raises
them for databases. Messages never quote rows: identities are personal data.
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from segctl.engine.model import SourceError
from segctl.engine.sql import identifier

MAX_LISTED = 10

_PLAIN_NAME = re.compile(r"(?!\w*\d{4})[^\W\d][\w -]{0,39}")
"""What a column may be called: words of letters, without punctuation and with few digits."""

ONE_SELECT = "Write one SELECT statement. It may begin with WITH."
NOT_USED = "The incomplete data is not used. Run the same command again."
FIX_VALUE = "Fix the value, or leave its row out with a query."


def show_name(name: str, header: Sequence[str] = ()) -> str:
    """Return a column's name for a message, ``…`` if it may be a value.

    The first line of a file without a header is a row. If any name of the ``header`` may be a
    value, none is shown.
    """
    is_plain = all(map(_PLAIN_NAME.fullmatch, (name, *header)))
    return name if is_plain else "…"


def join_names(names: Sequence[str]) -> str:
    """Return the names as a list for a message, the first ten of them.

    If one of them may be a value, return only how many there are.
    """
    if not all(map(_PLAIN_NAME.fullmatch, names)):
        count = f"{len(names)} name{'' if len(names) == 1 else 's'}"
        return f"{count}, not shown because they may be values"
    return ", ".join(names[:MAX_LISTED]) + (", …" if len(names) > MAX_LISTED else "")


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return a question that suggests the known name closest to ``name``, or an empty string."""
    near = get_close_matches(name, known, n=1)
    is_plain = all(map(_PLAIN_NAME.fullmatch, known))
    return f'Did you mean "{near[0]}"?' if near and is_plain else ""


def missing_library(purpose: str, library: str, extra: str) -> SourceError:
    """Return the error for an optional dependency that is not installed."""
    return SourceError(
        "missing-library",
        f"{purpose} needs the library {library}, which is not installed",
        f"Install it: pip install 'segctl[{extra}]'.",
    )


def untrusted(summary: str) -> SourceError:
    """Return the error for what only a trusted ``segctl.yaml`` may allow, in a pull request."""
    return SourceError(
        "untrusted",
        f"{summary} for a pull request, which could allow anything in its own segctl.yaml",
        "Name a trusted copy of segctl.yaml, such as with --trusted-config origin/main, and fetch "
        "it before: `git fetch origin main:refs/remotes/origin/main`.",
    )


def not_a_select() -> SourceError:
    """Return the error for a query that is empty or is another kind of statement."""
    return SourceError("query-not-select", "the query is not a SELECT", ONE_SELECT)


def several_statements() -> SourceError:
    """Return the error for a query with more than one statement."""
    return SourceError("query-not-select", "the query has more than one statement", ONE_SELECT)


def query_failed(message: str, hint: str = "", *, line: int = 0) -> SourceError:
    """Return the error for a query that failed. ``message`` must not quote rows."""
    return SourceError("query-failed", f"the query failed: {message}", hint, line=line)


def hidden_message_hint(program: str) -> str:
    """Return a hint for a database's message that is not shown, as it may quote rows."""
    return f"The full message may contain your data. Run the query in {program} to see it."


def parameter_without_value() -> SourceError:
    """Return the error for a parameter that names no variable, such as ``?``."""
    return SourceError(
        "query-failed",
        "the query has a parameter without a value",
        "Write a parameter as $NAME, where NAME is a variable of segctl.yaml.",
    )


def no_member_column(columns: Sequence[str]) -> SourceError:
    """Return the error for a result with neither of the columns that can hold members."""
    listed = f"Its columns are: {join_names(columns)}. " if columns else ""
    return SourceError(
        "query-columns",
        "the query returns neither a column identity nor a column guid",
        f"{listed}Rename one: SELECT … AS identity.",
    )


def duplicate_column(column: str) -> SourceError:
    """Return the error for a result with two columns of one name, regardless of case."""
    return SourceError(
        "query-columns",
        f'the query returns two columns named "{column}"',
        "Remove or rename one of them.",
    )


def missing_segment_column(column: str, columns: Sequence[str]) -> SourceError:
    """Return the error for a result without the segment column of a SegmentTable."""
    hint = did_you_mean(column, columns) or f"Its columns are: {join_names(columns)}."
    return SourceError("missing-column", f'the query returns no column "{column}"', hint)


def column_not_text(column: str, type_: str, hint: str) -> SourceError:
    """Return the error for a column whose type is not text."""
    return SourceError("column-not-text", f'column "{column}" is {type_}, not text', hint)


def cast_hint(column: str, key: str, table: str = "") -> str:
    """Return how to turn a column into text and name it ``key``, such as identity.

    ``table`` is given if the source reads a table instead of a query.
    """
    alias = key if key.isidentifier() else identifier(key)
    if table:
        return f"Use sql instead of table {table}: CAST({identifier(column)} AS TEXT) AS {alias}."
    return f"Cast it: CAST(… AS TEXT) AS {alias}."
