"""Reconcile recorded with desired members: segctl, the limit, and other tools.

    python -m benchmarks.reconcile [--sizes 1e4,1e6] [--rates 0,1,100] [--only SUITE]

The data is generated, always the same, and the state is recorded with ``segctl import``.
The contenders then run each job alternately, and the median run counts.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from benchmarks import store, tables
from benchmarks.emulators import emulator
from benchmarks.job import Job
from benchmarks.machine import Session
from benchmarks.measuring import HOUR, BenchmarkFailed, Run
from benchmarks.state_bytes import StateBytes, apply, state_bytes
from benchmarks.store import Measurement
from benchmarks.suites import IMPORT_LIMIT, IN_MEMORY, LIMIT, SUITES, Case, cases
from benchmarks.workspaces import make_desired, make_recorded

LONG = 30.0
"""Seconds; a contender whose first run takes longer is not run again."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    base = Job(folder=Path(), rows=0, segments=options.segments)
    failures: list[str] = []
    for suite in options.only or SUITES:
        session = Session()
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            harness = Harness(Path(folder), runs=options.runs, patience=options.patience)
            chosen = cases(base, suite=suite, sizes=options.sizes, rates=options.rates)
            for _, shared in groupby(chosen, key=lambda case: case.dataset):
                harness.measure(list(shared))
            if suite == "state":
                harness.measure_state(base, [rows for rows in options.sizes if rows <= IN_MEMORY])
        body = {"measurements": harness.measurements, "states": harness.states}
        document = store.save(options.json, suite, session, body)
        for table in tables.reconcile(suite, document):
            print(f"\n{SUITES[suite]}\n\n{table}", flush=True)
        failures += harness.failures
    if failures:
        sys.exit("\n".join(["", *failures]))


class Harness:
    """Measures in a scratch folder and collects measurements and failures."""

    def __init__(self, folder: Path, *, runs: int, patience: float) -> None:
        self._folder = folder / "job"
        self._runs = runs
        self._patience = patience
        self.measurements: list[Measurement] = []
        self.states: list[StateBytes] = []
        self.failures: list[str] = []

    def measure(self, shared: Sequence[Case]) -> None:
        """Record what the cases share, then measure one after another."""
        cases = [replace(case, job=replace(case.job, folder=self._folder)) for case in shared]
        with self._clean(cases[0].job):
            make_recorded(cases[0].job)
            for case in cases:
                self._prepare(case)
                for name, runs in self._in_turns(case).items():
                    self._keep(case.suite, name, case.job, runs)

    def measure_state(self, base: Job, sizes: Sequence[int]) -> None:
        """Measure the bytes that an apply writes at each size."""
        for rows in sizes:
            job = replace(base, folder=self._folder, rows=rows)
            with self._clean(job):
                self.states.append(state_bytes(job))
                _say(f"state: {rows:,} rows")

    def _prepare(self, case: Case) -> None:
        make_desired(case.job)
        if case.suite == "unchanged":
            with emulator() as url:  # never called, since nothing changed
                apply(case.job, url)
        for contender in case.contenders:
            if contender.prepare:
                contender.prepare(case.job)

    def _in_turns(self, case: Case) -> dict[str, list[Run]]:
        """Run all contenders once, then again, until the runs are done."""
        found: dict[str, list[Run]] = {contender.name: [] for contender in case.contenders}
        for _ in range(self._runs):
            for contender in case.contenders:
                runs = found[contender.name]
                if runs and runs[0].seconds > LONG:
                    continue
                longest = HOUR if contender in (*LIMIT, *IMPORT_LIMIT) else self._patience
                runs.append(contender.run(case.job, longest=longest))
        return found

    def _keep(self, suite: str, name: str, job: Job, runs: Sequence[Run]) -> None:
        kept = Measurement.of(suite, name, job, runs)
        self.measurements.append(kept)
        _say(f"{suite}: {_told(job)}, {job.rate} %: {name} {kept.seconds}")

    @contextmanager
    def _clean(self, job: Job) -> Iterator[None]:
        """Record a failure, and always remove the job's files."""
        try:
            yield
        except BenchmarkFailed as failed:
            self.failures.append(f"{_told(job)}: {failed}")
            _say(f"FAILED: {self.failures[-1]}")
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


def _told(job: Job) -> str:
    return f"{job.rows:,} rows, {job.arrangement}, {job.format}, {job.keys}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _numbers(text: str) -> list[int]:
    return [int(float(each)) for each in text.split(",")]


def _suites(text: str) -> list[str]:
    chosen = text.split(",")
    if unknown := [name for name in chosen if name not in SUITES]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(SUITES)}")
    return chosen


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--sizes", type=_numbers, default=_numbers("1e4,1e5,1e6,1e7"), help="rows, as in 1e4,1e6")
    add("--rates", type=_numbers, default=[0, 1, 100], help="percent removed, and added")
    add("--only", type=_suites, help=f"of {', '.join(SUITES)}")
    add("--runs", type=int, default=3, help="runs of each contender")
    add("--patience", type=float, default=60, help="seconds after which a contender is ended")
    add("--segments", type=int, default=200)
    add("--json", type=Path, default=store.RESULTS, metavar="FOLDER", help="folder for the results")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
