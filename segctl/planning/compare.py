"""Compare the desired members of a plan's segments with the recorded ones."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace

from segctl.core.dataclass import dataclass
from segctl.core.fingerprints import Basis, SourceCounts
from segctl.core.identity import SetDigest
from segctl.engine.model import Diff, PackingSummary, RecordedFiles, SourceError, TargetDiff
from segctl.engine.protocols import Engine, MemberComparer, RequestPacker
from segctl.manifests.desired import DesiredState, ProjectSettings, Rule
from segctl.plan.model import Finding
from segctl.plan.overrides import OverrideClock
from segctl.plan.rules import check_rules
from segctl.planning.load import LoadedSources, load_sources
from segctl.planning.restrictions import KnownRestrictions, count_added, report_sizes
from segctl.planning.rule_members import prepare_engine, query_rule_members
from segctl.planning.scope import PlanScope
from segctl.planning.unchanged import ReadSelection
from segctl.sources.context import SourceContext
from segctl.state.model import SegmentRecord
from segctl.state.restrictions import Restriction
from segctl.state.shapes import Shapes, find_new_shapes, most_frequent

NOTHING_PACKED = PackingSummary(requests=0, naive=0, settle_from=0)
"""The packing of an empty delta."""


@dataclass(frozen=True, kw_only=True)
class ComparisonResult:
    """How the members of a plan's segments change.

    ``engine`` holds the delta, ``None`` if there was nothing to compare. ``diffs`` are by
    target index. ``shapes`` are those of the recorded members of guarded targets, and
    ``new_shapes`` the added ones that none of them has. The last four fields are recorded for the
    next plan: the fingerprints of segments by address, the row counts of sources by fingerprint,
    the fingerprints of the rules that hold, and the sources that take members away.
    """

    engine: RequestPacker | None
    diffs: Mapping[int, TargetDiff]
    packing: PackingSummary
    delta_digest: SetDigest
    findings: list[Finding]
    shapes: Mapping[int, Shapes]
    new_shapes: Mapping[int, Mapping[str, int]]
    segment_fingerprints: Mapping[str, str]
    source_counts: Mapping[str, SourceCounts]
    passing_rules: tuple[str, ...]
    restrictions: tuple[Restriction, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The input of a comparison.

    ``recorded`` holds, for each target to compare, its record, if it has one, and whether it is
    wanted; a target that is not wanted is emptied. ``recorded_files`` finds the local files of a
    record; those of an unchanged segment are not asked for. ``keys`` are the ids of the targets in
    requests, by target index. Pairs refused before ``retry_before`` (seconds since 1970)
    are sent again. ``restrictions`` are what the state knows of sources that take members away.
    ``shaped`` are the targets whose new shapes are limited. ``clock`` is the time for overrides.
    ``held`` are the records of segments that are held back, by target index.
    """

    desired: DesiredState
    scope: PlanScope
    recorded: Mapping[int, tuple[SegmentRecord | None, bool]]
    recorded_files: Mapping[str, RecordedFiles]
    keys: Sequence[str]
    retry_before: float | None
    restrictions: KnownRestrictions
    shaped: Collection[int]
    clock: OverrideClock
    held: Mapping[int, SegmentRecord | None] = field(default_factory=dict)

    def run(self, selection: ReadSelection, context: SourceContext) -> ComparisonResult:
        """Compare the members of every segment that is not unchanged.

        Raises ``UnreadableSources`` with the problems of all sources at once.
        """
        unchanged = {
            self.scope.planned[address]: _unchanged_diff(basis)
            for address, basis in selection.unchanged.items()
        }
        recorded = {n: target for n, target in self.recorded.items() if n not in unchanged}
        read = {a: n for a, n in self.scope.target_indexes.items() if a in selection.to_read}
        loaded = load_sources(
            selection.inputs,
            read,
            self.scope,
            context,
            earlier=self.restrictions.earlier(selection.inputs),
        )
        engine = context.engine if recorded or read else None
        diff = self._diff(engine, recorded, read, loaded, selection) if engine else _NO_DIFF
        read_stats = {loaded.input_indexes[load]: counts for load, counts in diff.loads.items()}
        stats = selection.complete_stats(read_stats)
        changing = [address for address, index in read.items() if _has_changes(diff, index)]
        findings = loaded.row_findings(stats, changing)
        size_findings, restrictions = report_sizes(
            self.desired,
            selection.inputs,
            stats,
            read_stats,
            self.restrictions,
            read_segments=selection.to_read,
            clock=self.clock,
            added=count_added(self.restrictions, engine, read)
            if engine
            else [0] * len(self.restrictions.removed),
        )
        packing, delta_digest = NOTHING_PACKED, SetDigest()
        violations: list[tuple[Rule, list[Finding]]] = []
        shapes: Mapping[int, Shapes] = {}
        added_shapes: Mapping[int, Mapping[str, int]] = {}
        if engine:
            shapes, added_shapes = self._count_shapes(engine, diff)
            packing = pack_delta(engine, self.keys, self.desired.project)
            delta_digest = engine.digest_delta(self.keys)
            violations = _check_rules(selection.rules, engine, read, diff, self.scope.held)
        selection.check_files_unchanged()
        return ComparisonResult(
            engine=engine,
            diffs={**diff.targets, **unchanged},
            packing=packing,
            delta_digest=delta_digest,
            findings=[
                *findings,
                *size_findings,
                *(finding for _, broken in violations for finding in broken),
            ],
            shapes=shapes,
            new_shapes={
                index: find_new_shapes(known, added_shapes.get(index, {}))
                for index, known in shapes.items()
            },
            segment_fingerprints=selection.segment_fingerprints,
            source_counts=selection.counts_to_record(stats),
            passing_rules=selection.rules_to_record([rule for rule, _ in violations]),
            restrictions=restrictions,
        )

    def _count_shapes(
        self, engine: MemberComparer, diff: Diff
    ) -> tuple[Mapping[int, Shapes], Mapping[int, Mapping[str, int]]]:
        """Return the shapes of recorded members, and of those to be added, of guarded targets.

        What the state has of an older set of members does not count: they are counted again.
        """
        shapes: dict[int, Shapes] = {}
        for index in self.shaped:
            record, _ = self.recorded.get(index, (None, True))
            members = record.members.digest if record else SetDigest()
            if _has_changes(diff, index):
                known = record.shapes if record and record.shapes else Shapes()
                if known.members == members:
                    shapes[index] = known
                else:
                    shapes[index] = Shapes(members=members)
        unknown = [i for i, s in shapes.items() if s.members.count and not s.counts]
        for index, counts in engine.count_shapes(unknown, recorded=True).items():
            shapes[index] = replace(shapes[index], counts=most_frequent(counts))
        compared = [index for index, known in shapes.items() if known.members.count]
        return shapes, engine.count_shapes(compared, recorded=False)

    def _diff(
        self,
        engine: MemberComparer,
        recorded: Mapping[int, tuple[SegmentRecord | None, bool]],
        read: Mapping[str, int],
        loaded: LoadedSources,
        selection: ReadSelection,
    ) -> Diff:
        planned = {a: n for a, n in read.items() if a in self.scope.planned}
        prepare_engine(
            self.desired,
            selection.rules,
            engine,
            target_indexes=read,
            planned=planned,
            held=self.scope.held,
        )
        for target_index, held in self.held.items():
            engine.retain_recorded(target_index, files_of(held, self.recorded_files))
        for target_index, (record, wanted) in recorded.items():
            files = files_of(record, self.recorded_files)
            engine.set_recorded(target_index, files, wanted=wanted)
        try:
            return engine.diff(retry_before=self.retry_before)
        except SourceError as error:
            raise loaded.unreadable_source(error) from error


_NO_DIFF = Diff(targets={}, loads={})

NOT_RECORDED = RecordedFiles()
"""The recorded files of a segment that has none."""


def files_of(
    record: SegmentRecord | None, recorded_files: Mapping[str, RecordedFiles]
) -> RecordedFiles:
    """Return the local files of a record, those of a segment without members if there is none."""
    return recorded_files.get(record.key, NOT_RECORDED) if record else NOT_RECORDED


def _check_rules(
    rules: Sequence[Rule],
    engine: MemberComparer,
    read: Mapping[str, int],
    diff: Diff,
    held: Mapping[str, int],
) -> list[tuple[Rule, list[Finding]]]:
    """Return the rules that do not hold, each with its findings."""
    members = query_rule_members(
        rules, engine, target_indexes={**read, **held}, diffs=diff.targets, held=held.keys()
    )
    checked = [
        (rule, [f for f in check_rules([rule], members) if not _is_about_held(f, held)])
        for rule in rules
    ]
    return [(rule, findings) for rule, findings in checked if findings]


def _is_about_held(finding: Finding, held: Collection[str]) -> bool:
    """Whether a finding is only about members that segments keep because they are held back."""
    return finding.figures is not None and set(finding.figures.segments) <= set(held)


def _has_changes(diff: Diff, target_index: int) -> bool:
    target = diff.targets.get(target_index)
    return target is not None and bool(target.add or target.remove)


def _unchanged_diff(basis: Basis) -> TargetDiff:
    """Return the diff of a segment whose recorded members are those of its sources."""
    count = basis.members.count
    return TargetDiff(
        declared=count,
        desired=count,
        recorded=count,
        held_out=basis.held_out,
        suppressed=basis.suppressed,
    )


def pack_delta(
    engine: RequestPacker, keys: Sequence[str], project: ProjectSettings
) -> PackingSummary:
    """Pack the engine's delta with the settings of the project."""
    return engine.pack(keys, counting=project.counting, settle_seconds=project.settle_seconds)


def compare_nothing(engine: Engine, project: ProjectSettings) -> RequestPacker:
    """Run an empty comparison, so that an unused engine can save empty member columns."""
    engine.diff()
    pack_delta(engine, (), project)
    return engine
