"""Read the sources of a plan: every row into the engine, every problem to its author."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.core.errors import InvalidInput
from segctl.core.identity import DESCRIPTIONS
from segctl.engine.base import LoadStats, Members, Rows, SourceError
from segctl.manifests.desired import (
    CommandSource,
    Desired,
    FileSource,
    InlineSource,
    Load,
    PostgresSource,
    QuerySource,
    SegmentSource,
    SqliteSource,
    TableLoad,
    Tolerance,
)
from segctl.plan.model import Figures, Finding
from segctl.sources.context import SourceContext
from segctl.sources.path_policy import PathPolicy
from segctl.sources.reader import rows_of


@dataclass(frozen=True, kw_only=True)
class SourceInput:
    """One source that a plan needs: its files found, or why they were not.

    ``rows`` are ``None`` for the members of another segment, and where there is a
    ``problem``.
    """

    load: Load
    rows: Rows | None = None
    problem: Diagnostic | None = None

    @property
    def roles(self) -> Mapping[str, str]:
        """What the source does for each of its segments, by address."""
        if isinstance(self.load, TableLoad):
            return {address: f"value {value}" for value, address in self.load.segments.items()}
        return dict.fromkeys(self.load.addresses, self.load.role)


@dataclass(frozen=True, kw_only=True)
class LoadedSources:
    """The sources of a plan in an engine: places of feeds by the numbers of their loads.

    ``seen`` are the segments that are looked at, ``unplanned`` those that are so without
    being planned, with the reason.
    """

    feeds: Sequence[SourceInput]
    loads: Mapping[int, int]
    reach: PathPolicy
    seen: Collection[str]
    unplanned: Mapping[str, str]

    def check_rows(
        self, stats: Mapping[int, LoadStats], changing: Collection[str] = ()
    ) -> list[Finding]:
        """Give what a reviewer should know of the rows of each feed, by its place.

        Of sources from outside that fill one of the segments ``changing``, that is at
        least how many rows there are.  Raises ``InvalidInput`` with all problems of all
        sources at once.
        """
        pairs = [(self.feeds[place].load, found) for place, found in sorted(stats.items())]
        problems = [
            self._reasoned(load, problem)
            for load, found in pairs
            for problem in _invalid(load, found, self.reach)
        ]
        if problems:
            raise InvalidInput(problems)
        moved = frozenset(changing)
        held = [(self.feeds[place], found) for place, found in sorted(stats.items())]
        return [finding for feed, found in held for finding in _told(feed, found, moved)]

    def describe_error(self, error: SourceError) -> InvalidInput:
        """Say which source an engine could not read while comparing."""
        if error.load is None:
            raise error
        load = self.feeds[self.loads[error.load]].load
        return InvalidInput([self._reasoned(load, source_diagnostic(load, error, self.reach))])

    def _reasoned(self, load: Load, problem: Diagnostic) -> Diagnostic:
        return _reasoned(load, problem, self.seen, self.unplanned)


def find_sources(
    desired: Desired,
    seen: Collection[str],
    at: SourceContext,
    unplanned: Mapping[str, str] = MappingProxyType({}),
) -> tuple[SourceInput, ...]:
    """Find, and fetch, every source of the segments ``seen``; reads no row of a file.

    ``unplanned`` gives those of the segments that are no part of the plan, with the reason.
    """
    feeds = [SourceInput(load=load) for load in desired.loads]
    return tuple(
        _found(feed.load, seen, at, unplanned) for feed in feeds if seen & feed.roles.keys()
    )


def _found(
    load: Load, seen: Collection[str], at: SourceContext, unplanned: Mapping[str, str]
) -> SourceInput:
    if isinstance(load.source, SegmentSource):
        return SourceInput(load=load)
    column = load.segment_column if isinstance(load, TableLoad) else None
    try:
        return SourceInput(load=load, rows=rows_of(load.source, at, segment_column=column))
    except SourceError as error:
        problem = source_diagnostic(load, error, at.reach)
        return SourceInput(load=load, problem=_reasoned(load, problem, seen, unplanned))


def load_sources(
    feeds: Sequence[SourceInput],
    places: Mapping[str, int],
    at: SourceContext,
    *,
    seen: Collection[str],
    unplanned: Mapping[str, str] = MappingProxyType({}),
) -> LoadedSources:
    """Take the sources of the segments at ``places`` into the engine.

    ``places`` gives their targets by address; for ``seen`` and ``unplanned`` see
    ``LoadedSources``.  Raises ``InvalidInput`` with all sources that cannot be read.
    """
    problems: list[Diagnostic] = []
    loads: dict[int, int] = {}
    for number, feed in enumerate(feeds):
        targets = _targets(feed.load, places)
        if feed.problem:
            problems.append(feed.problem)
        elif targets:
            try:
                role = "include" if isinstance(feed.load, TableLoad) else feed.load.role
                rows = _rows_of(feed, places)
                at.bring(rows)
                loads[at.engine.load(rows, targets=targets, role=role)] = number
            except SourceError as error:
                problem = source_diagnostic(feed.load, error, at.reach)
                problems.append(_reasoned(feed.load, problem, seen, unplanned))
    if problems:
        raise InvalidInput(problems)
    return LoadedSources(feeds=feeds, loads=loads, reach=at.reach, seen=seen, unplanned=unplanned)


def _rows_of(feed: SourceInput, places: Mapping[str, int]) -> Rows:
    if isinstance(feed.load.source, SegmentSource):
        return Members(target=places[feed.load.source.address])
    if feed.rows is None:
        raise AssertionError("a source without a problem has rows")
    return feed.rows


def _targets(load: Load, places: Mapping[str, int]) -> Sequence[int] | Mapping[str, int]:
    if isinstance(load, TableLoad):
        planned = {value: places.get(address, -1) for value, address in load.segments.items()}
        return planned if any(place >= 0 for place in planned.values()) else {}
    return [places[address] for address in load.addresses if address in places]


def _name(load: Load) -> str:
    """Name a source the way its author knows it."""
    match load.source:
        case FileSource(path=name):
            pass
        case QuerySource():
            name = "the query"
        case PostgresSource(connection=connection, table=table):
            name = f"{table or 'the query'} of {connection}"
        case SqliteSource(path=path, table=table):
            name = f"{table or 'the query'} of {path}"
        case CommandSource(run=run):
            name = f"the command {run[0]}"
        case InlineSource():
            name = "the list"
        case SegmentSource(address=name):
            pass
    return name


def _reasoned(
    load: Load, problem: Diagnostic, seen: Collection[str], unplanned: Mapping[str, str]
) -> Diagnostic:
    """Add to a problem why its source is read at all, where no planned segment has it."""
    addresses = load.segments.values() if isinstance(load, TableLoad) else load.addresses
    found = [address for address in addresses if address in seen]
    if not found or not set(found) <= set(unplanned):
        return problem
    reason = f"{found[0]} is no part of this plan, but {unplanned[found[0]]}."
    return replace(problem, detail=f"{problem.detail} {reason}".strip())


def _where(load: Load) -> Location:
    return load.source.location


def source_diagnostic(load: Load, error: SourceError, reach: PathPolicy) -> Diagnostic:
    """Tell the author of a source why it cannot be read."""
    summary, detail = error.summary, error.detail
    if isinstance(load.source, CommandSource):
        name = _name(load)
        if name not in summary:
            line = f" (line {error.line} of it)" if error.line else ""
            summary = f"{name}: {summary.replace('the file', 'its output', 1)}{line}"
        if error.code == "column-not-text":
            detail = "Let the command write it as text."
    elif isinstance(load.source, FileSource):
        at = f":{error.line}" if error.line else ""
        name = reach.shown(error.file) if error.file else load.source.path
        if name not in summary:
            summary = f"{name}{at}: {summary}"
    elif isinstance(load.source, SqliteSource):
        summary = summary if load.source.path in summary else f"{load.source.path}: {summary}"
    elif isinstance(load.source, PostgresSource):
        summary = f'connection "{load.source.connection}": {summary}'
    elif error.line or error.file:
        line = f"line {error.line} of " if error.line else ""
        read = reach.shown(error.file) if error.file else "a file that it reads"
        summary += f" ({line}{read})"
    return Diagnostic(code=error.code, summary=summary, detail=detail, location=_where(load))


def _tolerance(load: Load) -> Tolerance:
    if isinstance(load.source, InlineSource | SegmentSource):
        return Tolerance()
    return load.source.tolerance


def _invalid(load: Load, stats: LoadStats, reach: PathPolicy) -> Iterable[Diagnostic]:
    """Give what the user must mend before anything can be planned."""
    tolerance = _tolerance(load)
    bad = sum(stats.invalid.values())
    if bad and not tolerance.skip:
        for problem, rows in stats.invalid.items():
            first, file = stats.first.get(problem), stats.files.get(problem)
            at = f" of {reach.shown(file)}" if file else ""
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


def _told(feed: SourceInput, stats: LoadStats, changing: Collection[str]) -> Iterable[Finding]:
    found = list(_counted(feed.load, stats))
    inside = isinstance(feed.load.source, InlineSource | SegmentSource)
    if not found and not inside and not feed.roles.keys().isdisjoint(changing):
        where = f"{_where(feed.load)}: {_name(feed.load)}"
        found = [
            Finding(
                severity=Severity.INFO,
                code="rows-read",
                summary=f"{where}: {_rows(stats.rows)}, no duplicates",
                figures=_figures(feed.load, stats, stats.rows),
            )
        ]
    return found


def _counted(load: Load, stats: LoadStats) -> Iterable[Finding]:
    where = f"{_where(load)}: {_name(load)}"
    if stats.invalid and _tolerance(load).skip:
        kinds = ", ".join(f"{rows:,} with {DESCRIPTIONS[p]}" for p, rows in stats.invalid.items())
        yield Finding(
            severity=Severity.WARNING,
            code="rows-skipped",
            summary=f"{where}: {_rows(sum(stats.invalid.values()))} of {stats.rows:,} left out: "
            f"{kinds}",
            figures=_figures(load, stats, sum(stats.invalid.values())),
        )
    if stats.duplicates:
        yield Finding(
            severity=Severity.INFO,
            code="duplicate-rows",
            summary=f"{where}: {_rows(stats.duplicates)} of {stats.rows:,} left out, since "
            "the same user stands in another",
            figures=_figures(load, stats, stats.duplicates),
        )
    if isinstance(load, TableLoad) and load.ignore_others and stats.others_rows:
        yield Finding(
            severity=Severity.INFO,
            code="other-values",
            summary=f"{where}: {_rows(stats.others_rows)} of {stats.rows:,} ignored, for "
            "segments that are not declared",
            figures=_figures(load, stats, stats.others_rows),
        )


def _figures(load: Load, stats: LoadStats, rows: int) -> Figures:
    return Figures(count=rows, of=stats.rows, place=str(_where(load)))


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
