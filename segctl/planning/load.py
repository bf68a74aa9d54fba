"""Load the sources of a plan into the engine, and report problems with their rows."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.core.identity import PROBLEM_DESCRIPTIONS, Kind
from segctl.core.normalize import Normalization
from segctl.engine.model import (
    NO_EARLIER_LIST,
    EarlierList,
    LoadStats,
    Rows,
    SourceError,
    TargetMembers,
)
from segctl.manifests.desired import (
    CommandSource,
    DesiredState,
    FileSource,
    InlineSource,
    Load,
    PostgresSource,
    QuerySource,
    SegmentSource,
    SqliteSource,
    SqlSource,
    TableLoad,
    Tolerance,
)
from segctl.plan.model import Figures, Finding
from segctl.planning.resolve import SourceResolver, resolve_load
from segctl.planning.scope import PlanScope
from segctl.planning.unreadable import SourceProblem, UnreadableSources
from segctl.sources.context import SourceContext
from segctl.sources.path_policy import PathPolicy


@dataclass(frozen=True, kw_only=True)
class SourceInput:
    """One source of a plan, with its rows or the problem that prevents reading them.

    ``rows`` is ``None`` if the source is another segment or has a ``problem``.
    """

    load: Load
    rows: Rows | None = None
    problem: SourceProblem | None = None

    @property
    def roles(self) -> Mapping[str, str]:
        """What the source does for each of its segments, by address.

        This is a role such as ``include``, or ``value gold`` for a table whose segment
        column selects the segment by the value ``gold``.
        """
        if isinstance(self.load, TableLoad):
            return {address: f"value {value}" for value, address in self.load.segments.items()}
        return dict.fromkeys(self.load.addresses, self.load.role)


@dataclass(frozen=True, kw_only=True)
class LoadedSources:
    """The sources of a plan, and the engine's loads of those that are read.

    ``input_indexes`` maps the number of each load to an index in ``inputs``.
    """

    inputs: Sequence[SourceInput]
    input_indexes: Mapping[int, int]
    scope: PlanScope
    policy: PathPolicy

    def row_findings(
        self, stats: Mapping[int, LoadStats], changing: Collection[str] = ()
    ) -> list[Finding]:
        """Return what a reviewer should know about the rows of each source.

        ``stats`` are by input index. A source of a segment in ``changing`` gets a finding with
        its row count, unless it is a list, another segment, or has other findings. Raises
        ``UnreadableSources`` with the problems of all sources at once.
        """
        counted = [(self.inputs[index], counts) for index, counts in sorted(stats.items())]
        problems = [
            source_problem(source_input.load, problem, self.scope)
            for source_input, counts in counted
            for problem in _row_problems(source_input.load, counts, self.policy)
        ]
        if problems:
            raise UnreadableSources(problems)
        return [
            finding
            for source_input, counts in counted
            for finding in _row_findings(source_input, counts, frozenset(changing))
        ]

    def unreadable_source(self, error: SourceError) -> UnreadableSources:
        """Return an error for the source that the engine could not read while comparing.

        Raises ``error`` itself if it does not belong to a source.
        """
        if error.load_number is None:
            raise error
        load = self.inputs[self.input_indexes[error.load_number]].load
        return UnreadableSources([_failed_source(load, error, self.policy, self.scope)])


def find_sources(
    desired: DesiredState,
    scope: PlanScope,
    context: SourceContext,
    *,
    resolver: SourceResolver | None = None,
) -> tuple[SourceInput, ...]:
    """Find the files of every source in scope, and fetch the sources that are not files.

    No row of a file is read. A source that fails has a ``problem``.
    """
    resolve = resolver.resolve_load if resolver else resolve_load
    with closing(context):
        return tuple(
            _find(load, scope, context, resolve) for load in desired.loads if scope.includes(load)
        )


def _find(
    load: Load,
    scope: PlanScope,
    context: SourceContext,
    resolve: Callable[[Load, SourceContext], Rows | SourceError],
) -> SourceInput:
    if isinstance(load.source, SegmentSource):
        return SourceInput(load=load)
    resolved = resolve(load, context)
    if isinstance(resolved, SourceError):
        problem = _failed_source(load, resolved, context.policy, scope)
        return SourceInput(load=load, problem=problem)
    return SourceInput(load=load, rows=resolved)


def load_sources(
    inputs: Sequence[SourceInput],
    target_indexes: Mapping[str, int],
    scope: PlanScope,
    context: SourceContext,
    *,
    earlier: Mapping[int, EarlierList],
) -> LoadedSources:
    """Load the sources of the segments in ``target_indexes`` into the engine.

    ``earlier`` is what the last apply knew of sources that take members away, by input index.
    Raises ``UnreadableSources`` with all sources in scope that cannot be read.
    """
    problems: list[SourceProblem] = []
    input_indexes: dict[int, int] = {}
    for index, source_input in enumerate(inputs):
        load = source_input.load
        targets = _load_targets(load, target_indexes)
        if source_input.problem:
            problems.append(source_input.problem)
        elif targets:
            try:
                role = "include" if isinstance(load, TableLoad) else load.role
                rows = _rows(source_input, target_indexes)
                context.download(rows)
                number = context.engine.load(
                    rows,
                    targets=targets,
                    role=role,
                    normalize=normalizations(load),
                    earlier=earlier.get(index, NO_EARLIER_LIST),
                    patterns=_patterns(load),
                )
                input_indexes[number] = index
            except SourceError as error:
                problems.append(_failed_source(load, error, context.policy, scope))
    if problems:
        raise UnreadableSources(problems)
    return LoadedSources(
        inputs=inputs, input_indexes=input_indexes, scope=scope, policy=context.policy
    )


def _rows(source_input: SourceInput, target_indexes: Mapping[str, int]) -> Rows:
    source = source_input.load.source
    if isinstance(source, SegmentSource):
        return TargetMembers(target_index=target_indexes[source.address])
    if source_input.rows is None:
        raise AssertionError("a source without a problem has rows")
    return source_input.rows


def _load_targets(
    load: Load, target_indexes: Mapping[str, int]
) -> Sequence[int] | Mapping[str, int]:
    """Return the targets of a source for the engine. Empty if no target has members from it."""
    if isinstance(load, TableLoad):
        by_value = {v: target_indexes.get(address, -1) for v, address in load.segments.items()}
        return by_value if any(index >= 0 for index in by_value.values()) else {}
    return [target_indexes[address] for address in load.addresses if address in target_indexes]


def source_problem(load: Load, problem: Diagnostic, scope: PlanScope) -> SourceProblem:
    """Return the problem of a source, with why it is read if no planned segment has it."""
    return SourceProblem(load=load, diagnostic=problem, support=scope.support_reason(load))


def _failed_source(
    load: Load, error: SourceError, policy: PathPolicy, scope: PlanScope
) -> SourceProblem:
    problem = source_problem(load, source_diagnostic(load, error, policy), scope)
    return replace(problem, service=error.service)


def source_diagnostic(load: Load, error: SourceError, policy: PathPolicy) -> Diagnostic:
    """Return the diagnostic for a source that cannot be read, with its location."""
    summary, detail = error.summary, error.detail
    if isinstance(load.source, CommandSource):
        name = source_name(load)
        if name not in summary:
            line = f" (line {error.line})" if error.line else ""
            summary = f"{name}: {summary.replace('the file', 'its output', 1)}{line}"
        if error.code == "column-not-text":
            detail = "Change the command to write the column as text."
    elif isinstance(load.source, FileSource):
        line = f":{error.line}" if error.line else ""
        name = policy.display_name(error.file) if error.file else load.source.path
        if name not in summary:
            summary = f"{name}{line}: {summary}"
    elif isinstance(load.source, SqliteSource):
        summary = summary if load.source.path in summary else f"{load.source.path}: {summary}"
    elif isinstance(load.source, PostgresSource):
        summary = f'connection "{load.source.connection}": {summary}'
    elif error.line or error.file:
        line = f"line {error.line} of " if error.line else ""
        file = policy.display_name(error.file) if error.file else "a file that it reads"
        summary += f" ({line}{file})"
    source, location = load.source, load.source.location
    if isinstance(source, SqlSource) and source.sql_file and _is_about_sql(source, error):
        detail = f"{detail} {location} uses this file.".strip()
        at = error.query_position or (0, 0)
        location = Location(file=source.sql_file, line=at[0], column=at[1])
        summary = _LINE_OF_QUERY.sub("", summary)
    return Diagnostic(code=error.code, summary=summary, detail=detail, location=location)


def _is_about_sql(source: SqlSource, error: SourceError) -> bool:
    """Whether a problem is in the text of a query, and not in a file or in the database."""
    if error.query_position:
        return True
    if isinstance(source, QuerySource):
        return error.file is None and not error.line
    return error.code.startswith("query-") or error.code in _CODES_OF_RESULTS


_LINE_OF_QUERY = re.compile(r", in line \d+ of the query$")
_CODES_OF_RESULTS = ("both-keys", "column-not-text", "missing-column")
"""Errors about the columns of a result, besides those whose code begins with ``query-``."""


def source_name(load: Load) -> str:
    """Name a source by its path, its table and connection, or its command."""
    match load.source:
        case FileSource(path=name) | SegmentSource(address=name):
            return name
        case QuerySource(sql_file=file):
            return file or "the query"
        case PostgresSource(connection=database, table=table, sql_file=file):
            return f"{table or file or 'the query'} of {database}"
        case SqliteSource(path=database, table=table, sql_file=file):
            return f"{table or file or 'the query'} of {database}"
        case CommandSource(run=run):
            return f"the command {run[0]}"
        case InlineSource():
            return "the list"


def _tolerance(load: Load) -> Tolerance:
    if isinstance(load.source, InlineSource | SegmentSource):
        return Tolerance()
    return load.source.tolerance


def normalizations(load: Load) -> tuple[Normalization, ...]:
    """Return the forms in which a source that takes members away is compared."""
    return () if isinstance(load.source, InlineSource | SegmentSource) else load.source.normalize


def _patterns(load: Load) -> Mapping[Kind, str]:
    return {} if isinstance(load.source, SegmentSource) else load.source.patterns


def _row_problems(load: Load, stats: LoadStats, policy: PathPolicy) -> Iterable[Diagnostic]:
    """Yield the problems of a source's rows that prevent a plan."""
    tolerance, location = _tolerance(load), load.source.location
    invalid = sum(stats.invalid.values())
    if invalid and not tolerance.skip:
        for problem, rows in stats.invalid.items():
            first, file = stats.first_rows.get(problem), stats.first_files.get(problem)
            of_file = f" of {policy.display_name(file)}" if file else ""
            yield Diagnostic(
                code=f"invalid-identity-{problem}",
                summary=f"{source_name(load)}: {_count_rows(rows)} with "
                f"{PROBLEM_DESCRIPTIONS[problem]}"
                + (f", the first is row {first:,}{of_file}" if first else ""),
                detail="Fix the data, or set onInvalid: skip to leave such rows out.",
                location=location,
            )
    elif invalid and 100 * invalid > tolerance.max_invalid_percent * stats.rows:
        yield Diagnostic(
            code="too-many-invalid",
            summary=f"{source_name(load)}: {invalid:,} of {_count_rows(stats.rows)} are invalid, "
            f"more than maxInvalidPercent allows ({tolerance.max_invalid_percent:g}%)",
            detail="Fix the data, or raise maxInvalidPercent.",
            location=location,
        )
    if isinstance(load, TableLoad) and stats.undeclared_rows and not load.ignore_other_values:
        values = f"{stats.undeclared:,} other value{'' if stats.undeclared == 1 else 's'}"
        if stats.undeclared_nulls:
            values += f", and {_count_rows(stats.undeclared_nulls)} without a value"
        yield Diagnostic(
            code="undeclared-segment",
            summary=f"{source_name(load)}: {_count_rows(stats.undeclared_rows)} for segments that "
            f"are not declared: {values}",
            detail="Declare them under spec.segments, or set otherValues: ignore. The values are "
            "not shown, since they may be user keys.",
            location=location,
        )


def _row_findings(
    source_input: SourceInput, stats: LoadStats, changing: Collection[str]
) -> list[Finding]:
    load = source_input.load
    findings = list(_left_out_rows(load, stats))
    is_outside = not isinstance(load.source, InlineSource | SegmentSource)
    if (
        not findings
        and stats.rows
        and is_outside
        and not source_input.roles.keys().isdisjoint(changing)
    ):
        findings = [
            Finding(
                severity=Severity.INFO,
                code="rows-read",
                summary=f"{_located_name(load)}: {_count_rows(stats.rows)}, no duplicates",
                figures=_figures(load, stats, stats.rows),
            )
        ]
    return [*findings, *_suspect_values(load, stats)]


def _suspect_values(load: Load, stats: LoadStats) -> Iterable[Finding]:
    """Yield warnings about what looks wrong in a list. It may be right."""
    name, suspect = _located_name(load), stats.suspect
    if files := suspect.header_lines:
        first = "the first line looks" if files == 1 else f"the first lines of {files:,} files look"
        yield Finding(
            severity=Severity.WARNING,
            code="header-line",
            summary=f"{name}: {first} like a header, and would be a user",
            detail="Every line of a txt is a user. Remove the line, or set format: csv and its "
            "name as column.",
            figures=_figures(load, stats, files),
        )
    if values := suspect.case_variants:
        about = "about " if suspect.case_share > 1 else ""
        yield Finding(
            severity=Severity.WARNING,
            code="case-variants",
            summary=f"{name}: {about}{values:,} values differ from another one only in upper and "
            "lower case",
            detail="Each is a user of its own. If they are the same users, write them alike, or "
            "read them with a query: lower(…) AS identity.",
            figures=_figures(load, stats, values),
        )


def _left_out_rows(load: Load, stats: LoadStats) -> Iterable[Finding]:
    """Yield a finding for invalid, duplicate and undeclared rows that are left out."""
    name, total = _located_name(load), _count_rows(stats.rows)
    if stats.invalid and _tolerance(load).skip:
        invalid = sum(stats.invalid.values())
        kinds = ", ".join(
            f"{rows:,} with {PROBLEM_DESCRIPTIONS[p]}" for p, rows in stats.invalid.items()
        )
        yield Finding(
            severity=Severity.WARNING,
            code="rows-skipped",
            summary=f"{name}: {invalid:,} of {total} left out as invalid: {kinds}",
            figures=_figures(load, stats, invalid),
        )
    if stats.duplicates:
        yield Finding(
            severity=Severity.INFO,
            code="duplicate-rows",
            summary=f"{name}: {stats.duplicates:,} of {total} left out as duplicates",
            figures=_figures(load, stats, stats.duplicates),
        )
    if isinstance(load, TableLoad) and load.ignore_other_values and stats.undeclared_rows:
        yield Finding(
            severity=Severity.INFO,
            code="other-values",
            summary=f"{name}: {stats.undeclared_rows:,} of {total} ignored because their segments "
            "are not declared",
            figures=_figures(load, stats, stats.undeclared_rows),
        )


def _located_name(load: Load) -> str:
    return f"{load.source.location}: {source_name(load)}"


def _figures(load: Load, stats: LoadStats, rows: int) -> Figures:
    return Figures(count=rows, of=stats.rows, place=str(load.source.location))


def _count_rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
