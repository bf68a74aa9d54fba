"""The process that runs the queries of manifests: untrusted SQL, with limits, apart from segctl.

Some functions of DuckDB ignore its memory limit and an interrupt. A process can be limited by the
system, and killed. It reads one request per line from standard input and answers each with a line.
"""

import ctypes
import json
import math
import resource
import signal
import sys
from collections.abc import Mapping
from typing import Any

import duckdb

from segctl.engine import duckdb_errors, sql
from segctl.engine.model import SourceError

_OVERHEAD_BYTES = 512 << 20
"""What Python and DuckDB need besides the memory that DuckDB counts."""

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Answer requests until standard input ends. The arguments are the limits in bytes."""
    memory, scratch = int(sys.argv[1]), int(sys.argv[2])
    _limit(memory=memory, scratch=scratch)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit_cpu(request["cpu_seconds"])
        answer = _answer(request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _limit(*, memory: int, scratch: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _set_limit(resource.RLIMIT_DATA, memory + _OVERHEAD_BYTES)
    _set_limit(resource.RLIMIT_FSIZE, scratch)
    _set_limit(resource.RLIMIT_CORE, 0)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write fails instead


def _limit_cpu(seconds: int) -> None:
    """Let the process use so much more CPU time."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = math.ceil(usage.ru_utime + usage.ru_stime)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    limit = used + seconds
    resource.setrlimit(
        resource.RLIMIT_CPU, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard)
    )


def _set_limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


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
    main()
