"""The suites: their jobs, and the contenders of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks import machine
from benchmarks.contenders import (
    BARE_DUCKDB,
    BARE_SORT,
    DEEPDIFF,
    OCTODNS,
    PYTHON_SETS,
    SEGCTL_IMPORT,
    SEGCTL_PLAN,
    TERRAFORM_EACH,
    TERRAFORM_MAP,
    Contender,
)
from benchmarks.job import Job

SUITES = {
    "sizes": "one segment, Parquet",
    "first": "nothing recorded yet",
    "imports": "segctl import",
    "segments": "200 segments, Parquet",
    "formats": "file formats",
    "keys": "kinds of user keys",
    "peers": "other tools people reconcile with",
    "state": "bytes of state written",
    "unchanged": "nothing changed since the last apply",
}

REACH = {
    PYTHON_SETS.name: 10_000_000,
    DEEPDIFF.name: 1_000_000,
    OCTODNS.name: 100_000,
    TERRAFORM_MAP.name: 100_000,
    TERRAFORM_EACH.name: 10_000,
}
"""The most rows that each of the other tools handles in a minute or two."""

IN_MEMORY = 10_000_000
MEMORY_LIMIT = "2GB"
"""Above ``IN_MEMORY`` rows, both segctl and DuckDB get this memory limit, and spill."""

MOST_CHANGED = 1
"""Percent; above ``IN_MEMORY`` rows no more are changed, to limit the time."""

INLINE_REACH = 100_000
"""More than anyone keeps in a manifest."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One job and its contenders."""

    suite: str
    job: Job
    contenders: tuple[Contender, ...]

    @property
    def dataset(self) -> tuple[object, ...]:
        """Cases with the same dataset share the recorded state."""
        job = self.job
        parted = job.segments if job.parted else 0
        return (
            job.rows,
            job.extension,
            job.keys,
            job.skewed,
            parted,
            self.suite == "unchanged",
            job.is_first,
        )


LIMIT = (SEGCTL_PLAN, BARE_DUCKDB)
IMPORT_LIMIT = (SEGCTL_IMPORT, BARE_SORT)


Jobs = Iterator[tuple[Job, tuple[Contender, ...]]]


def _of(base: Job, rows: int, **changes: Any) -> Job:
    limit = MEMORY_LIMIT if rows > IN_MEMORY else ""
    return replace(base, rows=rows, memory_limit=limit, **changes)


def _sizes(base: Job, sizes: Sequence[int], rates: Sequence[int]) -> Jobs:
    for rows in sizes:
        for rate in rates:
            if rows <= IN_MEMORY or rate <= MOST_CHANGED:
                yield _of(base, rows, rate=rate), LIMIT


def _first(base: Job, sizes: Sequence[int], rates: Sequence[int]) -> Jobs:
    del rates
    for rows in [size for size in sizes if size <= IN_MEMORY]:
        yield replace(base, rows=rows, is_first=True), LIMIT
        if rows >= base.segments:
            yield replace(base, rows=rows, is_first=True, arrangement="table"), LIMIT


def _imports(base: Job, sizes: Sequence[int], rates: Sequence[int]) -> Jobs:
    del rates
    for rows in sizes:
        yield _of(base, rows, is_first=True), IMPORT_LIMIT


def _segments(base: Job, sizes: Sequence[int], rates: Sequence[int]) -> Jobs:
    del rates
    for rows in [size for size in sizes if size >= 100_000] or sizes:
        yield _of(base, rows, arrangement="table"), LIMIT
        if rows <= IN_MEMORY:
            yield _of(base, rows, arrangement="segments"), LIMIT
    rows = _middle(sizes)
    yield replace(base, rows=rows, arrangement="table", skewed=True), LIMIT


def _formats(base: Job, sizes: Sequence[int], rates: Sequence[int]) -> Jobs:
    del rates
    for rows in [size for size in sizes if size <= 1_000_000]:
        yield replace(base, rows=rows, format="csv"), LIMIT
        if rows <= INLINE_REACH:
            yield replace(base, rows=rows, format="inline"), LIMIT


def _keys(base: Job, sizes: Sequence[int], rates: Sequence[int]) -> Jobs:
    del rates
    rows = _middle(sizes)
    yield replace(base, rows=rows, keys="email"), LIMIT
    yield replace(base, rows=rows, keys="non-ASCII"), LIMIT
    yield replace(base, rows=rows, keys="200 characters"), LIMIT


def _peers(base: Job, sizes: Sequence[int], rates: Sequence[int]) -> Jobs:
    del rates
    everybody = [PYTHON_SETS, DEEPDIFF, OCTODNS]
    if machine.find_terraform():
        everybody += [TERRAFORM_EACH, TERRAFORM_MAP]
    for rows in sorted({1_000, *sizes}):
        able = tuple(each for each in everybody if rows <= REACH[each.name])
        if able:
            yield replace(base, rows=rows, format="csv"), (*LIMIT, *able)


def _unchanged(base: Job, sizes: Sequence[int], rates: Sequence[int]) -> Jobs:
    del rates
    for rows in sizes:
        yield _of(base, rows, rate=0), (SEGCTL_PLAN,)


def _middle(sizes: Sequence[int]) -> int:
    """Return the size for detailed suites: a million, or ten million in full runs."""
    most = IN_MEMORY if max(sizes) > IN_MEMORY else 1_000_000
    return max((size for size in sizes if size <= most), default=min(sizes))


_JOBS = {
    "sizes": _sizes,
    "first": _first,
    "imports": _imports,
    "segments": _segments,
    "formats": _formats,
    "keys": _keys,
    "peers": _peers,
    "unchanged": _unchanged,
}


def cases(base: Job, *, suite: str, sizes: Sequence[int], rates: Sequence[int]) -> Iterator[Case]:
    """Yield the cases of a suite at these sizes and rates; ``base`` has the rest of a job."""
    if suite in _JOBS:
        for job, contenders in _JOBS[suite](base, sizes, rates):
            yield Case(suite=suite, job=job, contenders=contenders)
