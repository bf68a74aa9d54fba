"""Ask the engine about the members of segments, for hold-outs and rules."""

from collections.abc import Collection, Mapping, Sequence

from segctl.core.dataclass import dataclass
from segctl.engine.model import TargetDiff
from segctl.engine.protocols import MemberComparer
from segctl.manifests.dependencies import rule_addresses
from segctl.manifests.desired import DesiredState, Rule, Size
from segctl.plan.model import Users


def prepare_engine(
    desired: DesiredState,
    rules: Sequence[Rule],
    engine: MemberComparer,
    *,
    target_indexes: Mapping[str, int],
    planned: Mapping[str, int],
    held: Collection[str] = (),
) -> None:
    """Declare hold-outs, and the members that the engine must keep for ``rules``.

    ``target_indexes`` are those of the segments that are read, by address. A ``planned``
    segment needs nothing for a size rule: its size is part of the diff. Recorded members of
    ``held`` segments are retained already.
    """
    for segment in desired.segments:
        if segment.holdout and segment.address in target_indexes:
            engine.hold_out(target_indexes[segment.address], segment.holdout)
    for rule in rules:
        for address in rule_addresses(rule):
            if address in held:
                continue
            if address not in planned or not isinstance(rule, Size):
                engine.retain_members(target_indexes[address])


@dataclass(frozen=True, kw_only=True)
class EngineRuleMembers:
    """The desired members of segments, queried from an engine after its diff.

    Implements ``plan.rules.RuleMembers``. ``held`` segments keep their recorded members: what only
    these share is no matter of the plan.
    """

    engine: MemberComparer
    target_indexes: Mapping[str, int]
    diffs: Mapping[int, TargetDiff]
    held: Collection[str] = ()

    def size(self, address: str) -> int:
        """Count the members of a segment."""
        index = self.target_indexes[address]
        return (
            self.diffs[index].declared if index in self.diffs else self.engine.count_members(index)
        )

    def shared(self, addresses: Sequence[str]) -> Mapping[tuple[str, str], Users]:
        """Return the users that each pair of segments shares, the largest overlap first."""
        names = {self.target_indexes[address]: address for address in addresses}
        shared: dict[tuple[str, str], Users] = {}
        for pair, users in self.engine.find_shared(list(names)).items():
            first, second = sorted((names[index] for index in pair), key=addresses.index)
            if not (first in self.held and second in self.held):
                shared[first, second] = users
        return shared

    def outside(self, addresses: Sequence[str], of: str) -> Mapping[str, Users]:
        """Return the members of each segment that are not members of the segment ``of``."""
        asked = [a for a in addresses if not (a in self.held and of in self.held)]
        names = {self.target_indexes[address]: address for address in asked}
        outside = self.engine.find_outside(list(names), self.target_indexes[of])
        return {names[index]: users for index, users in outside.items()}
