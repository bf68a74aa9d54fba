"""Compute the desired members of segments, without a state to compare them with."""

from collections.abc import Mapping, Sequence

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Severity
from segctl.engine.model import SourceError
from segctl.engine.protocols import Engine
from segctl.manifests.dependencies import required_segments
from segctl.manifests.desired import DesiredState, Load
from segctl.plan.model import Finding
from segctl.planning.load import LoadedSources, find_sources, load_sources
from segctl.planning.rule_members import prepare_engine
from segctl.planning.scope import PlanScope
from segctl.planning.unchanged import check_files_unchanged, row_files
from segctl.sources.context import SourceContext


@dataclass(frozen=True, kw_only=True)
class DesiredMembers:
    """The sources that were loaded, and the warnings about their rows."""

    findings: tuple[Finding, ...]
    loads: Mapping[int, Load]


def compute_desired(
    desired: DesiredState, targets: Mapping[str, int], context: SourceContext
) -> DesiredMembers:
    """Compute the members of the segments ``targets``, as a plan does.

    ``targets`` are target indexes by address. The engine of the context then has the sets of
    these targets. Raises ``InvalidInput`` with the problems of all sources at once.
    """
    reasons = required_segments(desired, targets, ())
    first_free = max(targets.values(), default=-1) + 1
    scope = PlanScope(
        planned=targets,
        supporting={address: first_free + n for n, address in enumerate(reasons)},
        reasons=reasons,
        rules=(),
    )
    inputs = find_sources(desired, scope, context)
    contents = context.policy.digest_files(file for i in inputs for file in row_files(i.rows))
    loaded = load_sources(inputs, scope.target_indexes, scope, context, earlier={})
    prepare_engine(
        desired, (), context.engine, target_indexes=scope.target_indexes, planned=targets
    )
    findings = _open_sets(context.engine, loaded, list(targets.values()))
    check_files_unchanged(inputs, contents, context.policy)
    return DesiredMembers(
        findings=tuple(f for f in findings if f.severity is not Severity.INFO),
        loads={number: inputs[index].load for number, index in loaded.input_indexes.items()},
    )


def _open_sets(engine: Engine, loaded: LoadedSources, desired: Sequence[int]) -> list[Finding]:
    try:
        stats = engine.open_sets(desired)
    except SourceError as error:
        raise loaded.unreadable_source(error) from error
    return loaded.row_findings({loaded.input_indexes[load]: s for load, s in stats.items()})
