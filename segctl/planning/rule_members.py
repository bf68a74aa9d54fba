"""Ask the engine about the members of segments, for hold-outs and rules."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations, product

from segctl.core.dataclass import dataclass
from segctl.engine.model import TargetDiff
from segctl.engine.protocols import MemberComparer
from segctl.manifests.dependencies import rule_addresses
from segctl.manifests.desired import DesiredState, Disjoint, Rule, Size, Subset
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
class KnownRuleMembers:
    """What rules ask about the desired members of segments. Implements ``plan.rules.RuleMembers``.

    ``sizes`` are by address. ``shared_users`` are by the target indexes of two segments, the lower
    one first, and ``outside_users`` by those of a segment and the one that it should be in.
    """

    target_indexes: Mapping[str, int]
    sizes: Mapping[str, int]
    shared_users: Mapping[tuple[int, int], Users]
    outside_users: Mapping[tuple[int, int], Users]

    def size(self, address: str) -> int:
        """Count the members of a segment."""
        return self.sizes[address]

    def shared(
        self, addresses: Sequence[str], owner: str | None
    ) -> Mapping[tuple[str, str], Users]:
        """Return the users that two segments share, or ``owner`` and each other, most first."""
        named = dict.fromkeys((owner, *addresses) if owner else addresses)
        names = {self.target_indexes[address]: address for address in named}
        found = sorted((-self.shared_users[pair].count, pair) for pair in self._asked(names, owner))
        order = {index: place for place, index in enumerate(names)}
        shared: dict[tuple[str, str], Users] = {}
        for _, pair in found:
            first, second = sorted(pair, key=order.__getitem__)
            shared[names[first], names[second]] = self.shared_users[pair]
        return shared

    def _asked(self, names: Mapping[int, str], owner: str | None) -> Iterable[tuple[int, int]]:
        """Return the pairs with shared users that a rule asks for."""
        of = None if owner is None else self.target_indexes[owner]
        if len(names) ** 2 > len(self.shared_users):
            within = (pair for pair in self.shared_users if names.keys() >= set(pair))
            return within if of is None else (pair for pair in within if of in pair)
        pairs = combinations(names, 2) if of is None else product([of], names)
        ordered = ((one, other) if one < other else (other, one) for one, other in pairs)
        return (pair for pair in ordered if pair in self.shared_users)

    def outside(self, addresses: Sequence[str], of: str) -> Mapping[str, Users]:
        """Return the members of each segment that are not members of the segment ``of``."""
        container = self.target_indexes[of]
        return {
            address: users
            for address in addresses
            if (users := self.outside_users.get((self.target_indexes[address], container)))
        }


def query_rule_members(
    rules: Sequence[Rule],
    engine: MemberComparer,
    *,
    target_indexes: Mapping[str, int],
    diffs: Mapping[int, TargetDiff],
    held: Collection[str] = (),
) -> KnownRuleMembers:
    """Ask an engine, after its diff, once for what all ``rules`` need.

    ``held`` segments keep their recorded members: what only these share is no matter of the plan.
    """
    sized = {a for rule in rules if isinstance(rule, Size) for a in rule.addresses}
    sizes = {a: diffs[target_indexes[a]].declared for a in sized if target_indexes[a] in diffs}
    if sized - sizes.keys():
        members = engine.count_members()
        sizes |= {a: members.get(target_indexes[a], 0) for a in sized - sizes.keys()}
    held_indexes = {target_indexes[address] for address in held}
    sides = _compared_sides(rules, target_indexes)
    nested = {
        (target_indexes[address], target_indexes[rule.of])
        for rule in rules
        if isinstance(rule, Subset)
        for address in rule.addresses
    }
    shared = engine.find_shared(sides) if sides else {}
    nested = {pair for pair in nested if not held_indexes.issuperset(pair)}
    return KnownRuleMembers(
        target_indexes=target_indexes,
        sizes=sizes,
        shared_users={p: users for p, users in shared.items() if not held_indexes.issuperset(p)},
        outside_users=engine.find_outside(nested) if nested else {},
    )


def _compared_sides(
    rules: Sequence[Rule], target_indexes: Mapping[str, int]
) -> Sequence[tuple[Sequence[int], Sequence[int]]]:
    """Return the two sides that each ``disjoint`` rule compares; equal rules are asked once."""
    groups = dict.fromkeys(
        ((rule.owner,) if rule.owner else rule.addresses, rule.addresses)
        for rule in rules
        if isinstance(rule, Disjoint)
    )
    return [
        ([target_indexes[a] for a in left], [target_indexes[a] for a in right])
        for left, right in groups
    ]
