"""Measure how much an apply writes to the state, compared with its size.

``import`` records the members, some percent of them are replaced, and ``apply`` sends the
changes to an emulator and records them.  A new or changed file counts with all its bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.emulators import create, emulator, environment
from benchmarks.job import Job
from benchmarks.measuring import SEGCTL, Run, Words, measure
from benchmarks.workspaces import make_desired, make_recorded, memory


@dataclass(frozen=True, kw_only=True)
class StateBytes:
    """Bytes of the state before an apply, and bytes that the apply wrote, by kind.

    ``members`` and ``head`` (with its copy in the history) are the state; ``journal``
    is the record of the apply, kept for the last 20.  Seconds are those of the apply.
    """

    rows: int
    rate: int
    before: int
    members: int
    head: int
    journal: int
    requests: int
    seconds: float
    peak_mib: float


def state_bytes(job: Job) -> StateBytes:
    """Record, change and apply a job. Raises ``BenchmarkFailed``."""
    make_recorded(job)
    before = _files(job.workspace)
    make_desired(job)
    with emulator() as url:
        create(url, job.names())
        run = apply(job, url)
    written = {
        name: file for name, file in _files(job.workspace).items() if before.get(name) != file
    }
    sizes = {name: size for name, (_, size) in written.items()}
    members, journal = _sum(sizes, "members/"), _sum(sizes, "history/applies/")
    return StateBytes(
        rows=job.rows,
        rate=job.rate,
        before=sum(size for _, size in before.values()),
        members=members,
        head=sum(sizes.values()) - members - journal,
        journal=journal,
        requests=_requests(run.output),
        seconds=round(run.seconds, 2),
        peak_mib=round(run.peak_mib, 1),
    )


def apply(job: Job, url: str) -> Run:
    """Apply the differences."""
    command: Words = [SEGCTL, "apply", "-C", job.workspace, "--auto-approve", "--json"]
    return measure(command, environment={**environment(url), **memory(job)})


def _files(workspace: Path) -> dict[str, tuple[int, int]]:
    """Return inode and size of each file of the state; a rewritten file has a new inode."""
    kept = workspace / "segctl.state.d"
    paths = [path for path in kept.rglob("*") if path.is_file()]
    found = {str(path.relative_to(kept)): path.stat() for path in paths}
    found["head"] = (workspace / "segctl.state.json").stat()
    return {name: (stat.st_ino, stat.st_size) for name, stat in found.items()}


def _sum(sizes: Mapping[str, int], below: str) -> int:
    return sum(size for name, size in sizes.items() if name.startswith(below))


def _requests(output: str) -> int:
    """Count the requests in the JSON stream of an apply."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return sum(line["type"] == "batch_complete" for line in lines)
