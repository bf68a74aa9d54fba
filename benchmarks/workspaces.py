"""Workspaces: data, manifests, and a state recorded by ``import``."""

import csv
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.job import Job
from benchmarks.measuring import SEGCTL, measure

PROJECT = """\
apiVersion: segctl/v1
kind: Project
metadata: {name: benchmark}
spec:
  guards: {maxRemovePercent: 100, allowEmpty: true}
"""
SEGMENT = """\
apiVersion: segctl/v1
kind: Segment
metadata: {{name: {name}}}
spec:
  displayName: {name}
  members:
"""
TABLE = """\
apiVersion: segctl/v1
kind: SegmentTable
metadata: {{name: table}}
spec:
  source: {{file: {{path: {path}}}}}
  segmentColumn: segment
  segments:
"""


def make_recorded(job: Job) -> None:
    """Write the recorded rows, and record them with segctl. On a first plan there are none."""
    (job.workspace / "data").mkdir(parents=True)
    (job.workspace / "segctl.yaml").write_text(PROJECT, encoding="utf-8")
    if job.is_first:
        make_rows(job, job.recorded, first=0, rows=0)
        return
    make_rows(job, job.recorded, first=0, rows=job.rows)
    _write_manifests(job, of=job.recorded)
    pairs = [
        f"{name}={job.part(job.recorded, name) if job.parted else job.recorded}"
        for name in job.names()
    ]
    measure(
        [sys.executable, "-m", "benchmarks.importing", job.workspace, *pairs],
        environment=memory(job),
    )


def forget_recorded(job: Job) -> None:
    """Remove the state, so that the next run is the first."""
    for file in job.workspace.glob("segctl.*"):
        if file.is_dir():
            shutil.rmtree(file)
        elif file.name != "segctl.yaml":
            file.unlink()


def memory(job: Job) -> dict[str, str]:
    """Return the environment that sets the job's memory limit, if it has one."""
    return {"SEGCTL_MEMORY_LIMIT": job.memory_limit} if job.memory_limit else {}


def make_additions(job: Job) -> None:
    """Declare one segment with all rows, and record it as existing and empty."""
    (job.workspace / "data").mkdir(parents=True)
    make_rows(job, job.desired, first=0, rows=job.rows)
    (job.workspace / "segctl.yaml").write_text(PROJECT, encoding="utf-8")
    _write_manifests(job, of=job.desired)
    measure([SEGCTL, "import", f"segment.{job.names()[0]}", "-C", job.workspace])


def make_desired(job: Job) -> None:
    """Write the desired rows, of which ``rate`` percent are new, and the manifests."""
    make_rows(job, job.desired, first=job.changed, rows=job.rows)
    _write_manifests(job, of=job.desired)


def make_rows(job: Job, whole: Path, *, first: int, rows: int) -> None:
    """Write the rows with the numbers from ``first`` on to a file of the job."""
    measure(
        [
            *(sys.executable, "-m", "benchmarks.data", whole),
            *("--first", str(first), "--rows", str(rows), "--keys", job.keys),
            *("--order", "0" if whole == job.recorded else "1"),
            *(("--segments", str(job.segments), "--parts") if job.parted else ()),
            *(("--skewed",) if job.skewed else ()),
        ]
    )


def _write_manifests(job: Job, *, of: Path) -> None:
    with (job.workspace / "segments.yaml").open("w", encoding="utf-8") as manifests:
        manifests.writelines(_table(job, of) if job.arrangement == "table" else _segments(job, of))


def _table(job: Job, of: Path) -> Iterator[str]:
    yield TABLE.format(path=of.relative_to(job.workspace))
    for name in job.names():
        yield f"    {name}: {{displayName: {name}}}\n"


def _segments(job: Job, of: Path) -> Iterator[str]:
    for name in job.names():
        yield SEGMENT.format(name=name)
        if job.format == "inline":
            yield from _inline(of)
        else:
            path = job.part(of, name) if job.parted else of
            yield f"    - file: {{path: {path.relative_to(job.workspace)}}}\n"
        yield "---\n"


def _inline(of: Path) -> Iterator[str]:
    """Yield the lines of an inline list from a file, without holding all rows in memory."""
    yield "    - identities:\n"
    with of.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield f"        - {json.dumps(row['identity'], ensure_ascii=False)}\n"
