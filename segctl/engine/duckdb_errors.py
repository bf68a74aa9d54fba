"""Errors of DuckDB about a source, in terms of the user's files and queries.

DuckDB's messages can quote rows, and identities are personal data. So its messages are matched
and not shown; only line numbers are taken from them. The exception is a message about a query
that has not started to run: it quotes the query only.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from segctl.core.errors import StateDamaged
from segctl.engine import source_errors
from segctl.engine.model import CheckedQuery, CopiedRows, FileScan, Rows, SourceError
from segctl.engine.resource_errors import is_resource_error
from segctl.engine.sql import WHOLE_NUMBERS, identifier

_CHECK_FORMAT = "Check that the file has the format that its name shows."
_SAVE_UTF8 = (
    "Save it as UTF-8, or name its encoding in a file source, such as encoding: windows-1252."
)
_ONE_TEXT = "An identity is a single text value."
_ONE_OBJECT = "Write one JSON object per line."
_CAST_COLUMNS = "Columns of a CSV file are text. Cast them, for example CAST(amount AS DOUBLE)."

_UNKNOWN = ("the file cannot be read", _CHECK_FORMAT)
_DAMAGED = ("the file cannot be read: it seems to be damaged", "Write the file again.")
_OPEN_QUOTE = ("a quoted value does not end", 'Write a quote inside a quoted value as "".')

_FILE_IN_MESSAGE = re.compile(r'(?:sniffing|Failed to read) file "([^"]+)"')
_LINE_IN_MESSAGE = re.compile(r"on Line: (\d+)|in line (\d+)")
_LOOKS_LIKE_DATA = re.compile(r"@|\d{5}")
_DELIMITERS = {";": "a semicolon", "|": "a bar", "\t": "a tab", ",": "a comma"}
_WRITTEN = {"\t": '"\\t"'}
"""How a delimiter is written in a manifest, if not in single quotes."""

_MESSAGES = (
    ("has duplicate key", "a line has a key twice", "Write each key once."),
    ("Expected OBJECT", "a line is not a JSON object", _ONE_OBJECT),
    ("not utf-8", "the file is not UTF-8", _SAVE_UTF8),
    ("Invalid unicode", "the file is not UTF-8", _SAVE_UTF8),
    (
        "Error when sniffing",
        "a row of a CSV file does not match its header, or a quoted value does not end",
        (
            "Separate values with a comma in CSV, with a tab in TSV. For another separator, write "
            "read_csv('FILE', delim = ';')."
        ),
    ),
    ("Failed to read file", *_DAMAGED),
    (
        "Parallel CSV Reader",
        "a query cannot read a large CSV file with line breaks in quoted values",
        "Read it as a file source, or write it as Parquet.",
    ),
    ("unterminated quote", *_OPEN_QUOTE),
    (
        "Expected Number of Columns",
        "a row has more or fewer values than the header",
        "Quote each value that contains the separator or a line break.",
    ),
    (
        "invalid state",
        "the file has mixed line ends or a stray quote",
        'Use one kind of line end, and write a quote inside a quoted value as "".',
    ),
    ("Malformed JSON", "a line is not valid JSON", _ONE_OBJECT),
    ("No magic bytes", "the file is not a Parquet file", _CHECK_FORMAT),
    ("too small to be a Parquet", "the file is not a Parquet file", _CHECK_FORMAT),
    # It is gzip, as was checked before. DuckDB cannot read names and padding in it.
    ("gzip", "the gzip file cannot be read", "Compress it again with `gzip -n`."),
    ("No such file", "the file no longer exists", "Run the same command again."),
    ("No files found", "the file no longer exists", "Run the same command again."),
    ("Permission denied", "the file cannot be read: permission denied", "Check its permissions."),
)
"""Text in DuckDB's message, the summary and the hint. The first match counts."""


_MAX_MESSAGE = 200
_UNKNOWN_COLUMN = re.compile(
    r'Error: (?:Referenced column|Table "(?:[^"]|"")*" does not have a column named) '
    r'"((?:[^"]|"")*)"'
)
_QUERY_LINE = re.compile(r"^LINE (\d+): ", re.MULTILINE)
_IDENTIFIER = re.compile(r"\w+")


# Files


def find_delimiter(columns: Sequence[str]) -> str:
    """Return the delimiter that a file seems to have, if its header was read as one column."""
    if len(columns) != 1:
        return ""
    return max(_DELIMITERS, key=columns[0].count) if set(_DELIMITERS) & set(columns[0]) else ""


def missing_column(column: str, columns: list[str], *, is_tsv: bool = False) -> SourceError:
    """Return the error for a file without a column. ``columns`` are those that it has."""
    if not columns:
        summary = "the file is empty: it has no header line"
        return SourceError("missing-column", summary, "Write the names of the columns first.")
    summary = f'the file has no column "{column}"'
    if found := find_delimiter(columns):
        summary += f": its header is a single name that contains {_DELIMITERS[found]}"
        hint = f"If it separates values, set delimiter: {_WRITTEN.get(found, repr(found))}."
        if is_tsv:
            hint = hint.replace("set", "set format: csv and")
    elif any(map(_LOOKS_LIKE_DATA.search, columns)):
        hint = "Its first line looks like a row of data. Write a header line above it."
    else:
        listed = f"Its columns are: {source_errors.join_names(columns)}. Name one as `column`."
        hint = source_errors.did_you_mean(column, columns) or listed
    return SourceError("missing-column", summary, hint)


def unreadable_header() -> SourceError:
    """Return the error for a CSV or TSV file whose first line is not a list of names."""
    return SourceError(
        "missing-column",
        "the header line cannot be read",
        "The first line contains the names of the columns, without line breaks or stray quotes.",
    )


def duplicate_column(column: str, columns: Sequence[str]) -> SourceError:
    """Return the error for a header that contains a name twice. ``columns`` are all its names."""
    return SourceError(
        "missing-column",
        f'the file has two columns named "{source_errors.show_name(column, columns)}"',
        "Remove or rename one of them.",
    )


def check_distinct(names: Sequence[str]) -> None:
    """Raise ``SourceError`` if a header has a name twice, regardless of case."""
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise duplicate_column(name, names)
        seen.add(name.lower())


def open_quote() -> SourceError:
    """Return the error for a file that ends within a quoted value."""
    return SourceError("unreadable-file", *_OPEN_QUOTE)


def missing_key(key: str, keys: Sequence[str]) -> SourceError:
    """Return the error for JSON Lines in which no object has a value for a key.

    ``keys`` are those of the first line.
    """
    listed = f"The keys of the first line are: {source_errors.join_names(keys)}. " if keys else ""
    return SourceError(
        "missing-column",
        f'no line has a value for the key "{key}"',
        f"{listed}Name the key that holds the users as `column`. Keys are compared as written.",
    )


def nested_too_deeply() -> SourceError:
    """Return the error for a query with too many levels of subqueries."""
    return SourceError(
        "query-not-select",
        "the query is nested too deeply",
        "Split it with WITH, or write fewer levels of subqueries.",
    )


def comment_lines(lines: int, first: int) -> SourceError:
    """Return the error for lines of a txt file that are comments, or that end in one.

    ``first`` is the number of the first such line.
    """
    have = "1 line has" if lines == 1 else f"{lines:,} lines have"
    return SourceError(
        "comment-lines",
        f"{have} a # at the beginning or after white space, as comments do",
        "Set comments: '#' to leave comments out, or comments: '' to take each line as it is.",
        line=first,
    )


def column_not_text(column: str, type_: str) -> SourceError:
    """Return the error for a column of a Parquet file whose type has no certain text."""
    return source_errors.column_not_text(column, type_, _file_cast_hint(identifier(column), type_))


def _file_cast_hint(column: str, type_: str) -> str:
    """Return how to read a column of a file as text. A plain cast of some types would be wrong."""
    if _is_nested(type_):
        return f"{_ONE_TEXT} Extract it with a query."
    if type_ == "BLOB":
        return f"If it is UTF-8, decode it with a query: SELECT decode({column}) AS … FROM '…'."
    if _is_fraction(type_):
        return (
            "If all values are whole numbers, cast them with a query: "
            f"SELECT CAST(CAST({column} AS BIGINT) AS VARCHAR) AS … FROM '…'."
        )
    return f"Cast it with a query: SELECT CAST({column} AS VARCHAR) AS … FROM '…'."


def has_one_spelling(type_: str) -> bool:
    """Return whether text of every value of a type is certain: text, whole numbers and UUIDs."""
    return type_ in WHOLE_NUMBERS or type_ in ("VARCHAR", "UUID") or type_.startswith("ENUM")


def _is_nested(type_: str) -> bool:
    return type_.endswith("]") or type_.startswith(("STRUCT", "MAP", "UNION", "JSON", "VARIANT"))


def _is_fraction(type_: str) -> bool:
    return type_ in ("DOUBLE", "FLOAT") or type_.startswith("DECIMAL")


def field_not_text(column: str, rows_by_type: Mapping[str, int]) -> SourceError:
    """Return the error for a field of JSON Lines with values that are not text."""
    types = ", ".join(f"{rows:,} of type {type_}" for type_, rows in rows_by_type.items())
    return SourceError(
        "column-not-text",
        f'field "{column}" has values that are not text: {types}',
        'Write identities as strings, such as {"' + column + '": "0012345"}.',
    )


# Queries


def not_a_select(tree: Mapping[str, Any], query: str) -> SourceError:
    """Return the error for a query that is not one SELECT. ``tree`` is DuckDB's answer."""
    if tree.get("error_type") == "parser":
        message = str(tree["error_message"])
        if len(message) > _MAX_MESSAGE:
            message = message[:_MAX_MESSAGE] + "…"
        before = query.encode()[: int(tree.get("position") or 0)]  # DuckDB counts bytes
        line = before.count(b"\n") + 1
        place = f", in line {line} of the query" if line > 1 else ""
        error = SourceError(
            "query-syntax",
            f"the query cannot be parsed: {message}{place}",
            "The mistake is there or just before it.",
        )
        if tree.get("position") is not None:
            last = before.rpartition(b"\n")[2].decode("utf-8", "replace")
            error.query_position = (line, len(last) + 1)
        return error
    return source_errors.not_a_select()


def find_unknown_column(message: str) -> str | None:
    """Return the name of the column that a query refers to and no file has, if that failed."""
    found = _UNKNOWN_COLUMN.search(message)
    return found[1].replace('""', '"') if found else None


def find_position(message: str) -> tuple[int, int] | None:
    """Return the line of a query that a message of DuckDB quotes, and 0 for its column."""
    found = _QUERY_LINE.search(message)
    return (int(found[1]), 0) if found else None


def unknown_column(name: str, columns: Mapping[str, Sequence[str]]) -> SourceError:
    """Return the error for a query with an unknown column.

    ``columns`` are those of its files, by path. The error has the file that seems to have another
    delimiter.
    """
    for path, header in columns.items():
        if found := find_delimiter(header):
            error = source_errors.query_failed(
                f'there is no column "{name}": a header is a single name that contains '
                f"{_DELIMITERS[found]}",
                f"If it separates values, write read_csv('FILE', delim = '{found}').".replace(
                    "\t", "\\t"
                ),
            )
            error.file = Path(path)
            return error
    known = list(dict.fromkeys(column for names in columns.values() for column in names))
    return _unknown_column(name, known)


def _unknown_column(name: str, columns: Sequence[str]) -> SourceError:
    if not columns:
        return source_errors.query_failed(f'there is no column "{name}"')
    listed = f"The columns of its files are: {source_errors.join_names(columns)}."
    hint = source_errors.did_you_mean(name, columns)
    if not hint and not _IDENTIFIER.fullmatch(name):
        hint = "If it is text, write it in single quotes."
    return source_errors.query_failed(f'there is no column "{name}"', f"{hint} {listed}".strip())


def both_keys(rows: int) -> SourceError:
    """Return the error for rows with an identity and a guid."""
    return SourceError(
        "both-keys",
        f"the query returns both identity and guid in {rows:,} row{'' if rows == 1 else 's'}",
        "Return NULL for one of them in each row.",
    )


def truncated_copy(*, sent: int, read: int) -> SourceError:
    """Return the error for a copy with fewer or more rows than the database counted."""
    return SourceError(
        "connection-lost",
        f"the database sent {sent:,} rows, but {read:,} could be read",
        source_errors.NOT_USED,
    )


def select_result_columns(
    columns: Sequence[tuple[str, str]],
    segment_column: str | None,
    uncertain_types: Collection[str] = (),
) -> str:
    """Return the columns ``identity``, ``guid`` and ``segment_value`` to select from a result.

    ``columns`` are the names and types of the result. Raises ``SourceError`` if a column is
    missing, appears twice, or has a type without certain text; see ``CheckedQuery`` for
    ``uncertain_types``.
    """
    names = [column for column, _ in columns]
    by_key = {column.lower(): (column, type_) for column, type_ in columns}
    wanted = ["identity", "guid"]
    if segment_column:
        wanted.append(segment_column.lower())
    for key in wanted:
        if sum(name.lower() == key for name in names) > 1:
            raise source_errors.duplicate_column(key)
    selected = []
    for key in ("identity", "guid"):
        if key not in by_key:
            selected.append(f"NULL::VARCHAR AS {key}")
            continue
        column, type_ = by_key[key]
        # A column with only NULL has the type NULL.
        if type_ not in ("NULL", '"NULL"') and (
            type_ in uncertain_types or not has_one_spelling(type_)
        ):
            raise source_errors.column_not_text(key, type_, _query_cast_hint(key, type_))
        selected.append(f"{identifier(column)}::VARCHAR AS {key}")
    if "identity" not in by_key and "guid" not in by_key:
        raise source_errors.no_member_column(names)
    if segment_column is None:
        return ", ".join([*selected, "NULL::VARCHAR AS segment_value"])
    if segment_column.lower() not in by_key:
        raise source_errors.missing_segment_column(segment_column, names)
    column, _ = by_key[segment_column.lower()]
    return ", ".join([*selected, f"{identifier(column)}::VARCHAR AS segment_value"])


def _query_cast_hint(key: str, type_: str) -> str:
    """Return how a query can return text. A plain cast of some types would be wrong."""
    if type_ == "JSON":
        return f"Extract its text: …->>'$' AS {key}. A cast would keep the quotes."
    if _is_nested(type_):
        return f"{_ONE_TEXT} Extract it from the column."
    if type_ == "BLOB":
        return f"If it is UTF-8, decode it: decode(…) AS {key}."
    if type_ == "UUID" or type_.startswith(("DATE", "TIME")):
        columns = f"{{{key}: 'VARCHAR'}}"
        warning = f"In JSON, read it as text instead: read_json('FILE', columns = {columns})."
    elif _is_fraction(type_):
        warning = "If 10.0 means the whole number 10, cast it to BIGINT first."
    elif type_ in WHOLE_NUMBERS:
        warning = "If the file has leading zeros, read the column as text instead."
    else:
        warning = ""
    return f"Cast it: CAST(… AS VARCHAR) AS {key}. {warning}".rstrip()


# Errors while rows are read


def unreadable_member_file() -> StateDamaged:
    """Return the error for a file of the state that DuckDB cannot read."""
    return StateDamaged(
        "a member file of the state cannot be read",
        hint="Run `segctl state fsck` to find the segment. Restore segctl.state.d from a backup.",
    )


def explain_error(error: duckdb.Error, rows: Rows) -> SourceError:
    """Return the error for rows that cannot be read. Raises errors about memory and disk again."""
    if is_resource_error(error):
        raise error
    message = str(error)
    found = _LINE_IN_MESSAGE.search(message)
    line = int(found[1] or found[2]) if found else 0
    if line and "Malformed JSON" in message:
        line -= 1  # DuckDB reports the number of the following line
    if isinstance(rows, CheckedQuery):
        failed = _explain_query_error(error, message, line)
        file = _FILE_IN_MESSAGE.search(message)
        failed.file = next((f for f in rows.files if file and str(f) == file[1]), None)
        return failed
    if isinstance(rows, CopiedRows):
        return SourceError("query-failed", "the rows of the database cannot be read")
    summary, hint = _explain_message(message)
    if isinstance(rows, FileScan) and rows.format == "parquet" and (summary, hint) == _UNKNOWN:
        summary, hint = _DAMAGED
    return SourceError("unreadable-file", summary, hint, line=line)


def _explain_message(message: str) -> tuple[str, str]:
    """Return the summary and the hint for a message of DuckDB."""
    for mark, summary, hint in _MESSAGES:
        if mark.lower() in message.lower():
            return summary, hint
    return _UNKNOWN


def _explain_query_error(error: duckdb.Error, message: str, line: int) -> SourceError:
    if isinstance(error, duckdb.BinderException | duckdb.CatalogException | duckdb.ParserException):
        first = message.split("\n", 1)[0]
        first = first.removeprefix("Binder Error: ").removeprefix("Catalog Error: ")
        hint = _CAST_COLUMNS if "cast" in message.lower() else ""
        failed = source_errors.query_failed(first, hint)
        failed.query_position = find_position(message)
        return failed
    if isinstance(error, duckdb.PermissionException):
        return SourceError(
            "query-forbidden",
            "the query reads something other than the files that it names",
            "A query can only read files of the workspace, each named in single quotes.",
        )
    if isinstance(error, duckdb.ConversionException):
        return source_errors.query_failed(
            "a value cannot be converted to the type it is cast to",
            "Use TRY_CAST, and leave out the rows for which it returns NULL.",
        )
    if "Values were not provided" in message:
        return source_errors.parameter_without_value()
    summary, hint = _explain_message(message)
    if summary == _UNKNOWN[0]:
        kind = type(error).__name__.removesuffix("Exception")
        summary = f"DuckDB rejects a value or a function in it ({kind})"
        hint = source_errors.hidden_message_hint("DuckDB")
    return source_errors.query_failed(summary, hint, line=line)
