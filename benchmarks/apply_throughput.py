"""Measure how fast an apply sends, what a request costs the client, and whether memory grows.

    python -m benchmarks.apply_throughput [--requests 1000] [--latency-ms 50] [--changes 1000000]

The emulator runs in its own process on the loopback interface.  It answers each request
after the latency, and three may be in flight, so no client can exceed 3 / latency.
Next to segctl a bare client sends the same number of full requests.  A second apply sends
a million changes without latency, and its memory is sampled from outside.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from benchmarks import store, tables
from benchmarks.emulators import create, emulator, environment
from benchmarks.job import Job
from benchmarks.machine import Session
from benchmarks.measuring import SEGCTL, BenchmarkFailed, Run, Words, measure, resident_mib
from benchmarks.workspaces import make_additions

USERS_A_REQUEST = 100
IN_FLIGHT = 3

Samples = list[tuple[float, float]]
"""Times and MiB of memory samples."""


@dataclass(frozen=True, kw_only=True)
class MeasuredApply:
    """One apply of a saved plan.

    Requests a second from the first answer to the last; processor milliseconds a request,
    without those that an apply of a single request takes; MiB at the first answer, at the
    last, and at the peak.
    """

    client: str
    latency_ms: int
    requests: int
    seconds: float
    requests_a_second: float
    cpu_seconds: float
    cpu_ms_a_request: float
    first_mib: float
    last_mib: float
    peak_mib: float

    def without(self, alone: "MeasuredApply") -> "MeasuredApply":
        """Return the cost per request, without starting and ending, which one request costs too."""
        more = self.cpu_seconds - alone.cpu_seconds
        cost = 1000 * max(more, 0) / max(self.requests - alone.requests, 1)
        return replace(self, cpu_ms_a_request=round(cost, 2))


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A run that sent requests: when the first and the last were answered, and its memory."""

    run: Run
    first: float
    last: float
    samples: Samples

    def memory(self) -> list[float]:
        """Return the MiB sampled between the first answer and the last."""
        found = [mib for at, mib in self.samples if self.first <= at <= self.last]
        return found or [self.run.peak_mib]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--latency-ms", type=int, default=50)
    parser.add_argument("--changes", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, default=store.RESULTS, metavar="FOLDER")
    options = parser.parse_args(arguments)
    session = Session()
    many = options.changes // USERS_A_REQUEST
    alone = {"segctl": segctl(1, 0), "bare client": bare(1, 0)}
    found = [
        bare(options.requests, options.latency_ms),
        segctl(options.requests, options.latency_ms),
        bare(many, 0),
        segctl(many, 0),
    ]
    applied = [each.without(alone[each.client]) for each in found]
    body = {"in_flight": IN_FLIGHT, "applied": applied}
    print(tables.applied(store.save(options.json, "apply", session, body)))


def segctl(requests: int, latency_ms: int) -> MeasuredApply:
    """Plan ``requests`` full requests, then measure their apply."""
    samples: Samples = []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        job = Job(folder=Path(folder), rows=requests * USERS_A_REQUEST)
        make_additions(job)
        saved = job.folder / "benchmark.plan"
        with emulator(latency_ms=latency_ms) as url:
            create(url, job.names())
            there: Words = ["-C", job.workspace]
            measure([SEGCTL, "plan", *there, "--out", saved], environment=environment(url))
            run = measure(
                [SEGCTL, "apply", saved, *there, "--json"],
                environment=environment(url),
                watch=lambda process: samples.append((time.time(), resident_mib(process))),
            )
    answered = _acknowledged(run.output)
    if len(answered) != requests:
        raise BenchmarkFailed(f"{len(answered)} of {requests} requests acknowledged")
    watched = Watched(run=run, first=answered[0], last=answered[-1], samples=samples)
    return _applied("segctl", watched, requests, latency_ms)


def bare(requests: int, latency_ms: int) -> MeasuredApply:
    """Measure a client that sends the same number of requests and does nothing else."""
    samples: Samples = []
    with emulator(latency_ms=latency_ms) as url:
        create(url, ["all"])
        port = url.rpartition(":")[2]
        run = measure(
            [sys.executable, "-m", "benchmarks.peers.bare_http", port, str(requests)],
            watch=lambda process: samples.append((time.time(), resident_mib(process))),
        )
    _, first, _, last = run.output.split()
    watched = Watched(run=run, first=float(first), last=float(last), samples=samples)
    return _applied("bare client", watched, requests, latency_ms)


def _acknowledged(output: str) -> list[float]:
    """Return when each request was answered, from the JSON stream of an apply."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [
        datetime.fromisoformat(line["@timestamp"]).timestamp()
        for line in lines
        if line["type"] == "batch_complete"
    ]


def _applied(client: str, watched: Watched, requests: int, latency_ms: int) -> MeasuredApply:
    run, memory = watched.run, watched.memory()
    took = max(watched.last - watched.first, 0.001)
    return MeasuredApply(
        client=client,
        latency_ms=latency_ms,
        requests=requests,
        seconds=round(run.seconds, 2),
        # The first three were in flight before the clock started.
        requests_a_second=round((requests - IN_FLIGHT) / took, 1),
        cpu_seconds=round(run.cpu_seconds, 3),
        cpu_ms_a_request=0,
        first_mib=round(memory[0], 1),
        last_mib=round(memory[-1], 1),
        peak_mib=round(run.peak_mib, 1),
    )


if __name__ == "__main__":
    main()
