"""What is said of segments as sets, put to the engine: hold-outs, and what rules ask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segctl.engine.base import Engine, TargetDiff
from segctl.manifests.dependencies import named
from segctl.manifests.desired import Desired, Rule, Size
from segctl.plan.model import Users


def prepare_engine(
    desired: Desired,
    rules: Sequence[Rule],
    engine: Engine,
    *,
    places: Mapping[str, int],
    planned: Mapping[str, int],
) -> None:
    """Tell the engine what to know of the segments at these places, by address.

    The sizes of ``planned`` ones come with every diff.
    """
    for segment in desired.segments:
        if segment.holdout and segment.address in places:
            engine.hold_out(places[segment.address], segment.holdout)
    for rule in rules:
        for address in named(rule):
            if address not in planned or not isinstance(rule, Size):
                engine.keep(places[address])


@dataclass(frozen=True, kw_only=True)
class EngineRuleMembers:
    """The members that segments are to have, asked of an engine after its diff."""

    engine: Engine
    places: Mapping[str, int]
    diffs: Mapping[int, TargetDiff]

    def size(self, address: str) -> int:
        """Count the members of a segment."""
        place = self.places[address]
        return self.diffs[place].asked if place in self.diffs else self.engine.size(place)

    def shared(self, addresses: Sequence[str]) -> Mapping[tuple[str, str], Users]:
        """Give the users whom each two of these segments share, the most first."""
        names = {self.places[address]: address for address in addresses}
        found: dict[tuple[str, str], Users] = {}
        for pair, users in self.engine.shared(list(names)).items():
            first, second = sorted((names[place] for place in pair), key=addresses.index)
            found[first, second] = users
        return found

    def outside(self, addresses: Sequence[str], of: str) -> Mapping[str, Users]:
        """Give the members of each of these segments that are not in another one, if any."""
        names = {self.places[address]: address for address in addresses}
        found = self.engine.outside(list(names), self.places[of])
        return {names[place]: users for place, users in found.items()}
