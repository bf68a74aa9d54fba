"""A child process with limits of memory, time and disk, for queries that others wrote.

Some functions of databases ignore an interrupt and the limits of the database. A process can be
limited by the system, and killed. ``limited_child.py`` is its other end.
"""

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

from segctl.engine.model import SourceError
from segctl.manifests.desired import QueryLimits

_POLL_SECONDS = 0.2
_PASSED_VARIABLES = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "HOME")
"""What the child inherits. DuckDB reads HOME; credentials are left out."""


class LimitedProcess:
    """A child process that runs a module. It starts with the first request.

    ``spill`` is its own folder for temporary files.
    """

    def __init__(self, module: str, spill: Path) -> None:
        self._module = module
        self._spill = spill
        self._process: subprocess.Popen[bytes] | None = None
        self._limits: tuple[int, int] | None = None

    def request(
        self, content: Mapping[str, Any], *, limits: QueryLimits, result: Path
    ) -> Mapping[str, Any]:
        """Send a request and return the answer; the child may write the file ``result`` for it.

        Raises ``SourceError`` if the child exceeds a limit or ends by itself. The result and the
        temporary files of the child are then removed.
        """
        process = self._start(limits.memory, limits.scratch)
        cpu_seconds = math.ceil(limits.timeout_seconds) * (os.cpu_count() or 1)
        content = {**content, "cpu_seconds": cpu_seconds}
        try:
            line = self._exchange(process, content, limits.timeout_seconds)
        except BaseException:
            self.close()
            result.unlink(missing_ok=True)
            raise
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Kill the child and remove its temporary files."""
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
        self._spill.mkdir(mode=0o700, parents=True, exist_ok=True)
        passed = {name: v for name, v in os.environ.items() if name in _PASSED_VARIABLES}
        self._process = subprocess.Popen(  # noqa: S603 - this Python and a module of segctl
            [sys.executable, "-P", "-m", self._module, str(memory), str(scratch)],
            env={**passed, "TMPDIR": str(self._spill)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self._process

    def _exchange(
        self, process: subprocess.Popen[bytes], content: Mapping[str, Any], seconds: float
    ) -> bytes:
        """Return the answer. Raises ``SourceError`` if the child ends, or takes too long."""
        if process.stdin is None or process.stdout is None:
            raise AssertionError("the child has pipes")
        deadline = monotonic() + seconds
        answer = b""
        with selectors.DefaultSelector() as selector, suppress(BrokenPipeError):
            process.stdin.write(json.dumps(content).encode() + b"\n")
            process.stdin.flush()
            selector.register(process.stdout, selectors.EVENT_READ)
            while monotonic() <= deadline:
                if not selector.select(_POLL_SECONDS):
                    continue
                part = os.read(process.stdout.fileno(), 1 << 16)
                if not part:
                    raise _ended(process.wait())
                answer += part
                if answer.endswith(b"\n"):
                    return answer
            raise _too_slow(seconds)
        raise _ended(process.wait())


def _too_slow(seconds: float) -> SourceError:
    return SourceError(
        "query-limit",
        f"reading the source was stopped after {seconds:g} s, its time limit",
        "Make it faster, or raise spec.queries.timeoutSeconds in segctl.yaml.",
    )


def out_of_scratch() -> SourceError:
    """Return the error for a query that needs more disk than it may use."""
    return SourceError(
        "query-limit",
        "reading the source needs more scratch space than it may use",
        "Make it smaller, or raise spec.queries.scratch in segctl.yaml.",
    )


def out_of_memory(memory: int) -> SourceError:
    """Return the error for a query that needs more memory than it may use, in bytes."""
    return SourceError(
        "query-limit",
        f"reading the source needs more memory than it may use ({memory / 1e9:.1f} GB)",
        "Make it smaller, or raise spec.queries.memory in segctl.yaml, or --memory-limit.",
    )


def _ended(status: int) -> SourceError:
    if status == -signal.SIGXCPU:
        summary = "reading the source was stopped: it used all the CPU time that it may use"
        detail = "Make it faster, or raise spec.queries.timeoutSeconds in segctl.yaml."
    elif status == -signal.SIGKILL:
        summary = "reading the source was killed, as the system does when memory is used up"
        detail = "Make it smaller, or lower spec.queries.memory in segctl.yaml."
    else:
        summary = f"the process that reads the source ended by itself, with status {status}"
        detail = "Make the query smaller, or write it in another way."
    return SourceError("query-limit", summary, detail)
