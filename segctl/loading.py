"""Read the sources of a plan: every row into the engine, every problem to its author."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segctl.diagnostics import Diagnostic, Location, Severity
from segctl.engine.base import LoadStats, Rows, RowsUnreadable
from segctl.errors import InvalidInput
from segctl.identity import DESCRIPTIONS
from segctl.manifests.desired import (
    Desired,
    FileSource,
    InlineSource,
    Load,
    QuerySource,
    TableLoad,
    Tolerance,
)
from segctl.plan.model import Finding
from segctl.sources.fetching import Fetching
from segctl.sources.reading import rows_of


@dataclass(frozen=True, kw_only=True)
class Feed:
    """One source that planned segments need: its files found, or why they were not.

    Exactly one of ``rows`` and ``problem`` is there.
    """

    load: Load
    rows: Rows | None = None
    problem: Diagnostic | None = None


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The sources of a plan in an engine: the places of feeds by the numbers of their loads."""

    feeds: Sequence[Feed]
    loads: Mapping[int, int]
    root: Path

    def judge(self, counted: Mapping[int, LoadStats]) -> list[Finding]:
        """Give what a reviewer should know of the rows of each feed, by their places.

        Raises ``InvalidInput`` with all problems of all sources at once.
        """
        pairs = [(self.feeds[place].load, found) for place, found in sorted(counted.items())]
        problems = [
            problem for load, found in pairs for problem in _invalid(load, found, self.root)
        ]
        if problems:
            raise InvalidInput(problems)
        return [finding for load, found in pairs for finding in _counted(load, found)]

    def explain(self, error: RowsUnreadable) -> InvalidInput:
        """Say which source an engine could not read while comparing."""
        if error.load is None:
            raise error
        load = self.feeds[self.loads[error.load]].load
        return InvalidInput([_unreadable(load, error, self.root)])


def find(desired: Desired, planned: Collection[str], at: Fetching) -> tuple[Feed, ...]:
    """Find, and fetch, every source that a planned segment needs; reads no row of a file.

    ``planned`` are the addresses of the segments whose members are compared.
    """
    return tuple(_found(load, at) for load in desired.loads if fed_by(load).keys() & planned)


def fed_by(load: Load) -> Mapping[str, str]:
    """Give the segments that a load feeds: what it does for each, by address."""
    if isinstance(load, TableLoad):
        return {address: f"value {value}" for value, address in load.segments.items()}
    return dict.fromkeys(load.addresses, load.role)


def _found(load: Load, at: Fetching) -> Feed:
    column = load.segment_column if isinstance(load, TableLoad) else None
    try:
        return Feed(load=load, rows=rows_of(load.source, at, segment_column=column))
    except RowsUnreadable as error:
        return Feed(load=load, problem=_unreadable(load, error, at.reach.root))


def load(feeds: Sequence[Feed], places: Mapping[str, int], at: Fetching) -> Loaded:
    """Take every source that a compared segment needs into the engine.

    ``places`` gives the target of each of these segments by address.  Raises
    ``InvalidInput`` with all sources that cannot be read.
    """
    problems: list[Diagnostic] = []
    loads: dict[int, int] = {}
    for place, feed in enumerate(feeds):
        targets = _targets(feed.load, places)
        if feed.rows is None:
            problems += [feed.problem] if feed.problem else []
        elif targets:
            try:
                role = "include" if isinstance(feed.load, TableLoad) else feed.load.role
                loads[at.engine.load(feed.rows, targets=targets, role=role)] = place
            except RowsUnreadable as error:
                problems.append(_unreadable(feed.load, error, at.reach.root))
    if problems:
        raise InvalidInput(problems)
    return Loaded(feeds=feeds, loads=loads, root=at.reach.root)


def _targets(load: Load, places: Mapping[str, int]) -> Sequence[int] | Mapping[str, int]:
    if isinstance(load, TableLoad):
        planned = {value: places.get(address, -1) for value, address in load.segments.items()}
        return planned if any(place >= 0 for place in planned.values()) else {}
    return [places[address] for address in load.addresses if address in places]


def _name(load: Load) -> str:
    """Name a source the way its author knows it."""
    match load.source:
        case FileSource(path=path):
            return path
        case QuerySource():
            return "the query"
        case InlineSource():
            return "the list"


def _where(load: Load) -> Location:
    return load.source.location


def _shown(file: Path, root: Path) -> str:
    """Name one of the files of a source: by its path in the workspace, if it is there."""
    inside = root.resolve()
    return (file.relative_to(inside) if file.is_relative_to(inside) else file).as_posix()


def _unreadable(load: Load, error: RowsUnreadable, root: Path) -> Diagnostic:
    summary = error.summary
    if isinstance(load.source, FileSource):
        at = f":{error.line}" if error.line else ""
        name = _shown(error.file, root) if error.file else load.source.path
        if name not in summary:
            summary = f"{name}{at}: {summary}"
    elif error.line:
        summary += f" (line {error.line} of a file that it reads)"
    return Diagnostic(code=error.code, summary=summary, detail=error.detail, location=_where(load))


def _tolerance(load: Load) -> Tolerance:
    if isinstance(load.source, InlineSource):
        return Tolerance()
    return load.source.tolerance


def _invalid(load: Load, stats: LoadStats, root: Path) -> Iterable[Diagnostic]:
    """Give what the user must mend before anything can be planned."""
    tolerance = _tolerance(load)
    bad = sum(stats.invalid.values())
    if bad and not tolerance.skip:
        for problem, rows in stats.invalid.items():
            first, file = stats.first.get(problem), stats.files.get(problem)
            at = f" of {_shown(file, root)}" if file else ""
            yield Diagnostic(
                code=f"invalid-identity-{problem}",
                summary=f"{_name(load)}: {_rows(rows)} with {DESCRIPTIONS[problem]}"
                + (f", the first is row {first:,}{at}" if first else ""),
                detail="Mend the data, or set onInvalid: skip to leave such rows out.",
                location=_where(load),
            )
    elif bad and 100 * bad > tolerance.max_invalid_percent * stats.rows:
        yield Diagnostic(
            code="too-many-invalid",
            summary=f"{_name(load)}: {bad:,} of {_rows(stats.rows)} are invalid, more than "
            f"maxInvalidPercent allows ({tolerance.max_invalid_percent:g}%)",
            detail="Mend the data, or raise maxInvalidPercent.",
            location=_where(load),
        )
    if isinstance(load, TableLoad) and stats.others and not load.ignore_others:
        listed = ", ".join(f'"{value}" ({_rows(rows)})' for value, rows in stats.others)
        yield Diagnostic(
            code="undeclared-segment",
            summary=f"{_name(load)}: {_rows(stats.others_rows)} for segments that are not "
            f"declared: {listed}",
            detail="Declare them under spec.segments, or set otherValues: ignore.",
            location=_where(load),
        )


def _counted(load: Load, stats: LoadStats) -> Iterable[Finding]:
    where = f"{_where(load)}: {_name(load)}"
    if stats.invalid and _tolerance(load).skip:
        kinds = ", ".join(f"{rows:,} with {DESCRIPTIONS[p]}" for p, rows in stats.invalid.items())
        yield Finding(
            severity=Severity.WARNING,
            code="rows-skipped",
            summary=f"{where}: {_rows(sum(stats.invalid.values()))} of {stats.rows:,} left out: "
            f"{kinds}",
        )
    if stats.duplicates:
        yield Finding(
            severity=Severity.INFO,
            code="duplicate-rows",
            summary=f"{where}: {_rows(stats.duplicates)} of {stats.rows:,} left out, since "
            "the same user stands in another",
        )
    if isinstance(load, TableLoad) and load.ignore_others and stats.others_rows:
        yield Finding(
            severity=Severity.INFO,
            code="other-values",
            summary=f"{where}: {_rows(stats.others_rows)} of {stats.rows:,} ignored, for "
            "segments that are not declared",
        )


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
