"""Turn the rows of a source into a SELECT of ``kind``, ``value`` and ``segment_value``, unchecked.

Parquet files are read in place. Text files are parsed once into a table, because parsing costs
more than everything that follows. A query of a manifest runs in a second, sealed database, which
can read only the files that the query names and write only one result file.
"""

import csv
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from segctl.core.identity import Kind
from segctl.engine import duckdb_errors, scan_sql, sql
from segctl.engine.beginnings import first_keys
from segctl.engine.database import DATABASE_OPTIONS
from segctl.engine.file_contents import check_files, read_beginning
from segctl.engine.headers import parse_header
from segctl.engine.model import (
    NO_PATTERNS,
    CheckedQuery,
    CopiedRows,
    FileScan,
    InlineRows,
    Rows,
    SourceError,
    TargetMembers,
)
from segctl.engine.query_process import QueryProcess
from segctl.engine.resource_errors import is_resource_error
from segctl.engine.set_operations import select_members
from segctl.engine.utf8_copies import Utf8Copies

Item = TypeVar("Item")

_FETCHED_LINES = 10_000

_MANY_VALUES = 20_000
"""From this number of inline values on, arrays are worth the import of NumPy."""

_IS_COMMENT = f"contains(value, '#') AND regexp_matches(value, {sql.literal(scan_sql.COMMENT)})"


class RowReader:
    """Makes the rows of sources available in one database.

    ``settings`` also apply to the sealed databases. ``numbers`` make the names of tables unique.
    """

    def __init__(
        self,
        db: duckdb.DuckDBPyConnection,
        scratch: Path,
        settings: Mapping[str, Any],
        numbers: Iterator[int],
        *,
        memory: int | None = None,
    ) -> None:
        self._db = db
        self._scratch = scratch
        self._numbers = numbers
        self._memory = memory
        self._queries = QueryProcess(
            Path(settings.get("temp_directory") or scratch / "spill").with_name("query_spill"),
            {**DATABASE_OPTIONS, **settings},
        )
        self._utf8_copies = Utf8Copies(scratch)
        self._inline: list[tuple[int, InlineRows, Mapping[Kind, str]]] = []
        self._single_threaded: set[Path] = set()
        db.execute("CREATE TEMP TABLE inline_rows (load INTEGER, kind VARCHAR, value VARCHAR)")

    def close(self) -> None:
        """End the process that runs queries."""
        self._queries.close()

    def prepare(self, rows: Rows, number: int, patterns: Mapping[Kind, str] = NO_PATTERNS) -> str:
        """Return a SELECT over the rows of load ``number``. Raises ``SourceError``.

        Inline rows are missing until ``insert_inline_rows`` is called. Values that do not match
        the pattern of their kind are marked as invalid.
        """
        if isinstance(rows, InlineRows):
            self._inline.append((number, rows, patterns))
            columns = "kind, value, NULL::VARCHAR AS segment_value"
            return f"SELECT {columns} FROM inline_rows WHERE load = {number}"
        return sql.mark_mismatches(self._prepare(rows), patterns)

    def _prepare(self, rows: Rows) -> str:
        with self._utf8_copies.original_names():
            if isinstance(rows, FileScan):
                rows = self.readable(rows)
            elif isinstance(rows, CheckedQuery):
                rows = self._utf8_copies.replace_files_in_query(rows)
            return self._select(rows)

    def _select(self, rows: Rows) -> str:
        try:
            _check_files(rows)
            match rows:
                case FileScan():
                    return self._prepare_scan(rows)
                case CheckedQuery():
                    return self._run_query(rows)
                case CopiedRows():
                    return self._convert_copy(rows)
                case TargetMembers(target_index=index):
                    return select_members(index)
                case InlineRows():
                    raise AssertionError("inline rows are inserted")
        except duckdb.Error as error:
            raise self.explain_error(error, rows) from error

    def check_columns(self, rows: FileScan | CheckedQuery) -> None:
        """Check what ``prepare`` would, if headers and metadata show it.

        Raises ``SourceError``.
        """
        with self._utf8_copies.original_names():
            try:
                if isinstance(rows, CheckedQuery):
                    self._check_query(self._utf8_copies.replace_files_in_query(rows))
                else:
                    self._check_scan(self.readable(rows))
            except duckdb.Error as error:
                raise duckdb_errors.explain_error(error, rows) from error

    def _check_query(self, query: CheckedQuery) -> None:
        for file in query.files:
            read_beginning(file, None)
        self._send_query(query, only_describe=True)

    def _check_scan(self, scan: FileScan) -> None:
        for path in scan.paths:
            read_beginning(path, scan.format)
            if scan.format in ("csv", "tsv"):
                with _add_file_to_errors(path, scan):
                    self._read_header(scan, path)
        if scan.format == "parquet":
            self._select_parquet(scan)

    def insert_inline_rows(self) -> None:
        """Insert the inline rows prepared since the last call; one statement for all loads."""
        loads, self._inline = self._inline, []
        if not loads:
            return
        counts = [len(part.values) for _, part, _ in loads]
        numbers = [number for number, _, _ in loads]
        kinds = [str(part.kind) for _, part, _ in loads]
        values = [value for _, part, _ in loads for value in part.values]
        if sum(counts) < _MANY_VALUES:
            self._db.execute(
                "INSERT INTO inline_rows SELECT unnest($1::INTEGER[]), unnest($2::VARCHAR[]), "
                "unnest($3::VARCHAR[])",
                [_repeat(numbers, counts), _repeat(kinds, counts), values],
            )
        else:
            import numpy as np  # noqa: PLC0415 - DuckDB reads arrays faster, if there are many

            columns = {
                "load": np.repeat(np.array(numbers), counts),
                "kind": np.repeat(np.array(kinds, object), counts),
                "value": np.array(values, object),
            }
            self._db.register("new_inline_rows", columns)
            self._db.execute(
                "INSERT INTO inline_rows SELECT load, kind, value FROM new_inline_rows"
            )
            self._db.unregister("new_inline_rows")
        for number, _, patterns in loads:
            if patterns:
                marked = sql.marked_value(patterns)
                self._db.execute(f"UPDATE inline_rows SET value = {marked} WHERE load = {number}")

    def readable(self, scan: FileScan) -> FileScan:
        """Return a scan of the files as DuckDB reads them: the same ones, or copies of them."""
        return self._utf8_copies.replace_files(scan)

    def select_in_order(self, scan: FileScan) -> str:
        """Return a SELECT over files; in ``sql.preserve_order`` it returns rows in file order."""
        scan = self.readable(scan)
        if scan.format not in ("csv", "tsv"):
            return scan_sql.select_rows(scan)
        by_header: dict[tuple[str, ...], list[Path]] = {}
        for path in scan.paths:
            with _add_file_to_errors(path, scan):
                by_header.setdefault(self._read_header(scan, path), []).append(path)
        return " UNION ALL ".join(
            scan_sql.select_rows(
                replace(scan, paths=tuple(paths)),
                header,
                parallel=self._single_threaded.isdisjoint(paths),
            )
            for header, paths in by_header.items()
        )

    def explain_error(self, error: duckdb.Error, rows: Rows) -> SourceError:
        """Return the error for rows that cannot be read, with the file if there are several."""
        for scan in _scans_of_one_file(rows):
            try:
                query = sql.READ_ALL_ROWS.format(rows=self.select_in_order(scan))
                self._db.execute(query).fetchall()
            except (duckdb.Error, SourceError) as of_file:
                if isinstance(of_file, SourceError):
                    explained = of_file
                else:
                    explained = duckdb_errors.explain_error(of_file, scan)
                [explained.file] = scan.paths
                return explained
        return duckdb_errors.explain_error(error, rows)

    # Files

    def _prepare_scan(self, scan: FileScan) -> str:
        if scan.format == "parquet":
            return self._select_parquet(scan)
        if scan.format == "jsonl":
            table = self._create_table(scan_sql.select_rows(scan))
            self._check_json_types(scan, table)
            self._check_json_keys(scan, table)
            return f"SELECT kind, value, segment_value FROM {table}"
        try:
            table = self._create_table(self.select_in_order(scan))
        except duckdb.Error as error:
            if is_resource_error(error) or scan.format == "txt":
                raise
            table = self._read_single_threaded(scan)
        if scan.format == "txt" and scan.comments is None:
            self._check_comments(scan, table)
        return f"FROM {table}"

    def _create_table(self, select: str) -> str:
        table = f"rows_{next(self._numbers)}"
        self._db.execute(f"CREATE TEMP TABLE {table} AS {select}")
        return table

    def _read_header(self, scan: FileScan, path: Path) -> tuple[str, ...]:
        """Return the names in the first line of a CSV or TSV file."""
        with self._read_lines(path) as lines:
            first, second = next(lines, ""), next(lines, None)
        if second is not None and not first:
            raise duckdb_errors.unreadable_header()
        names = parse_header(first, scan.separator)
        for column in scan.file_columns:
            if column not in names:
                raise duckdb_errors.missing_column(column, names, is_tsv=scan.format == "tsv")
            if names.count(column) > 1:
                raise duckdb_errors.duplicate_column(column, names)
        return tuple(names)

    def _select_parquet(self, scan: FileScan) -> str:
        """Return a SELECT over Parquet files.

        Raises ``SourceError`` if a column is missing or its type has no certain text. Files with
        other types are read apart: DuckDB would cast the columns of all to the types of the first.
        """
        by_types: dict[tuple[str, ...], list[Path]] = {}
        for path in scan.paths:
            table = f"read_parquet({sql.file_name(path)}, hive_partitioning = false)"
            with _add_file_to_errors(path, scan):
                described = self._db.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()
                types = {row[0]: row[1] for row in described}
                for column in scan.file_columns:
                    if column not in types:
                        raise duckdb_errors.missing_column(column, list(types))
                    if not duckdb_errors.has_one_spelling(types[column]):
                        raise duckdb_errors.column_not_text(column, types[column])
            by_types.setdefault(tuple(types[c] for c in scan.file_columns), []).append(path)
        return " UNION ALL ".join(
            scan_sql.select_rows(replace(scan, paths=tuple(paths))) for paths in by_types.values()
        )

    def _check_json_types(self, scan: FileScan, table: str) -> None:
        """Raise ``SourceError`` if a value is neither a string nor a whole number in the JSON."""
        wrong = self._db.execute(
            f"SELECT json_type, count(*) FROM {table} WHERE json_type NOT IN "
            "('VARCHAR', 'UBIGINT', 'BIGINT', 'NULL') GROUP BY json_type ORDER BY json_type"
        ).fetchall()
        if not wrong:
            return
        for one_file in _scans_of_one_file(scan):
            with _add_file_to_errors(one_file.paths[0], scan):
                self._check_json_types(one_file, f"({scan_sql.select_rows(one_file)})")
        raise duckdb_errors.field_not_text(scan.column, dict(wrong))

    def _check_json_keys(self, scan: FileScan, table: str) -> None:
        """Raise ``SourceError`` if no line has one of the keys."""
        for key, column in ((scan.column, "value"), (scan.segment_column, "segment_value")):
            if key in scan.file_columns:
                [[rows, found]] = self._db.execute(
                    f"SELECT count(*), count({column}) FROM {table}"
                ).fetchall()
                if rows and not found:
                    raise duckdb_errors.missing_key(str(key), first_keys(scan.paths[0]) or ())

    def _check_comments(self, scan: FileScan, table: str) -> None:
        """Raise ``SourceError`` if a line of a txt file looks like a comment or has one."""
        [[lines]] = self._db.execute(f"SELECT count(*) FROM {table} WHERE {_IS_COMMENT}").fetchall()
        if not lines:
            return
        for path in scan.paths:
            with _add_file_to_errors(path, scan), sql.preserve_order(self._db):
                [[first]] = self._db.execute(
                    "SELECT min(line) FROM (SELECT value, row_number() OVER () AS line "
                    f"FROM ({scan_sql.select_rows(replace(scan, paths=(path,)))})) "
                    f"WHERE {_IS_COMMENT}"
                ).fetchall()
                if first:
                    raise duckdb_errors.comment_lines(lines, first)

    def _read_single_threaded(self, scan: FileScan) -> str:
        """Read CSV or TSV files into a table with one thread each, and return its name.

        A thread that starts in the middle of a file cannot always know whether a line end is
        inside quotes. A single thread can, but if the file ends inside quotes, it drops the
        rest without an error. So the ends are checked.
        """
        self._single_threaded.update(scan.paths)
        try:
            table = self._create_table(self.select_in_order(scan))
            for path in scan.paths:
                with _add_file_to_errors(path, scan):
                    self._check_end(scan, path)
        except duckdb.Error:
            self._single_threaded.difference_update(scan.paths)
            raise
        return table

    def _check_end(self, scan: FileScan, path: Path) -> None:
        """Raise ``SourceError`` if a CSV or TSV file ends inside a quoted value."""
        with self._read_lines(path) as lines:
            text = (f"{line}\n" for line in lines)
            limit = csv.field_size_limit(sys.maxsize)
            try:
                deque(csv.reader(text, delimiter=scan.separator, strict=True), maxlen=0)
            except csv.Error:
                raise duckdb_errors.open_quote() from None
            finally:
                csv.field_size_limit(limit)

    @contextmanager
    def _read_lines(self, path: Path) -> Iterator[Iterator[str]]:
        """Yield the lines of a text file in order, without their ends."""
        cursor = self._db.cursor()
        try:
            with sql.preserve_order(cursor):
                cursor.execute(f"SELECT coalesce(value, '') FROM {scan_sql.text_lines([path])}")
                chunks = iter(lambda: cursor.fetchmany(_FETCHED_LINES), [])
                yield (line for rows in chunks for [line] in rows)
        finally:
            cursor.close()

    # Queries and databases

    def _read_headers(self, query: CheckedQuery) -> dict[Path, list[str]]:
        """Return the names in the headers of CSV files.

        Raises ``SourceError`` if a header has a name twice: DuckDB would rename the second.
        """
        headers: dict[Path, list[str]] = {}
        for path, delimiter in query.headers:
            with self._read_lines(path) as lines:
                first = next(lines, "")
            try:
                headers[path] = parse_header(first, delimiter)
                duckdb_errors.check_distinct(headers[path])
            except SourceError as error:
                error.file = path
                raise
        return headers | {path: ["identity"] for path in query.lists}

    def _check_lists(self, query: CheckedQuery) -> None:
        """Raise ``SourceError`` if a line of a txt file looks like a comment or has one."""
        for path in query.lists:
            with sql.preserve_order(self._db):
                [[lines, first]] = self._db.execute(
                    "SELECT count(*), min(line) FROM (SELECT value, row_number() OVER () AS line "
                    f"FROM {scan_sql.text_lines([path])}) WHERE {_IS_COMMENT}"
                ).fetchall()
            if lines:
                error = duckdb_errors.comment_lines(lines, first)
                error.detail = (
                    "Remove it, or read the file as a file source, with the field comments."
                )
                error.file = path
                raise error

    def _run_query(self, query: CheckedQuery) -> str:
        """Run a query of a manifest in a sealed database; return a SELECT over its result."""
        return self._select_members(self._send_query(query))

    def _send_query(self, query: CheckedQuery, *, only_describe: bool = False) -> Path:
        """Run a query in a sealed database, or check its columns there. Return its result file."""
        headers = self._read_headers(query)
        if not only_describe:
            self._check_lists(query)
        result = self._scratch / f"query_{next(self._numbers)}.parquet"
        escaped = [sql.escape_glob(file) for file in query.files]
        names = dict.fromkeys([*map(str, query.files), *escaped, str(result)])
        self._queries.run(
            query,
            allowed=list(names),
            headers=headers,
            result=result,
            memory=self._memory,
            only_describe=only_describe,
        )
        return result

    def _convert_copy(self, rows: CopiedRows) -> str:
        """Convert the output of COPY to Parquet, which is smaller; return a SELECT over it."""
        result = self._scratch / f"copied_{next(self._numbers)}.parquet"
        self._db.execute(
            f"COPY ({scan_sql.select_copied(rows.path)}) TO {sql.literal(str(result))} "
            "(FORMAT parquet, USE_TMP_FILE false)"
        )
        rows.path.unlink()
        [[read]] = self._db.execute(
            f"SELECT count(*) FROM read_parquet({sql.file_name(result)})"
        ).fetchall()
        if read != rows.rows:
            raise duckdb_errors.truncated_copy(sent=rows.rows, read=read)
        return self._select_members(result)

    def _select_members(self, result: Path) -> str:
        """Return a SELECT over a file with the columns identity, guid and segment_value."""
        table = f"read_parquet({sql.file_name(result)})"
        [[both]] = self._db.execute(
            f"SELECT count(*) FROM {table} WHERE identity IS NOT NULL AND guid IS NOT NULL"
        ).fetchall()
        if both:
            raise duckdb_errors.both_keys(both)
        return (
            "SELECT CASE WHEN guid IS NULL THEN 'identity' ELSE 'guid' END AS kind, "
            f"coalesce(identity, guid) AS value, segment_value FROM {table}"
        )


def _repeat(items: Sequence[Item], counts: Sequence[int]) -> list[Item]:
    """Return each item as often as its count."""
    return [item for item, count in zip(items, counts, strict=True) for _ in range(count)]


@contextmanager
def _add_file_to_errors(path: Path, scan: FileScan) -> Iterator[None]:
    """Set the file of a ``SourceError`` in the block, if the scan has several files."""
    try:
        yield
    except SourceError as error:
        error.file = path if len(scan.paths) > 1 else None
        raise


def _check_files(rows: Rows) -> None:
    match rows:
        case FileScan(paths=files, format=format_):
            check_files(files, format_, rows.separator)
        case CheckedQuery(files=files):
            check_files(files, None)


def _scans_of_one_file(rows: Rows) -> Iterator[FileScan]:
    """Yield a scan of each file, if there are several."""
    if isinstance(rows, FileScan) and len(rows.paths) > 1:
        yield from (replace(rows, paths=(path,)) for path in rows.paths)
