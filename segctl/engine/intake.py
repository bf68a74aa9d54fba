"""From declared rows to a relation of DuckDB: ``kind``, ``value``, ``label``, unchecked.

Parquet is read where it lies.  Text is parsed once into a table, since parsing
costs more than everything that follows.  A user's query runs in a second, sealed
database, which may read the files that the query names and write one result file
of ours.
"""

import csv
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import duckdb

from segctl.engine import failures, sql
from segctl.engine.base import Inline, Rows, Scan, Select

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

    def relation(self, rows: Rows) -> str:
        """Give a SELECT over the rows; raises ``RowsUnreadable``."""
        try:
            match rows:
                case Inline(kind=kind, values=values):
                    table = self._table("SELECT unnest($1::VARCHAR[]) AS value", [list(values)])
                    return f"SELECT '{kind}' AS kind, value, NULL::VARCHAR AS label FROM {table}"
                case Scan(format="parquet"):
                    self._check_types(rows)
                    return sql.rows_of(rows)
                case Scan(format="jsonl"):
                    table = self._table(sql.rows_of(rows), [])
                    self._check_json(rows, table)
                    return f"SELECT kind, value, label FROM {table}"
                case Scan():
                    columns = [] if rows.format == "txt" else self._header(rows)
                    return f"FROM {self._table(sql.rows_of(rows, columns), [])}"
                case Select():
                    return self._selected(rows)
        except duckdb.Error as error:
            raise failures.explained(error, rows) from error

    def in_order(self, scan: Scan) -> str:
        """Give a SELECT over a file that reads it in its own order; for error messages."""
        columns = self._header(scan) if scan.format in ("csv", "tsv") else []
        return sql.rows_of(scan, columns)

    def _table(self, select: str, parameters: list[Any]) -> str:
        table = f"rows_{next(self._numbers)}"
        self._db.execute(f"CREATE TEMP TABLE {table} AS {select}", parameters)
        return table

    def _header(self, scan: Scan) -> list[str]:
        """Read the names in the first line of a csv or tsv file."""
        cursor = self._db.cursor()
        try:
            cursor.execute("SET preserve_insertion_order = true")
            first = cursor.execute(
                f"SELECT value FROM {sql.lines_of(scan.path)} LIMIT 1"
            ).fetchone()
        finally:
            cursor.execute("SET preserve_insertion_order = false")
            cursor.close()
        text = str(first[0] or "") if first else ""
        names = next(csv.reader([text], delimiter="\t" if scan.format == "tsv" else ","), [])
        for column in filter(None, (scan.column, scan.segment_column)):
            if column not in names:
                raise failures.no_column(column, names)
            if names.count(column) > 1:
                raise failures.column_twice(column)
        return [n if names.index(n) == i else f"{n} ({i})" for i, n in enumerate(names)]

    def _check_types(self, scan: Scan) -> None:
        """Refuse a missing column of a Parquet file, and one that holds no text."""
        table = f"read_parquet({sql.literal(str(scan.path))})"
        described = self._db.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()
        types = {row[0]: row[1] for row in described}
        for column in filter(None, (scan.column, scan.segment_column)):
            if column not in types:
                raise failures.no_column(column, list(types))
            if types[column] != "VARCHAR" and not types[column].startswith("ENUM"):
                raise failures.not_text(column, types[column], scan.path.name)

    def _check_json(self, scan: Scan, table: str) -> None:
        """Refuse values that are neither text nor whole numbers as written."""
        wrong = self._db.execute(
            f"SELECT type, count(*) FROM {table} WHERE type NOT IN "
            "('VARCHAR', 'UBIGINT', 'BIGINT', 'NULL') GROUP BY type ORDER BY type"
        ).fetchall()
        if wrong:
            raise failures.not_text_in_json(scan.column, dict(wrong))

    def _selected(self, select: Select) -> str:
        """Run a user's query where it can do no harm; give a SELECT over its result."""
        out = self._scratch / f"query_{next(self._numbers)}.parquet"
        parameters = dict(select.parameters)
        sealed = duckdb.connect(config={**OPTIONS, **self._settings})
        try:
            allowed = sql.paths([*select.files, out])
            sealed.execute(f"SET allowed_paths = {allowed}")
            sealed.execute("SET enable_external_access = false")
            sealed.execute("SET lock_configuration = true")
            # Not a probe of a subquery, which would name the second of two columns anew.
            described = sealed.execute(f"DESCRIBE {select.sql}\n", parameters).fetchall()
            columns = failures.check_result([(row[0], row[1]) for row in described], select)
            _run(
                sealed,
                f"COPY (SELECT {columns} FROM ({select.sql}\n)) TO {sql.literal(str(out))} "
                "(FORMAT parquet, USE_TMP_FILE false)",
                parameters,
            )
        finally:
            sealed.close()
        result = f"read_parquet({sql.literal(str(out))})"
        [[both]] = self._db.execute(
            f"SELECT count(*) FROM {result} WHERE identity IS NOT NULL AND guid IS NOT NULL"
        ).fetchall()
        if both:
            raise failures.both_keys(both)
        return (
            "SELECT CASE WHEN guid IS NULL THEN 'identity' ELSE 'guid' END AS kind, "
            f"coalesce(identity, guid) AS value, label FROM {result}"
        )


def _run(db: duckdb.DuckDBPyConnection, statement: str, parameters: Mapping[str, str]) -> None:
    """Run a user's query in a thread of its own: a signal then ends it at once, and not after it.

    DuckDB looks out for Ctrl-C alone.  Whatever the signal's handler raises is raised.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(db.execute, statement, dict(parameters))
        try:
            # Not Thread.join: in Python 3.11 an interrupted one takes a running thread for ended.
            running.result()
        finally:
            while not running.done():
                db.interrupt()  # lost where the query has not begun yet
                wait([running], timeout=0.1)
