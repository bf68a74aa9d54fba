"""Set algebra, from manifests to the service's members, compared with Python sets."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.errors import GuardRefused, InvalidInput
from segctl.core.holdout import Holdout
from segctl.core.identity import Kind
from segctl.plan.model import MemberCounts, Plan
from tests.e2e.outside_service import running
from tests.e2e.workshop import Workshop, findings_of, identities, segment
from tests.profiles import examples

USERS = [f"u{n}@example.com" for n in range(12)]
TABLE = ("t0", "t1")
NAMES = (*TABLE, "s0", "s1", "s2", "s3")

Source = frozenset[str] | str
"""Users of an inline list, or the name of a segment."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a document declares about one segment."""

    members: tuple[Source, ...] = ()
    intersect: tuple[Source, ...] = ()
    exclude: tuple[Source, ...] = ()
    percent: float | None = None


@dataclass(frozen=True, kw_only=True)
class World:
    """A workspace: segments in an order in which each may read earlier ones."""

    said: dict[str, Said]
    table: frozenset[tuple[str, str]]
    granted: tuple[tuple[tuple[str, ...], Source], ...]
    suppressed: frozenset[str]
    read: dict[str, set[str]] = field(default_factory=dict)
    counts: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def solved(self) -> dict[str, set[str]]:
        """Return the desired members of each segment; fills ``read`` and ``counts``."""
        final: dict[str, set[str]] = {}
        for name in NAMES:
            said = self.said[name]
            found = {user for user, label in self.table if label == name}
            for source in said.members:
                found |= self._of(source)
            for names, source in self.granted:
                found |= self._of(source) if name in names else set()
            for source in said.intersect:
                found &= self._of(source)
            for source in said.exclude:
                found -= self._of(source)
            holdout = Holdout(percent=said.percent or 0, salt=name)
            held = {user for user in found if holdout.holds_out(Kind.IDENTITY, user)}
            self.read[name] = found - held
            final[name] = found - held - self.suppressed
            self.counts[name] = (len(final[name]), len(held), len(self.read[name] - final[name]))
        return final

    def _of(self, source: Source) -> set[str]:
        return set(source) if isinstance(source, frozenset) else self.read[source]

    def write(self, shop: Workshop) -> None:
        """Write the manifests."""
        guards = {"allowEmpty": True, "maxRemovePercent": 100}
        lines = "".join(f"{user}\n" for user in sorted(self.suppressed))
        shop.write("gone.csv", f"identity\n{lines}")
        suppress = [{"file": {"path": "gone.csv", "maxShrinkPercent": 100}}]
        shop.project(json.dumps({"guards": guards, "suppress": suppress}))
        rows = "".join(f"{user},{label}\n" for user, label in sorted(self.table))
        shop.write("table.csv", f"id,label\n{rows}")
        shop.declare(
            *(json.dumps({"apiVersion": "segctl/v1", **d}) + "\n" for d in self._documents())
        )

    def _documents(self) -> Iterator[dict[str, Any]]:
        table = {"file": {"path": "table.csv", "column": "id"}}
        within = {name: _spec(name, self.said[name]) for name in TABLE}
        spec: dict[str, Any] = {"source": table, "segmentColumn": "label", "segments": within}
        yield {"kind": "SegmentTable", "metadata": {"name": "table"}, "spec": spec}
        for name in NAMES[len(TABLE) :]:
            members = [_source(source) for source in self.said[name].members]
            spec = {**_spec(name, self.said[name]), "members": members}
            yield {"kind": "Segment", "metadata": {"name": name}, "spec": spec}
        for n, (names, source) in enumerate(self.granted):
            spec = {"segments": list(names), "members": [_source(source)]}
            yield {"kind": "Membership", "metadata": {"name": f"m{n}"}, "spec": spec}


def _source(source: Source) -> dict[str, Any]:
    return {"segment": source} if isinstance(source, str) else {"identities": sorted(source)}


def _spec(name: str, said: Said) -> dict[str, Any]:
    spec: dict[str, Any] = {"displayName": name.upper()}
    spec["intersect"] = [_source(source) for source in said.intersect]
    spec["exclude"] = [_source(source) for source in said.exclude]
    return spec | ({"holdout": {"percent": said.percent}} if said.percent is not None else {})


people = st.frozensets(st.sampled_from(USERS), max_size=10)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    said = {}
    for n, name in enumerate(NAMES):
        before = st.sampled_from(NAMES[:n]) if n else st.nothing()
        lists = st.lists(people | before, max_size=2).map(tuple)
        seldom = st.lists(people | before, max_size=1).map(tuple)
        said[name] = Said(
            members=() if name in TABLE else draw(lists),
            intersect=draw(seldom),
            exclude=draw(seldom),
            percent=draw(st.none() | st.sampled_from([0.0, 25.5, 60.0])),
        )
    later = st.lists(st.sampled_from(NAMES[3:]), min_size=1, unique=True).map(tuple)
    granted = st.tuples(later, people | st.sampled_from(NAMES[:3]))
    return World(
        said=said,
        table=draw(st.frozensets(st.tuples(st.sampled_from(USERS), st.sampled_from(TABLE)))),
        granted=tuple(draw(st.lists(granted, max_size=2))),
        suppressed=draw(people.filter(lambda found: len(found) < 4)),
    )


@settings(max_examples=examples(3, torture=100))
@given(first=worlds(), second=worlds(), targets=st.sets(st.sampled_from(NAMES), min_size=1))
def test_plans_and_members_equal_those_of_python_sets(
    tmp_path_factory: pytest.TempPathFactory, first: World, second: World, targets: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("algebra")
    with running() as service:
        shop = Workshop(root=folder / "shop", scratch=folder / "scratch", service=service)
        first.write(shop)
        shop.apply()
        assert service.everyone() == {n: identities(*m) for n, m in first.solved().items() if m}
        final = second.solved()
        second.write(shop)
        expected = {f"segment.{name}": counts for name, counts in second.counts.items()}
        part = shop.plan(targets=tuple(targets))
        assert counted(part) == {a: c for a, c in expected.items() if a[8:] in targets}
        assert counted(shop.plan()) == expected
        shop.apply()
        assert service.everyone() == {n: identities(*m) for n, m in final.items() if m}
        shop.settled()
        third = replace(second, table=first.table, suppressed=first.suppressed, counts={}, read={})
        final = third.solved()
        third.write(shop)
        assert {a[8:]: c for a, c in counted(shop.plan()).items()} == third.counts
        shop.apply()
        assert service.everyone() == {n: identities(*m) for n, m in final.items() if m}


def counted(plan: Plan) -> dict[str, tuple[int, int, int]]:
    return {
        c.address: (c.members.after, c.members.held_out, c.members.suppressed) for c in plan.changes
    }


SUPPRESS = "{suppress: [{file: {path: gone.txt}}]}"


def members(plan: Plan, name: str) -> MemberCounts:
    [change] = [c for c in plan.changes if c.address == f"segment.{name}"]
    return change.members


def codes(plan: Plan) -> list[tuple[str, str | None, str]]:
    return [(str(f.severity), f.address, f.summary) for f in findings_of(plan)]


def test_a_suppressed_user_is_removed_from_every_segment(shop: Workshop) -> None:
    shop.declare(segment("gold", "a", "b"), segment("silver", "b", "c"))
    shop.apply()
    shop.project(SUPPRESS)
    shop.write("gone.txt", "b\nz\n")
    plan = shop.plan()
    assert codes(plan) == [
        ("info", None, "segctl.yaml:4:19: gone.txt: 2 rows, no duplicates"),
        ("info", "segment.gold", "segment.gold: 1 suppressed by spec.suppress"),
        ("info", "segment.silver", "segment.silver: 1 suppressed by spec.suppress"),
    ]
    assert (plan.members_add, plan.members_remove) == (0, 2)
    shop.apply()
    assert shop.service.everyone() == {"gold": identities("a"), "silver": identities("c")}
    shop.settled()


def test_a_target_takes_suppressed_users_out_of_its_own_segments_alone(shop: Workshop) -> None:
    shop.declare(segment("gold", "a", "b"), segment("silver", "b", "c"))
    shop.apply()
    shop.project(SUPPRESS)
    shop.write("gone.txt", "b\n")
    shop.apply(targets=("gold",))
    assert shop.service.everyone() == {"gold": identities("a"), "silver": identities("b", "c")}


def test_an_unmanaged_segment_keeps_suppressed_users(shop: Workshop) -> None:
    shop.declare(segment("app", spec="members: unmanaged"))
    shop.project(SUPPRESS)
    shop.write("gone.txt", "b\n")
    assert codes(shop.plan()) == []


@pytest.mark.parametrize("field", ["exclude", "intersect", "suppress"])
def test_an_invalid_row_is_an_error_in_every_kind_of_source(shop: Workshop, field: str) -> None:
    shop.write("gone.txt", "b\n\nc\n")
    source = "[{file: {path: gone.txt}}]"
    shop.project(f"{{{field}: {source}}}" if field == "suppress" else "{}")
    spec = "" if field == "suppress" else f"{field}: {source}"
    shop.declare(segment("gold", "a", spec=spec))
    with pytest.raises(InvalidInput) as caught:
        shop.plan()
    [problem] = caught.value.diagnostics
    assert problem.summary == ("gone.txt: 1 row with no value (NULL), the first is row 2")


def test_a_segment_read_by_a_target_is_evaluated_outside_the_plan(shop: Workshop) -> None:
    shop.declare(
        segment("gold", spec="members: [{segment: base}]\nexclude: [{identities: [b]}]"),
        segment("base", "a", "b"),
        segment("vip", spec="members: [{segment: gold}]"),
    )
    plan = shop.plan(targets=("vip",))
    assert [c.address for c in plan.changes] == ["segment.vip"]
    assert members(plan, "vip").after == 1


def test_a_failing_source_outside_the_plan_says_why_it_is_read(
    shop: Workshop,
) -> None:
    file = "members: [{file: {path: lost.csv}}]"
    shop.declare(segment("gold", spec=file), segment("vip", spec="members: [{segment: gold}]"))
    with pytest.raises(InvalidInput) as caught:
        shop.plan(targets=("vip",))
    [problem] = caught.value.diagnostics
    assert problem.detail.endswith(
        "segment.gold is not part of this plan, but segment.vip reads it."
    )


RULE = "the rule at segments.yaml:"
TIERS = (segment("bronze", "a", "b", "c"), segment("silver", "c", "d"), segment("gold", "d", "c"))


def test_a_broken_rule_refuses_the_apply_and_counts_the_users(shop: Workshop) -> None:
    shop.declare(*TIERS)
    shop.project("{rules: [{disjoint: [bronze, silver, gold]}]}")
    plan = shop.plan()
    assert [f.summary for f in plan.error_findings] == [
        "segment.bronze and segment.gold share 1 user; the rule at segctl.yaml:4:16 allows none",
        "segment.bronze and segment.silver share 1 user; the rule at segctl.yaml:4:16 allows none",
        "segment.silver and segment.gold share 2 users; the rule at segctl.yaml:4:16 allows none",
    ]
    assert plan.error_findings[2].sample == ((Kind.IDENTITY, "c"), (Kind.IDENTITY, "d"))
    with pytest.raises(GuardRefused):
        shop.apply()
    assert shop.service.everyone() == {}


def test_a_rule_covers_segments_outside_the_targets(shop: Workshop) -> None:
    shop.declare(*TIERS, segment("far", "z"))
    shop.project("{rules: [{disjoint: [silver, gold]}, {size: {segments: [gold], max: 1}}]}")
    assert len(shop.plan(targets=("silver",)).error_findings) == 1
    assert len(shop.plan(targets=("gold",)).error_findings) == 2
    assert shop.plan(targets=("far",)).error_findings == ()


def test_the_rules_of_a_segment_cover_only_that_segment(shop: Workshop) -> None:
    rules = (
        "rules:\n"
        "  - {disjoint: [silver, gold], severity: warning}\n"
        "  - subset: {of: silver}\n"
        "  - size: {min: 4}\n"
    )
    shop.declare(segment("bronze", "a", "b", "c", spec=rules), *TIERS[1:])
    found = sorted(codes(shop.plan()))
    assert {address for _, address, _ in found} == {"segment.bronze"}
    assert [
        (severity, summary.removeprefix("segment.bronze ")) for severity, _, summary in found
    ] == [
        ("error", f"has 2 members outside of segment.silver; {RULE}9:7 allows none"),
        ("error", f"would have 3 members; {RULE}10:7 requires at least 4"),
        ("warning", f"and segment.gold share 1 user; {RULE}8:7 allows none"),
        ("warning", f"and segment.silver share 1 user; {RULE}8:7 allows none"),
    ]


def test_rules_are_kept_when_members_satisfy_them(shop: Workshop) -> None:
    shop.declare(segment("inner", "a"), segment("outer", "a", "b"), segment("other", "c"))
    shop.project(
        "{rules: [{disjoint: [outer, other]}, {subset: {of: outer, segments: [inner]}}, "
        "{size: {segments: [inner, other], min: 1, max: 1}}]}"
    )
    assert findings_of(shop.plan()) == []
    shop.apply()
    shop.settled()


def test_destroying_everything_checks_no_rule(shop: Workshop) -> None:
    shop.declare(*TIERS[:1])
    shop.apply()
    shop.project("{rules: [{size: {segments: [bronze], min: 100}}]}")
    shop.apply(destroy=True)
    assert shop.service.everyone() == {}


def test_a_hold_out_starts_with_the_first_apply_and_grows(shop: Workshop, tmp_path: Path) -> None:
    users = [f"u{n}" for n in range(40)]
    shop.declare(segment("gold", *users, spec="holdout: {percent: 20, salt: spring}"))
    shop.apply()
    held = {u for u in users if Holdout(percent=20, salt="spring").holds_out(Kind.IDENTITY, u)}
    assert shop.service.members("gold") == identities(*set(users) - held)
    shop.declare(segment("gold", *users, spec="holdout: {percent: 40, salt: spring}"))
    plan = shop.plan(out=tmp_path / "plan")
    assert plan.members_add == 0
    assert members(plan, "gold").held_out == len(held) + plan.members_remove
    assert f"segment.gold: {len(held) + plan.members_remove} held out (40% of all users, " in str(
        [f.summary for f in findings_of(plan)]
    )
