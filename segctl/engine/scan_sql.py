"""SELECTs over the files of a source.

They return ``kind``, ``value`` and ``segment_value`` (NULL without a segment column), unchecked.
Nothing is detected or guessed: DuckDB's detection can choose another dialect for each file.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from segctl.engine.model import FileScan
from segctl.engine.sql import file_name, file_names, identifier, literal

_ONE_COLUMN = (
    "columns = {'value': 'VARCHAR'}, delim = '\x01\x02\x03', "
    "quote = '', escape = '', header = false"
)
"""Options of ``read_csv`` that make a line one value: no line contains this delimiter."""

COMMENT = r"(^|\s)\s*#.*$"
"""A comment in a line of a txt file, with the white space before it."""

_FILE = "segctl_file"
"""The column with the name of the file that a row is from."""


def text_lines(paths: Iterable[Path]) -> str:
    """Return a reading function of text files with one column, ``value``: their lines.

    It accepts all line ends in one file, since those in quoted values can differ from the others.
    """
    options = f"auto_detect = false, strict_mode = false, {_ONE_COLUMN}"
    return f"read_csv({file_names(paths)}, {options})"


def txt_table(paths: Iterable[Path]) -> str:
    """Return a reading function of txt files for a query, with the column ``identity``."""
    return f"read_csv({file_names(paths)}, auto_detect = false, {_ONE_COLUMN})".replace(
        "'value'", "'identity'"
    )


def select_copied(path: Path) -> str:
    """Return a SELECT of ``identity``, ``guid`` and ``segment_value`` over the output of COPY.

    COPY's text format escapes tabs, line ends and backslashes with a backslash.
    """
    names = ("identity", "guid", "segment_value")
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    table = (
        f"read_csv({file_name(path)}, auto_detect = false, columns = {{{columns}}}, delim = '\t', "
        "quote = '', escape = '', header = true, new_line = '\\n', nullstr = '\\N')"
    )
    return f"SELECT {', '.join(f'{_unescape(name)} AS {name}' for name in names)} FROM {table}"


def _unescape(column: str) -> str:
    """Return an expression that unescapes a column in COPY's text format.

    NUL is a safe placeholder for an escaped backslash: PostgreSQL text cannot contain it.
    """
    value = f"replace({column}, '\\\\', chr(0))"
    for letter, code in (("b", 8), ("t", 9), ("n", 10), ("v", 11), ("f", 12), ("r", 13)):
        value = f"replace({value}, '\\{letter}', chr({code}))"
    value = f"replace({value}, chr(0), '\\')"
    return f"CASE WHEN contains({column}, '\\') THEN {value} ELSE {column} END"


def select_rows(scan: FileScan, header: Sequence[str] = (), *, parallel: bool = True) -> str:
    """Return a SELECT over the files of a scan.

    ``header`` holds the column names of CSV and TSV files. With ``parallel``, several threads may
    read one such file. JSON Lines also return ``json_type``, the JSON type of the value.
    """
    value = _column(scan, scan.column, header)
    if scan.format == "txt" and scan.column not in scan.partitions:
        value = "f.value"
        if scan.comments:
            value = f"regexp_replace(f.value, {literal(COMMENT)}, '')"
    json_type = ""
    if scan.format == "jsonl" and scan.column in scan.file_columns:
        json_type = f", json_type(f.{identifier(scan.column)}) AS json_type"
    elif scan.format == "jsonl":
        json_type = ", 'VARCHAR' AS json_type"
    return (
        f"SELECT {literal(scan.kind)} AS kind, {value} AS value, "
        f"{_column(scan, scan.segment_column, header)} AS segment_value{json_type} "
        f"FROM {_table(scan, header, parallel=parallel)}"
        + (r" WHERE NOT regexp_matches(f.value, '^\s*#')" if scan.comments else "")
    )


def _column(scan: FileScan, column: str | None, header: Sequence[str]) -> str:
    """Return an expression for a column as text, from the files or from their folder names."""
    if column is None or (scan.format == "txt" and column not in scan.partitions):
        return "NULL::VARCHAR"
    if column in scan.partitions:
        return f"p.{identifier(column)}::VARCHAR"
    if scan.format in ("csv", "tsv"):
        return f"f.{_numbered(header.index(column))}"
    name = identifier(column)
    return f"(f.{name}->>'$')" if scan.format == "jsonl" else f"f.{name}::VARCHAR"


def _table(scan: FileScan, header: Sequence[str], *, parallel: bool) -> str:
    """Return the files as table ``f``, joined with ``p``, the values from their folder names."""
    match scan.format:
        case "txt":
            options = f"auto_detect = false, {_ONE_COLUMN}{_options(scan)}"
            table = f"read_csv({file_names(scan.paths)}, {options})"
        case "parquet":
            table = f"read_parquet({file_names(scan.paths)}{_options(scan)})"
        case "jsonl":
            wanted = dict.fromkeys(scan.file_columns or (scan.column,))
            types = ", ".join(f"{literal(column)}: 'JSON'" for column in wanted)
            table = (
                f"read_json({file_names(scan.paths)}, format = 'newline_delimited', "
                f"records = true, columns = {{{types}}}{_options(scan)})"
            )
        case _:
            table = _delimited(scan, header, parallel=parallel)
    if not scan.partitions:
        return f"{table} AS f"
    names = ", ".join(identifier(column) for column in scan.partitions)
    rows = ", ".join(_partition_row(scan, path) for path in scan.paths)
    return f"{table} AS f JOIN (VALUES {rows}) AS p({_FILE}, {names}) ON f.{_FILE} = p.{_FILE}"


def _delimited(scan: FileScan, header: Sequence[str], *, parallel: bool) -> str:
    """Return the reading function of CSV or TSV files with the same header.

    Columns are numbered, since the names in a header can be empty, repeat, or differ only in
    case.
    """
    types = ", ".join(f"{_numbered(number)}: 'VARCHAR'" for number in range(len(header)))
    threads = "" if parallel else ", parallel = false"
    return (
        f"read_csv({file_names(scan.paths)}, auto_detect = false, columns = {{{types}}}, "
        f"delim = {literal(scan.separator)}, quote = '\"', escape = '\"', header = true"
        f"{threads}{_options(scan)})"
    )


def _numbered(number: int) -> str:
    return f"c{number}"


def _options(scan: FileScan) -> str:
    """Return the options that every reading function gets.

    With its own Hive partitioning, DuckDB would turn a folder ``day=2026-01-31`` into a column
    ``day`` of a type that it guesses.
    """
    return ", hive_partitioning = false" + (f", filename = '{_FILE}'" if scan.partitions else "")


def _partition_row(scan: FileScan, path: Path) -> str:
    values = (by_file[path] for by_file in scan.partitions.values())
    cells = ("NULL" if value is None else literal(value) for value in values)
    return f"({literal(str(path))}, {', '.join(cells)})"
