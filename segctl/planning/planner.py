"""Build a plan: read the sources, compare members with the state, and pack the difference."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from segctl import __version__
from segctl.core.dataclass import dataclass
from segctl.engine.model import PackingSummary, RecordedFiles
from segctl.engine.protocols import Engine
from segctl.manifests.desired import DesiredState
from segctl.plan.blocks import ResolvedBlocks, resolve_blocks
from segctl.plan.diff import Draft, build_drafts
from segctl.plan.findings import (
    build_findings,
    nothing_recorded,
    other_host,
)
from segctl.plan.holding import Refusal, held_findings
from segctl.plan.model import (
    Change,
    Estimate,
    Plan,
    Requests,
    Target,
)
from segctl.plan.overrides import OverrideClock
from segctl.planning.changes import describe_change, index_of
from segctl.planning.compare import Comparison, ComparisonResult, compare_nothing
from segctl.planning.definitions import rules_digest, segment_definitions
from segctl.planning.digest import plan_digest
from segctl.planning.flows import count_flows
from segctl.planning.hold import build_with_held, held_addresses
from segctl.planning.imports import read_imports
from segctl.planning.limits import month_usage, with_findings
from segctl.planning.load import SourceInput, find_sources
from segctl.planning.removed_segments import check_removed_segments
from segctl.planning.resolve import SourceResolver
from segctl.planning.restrictions import KnownRestrictions, find_known_restrictions
from segctl.planning.scope import PlanScope, build_scope
from segctl.planning.source_context import open_source_context
from segctl.planning.targets import (
    assign_targets,
    filled_targets,
    recorded_targets,
    shaped_targets,
    with_fingerprints,
)
from segctl.planning.unchanged import select_reads
from segctl.sources.context import SourceContext
from segctl.state.model import SegmentRecord, State
from segctl.state.restrictions import move_restrictions
from segctl.state.usage import SEGMENTS_PER_CREATE_REQUEST

SECONDS_PER_REQUEST = 0.8
"""An estimate: the vendor's pages say only that a call may take a second or more."""

PlanPurpose = Literal["show", "save", "send"]
"""What happens to the plan. Only a plan to save or send needs its member columns."""


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Which segments to plan, and for which account and host.

    ``patterns`` select addresses, all if empty, without those that ``excluded`` match. ``destroy``
    treats every manifest as deleted. With ``hold``, segments that are refused are held back, and
    those of ``held`` are in any case. Memberships refused before ``retry_before`` (seconds since
    1970) are sent again. ``reread`` reads every source, even if it is unchanged. The plan is made
    at ``made_at``, in seconds since 1970.
    """

    account: str | None
    host: str
    patterns: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    destroy: bool = False
    hold: bool = False
    held: tuple[Refusal, ...] = ()
    retry_before: float | None = None
    reread: bool = False
    memory: int | None = None
    made_at: float = 0.0
    commit: str = ""


@dataclass(frozen=True, kw_only=True)
class PlanBundle:
    """A plan, and the paths of its member columns in the scratch folder.

    The files exist for the purpose ``save``, and for ``send`` unless the plan is empty.
    ``imported`` are the base files of the segments that blocks import and that have members, by
    target index.
    """

    plan: Plan
    delta: Path
    imported: Mapping[int, Path] = field(default_factory=dict)


def build_plan(
    desired: DesiredState,
    state: State,
    options: PlanOptions,
    *,
    engine: Callable[[], Engine],
    recorded_files: Mapping[str, RecordedFiles],
    root: Path,
    scratch: Path,
    environment: Mapping[str, str],
    purpose: PlanPurpose,
) -> PlanBundle:
    """Build the plan that leads from ``state`` to ``desired``.

    ``engine`` opens an engine and closes the one before. It is called only if one is needed: for
    the members of imported segments, and for the comparison.
    ``recorded_files`` holds the local files of each recorded segment by its id in requests.
    ``root`` is the workspace folder, and ``environment`` the variables that sources may
    read. Raises ``UnreadableSources`` with the problems of all sources at once, and
    ``InvalidInput`` for blocks.
    """
    open_context = partial(
        open_source_context,
        desired.project,
        memory=options.memory,
        engine=engine,
        root=root,
        environment=environment,
    )
    blocks = ResolvedBlocks(state=state)
    if not options.destroy:
        blocks = resolve_blocks(
            desired.blocks,
            desired.segments,
            state,
            patterns=options.patterns,
            excluded=options.excluded,
        )
    drafts = build_drafts(
        desired.segments,
        blocks.state,
        blocks=blocks,
        patterns=options.patterns,
        excluded=options.excluded,
        destroy=options.destroy,
    )
    build = partial(
        _build_plan,
        desired,
        blocks,
        options,
        open_context=open_context,
        resolver=SourceResolver(open_context(scratch), engine, repeats=options.hold),
        recorded_files=recorded_files,
        records={d.address: d.old_record or d.record for d in drafts if not d.is_tombstone},
        root=root,
        scratch=scratch,
        purpose=purpose,
    )
    return build_with_held(build, desired, drafts, hold=options.hold, held=options.held)


def _build_plan(
    desired: DesiredState,
    blocks: ResolvedBlocks,
    options: PlanOptions,
    drafts: Sequence[Draft],
    held: Sequence[Refusal],
    *,
    open_context: Callable[[Path], SourceContext],
    resolver: SourceResolver,
    recorded_files: Mapping[str, RecordedFiles],
    records: Mapping[str, SegmentRecord | None],
    root: Path,
    scratch: Path,
    purpose: PlanPurpose,
) -> PlanBundle:
    """Build the plan of these drafts, without the segments that are held back.

    ``records`` are those of all segments, by the addresses of their drafts.
    """
    project, state = desired.project, blocks.state
    imported = read_imports(
        desired, blocks.imports, drafts, scratch=scratch, open_context=open_context
    )
    drafts = tuple(imported.complete(draft) for draft in drafts)
    recorded_files = imported.with_files(recorded_files, drafts)
    segments, targets = assign_targets(drafts)
    scope = build_scope(
        desired,
        filled_targets(segments),
        first_free_index=len(targets),
        held=held_addresses(held),
    )
    context = resolver.open_context()
    inputs = find_sources(desired, scope, context, resolver=resolver)
    restrictions = _known_restrictions(desired, scope, inputs, blocks, drafts)
    selection = select_reads(
        inputs,
        scope,
        drafts,
        state,
        context,
        declared=desired.segments,
        restrictions=restrictions,
        reread=options.reread,
    )
    comparison = Comparison(
        desired=desired,
        scope=scope,
        recorded=recorded_targets(segments),
        recorded_files=recorded_files,
        keys=[target.key for target in targets],
        retry_before=options.retry_before,
        restrictions=restrictions,
        shaped=shaped_targets(segments),
        clock=OverrideClock(now=options.made_at, zone=project.time_zone),
        held={index: records.get(address) for address, index in scope.held.items()},
    ).run(selection, context)
    definitions = segment_definitions(desired)
    guarded = [describe_change(segment, comparison, definitions) for segment in segments]
    changes = tuple(item.change for item in guarded)
    targets = with_fingerprints(targets, scope.planned, comparison.segment_fingerprints)
    plan = _assemble_plan(
        desired,
        state,
        options,
        comparison,
        changes=changes,
        targets=targets,
    )
    plan = replace(plan, held=tuple(refusal.held for refusal in held))
    plan = with_findings(
        plan,
        [
            *held_findings(held),
            *comparison.findings,
            *imported.findings,
            *blocks.findings,
            *build_findings(changes, drafts),
            *(
                []
                if options.destroy
                else check_removed_segments(desired, comparison, changes, drafts, root)
            ),
            *nothing_recorded(changes, state),
            *other_host(options.host, changes),
        ],
        guarded,
        place=project.place,
    )
    plan = replace(plan, digest=plan_digest(plan, str(comparison.delta_digest)))
    delta = scratch / "delta.parquet"
    if purpose == "save" or (purpose == "send" and not plan.is_empty):
        compared = comparison.engine or compare_nothing(context.engine, project)
        compared.save(delta)
    return PlanBundle(plan=plan, delta=delta, imported=imported.bases(changes))


def _known_restrictions(
    desired: DesiredState,
    scope: PlanScope,
    inputs: Sequence[SourceInput],
    blocks: ResolvedBlocks,
    drafts: Sequence[Draft],
) -> KnownRestrictions:
    """Return what is recorded of sources that take members away, at the new addresses.

    A segment that the plan leaves out stays at its old address, whatever a block says.
    """
    moves = {draft.moved_from: draft.address for draft in drafts if draft.moved_from}
    state = blocks.state
    old_addresses = [old for old, _ in blocks.moves.values()]
    return find_known_restrictions(
        desired,
        scope,
        inputs,
        move_restrictions(state.restrictions, moves),
        addresses=[*old_addresses, *(address for address, _ in state.records())],
    )


def _assemble_plan(
    desired: DesiredState,
    state: State,
    options: PlanOptions,
    comparison: ComparisonResult,
    *,
    changes: tuple[Change, ...],
    targets: tuple[Target, ...],
) -> Plan:
    """Return the plan without its findings and its digest."""
    project = desired.project
    plan = Plan(
        lineage=state.lineage,
        serial=state.serial,
        account=state.account or options.account,
        host=options.host,
        env_name=desired.project.env_name,
        workspace_digest=desired.digest,
        digest="",
        segctl_version=__version__,
        variables=desired.variables,
        destroy=options.destroy,
        targeted=options.patterns,
        excluded=options.excluded,
        changes=changes,
        targets=targets,
        max_destroys=project.max_destroys,
        tolerance=project.approval,
        rules_digest=rules_digest(desired),
        settle_seconds=project.settle_seconds,
        max_refused_percent=project.max_refused_percent,
        counting=project.counting,
        concurrency=project.concurrency,
        sources=comparison.source_counts,
        rules=comparison.passing_rules,
        restrictions=comparison.restrictions,
        made_at=options.made_at,
        commit=options.commit,
        flows=count_flows(comparison.engine, changes, targets),
        guards=project.guards,
        allow=project.allow,
        freezes=project.freezes,
        time_zone=project.time_zone,
        month=month_usage(project, state, at=options.made_at),
        shapes={
            change.address: comparison.shapes[index_of(change)]
            for change in changes
            if index_of(change) in comparison.shapes
        },
    )
    return with_requests(plan, comparison.packing)


def with_requests(plan: Plan, packing: PackingSummary) -> Plan:
    """Return the plan with the number of its requests and the estimate for sending them."""
    creates = sum(target.create for target in plan.targets)
    create_requests = -(-creates // SEGMENTS_PER_CREATE_REQUEST)
    rounds = -(-packing.requests // plan.concurrency) + -(-create_requests // plan.concurrency)
    return replace(
        plan,
        requests=Requests(
            create=create_requests,
            update=packing.requests,
            naive=packing.naive,
            floor=packing.floor,
        ),
        estimate=Estimate(
            seconds=round(rounds * SECONDS_PER_REQUEST, 1),
            billable_events=(
                plan.members_add + plan.members_remove if plan.remaining is None else plan.remaining
            ),
        ),
        settle_from=packing.settle_from if packing.settle_from < packing.requests else None,
        settled_at=packing.settled_at,
        certificates=packing.certificates,
    )
