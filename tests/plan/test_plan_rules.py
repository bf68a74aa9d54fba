from collections.abc import Mapping, Sequence
from itertools import combinations

from segctl.core.diagnostics import Location, Severity
from segctl.core.identity import Kind
from segctl.manifests.desired import Disjoint, Rule, Size, Subset
from segctl.plan.model import Figures, Finding, Users
from segctl.plan.rules import check_rules

AT = Location(file="segctl.yaml", line=9, column=7)


class Sets:
    """Segments as sets of identities."""

    def __init__(self, **segments: str) -> None:
        self._sets = {f"segment.{name}": set(users) for name, users in segments.items()}

    def size(self, address: str) -> int:
        return len(self._sets[address])

    def shared(self, addresses: Sequence[str]) -> Mapping[tuple[str, str], Users]:
        pairs = {(a, b): self._sets[a] & self._sets[b] for a, b in combinations(addresses, 2)}
        return {pair: _users(found) for pair, found in pairs.items() if found}

    def outside(self, addresses: Sequence[str], of: str) -> Mapping[str, Users]:
        found = {a: self._sets[a] - self._sets[of] for a in addresses}
        return {a: _users(users) for a, users in found.items() if users}


def _users(found: set[str]) -> Users:
    return Users(count=len(found), sample=tuple((Kind.IDENTITY, u) for u in sorted(found)))


def judged(rule: Rule, **segments: str) -> list[Finding]:
    return list(check_rules([rule], Sets(**segments)))


def named(*names: str) -> tuple[str, ...]:
    return tuple(f"segment.{name}" for name in names)


def test_segments_that_share_no_user_are_disjoint() -> None:
    assert judged(Disjoint(addresses=named("a", "b"), location=AT), a="xy", b="z") == []


def test_each_pair_that_shares_users_is_told_with_some_of_them() -> None:
    rule = Disjoint(addresses=named("a", "b", "c"), severity=Severity.WARNING, location=AT)
    [one, other] = judged(rule, a="xy", b="yz", c="z")
    assert one.summary == (
        "segment.a and segment.b share 1 user; the rule at segctl.yaml:9:7 allows none"
    )
    assert one.sample == ((Kind.IDENTITY, "y"),)
    assert one.figures == Figures(
        count=1, limit=0, segments=("segment.a", "segment.b"), place="segctl.yaml:9:7"
    )
    assert (one.severity, one.address) == (Severity.WARNING, None)
    assert other.summary.startswith("segment.b and segment.c share 1 user;")


def test_a_segment_s_own_rule_lets_the_others_share_users() -> None:
    rule = Disjoint(addresses=named("b", "c"), owner="segment.a", location=AT)
    [finding] = judged(rule, a="x", b="xy", c="y")
    assert finding.address == "segment.a"
    assert finding.detail == (
        "Mend their sources, or exclude one from the other: exclude: [{segment: a}] in b."
    )


def test_beyond_ten_pairs_the_rest_is_counted() -> None:
    names = "abcdef"
    rule = Disjoint(addresses=named(*names), location=AT)
    *told, rest = judged(rule, **dict.fromkeys(names, "x"))
    assert len(told) == 10
    assert rest.summary == (
        "5 more pairs of segments that the rule at segctl.yaml:9:7 names share users"
    )
    assert rest.figures
    assert rest.figures.count == 5


def test_members_outside_of_the_greater_segment_are_told() -> None:
    rule = Subset(addresses=named("a", "b"), of="segment.c", location=AT)
    [finding] = judged(rule, a="xy", b="xyz", c="xy")
    assert (finding.code, finding.address) == ("subset", "segment.b")
    assert finding.summary == (
        "segment.b has 1 member outside of segment.c; the rule at segctl.yaml:9:7 allows none"
    )


def test_the_limits_of_a_size_are_allowed() -> None:
    rule = Size(addresses=named("a", "b"), least=1, most=2, location=AT)
    assert judged(rule, a="x", b="xy") == []


def test_a_size_beyond_a_limit_is_told() -> None:
    rule = Size(addresses=named("a", "b"), least=1, most=2, location=AT)
    assert [finding.summary for finding in judged(rule, a="", b="xyz")] == [
        "segment.a is to have 0 members; the rule at segctl.yaml:9:7 asks for 1 at least",
        "segment.b is to have 3 members; the rule at segctl.yaml:9:7 allows 2 at most",
    ]
