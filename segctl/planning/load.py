"""Load the sources of a plan into the engine, and report problems with their rows."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic
from segctl.core.identity import Kind
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
    DesiredState,
    InlineSource,
    Load,
    SegmentSource,
    TableLoad,
)
from segctl.plan.model import Finding
from segctl.planning.resolve import SourceResolver, resolve_load
from segctl.planning.row_findings import row_findings, row_problems
from segctl.planning.scope import PlanScope
from segctl.planning.source_diagnostics import source_diagnostic
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
            for problem in row_problems(source_input.load, counts, self.policy)
        ]
        if problems:
            raise UnreadableSources(problems)
        return [
            finding
            for source_input, counts in counted
            for finding in row_findings(
                source_input.load,
                counts,
                is_changing=not source_input.roles.keys().isdisjoint(changing),
            )
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


def normalizations(load: Load) -> tuple[Normalization, ...]:
    """Return the forms in which a source that takes members away is compared."""
    return () if isinstance(load.source, InlineSource | SegmentSource) else load.source.normalize


def _patterns(load: Load) -> Mapping[Kind, str]:
    return {} if isinstance(load.source, SegmentSource) else load.source.patterns
