"""The child's end of ``limited_process.py``: limits itself, then answers requests, line by line."""

import ctypes
import json
import math
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

_OVERHEAD_BYTES = 512 << 20
"""What Python and a database need besides the memory that a query may use."""

_PR_SET_PDEATHSIG = 1


def serve(answer: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """Answer requests until standard input ends. The arguments are the limits in bytes."""
    memory, scratch = int(sys.argv[1]), int(sys.argv[2])
    _limit(memory=memory, scratch=scratch)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit_cpu(request["cpu_seconds"])
        sys.stdout.write(json.dumps(answer(request)) + "\n")
        sys.stdout.flush()


def _limit(*, memory: int, scratch: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _set_limit(resource.RLIMIT_DATA, memory + _OVERHEAD_BYTES)
    _set_limit(resource.RLIMIT_FSIZE, scratch)
    _set_limit(resource.RLIMIT_CORE, 0)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write fails instead


def _limit_cpu(seconds: int) -> None:
    """Allow so many more seconds of CPU time."""
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
