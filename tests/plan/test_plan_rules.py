from collections.abc import Mapping, Sequence
from itertools import combinations, product

from segctl.core.diagnostics import Location, Severity
from segctl.core.identity import Kind
from segctl.manifests.desired import Disjoint, Rule, Size, Subset
from segctl.plan.model import Figures, Finding, Users
from segctl.plan.rules import check_rules

LOCATION = Location(file="segctl.yaml", line=9, column=7)


class SetMembers:
    """Segments as Python sets of identities."""

    def __init__(self, **segments: str) -> None:
        self._sets = {f"segment.{name}": set(users) for name, users in segments.items()}

    def size(self, address: str) -> int:
        return len(self._sets[address])

    def shared(
        self, addresses: Sequence[str], owner: str | None
    ) -> Mapping[tuple[str, str], Users]:
        asked = product([owner], addresses) if owner else combinations(addresses, 2)
        pairs = {(a, b): self._sets[a] & self._sets[b] for a, b in asked}
        return {pair: _users(users) for pair, users in pairs.items() if users}

    def outside(self, addresses: Sequence[str], of: str) -> Mapping[str, Users]:
        outside = {a: self._sets[a] - self._sets[of] for a in addresses}
        return {a: _users(users) for a, users in outside.items() if users}


def _users(users: set[str]) -> Users:
    return Users(count=len(users), sample=tuple((Kind.IDENTITY, u) for u in sorted(users)))


def findings(rule: Rule, **segments: str) -> list[Finding]:
    return list(check_rules([rule], SetMembers(**segments)))


def addresses(*names: str) -> tuple[str, ...]:
    return tuple(f"segment.{name}" for name in names)


def test_segments_that_share_no_user_are_disjoint() -> None:
    assert findings(Disjoint(addresses=addresses("a", "b"), location=LOCATION), a="xy", b="z") == []


def test_each_pair_that_shares_users_is_a_finding_with_a_sample() -> None:
    rule = Disjoint(
        addresses=addresses("a", "b", "c"), severity=Severity.WARNING, location=LOCATION
    )
    [first, second] = findings(rule, a="xy", b="yz", c="z")
    assert first.summary == (
        "segment.a and segment.b share 1 user; the rule at segctl.yaml:9:7 allows none"
    )
    assert first.sample == ((Kind.IDENTITY, "y"),)
    assert first.figures == Figures(
        count=1, limit=0, segments=("segment.a", "segment.b"), place="segctl.yaml:9:7"
    )
    assert (first.severity, first.address) == (Severity.WARNING, None)
    assert second.summary.startswith("segment.b and segment.c share 1 user;")


def test_a_disjoint_rule_of_a_segment_ignores_overlaps_of_the_others() -> None:
    rule = Disjoint(addresses=addresses("b", "c"), owner="segment.a", location=LOCATION)
    [finding] = findings(rule, a="x", b="xy", c="y")
    assert finding.address == "segment.a"
    assert finding.detail == (
        "Fix their sources, or exclude one from the other: exclude: [{segment: a}] in b."
    )


def test_pairs_beyond_ten_are_counted_in_one_finding() -> None:
    names = "abcdef"
    rule = Disjoint(addresses=addresses(*names), location=LOCATION)
    *pairs, rest = findings(rule, **dict.fromkeys(names, "x"))
    assert len(pairs) == 10
    assert rest.summary == (
        "5 more pairs of segments share users; the rule at segctl.yaml:9:7 allows none"
    )
    assert rest.figures
    assert rest.figures.count == 5


def test_members_outside_of_the_larger_segment_violate_a_subset_rule() -> None:
    rule = Subset(addresses=addresses("a", "b"), of="segment.c", location=LOCATION)
    [finding] = findings(rule, a="xy", b="xyz", c="xy")
    assert (finding.code, finding.address) == ("subset", "segment.b")
    assert finding.summary == (
        "segment.b has 1 member outside of segment.c; the rule at segctl.yaml:9:7 allows none"
    )


def test_a_size_equal_to_a_limit_is_allowed() -> None:
    rule = Size(addresses=addresses("a", "b"), minimum=1, maximum=2, location=LOCATION)
    assert findings(rule, a="x", b="xy") == []


def test_a_size_beyond_a_limit_violates_the_rule() -> None:
    rule = Size(addresses=addresses("a", "b"), minimum=1, maximum=2, location=LOCATION)
    assert [finding.summary for finding in findings(rule, a="", b="xyz")] == [
        "segment.a would have 0 members; the rule at segctl.yaml:9:7 requires at least 1",
        "segment.b would have 3 members; the rule at segctl.yaml:9:7 allows at most 2",
    ]
