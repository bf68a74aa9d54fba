"""Read the sources of a plan: every row into the engine, every problem to its author."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from segctl.diagnostics import Diagnostic, Location, Severity
from segctl.engine.base import LoadStats, Members, Rows, RowsUnreadable
from segctl.errors import InvalidInput
from segctl.identity import DESCRIPTIONS
from segctl.manifests.desired import (
    Desired,
    FileSource,
    InlineSource,
    Load,
    PostgresSource,
    QuerySource,
    SegmentSource,
    TableLoad,
    Tolerance,
)
from segctl.plan.model import Finding
from segctl.sources.fetching import Fetching
from segctl.sources.reading import rows_of


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The sources of a plan in an engine, by the numbers of their loads.

    ``unplanned`` are segments that are looked at all the same, with the reason.
    """

    loads: Mapping[int, Load]
    root: Path
    places: Mapping[str, int]
    unplanned: Mapping[str, str]

    def judge(self, stats: Mapping[int, LoadStats]) -> list[Finding]:
        """Give what a reviewer should know of the rows, once the engine has compared them.

        Raises ``InvalidInput`` with all problems of all sources at once.
        """
        pairs = [(self.loads[number], found) for number, found in sorted(stats.items())]
        problems = [
            self._reasoned(load, problem)
            for load, found in pairs
            for problem in _invalid(load, found, self.root)
        ]
        if problems:
            raise InvalidInput(problems)
        return [finding for load, found in pairs for finding in _counted(load, found)]

    def explain(self, error: RowsUnreadable) -> InvalidInput:
        """Say which source an engine could not read while comparing."""
        if error.load is None:
            raise error
        load = self.loads[error.load]
        return InvalidInput([self._reasoned(load, _unreadable(load, error, self.root))])

    def _reasoned(self, load: Load, problem: Diagnostic) -> Diagnostic:
        return _reasoned(load, problem, self.places, self.unplanned)


def load(
    desired: Desired,
    places: Mapping[str, int],
    at: Fetching,
    unplanned: Mapping[str, str] = MappingProxyType({}),
) -> Loaded:
    """Take every source that a plan needs into the engine.

    ``places`` gives the target of each segment that is looked at, by address;
    ``unplanned`` ones with the reason.  Raises ``InvalidInput`` with all sources that
    cannot be read.
    """
    problems: list[Diagnostic] = []
    loads: dict[int, Load] = {}
    for declared in desired.loads:
        targets = _targets(declared, places)
        if not targets:
            continue
        try:
            rows = _rows_of(declared, places, at)
            role = "include" if isinstance(declared, TableLoad) else declared.role
            loads[at.engine.load(rows, targets=targets, role=role)] = declared
        except RowsUnreadable as error:
            problem = _unreadable(declared, error, at.reach.root)
            problems.append(_reasoned(declared, problem, places, unplanned))
    if problems:
        raise InvalidInput(problems)
    return Loaded(loads=loads, root=at.reach.root, places=places, unplanned=unplanned)


def _rows_of(load: Load, places: Mapping[str, int], at: Fetching) -> Rows:
    match load.source:
        case SegmentSource(address=address):
            return Members(target=places[address])
        case source:
            column = load.segment_column if isinstance(load, TableLoad) else None
            return rows_of(source, at, segment_column=column)


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
        case PostgresSource(connection=connection, table=table):
            return f"{table or 'the query'} of {connection}"
        case InlineSource():
            return "the list"
        case SegmentSource(address=address):
            return address


def _reasoned(
    load: Load, problem: Diagnostic, places: Mapping[str, int], unplanned: Mapping[str, str]
) -> Diagnostic:
    """Add to a problem why its source is read at all, where no planned segment has it."""
    addresses = load.segments.values() if isinstance(load, TableLoad) else load.addresses
    seen = [address for address in addresses if address in places]
    if not seen or not set(seen) <= set(unplanned):
        return problem
    reason = f"{seen[0]} is no part of this plan, but {unplanned[seen[0]]}."
    return replace(problem, detail=f"{problem.detail} {reason}".strip())


def _where(load: Load) -> Location:
    return load.source.location


def shown(file: Path, root: Path = Path()) -> str:
    """Name one of the files of a source: by its path below ``root``, if it is in there."""
    inside = root.resolve()
    return (file.relative_to(inside) if file.is_relative_to(inside) else file).as_posix()


def _unreadable(load: Load, error: RowsUnreadable, root: Path) -> Diagnostic:
    summary = error.summary
    if isinstance(load.source, FileSource):
        at = f":{error.line}" if error.line else ""
        name = shown(error.file, root) if error.file else load.source.path
        if name not in summary:
            summary = f"{name}{at}: {summary}"
    elif isinstance(load.source, PostgresSource):
        summary = f'connection "{load.source.connection}": {summary}'
    elif error.line or error.file:
        line = f"line {error.line} of " if error.line else ""
        read = shown(error.file, root) if error.file else "a file that it reads"
        summary += f" ({line}{read})"
    return Diagnostic(code=error.code, summary=summary, detail=error.detail, location=_where(load))


def _tolerance(load: Load) -> Tolerance:
    if isinstance(load.source, InlineSource | SegmentSource):
        return Tolerance()
    return load.source.tolerance


def _invalid(load: Load, stats: LoadStats, root: Path) -> Iterable[Diagnostic]:
    """Give what the user must mend before anything can be planned."""
    tolerance = _tolerance(load)
    bad = sum(stats.invalid.values())
    if bad and not tolerance.skip:
        for problem, rows in stats.invalid.items():
            first, file = stats.first.get(problem), stats.files.get(problem)
            at = f" of {shown(file, root)}" if file else ""
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
