"""The process that runs the queries of manifests: untrusted SQL, with limits, apart from segctl."""

from collections.abc import Mapping
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
        return {"problem": [error.code, error.summary, error.detail]}
    except (MemoryError, RuntimeError):  # std::bad_alloc
        return {"error": "OutOfMemoryException", "message": "bad allocation"}
    return {}


def _run(request: Mapping[str, Any]) -> None:
    """Run a query in a sealed database, which can read only the files that the query names."""
    text, parameters, result = request["sql"], request["parameters"], request["result"]
    with duckdb.connect(config=request["config"]) as sealed:
        allowed = f"[{', '.join(map(sql.literal, request['allowed']))}]"
        sealed.execute(f"SET allowed_paths = {allowed}")
        sealed.execute("SET enable_external_access = false")
        sealed.execute(f"SET TimeZone = {sql.literal(request['time_zone'])}")
        sealed.execute("SET lock_configuration = true")
        # Not a SELECT around the query: that would rename the second of two equal columns.
        described = sealed.execute(f"DESCRIBE {text}\n", parameters).fetchall()
        columns = duckdb_errors.select_result_columns(
            [(row[0], row[1]) for row in described], request["segment_column"]
        )
        sealed.execute(
            f"COPY (SELECT {columns} FROM ({text}\n)) TO {sql.literal(result)} "
            "(FORMAT parquet, USE_TMP_FILE false)",
            parameters,
        )


if __name__ == "__main__":
    serve(_answer)
