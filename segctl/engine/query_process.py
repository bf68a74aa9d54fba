"""Run the queries of manifests in a child process that can be limited and ended."""

import json
import math
import os
import selectors
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import duckdb

from segctl.engine.model import CheckedQuery, SourceError

_DISK_MARKS = ("max_temp_directory_size", "failed to offload", "File too large")
"""What DuckDB says where its scratch files reach their limit."""

_CHILD = "segctl.engine.query_child"
_POLL_SECONDS = 0.2
_PASSED_VARIABLES = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "HOME")
"""What the child inherits. DuckDB reads HOME; credentials are left out."""


class QueryProcess:
    """One child process for all queries of a run. It starts with the first query.

    ``spill`` is the child's own folder for what does not fit in memory.
    """

    def __init__(self, spill: Path, config: Mapping[str, Any]) -> None:
        self._spill = spill
        self._config = dict(config)
        self._process: subprocess.Popen[bytes] | None = None
        self._limits: tuple[int, int] | None = None

    def run(
        self, query: CheckedQuery, *, allowed: list[str], result: Path, memory: int | None
    ) -> None:
        """Run a query and write its result as Parquet.

        Raises ``SourceError`` for a query that exceeds a limit, and what DuckDB raises.
        """
        limits = query.limits
        most = min(limits.memory, memory) if memory else limits.memory
        request = {
            "cpu_seconds": math.ceil(limits.timeout_seconds) * (os.cpu_count() or 1),
            "sql": query.sql,
            "parameters": dict(query.parameters),
            "result": str(result),
            "allowed": allowed,
            "time_zone": query.time_zone,
            "segment_column": query.segment_column,
            "config": {
                **self._config,
                "memory_limit": f"{most}B",
                "temp_directory": str(self._spill),
                "max_temp_directory_size": f"{limits.scratch}B",
            },
        }
        process = self._start(most, limits.scratch)
        try:
            answer = self._ask(process, request, limits.timeout_seconds)
        except BaseException:
            self.close()
            result.unlink(missing_ok=True)
            raise
        _raise_error(json.loads(answer), most)

    def close(self) -> None:
        """Kill the child and remove its scratch files."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        shutil.rmtree(self._spill, ignore_errors=True)

    def _start(self, memory: int, scratch: int) -> subprocess.Popen[bytes]:
        if self._process is not None and self._limits == (memory, scratch):
            return self._process
        self.close()
        self._limits = (memory, scratch)
        self._process = subprocess.Popen(  # noqa: S603 - this Python and a module of segctl
            [sys.executable, "-P", "-m", _CHILD, str(memory), str(scratch)],
            env={n: v for n, v in os.environ.items() if n in _PASSED_VARIABLES},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self._process

    def _ask(
        self, process: subprocess.Popen[bytes], request: Mapping[str, Any], seconds: float
    ) -> bytes:
        """Return the answer. Raises ``SourceError`` if the child ends, or takes too long."""
        if process.stdin is None or process.stdout is None:
            raise AssertionError("the child has pipes")
        deadline = monotonic() + seconds
        answer = b""
        with selectors.DefaultSelector() as selector, suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            selector.register(process.stdout, selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                if monotonic() > deadline:
                    raise _too_slow(seconds)
                if selector.select(_POLL_SECONDS):
                    part = os.read(process.stdout.fileno(), 1 << 16)
                    if not part:
                        break
                    answer += part
            else:
                return answer
        raise _ended(process.wait())


def _raise_error(answer: Mapping[str, Any], memory: int) -> None:
    if problem := answer.get("problem"):
        raise SourceError(*problem)
    if name := answer.get("error"):
        if name == "OutOfMemoryException" or "File too large" in answer["message"]:
            raise _out_of_memory(memory, str(answer["message"]))
        kind = getattr(duckdb, name, duckdb.Error)
        raise kind(answer["message"])


def _too_slow(seconds: float) -> SourceError:
    return SourceError(
        "query-limit",
        f"the query was stopped after {seconds:g} s, its time limit",
        "Make it faster, or raise spec.queries.timeoutSeconds in segctl.yaml.",
    )


def _out_of_memory(memory: int, message: str) -> SourceError:
    if any(mark in message for mark in _DISK_MARKS):
        return SourceError(
            "query-limit",
            "the query needs more scratch space than it may use",
            "Make it smaller, or raise spec.queries.scratch in segctl.yaml.",
        )
    return SourceError(
        "query-limit",
        f"the query needs more memory than it may use ({memory / 1e9:.1f} GB)",
        "Make it smaller, or raise spec.queries.memory in segctl.yaml, or --memory-limit.",
    )


def _ended(status: int) -> SourceError:
    if status == -signal.SIGXCPU:
        summary = "the query was stopped: it used all the CPU time that it may use"
        detail = "Make it faster, or raise spec.queries.timeoutSeconds in segctl.yaml."
    elif status == -signal.SIGKILL:
        summary = "the query was killed, as the system does when memory is used up"
        detail = "Make it smaller, or lower spec.queries.memory in segctl.yaml."
    else:
        summary = f"the process of the query ended by itself, with status {status}"
        detail = "Make the query smaller, or write it in another way."
    return SourceError("query-limit", summary, detail)
