"""Plan composed segments, each next to a plain one with the same recorded and desired rows.

    python -m benchmarks.composed [KIND ...] [--rows N]

One percent of the members change.  What a composed segment leaves out is left out of its
recorded members too, so that both plans find changes of about the same size.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import store, tables
from benchmarks.job import Job
from benchmarks.machine import Session
from benchmarks.measuring import SEGCTL, BenchmarkFailed, Run, measure
from benchmarks.workspaces import PROJECT, forget_recorded, make_rows

SEGMENT = """\
apiVersion: segctl/v1
kind: Segment
metadata: {{name: all}}
spec:
  displayName: All
  members:
    - file: {{path: data/{side}.parquet}}
"""
READER = """\
---
apiVersion: segctl/v1
kind: Segment
metadata: {name: reader}
spec:
  displayName: Reader
  members:
    - segment: all
"""
LIST = "[{file: {path: data/list.parquet}}]"

PLAIN = "plain"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a composed workspace has more than a plain one.

    The list has one in ``list_share`` rows of the members, or all members if that is 1.
    """

    segment: str = ""
    project: str = ""
    list_share: int = 0
    segments: Sequence[str] = ("all",)


KINDS = {
    "exclude": Kind(segment=f"  exclude: {LIST}\n", list_share=10),
    "suppress": Kind(project=f"  suppress: {LIST}\n", list_share=10),
    "hold-out": Kind(segment="  holdout: {percent: 10, salt: benchmark}\n"),
    "intersect": Kind(segment=f"  intersect: {LIST}\n", list_share=1),
    "read by another": Kind(segment=READER, segments=("all", "reader")),
}


@dataclass(frozen=True, kw_only=True)
class ComposedPlan:
    """Medians of the plans of a composed segment, and of a plain one that ran alternately."""

    kind: str
    rows: int
    add: int
    remove: int
    seconds: float
    cpu_seconds: float
    peak_mib: float
    plain_seconds: float
    plain_cpu_seconds: float
    plain_peak_mib: float


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--rows", type=lambda text: int(float(text)), default=10_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, default=store.RESULTS, metavar="FOLDER")
    options = parser.parse_args(arguments)
    session, found = Session(), []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        plain = Job(folder=Path(folder, PLAIN), rows=options.rows)
        _make_data(plain)
        _make_state(plain, Kind())
        for name in options.kinds or KINDS:
            job = Job(folder=Path(folder, name.replace(" ", "-")), rows=options.rows)
            (job.workspace / "data").mkdir(parents=True)
            for file in plain.recorded.parent.iterdir():
                os.link(file, job.recorded.parent / file.name)
            _make_list(job, KINDS[name].list_share)
            _make_state(job, KINDS[name])
            found.append(_compare(name, job, plain, runs=options.runs))
            print(f"composed: {name}", file=sys.stderr, flush=True)
            forget_recorded(job)
    print(tables.composed(store.save(options.json, "composed", session, {"composed": found})))


def _make_data(job: Job) -> None:
    (job.workspace / "data").mkdir(parents=True)
    make_rows(job, job.recorded, first=0, rows=job.rows)
    make_rows(job, job.desired, first=job.changed, rows=job.rows)


def _make_list(job: Job, share: int) -> None:
    """Write the list: members that do not change, or all that are recorded or desired."""
    file = job.recorded.with_name("list.parquet")
    if share == 1:
        make_rows(job, file, first=0, rows=job.rows + job.changed)
    elif share:
        make_rows(job, file, first=job.rows // 2, rows=job.rows // share)


def _make_state(job: Job, kind: Kind) -> None:
    """Record the members that the composition has of the recorded rows, then declare the others."""
    _write_manifests(job, kind, side="recorded")
    files = {}
    for name in kind.segments:
        listed = measure(
            [
                *(SEGCTL, "members", f"segment.{name}", "--desired", "--identities", "full"),
                *("-C", job.workspace),
            ]
        )
        files[name] = job.folder / f"{name}.txt"
        files[name].write_text(listed.output, encoding="utf-8")
    pairs = [f"segment.{name}={file}" for name, file in files.items()]
    measure([sys.executable, "-m", "benchmarks.importing", job.workspace, *pairs])
    for file in files.values():
        file.unlink()
    _write_manifests(job, kind, side="desired")


def _write_manifests(job: Job, kind: Kind, *, side: str) -> None:
    project, segments = PROJECT + kind.project, SEGMENT.format(side=side) + kind.segment
    (job.workspace / "segctl.yaml").write_text(project, encoding="utf-8")
    (job.workspace / "segments.yaml").write_text(segments, encoding="utf-8")


def _compare(name: str, job: Job, plain: Job, *, runs: int) -> ComposedPlan:
    pairs = [(_plan(job), _plan(plain)) for _ in range(runs)]
    ours, theirs = zip(*pairs, strict=True)
    document, _ = json.JSONDecoder().raw_decode(ours[0].output)
    add, remove = (document["summary"][key] for key in ("members_add", "members_remove"))
    most = job.changed * len(KINDS[name].segments)
    if not 0 < add <= most or not 0 < remove <= most:
        raise BenchmarkFailed(f"{name}: {add:,} to add and {remove:,} to remove")
    return ComposedPlan(
        kind=name,
        rows=job.rows,
        add=add,
        remove=remove,
        seconds=_median(ours, "seconds"),
        cpu_seconds=_median(ours, "cpu_seconds"),
        peak_mib=max(run.peak_mib for run in ours),
        plain_seconds=_median(theirs, "seconds"),
        plain_cpu_seconds=_median(theirs, "cpu_seconds"),
        plain_peak_mib=max(run.peak_mib for run in theirs),
    )


def _plan(job: Job) -> Run:
    saved = job.folder / "benchmark.plan"
    return measure([SEGCTL, "plan", "-C", job.workspace, "--format", "json", "--out", saved])


def _median(runs: Sequence[Run], field: str) -> float:
    figures: list[float] = [getattr(run, field) for run in runs]
    return round(statistics.median(figures), 3)


if __name__ == "__main__":
    main()
