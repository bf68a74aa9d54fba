"""Run a program and measure it: wall time, processor time, peak memory.

The figures are the kernel's account of the finished process (``wait4``).  Linux counts
the memory of a program's parent at the time of the fork, so importers of this module
stay small: anything that needs a large library runs in another process.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The project's folder: it makes ``python -m benchmarks.…`` work from any folder."""

SEGCTL = Path(sys.executable).with_name("segctl")
"""The ``segctl`` program of this environment."""

Words = Sequence[str | Path]
"""A command."""

HOUR = 3600.0
"""A benchmark that takes longer has hung."""

WATCH_SECONDS = 0.1
"""Seconds between two samples of a watched program."""


class BenchmarkFailed(Exception):
    """A measured program failed or printed a wrong answer, so its figures are meaningless."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run: wall seconds, processor seconds, peak MiB, and the output.

    ``capped``: the run was ended after its longest time, and its figures are lower bounds.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float
    output: str
    capped: bool = False


def measure(
    command: Words,
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    accepted: tuple[int, ...] = (0,),
    longest: float = HOUR,
    watch: Callable[[int], object] | None = None,
) -> Run:
    """Run a program until it ends, for at most ``longest`` seconds.

    ``watch`` is called with the process id, in a thread, every ``WATCH_SECONDS``.
    Raises ``BenchmarkFailed`` for an exit code that is not among the accepted ones.
    """
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that its children end with it
        )
        expired = threading.Event()
        timer = threading.Timer(longest, _expire, [process.pid, expired])
        timer.start()
        ended = threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, watch, ended))
        watcher.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            timer.cancel()
            ended.set()
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode not in accepted and not expired.is_set():
        shown = " ".join(str(word) for word in command)
        raise BenchmarkFailed(f"{shown}: exit {process.returncode}\n{text[-4000:]}")
    return Run(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / 1024,
        output=text,
        capped=expired.is_set(),
    )


def resident_mib(process: int) -> float:
    """Return the current memory of a running process in MiB; 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def _watch(process: int, watch: Callable[[int], object] | None, ended: threading.Event) -> None:
    while watch and not ended.wait(WATCH_SECONDS):
        watch(process)


def _expire(process: int, expired: threading.Event) -> None:
    expired.set()
    os.killpg(process, signal.SIGKILL)
