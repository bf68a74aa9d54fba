"""The process that runs the queries of manifests: untrusted SQL, with limits, apart from segctl."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import duckdb

from segctl.engine import duckdb_errors, sql
from segctl.engine.limited_child import serve
from segctl.engine.model import SourceError


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        _run(request)
    except duckdb.Error as error:
        return {"error": type(error).__name__, "message": str(error)}
    except SourceError as error:
        return {
            "problem": [error.code, error.summary, error.detail],
            "file": str(error.file) if error.file else None,
            "position": error.query_position,
        }
    except (MemoryError, RuntimeError):  # std::bad_alloc
        return {"error": "OutOfMemoryException", "message": "bad allocation"}
    return {}


def _run(request: Mapping[str, Any]) -> None:
    """Run a query in a sealed database, which can read only the files that the query names.

    With ``only_describe``, check its columns and write nothing.
    """
    text, parameters, result = request["sql"], request["parameters"], request["result"]
    with duckdb.connect(config=request["config"]) as sealed:
        allowed = f"[{', '.join(map(sql.literal, request['allowed']))}]"
        sealed.execute(f"SET allowed_paths = {allowed}")
        sealed.execute("SET enable_external_access = false")
        sealed.execute(f"SET TimeZone = {sql.literal(request['time_zone'])}")
        sealed.execute("SET lock_configuration = true")
        # Not a SELECT around the query: that would rename the second of two equal columns.
        try:
            described = sealed.execute(f"DESCRIBE {text}\n", parameters).fetchall()
        except duckdb.BinderException as error:
            if name := duckdb_errors.find_unknown_column(str(error)):
                columns = request["headers"] | _columns(sealed, request["described"])
                unknown = duckdb_errors.unknown_column(name, columns)
                unknown.query_position = duckdb_errors.find_position(str(error))
                raise unknown from None
            raise
        selected = duckdb_errors.select_result_columns(
            [(row[0], row[1]) for row in described],
            request["segment_column"],
            request["uncertain_types"],
        )
        if request["only_describe"]:
            return
        sealed.execute(
            f"COPY (SELECT {selected} FROM ({text}\n)) TO {sql.literal(result)} "
            "(FORMAT parquet, USE_TMP_FILE false)",
            parameters,
        )


def _columns(sealed: duckdb.DuckDBPyConnection, files: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns of files, by path."""
    columns: dict[str, list[str]] = {}
    for file in files:
        with suppress(duckdb.Error):
            rows = sealed.execute(f"DESCRIBE SELECT * FROM {sql.literal(file)}").fetchall()
            columns[file] = [row[0] for row in rows]
    return columns


if __name__ == "__main__":
    serve(_answer)
