"""What an engine cannot read, said in the words of the user's files.

DuckDB's own messages quote rows of the data; identities are personal, so only the
kind of fault and the line number are taken from them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from segctl.core.errors import StateDamaged
from segctl.engine import source_errors
from segctl.engine.memory_limit import is_shortage
from segctl.engine.model import CheckedQuery, CopiedRows, FileScan, Rows, SourceError
from segctl.engine.sql import name

_UNKNOWN = ("the file cannot be read", "Check that its format is what its name says.")
_DAMAGED = ("the file cannot be read: it seems to be damaged", "Write it again.")
_OPEN_QUOTE = ("a quoted value does not end", 'Write a quote inside as "".')
_NAMED = re.compile(r'(?:sniffing|Failed to read) file "([^"]+)"')
_LINE = re.compile(r"on Line: (\d+)|in line (\d+)")
_LIKE_A_USER = re.compile(r"@|\d{5}")
_MARKS = {";": "a semicolon", "|": "a bar", "\t": "a tab", ",": "a comma"}
_READ_AS_TEXT = "CSV columns are read as text; cast them, such as CAST(amount AS DOUBLE)."


def not_a_select(tree: Mapping[str, Any]) -> SourceError:
    """Say why a text is not one SELECT."""
    if tree.get("error_type") == "parser":
        return SourceError("query-syntax", f"the query cannot be parsed: {tree['error_message']}")
    return source_errors.not_a_select()


def no_column(column: str, there: list[str]) -> SourceError:
    """Say that a file lacks a column, and which it has."""
    if not there:
        return SourceError("missing-column", "the file is empty: it has no header line")
    if len(there) == 1 and (mark := next((m for m in ";|\t," if m in there[0]), "")):
        advice = "Values are parted by a comma in csv, by a tab in tsv."
        summary = f'the file has no column "{column}": its header is one value with {_MARKS[mark]}'
        return SourceError("missing-column", summary, advice)
    if any(map(_LIKE_A_USER.search, there)):
        advice = "Its first line seems to be a user already: name the columns in a line above it."
        return SourceError("missing-column", f'the file has no column "{column}"', advice)
    listed = f"Its columns are: {source_errors.join_names(there)}. Name one as `column`."
    advice = source_errors.did_you_mean(column, there) or listed
    return SourceError("missing-column", f'the file has no column "{column}"', advice)


def no_header() -> SourceError:
    """Say that a file does not begin with the names of its columns."""
    return SourceError(
        "missing-column",
        "the file does not begin with a header line that can be read",
        "Its first line names the columns; no name has a line end or stray quotes in it.",
    )


def open_quote() -> SourceError:
    """Say that a file ends within a quoted value."""
    return SourceError("unreadable-file", *_OPEN_QUOTE)


def column_twice(column: str) -> SourceError:
    """Say that a header is ambiguous."""
    return SourceError(
        "missing-column", f'the file has two columns "{column}"', "Give each a name of its own."
    )


def not_text(column: str, type_: str) -> SourceError:
    """Say that a column holds no text, and how to make it text."""
    return source_errors.column_not_text(column, type_, _as_text(name(column), type_))


def _as_text(column: str, type_: str) -> str:
    """Say how a query makes text of a column; a cast of some types would invent users."""
    if _is_nested(type_):
        return "A member is one text: take it out of the value in a query."
    if type_ == "BLOB":
        return f"Decode it in a query, if it is UTF-8: SELECT decode({column}) AS … FROM '…'."
    if _is_fraction(type_):
        return (
            f"Cast it in a query: SELECT CAST(CAST({column} AS BIGINT) AS VARCHAR) AS … FROM '…', "
            "if all are whole numbers."
        )
    return f"Cast it in a query: SELECT CAST({column} AS VARCHAR) AS … FROM '…'."


def _is_nested(type_: str) -> bool:
    return type_.endswith("]") or type_.startswith(("STRUCT", "MAP", "UNION", "JSON", "VARIANT"))


def _is_fraction(type_: str) -> bool:
    return type_ in ("DOUBLE", "FLOAT") or type_.startswith("DECIMAL")


def not_text_in_json(column: str, wrong: Mapping[str, int]) -> SourceError:
    """Say that a field of JSON lines holds no text."""
    kinds = ", ".join(f"{rows:,} of type {type_}" for type_, rows in wrong.items())
    return SourceError(
        "column-not-text",
        f'field "{column}" holds values that are not text: {kinds}',
        'Write identities as strings, such as {"' + column + '": "0012345"}.',
    )


def both_keys(rows: int) -> SourceError:
    """Say that rows name a user twice."""
    return SourceError(
        "both-keys",
        f"the query returns both identity and guid in {rows:,} row{'' if rows == 1 else 's'}",
        "One of the two must be NULL in each row.",
    )


def cut_short(*, sent: int, read: int) -> SourceError:
    """Say that rows of a database were lost on the way."""
    return SourceError(
        "connection-lost",
        f"the server sent {sent:,} rows, and {read:,} could be read",
        source_errors.NOT_USED,
    )


def check_result(columns: Sequence[tuple[str, str]], select: CheckedQuery) -> str:
    """Give the result columns that are wanted of a query, for a SELECT over it.

    Raises ``SourceError`` where they are missing or hold no text.
    """
    there = {column.lower(): (column, type_) for column, type_ in columns}
    wanted = ["identity", "guid", *filter(None, [(select.segment_column or "").lower()])]
    for key in wanted:
        if sum(column.lower() == key for column, _ in columns) > 1:
            raise source_errors.duplicate_column(key)
    chosen = []
    for key in ("identity", "guid"):
        if key not in there:
            chosen.append(f"NULL::VARCHAR AS {key}")
            continue
        column, type_ = there[key]
        # A column of nothing but NULL has no type of its own.
        if type_ not in ("VARCHAR", "NULL", '"NULL"') and not type_.startswith("ENUM"):
            raise source_errors.column_not_text(key, type_, _as_key(key, type_))
        chosen.append(f"{name(column)}::VARCHAR AS {key}")
    if "identity" not in there and "guid" not in there:
        raise source_errors.no_member_column([column for column, _ in columns])
    if select.segment_column is None:
        return ", ".join([*chosen, "NULL::VARCHAR AS label"])
    if select.segment_column.lower() not in there:
        names = [column for column, _ in columns]
        raise source_errors.missing_segment_column(select.segment_column, names)
    column, _ = there[select.segment_column.lower()]
    return ", ".join([*chosen, f"{name(column)}::VARCHAR AS label"])


def _as_key(key: str, type_: str) -> str:
    """Say how a query makes text of a result; a cast of some types would invent users."""
    if type_ == "JSON":
        return f"Take its text out of it: …->>'$' AS {key}. A cast would keep the quotes."
    if _is_nested(type_):
        return "A member is one text: take it out of the value."
    if type_ == "BLOB":
        return f"Decode it, if it is UTF-8: decode(…) AS {key}."
    if type_ == "UUID" or type_.startswith(("DATE", "TIME")):
        advice = (
            f"of JSON, read it as text instead: read_json('FILE', columns = {{{key}: 'VARCHAR'}})."
        )
    elif _is_fraction(type_):
        advice = "a number such as 10.0 is cast first to BIGINT if it stands for a whole one."
    else:
        advice = "but where the file has leading zeros, read the column as text instead."
    return f"Cast it: CAST(… AS VARCHAR) AS {key}; {advice}"


def member_file_unreadable() -> StateDamaged:
    """Say that the record itself is damaged."""
    return StateDamaged(
        "a member file of the state cannot be read",
        hint="It was changed or cut; restore segctl.state.d from a backup.",
    )


def explained(error: duckdb.Error, rows: Rows) -> SourceError:
    """Turn an error of DuckDB into the user's words; raises it where it is none of the data's."""
    if is_shortage(error):
        raise error
    text = str(error)
    found = _LINE.search(text)
    line = int(found[1] or found[2]) if found else 0
    if line and "Malformed JSON" in text:
        line -= 1  # DuckDB names the line after it
    if isinstance(rows, CheckedQuery):
        failed = _query_failed(error, text, line)
        named = _NAMED.search(text)
        failed.file = next((f for f in rows.files if named and str(f) == named[1]), None)
        return failed
    summary, detail = _unreadable(text)
    if isinstance(rows, CopiedRows):
        return SourceError("query-failed", "what the server sent cannot be read", "")
    if isinstance(rows, FileScan) and rows.format == "parquet" and (summary, detail) == _UNKNOWN:
        summary, detail = _DAMAGED
    return SourceError("unreadable-file", summary, detail, line=line)


def _unreadable(text: str) -> tuple[str, str]:
    table = (
        ("has duplicate key", "a line has a key twice", "Give each key once."),
        ("Expected OBJECT", "a line is not a JSON object", "Write one JSON object a line."),
        ("not utf-8", "the file is not UTF-8", "Save it as UTF-8."),
        ("Invalid unicode", "the file is not UTF-8", "Save it as UTF-8."),
        (
            "Error when sniffing",
            "a row of a csv file does not fit its header, or a quote in it does not end",
            (
                "Values are parted by a comma in csv, by a tab in tsv; where they are not, write "
                "read_csv('FILE', delim = ';')."
            ),
        ),
        ("Failed to read file", *_DAMAGED),
        (
            "Parallel CSV Reader",
            "a query cannot read a large csv file with line ends in quotes",
            "Read it as a file source, or write it as Parquet.",
        ),
        ("unterminated quote", *_OPEN_QUOTE),
        ("Expected Number of Columns", "a row has more or fewer values than the header", ""),
        ("invalid state", "the file mixes line ends, or has a stray quote", "Use one line end."),
        ("byte order mark", "the file begins with a byte order mark", "Save it as UTF-8 without."),
        ("Malformed JSON", "a line is not JSON", "Write one JSON object a line."),
        ("No magic bytes", "the file is not Parquet", ""),
        ("too small to be a Parquet", "the file is not Parquet", ""),
        ("gzip", "the file is not gzip, though its name ends in .gz", ""),
        ("No such file", "the file is gone", ""),
        ("No files found", "the file is gone", ""),
        ("Permission denied", "the file may not be read", "Check its permissions."),
    )
    for mark, summary, detail in table:
        if mark.lower() in text.lower():
            return summary, detail
    return _UNKNOWN


def _query_failed(error: duckdb.Error, text: str, line: int) -> SourceError:
    """Explain a query's error; data may be quoted only in errors met while running."""
    harmless = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException)
    first = text.split("\n", 1)[0].removeprefix("Binder Error: ").removeprefix("Catalog Error: ")
    if isinstance(error, harmless):
        advice = _READ_AS_TEXT if "cast" in text.lower() else ""
        return source_errors.query_failed(first, advice)
    if isinstance(error, duckdb.PermissionException):
        return SourceError(
            "query-forbidden",
            "the query reaches outside of the files it names",
            "A query may read files of the workspace, named in single quotes, and nothing else.",
        )
    if isinstance(error, duckdb.ConversionException):
        return source_errors.query_failed(
            "a value cannot be converted to the type it is cast to",
            "Use TRY_CAST, and leave out the rows for which it returns NULL.",
        )
    if "Values were not provided" in text:
        return source_errors.parameter_without_value()
    summary, detail = _unreadable(text)
    if summary == _UNKNOWN[0]:
        kind = type(error).__name__.removesuffix("Exception")
        summary = f"DuckDB refuses a value or a function in it ({kind})"
        detail = source_errors.hidden_message_hint("DuckDB")
    return source_errors.query_failed(summary, detail, line=line)
