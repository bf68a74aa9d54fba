"""The results of benchmarks, as JSON files small enough to commit and review."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.job import Job
from benchmarks.machine import Session
from benchmarks.measuring import Run

Document = dict[str, Any]
"""The content of one file: ``machine``, and the benchmark's results."""

RESULTS = Path(__file__).parent / "results"
"""The results shown in ``docs/benchmarks.md``."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A contender's runs at one job, alternating with those of the others.

    Seconds, processor seconds and MiB, one figure per run.  ``capped``: a run was ended after
    its longest time, and the figures are lower bounds.
    """

    suite: str
    contender: str
    rows: int
    rate: int
    arrangement: str
    format: str
    keys: str
    skewed: bool
    memory_limit: str
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    peak_mib: tuple[float, ...]
    capped: bool = False

    @classmethod
    def of(cls, suite: str, contender: str, job: Job, runs: Sequence[Run]) -> "Measurement":
        """Build a measurement from runs."""
        return cls(
            suite=suite,
            contender=contender,
            rows=job.rows,
            rate=job.rate,
            arrangement=job.arrangement,
            format=job.format,
            keys=job.keys,
            skewed=job.skewed,
            memory_limit=job.memory_limit,
            seconds=tuple(round(run.seconds, 3) for run in runs),
            cpu_seconds=tuple(round(run.cpu_seconds, 3) for run in runs),
            peak_mib=tuple(round(run.peak_mib, 1) for run in runs),
            capped=any(run.capped for run in runs),
        )

    @property
    def job(self) -> tuple[object, ...]:
        """What identifies the job, for any contender."""
        shape = (self.arrangement, self.skewed, self.format, self.keys)
        return (self.suite, *shape, self.rows, self.rate, self.memory_limit)

    @property
    def median_seconds(self) -> float:
        """The median of the wall seconds."""
        return statistics.median(self.seconds)

    @property
    def median_cpu_seconds(self) -> float:
        """The median of the processor seconds."""
        return statistics.median(self.cpu_seconds)

    @property
    def peak(self) -> float:
        """The highest peak memory of any run, in MiB."""
        return max(self.peak_mib)


def save(path: Path, name: str, session: Session, body: Mapping[str, Any]) -> Document:
    """Write a benchmark's results with the machine they are from, and return them as read back."""
    path.mkdir(parents=True, exist_ok=True)
    document = {"machine": session.describe(), **body}
    text = json.dumps(document, indent=1, ensure_ascii=False, default=asdict)
    (path / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return load(path, name)


def load(path: Path, name: str) -> Document:
    """Read the results that ``save`` wrote."""
    document: Document = json.loads((path / f"{name}.json").read_text(encoding="utf-8"))
    return document
