"""From declared rows to a relation of DuckDB: ``kind``, ``value``, ``label``, unchecked.

Parquet is read where it lies.  Text is parsed once into a table, since parsing
costs more than everything that follows.  A user's query runs in a second, sealed
database, which may read the files that the query names and write one result file
of ours.
"""

import csv
import re
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import duckdb

from segctl.engine import errors, integrity, set_operations, sql
from segctl.engine.memory_limit import is_shortage
from segctl.engine.model import (
    CheckedQuery,
    CopiedRows,
    FileScan,
    InlineRows,
    Rows,
    SourceError,
    TargetMembers,
)

OPTIONS = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
}
"""Nothing is fetched behind the user's back."""


class Intake:
    """Makes relations in one database; ``settings`` are those of the sealed ones too."""

    def __init__(
        self,
        db: duckdb.DuckDBPyConnection,
        scratch: Path,
        settings: Mapping[str, Any],
        numbers: Iterator[int],
    ) -> None:
        self._db = db
        self._scratch = scratch
        self._settings = settings
        self._numbers = numbers
        self._lists: list[tuple[int, InlineRows]] = []
        self._by_one_thread: set[Path] = set()
        db.execute("CREATE TEMP TABLE listed (load INTEGER, kind VARCHAR, value VARCHAR)")

    def relation(self, rows: Rows, number: int) -> str:
        """Give a SELECT over the rows of a load; raises ``SourceError``.

        Lists are there from the next ``settle`` on.
        """
        try:
            integrity.check(_files(rows))
            match rows:
                case InlineRows():
                    self._lists.append((number, rows))
                    columns = "kind, value, NULL::VARCHAR AS label"
                    return f"SELECT {columns} FROM listed WHERE load = {number}"
                case FileScan():
                    return self._scanned(rows)
                case CheckedQuery():
                    return self._selected(rows)
                case CopiedRows():
                    return self._copied(rows)
                case TargetMembers(target_index=index):
                    return set_operations.members_of(index)
        except duckdb.Error as error:
            raise self.explained(error, rows) from error

    def settle(self) -> None:
        """Put the lists taken since the last time into one table: there may be thousands."""
        lists, self._lists = self._lists, []
        if lists:
            rows = [(number, part.kind, value) for number, part in lists for value in part.values]
            numbers, kinds, values = zip(*rows, strict=True) if rows else ((), (), ())
            self._db.execute(
                "INSERT INTO listed SELECT unnest($1::INTEGER[]), unnest($2::VARCHAR[]), "
                "unnest($3::VARCHAR[])",
                [list(numbers), list(map(str, kinds)), list(values)],
            )

    def in_order(self, scan: FileScan) -> str:
        """Give a SELECT over files that reads each of them in its own order."""
        if scan.format not in ("csv", "tsv"):
            return sql.rows_of(scan)
        alike: dict[tuple[str, ...], list[Path]] = {}
        for path in scan.paths:
            with _named(path, scan):
                alike.setdefault(self._header(scan, path), []).append(path)
        return " UNION ALL ".join(
            sql.rows_of(
                replace(scan, paths=tuple(paths)),
                header,
                at_once=self._by_one_thread.isdisjoint(paths),
            )
            for header, paths in alike.items()
        )

    def explained(self, error: duckdb.Error, rows: Rows) -> SourceError:
        """Say why rows cannot be read, and which of several files is at fault."""
        for alone in _each(rows):
            try:
                self._db.execute(sql.READ_ALL.format(rows=self.in_order(alone))).fetchall()
            except (duckdb.Error, SourceError) as its:
                found = its if isinstance(its, SourceError) else errors.explained(its, alone)
                [found.file] = alone.paths
                return found
        return errors.explained(error, rows)

    def _table(self, select: str, parameters: list[Any]) -> str:
        table = f"rows_{next(self._numbers)}"
        self._db.execute(f"CREATE TEMP TABLE {table} AS {select}", parameters)
        return table

    def _header(self, scan: FileScan, path: Path) -> tuple[str, ...]:
        """Read the names in the first line of a csv or tsv file."""
        with self._lines(path) as lines:
            first, below = next(lines, ""), next(lines, None)
        if below is not None and not first:
            raise errors.no_header()
        names = _names(first, _mark(scan))
        for column in scan.file_columns:
            if column not in names:
                raise errors.no_column(column, names)
            if names.count(column) > 1:
                raise errors.column_twice(column)
        return tuple(names)

    def _check_types(self, scan: FileScan) -> None:
        """Refuse a missing column of a Parquet file, and one that holds no text.

        Each file is looked at: of several, DuckDB would cast all to the type of the first.
        """
        for path in scan.paths:
            table = f"read_parquet({sql.file(path)}, hive_partitioning = false)"
            with _named(path, scan):
                described = self._db.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()
                types = {row[0]: row[1] for row in described}
                for column in scan.file_columns:
                    if column not in types:
                        raise errors.no_column(column, list(types))
                    if types[column] != "VARCHAR" and not types[column].startswith("ENUM"):
                        raise errors.not_text(column, types[column])

    def _check_json(self, scan: FileScan, table: str) -> None:
        """Refuse values that are neither text nor whole numbers as written."""
        wrong = self._db.execute(
            f"SELECT type, count(*) FROM {table} WHERE type NOT IN "
            "('VARCHAR', 'UBIGINT', 'BIGINT', 'NULL') GROUP BY type ORDER BY type"
        ).fetchall()
        if not wrong:
            return
        for alone in _each(scan):
            with _named(alone.paths[0], scan):
                self._check_json(alone, f"({sql.rows_of(alone)})")
        raise errors.not_text_in_json(scan.column, dict(wrong))

    def _scanned(self, scan: FileScan) -> str:
        if scan.format == "parquet":
            self._check_types(scan)
            return sql.rows_of(scan)
        if scan.format == "jsonl":
            table = self._table(sql.rows_of(scan), [])
            self._check_json(scan, table)
            return f"SELECT kind, value, label FROM {table}"
        try:
            return f"FROM {self._table(self.in_order(scan), [])}"
        except duckdb.Error as error:
            if is_shortage(error) or scan.format == "txt":
                raise
            return f"FROM {self._from_the_top(scan)}"

    def _from_the_top(self, scan: FileScan) -> str:
        """Read csv or tsv files by one thread each into a table.

        From the middle of a file it cannot always be told whether a line end is in quotes.
        DuckDB does not say then that a file ends within quotes, and leaves the rest out.
        """
        self._by_one_thread.update(scan.paths)
        try:
            table = self._table(self.in_order(scan), [])
            for path in scan.paths:
                with _named(path, scan):
                    self._check_end(scan, path)
        except duckdb.Error:
            self._by_one_thread.difference_update(scan.paths)
            raise
        return table

    def _check_end(self, scan: FileScan, path: Path) -> None:
        with self._lines(path) as lines:
            text = (f"{line}\n" for line in lines)
            limit = csv.field_size_limit(sys.maxsize)
            try:
                deque(csv.reader(text, delimiter=_mark(scan), strict=True), maxlen=0)
            except csv.Error:
                raise errors.open_quote() from None
            finally:
                csv.field_size_limit(limit)

    @contextmanager
    def _lines(self, path: Path) -> Iterator[Iterator[str]]:
        """Give the lines of a text file, in their order and without their ends."""
        cursor = self._db.cursor()
        try:
            cursor.execute("SET preserve_insertion_order = true")
            cursor.execute(f"SELECT coalesce(value, '') FROM {sql.lines_of([path])}")
            yield (line for rows in iter(lambda: cursor.fetchmany(10_000), []) for [line] in rows)
        finally:
            cursor.execute("SET preserve_insertion_order = false")
            cursor.close()

    def _selected(self, select: CheckedQuery) -> str:
        """Run a user's query where it can do no harm; give a SELECT over its result."""
        out = self._scratch / f"query_{next(self._numbers)}.parquet"
        parameters = dict(select.parameters)
        sealed = duckdb.connect(config={**OPTIONS, **self._settings})
        try:
            plain = [sql.plainly(file) for file in select.files]
            names = dict.fromkeys([*map(str, select.files), *plain, str(out)])
            allowed = f"[{', '.join(map(sql.literal, names))}]"
            sealed.execute(f"SET allowed_paths = {allowed}")
            sealed.execute("SET enable_external_access = false")
            sealed.execute("SET lock_configuration = true")
            # Not a probe of a subquery, which would name the second of two columns anew.
            described = sealed.execute(f"DESCRIBE {select.sql}\n", parameters).fetchall()
            columns = errors.check_result([(row[0], row[1]) for row in described], select)
            _run(
                sealed,
                f"COPY (SELECT {columns} FROM ({select.sql}\n)) TO {sql.literal(str(out))} "
                "(FORMAT parquet, USE_TMP_FILE false)",
                parameters,
            )
        finally:
            sealed.close()
        return self._either_key(out)

    def _copied(self, rows: CopiedRows) -> str:
        """Turn the text of a COPY into Parquet, which takes a part of the room."""
        out = self._scratch / f"copied_{next(self._numbers)}.parquet"
        self._db.execute(
            f"COPY ({sql.copied(rows.path)}) TO {sql.literal(str(out))} "
            "(FORMAT parquet, USE_TMP_FILE false)"
        )
        rows.path.unlink()
        [[read]] = self._db.execute(
            f"SELECT count(*) FROM read_parquet({sql.file(out)})"
        ).fetchall()
        if read != rows.rows:
            raise errors.cut_short(sent=rows.rows, read=read)
        return self._either_key(out)

    def _either_key(self, out: Path) -> str:
        """Give a SELECT over a file with the columns identity, guid and label."""
        result = f"read_parquet({sql.file(out)})"
        [[both]] = self._db.execute(
            f"SELECT count(*) FROM {result} WHERE identity IS NOT NULL AND guid IS NOT NULL"
        ).fetchall()
        if both:
            raise errors.both_keys(both)
        return (
            "SELECT CASE WHEN guid IS NULL THEN 'identity' ELSE 'guid' END AS kind, "
            f"coalesce(identity, guid) AS value, label FROM {result}"
        )


def _mark(scan: FileScan) -> str:
    return "\t" if scan.format == "tsv" else ","


def _names(header: str, mark: str) -> list[str]:
    """Part a header line; refuses one whose end DuckDB may look for in the rows below.

    It does so for a quote that is left open, for one within a name that has none around
    it, and after a byte order mark for a first name that seems to begin another one.
    """
    name = f'(?:[^"{mark}]*|"(?:[^"]|"")*")'
    try:
        names = next(csv.reader([header], delimiter=mark), [])
    except csv.Error:
        raise errors.no_header() from None
    regular = re.fullmatch(f"{name}(?:{mark}{name})*", header)
    if not regular or (names and re.search(f'{mark} *("|$)', names[0])):
        raise errors.no_header()
    return names


@contextmanager
def _named(path: Path, scan: FileScan) -> Iterator[None]:
    """Name the file in what is told of it, where the source has several."""
    try:
        yield
    except SourceError as error:
        error.file = path if len(scan.paths) > 1 else None
        raise


def _files(rows: Rows) -> tuple[Path, ...]:
    match rows:
        case FileScan(paths=files) | CheckedQuery(files=files):
            return files
        case _:
            return ()


def _each(rows: Rows) -> Iterator[FileScan]:
    """Give a scan of each file, where there are several."""
    if isinstance(rows, FileScan) and len(rows.paths) > 1:
        yield from (replace(rows, paths=(path,)) for path in rows.paths)


def _run(db: duckdb.DuckDBPyConnection, statement: str, parameters: Mapping[str, str]) -> None:
    """Run a user's query in a thread of its own: a signal then ends it at once, and not after it.

    DuckDB looks out for Ctrl-C alone.  Whatever the signal's handler raises is raised.
    """
    begin, over = Event(), Event()

    def execute() -> None:
        begin.wait()
        if not over.is_set():
            db.execute(statement, dict(parameters))

    with ThreadPoolExecutor(max_workers=1) as pool:
        running: Future[None] | None = None
        try:
            # A signal may come before its name is given: the query begins after that.
            running = pool.submit(execute)
            begin.set()
            # Not Thread.join: in Python 3.11 an interrupted one takes a running thread for ended.
            running.result()
        finally:
            over.set()
            begin.set()
            while running is not None and not running.done():
                db.interrupt()  # lost where the query has not begun yet
                wait([running], timeout=0.1)
