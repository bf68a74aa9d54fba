"""Compare what a plan's segments are to have with what is recorded, as far as need be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segctl.core.fingerprints import Basis, SourceCounts
from segctl.core.identity import SetDigest
from segctl.engine.base import (
    Diff,
    Engine,
    PackingSummary,
    Recorded,
    SourceError,
    TargetDiff,
)
from segctl.manifests.desired import Desired, ProjectSettings, Rule
from segctl.plan.model import Finding
from segctl.plan.rules import check_rules
from segctl.planning.load import LoadedSources, load_sources
from segctl.planning.rule_members import EngineRuleMembers, prepare_engine
from segctl.planning.unchanged import ReadSelection
from segctl.sources.context import SourceContext

NOTHING_PACKED = PackingSummary(requests=0, naive=0, floor=0, settle_from=0)
"""What packing an empty delta comes to."""


@dataclass(frozen=True, kw_only=True)
class ComparisonResult:
    """What comparing members came to.

    ``engine`` holds the delta; it is ``None`` where there was nothing to compare.
    ``diffs`` are by target; ``segments``, ``sources`` and ``rules`` are what is to be
    known of them by the next plan: see ``ReadSelection``.
    """

    engine: Engine | None
    diffs: Mapping[int, TargetDiff]
    packed: PackingSummary
    digest: SetDigest
    findings: list[Finding]
    segments: Mapping[str, str]
    sources: Mapping[str, SourceCounts]
    rules: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a plan compares: its segments with their targets, ``places`` by address.

    Those of ``unplanned`` segments are looked at alone, with the reason.  ``recorded``
    gives for each other target where it is recorded and whether it is wanted;  ``keys``
    are their names on the wire.  ``rules`` are all about these segments.
    """

    desired: Desired
    places: Mapping[str, int]
    unplanned: Mapping[str, str]
    recorded: Mapping[int, tuple[Recorded, bool]]
    keys: Sequence[str]
    rules: Sequence[Rule]
    retry_before: float | None

    def run(self, found: ReadSelection, at: SourceContext) -> ComparisonResult:
        """Compare the members of all segments that are not settled.

        Raises ``InvalidInput`` with all problems of all sources at once.
        """
        read = {address: place for address, place in self.places.items() if address in found.read}
        settled = {self.places[address] for address in found.settled}
        loaded = load_sources(
            found.feeds, read, at, seen=self.places.keys(), unplanned=self.unplanned
        )
        recorded = {n: known for n, known in self.recorded.items() if n not in settled}
        engine = at.engine if recorded or read else None
        diff, packed, digest = Diff(targets={}, loads={}), NOTHING_PACKED, SetDigest()
        if engine:
            self._prepare(engine, found, read)
            diff = self._diff(engine, recorded, loaded)
        stats = found.stats({loaded.loads[number]: held for number, held in diff.loads.items()})
        changing = [address for address, place in read.items() if _changes(diff, place)]
        findings = loaded.check_rows(stats, changing)
        broken = []
        if engine:
            packed = pack(engine, self.keys, self.desired.project)
            digest = engine.delta_digest(self.keys)
            broken = self._broken(engine, found, read, diff)
        found.check_unchanged()
        return ComparisonResult(
            engine=engine,
            diffs={
                **diff.targets,
                **{self.places[a]: _settled(b) for a, b in found.settled.items()},
            },
            packed=packed,
            digest=digest,
            findings=findings + [finding for _, violations in broken for finding in violations],
            segments=found.segments,
            sources=found.counts(stats),
            rules=found.holding(self.rules, [rule for rule, _ in broken]),
        )

    def _prepare(self, engine: Engine, found: ReadSelection, read: Mapping[str, int]) -> None:
        planned = {a: place for a, place in read.items() if a not in self.unplanned}
        prepare_engine(self.desired, found.rules, engine, places=read, planned=planned)

    def _diff(
        self, engine: Engine, recorded: Mapping[int, tuple[Recorded, bool]], loaded: LoadedSources
    ) -> Diff:
        for target, (where, wanted) in recorded.items():
            engine.record(target, where, wanted=wanted)
        try:
            return engine.diff(retry_before=self.retry_before)
        except SourceError as error:
            raise loaded.describe_error(error) from error

    def _broken(
        self, engine: Engine, found: ReadSelection, read: Mapping[str, int], diff: Diff
    ) -> list[tuple[Rule, list[Finding]]]:
        """Judge the rules of which it is not known that they hold; give those that do not."""
        asked = EngineRuleMembers(engine=engine, places=read, diffs=diff.targets)
        judged = [(rule, list(check_rules([rule], asked))) for rule in found.rules]
        return [(rule, violations) for rule, violations in judged if violations]


def _changes(diff: Diff, place: int) -> bool:
    target = diff.targets.get(place)
    return target is not None and bool(target.add or target.remove)


def pack(engine: Engine, keys: Sequence[str], project: ProjectSettings) -> PackingSummary:
    """Pack the delta that an engine holds, as the project says."""
    return engine.pack(keys, counting=project.counting, settle_seconds=project.settle_seconds)


def compare_nothing(engine: Engine, project: ProjectSettings) -> Engine:
    """Have an engine compare nothing, where columns are wanted all the same."""
    engine.diff()
    pack(engine, (), project)
    return engine


def _settled(basis: Basis) -> TargetDiff:
    """Give the difference of a segment whose sources are known to come to what is recorded."""
    count = basis.members.count
    return TargetDiff(
        asked=count,
        desired=count,
        recorded=count,
        held_out=basis.held_out,
        suppressed=basis.suppressed,
    )
