"""Intersections, exclusions, hold-outs and suppression, compared with plain Python sets."""

from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.holdout import Holdout
from segctl.core.identity import Kind, find_problem
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import (
    Diff,
    FileScan,
    InlineRows,
    RecordedFiles,
    TargetMembers,
)
from segctl.manifests.desired import Role
from segctl.plan.model import Users
from tests.engine.engine_kit import inline, recorded_files, write_delta
from tests.profiles import examples

Member = tuple[Kind, str]
Source = tuple[Role, frozenset[Member] | int, list[int]]
"""A role, users or the index of a target to read, and the targets that it fills."""

TARGETS = 4
ROLES: list[Role] = ["include", "include", "include", "intersect", "exclude"]
users = st.tuples(
    st.sampled_from(Kind), st.sampled_from(["a", "b", "c", "d", "é", "'q", "null", " x"])
)
sets = st.frozensets(users, max_size=6)
identity_sets = sets.map(lambda drawn: frozenset(u for u in drawn if u[0] is Kind.IDENTITY))


def _valid(drawn: frozenset[Member]) -> frozenset[Member]:
    return frozenset(user for user in drawn if find_problem(user[1]) is None)


@st.composite
def sources(draw: st.DrawFn) -> list[Source]:
    """Draw sources. A source that reads a target fills only targets with higher indexes."""
    count = draw(st.integers(1, 9))
    drawn: list[Source] = []
    for _ in range(count):
        role = draw(st.sampled_from(ROLES))
        read = draw(st.none() | st.integers(0, TARGETS - 2))
        least = 0 if read is None else read + 1
        targets = draw(st.lists(st.integers(least, TARGETS - 1), min_size=1, unique=True))
        # An intersection is one inline list, and an inline list has one kind.
        users_ = draw(sets if role != "intersect" else identity_sets)
        drawn.append((role, users_ if read is None else read, targets))
    return drawn


class Oracle:
    """Desired members and counts, in Python.

    Other targets read the members including suppressed ones. This changes no set, but suppressed
    users who would be members by way of another target are counted.
    """

    def __init__(self, case: "Case") -> None:
        self.final: list[set[Member]] = []
        self.read: list[set[Member]] = []
        self.held_out: list[int] = []
        self.suppressed: list[int] = []
        suppressed = _valid(case.suppressed or frozenset())
        for target in range(TARGETS):
            of_target = [(role, self._users(rows)) for role, rows, t in case.sources if target in t]
            members = set().union(*(users for role, users in of_target if role == "include"))
            for role, users in of_target:
                members = members & users if role == "intersect" else members
            for role, users in of_target:
                members = members - users if role == "exclude" else members
            holdout = case.holdouts.get(target)
            held_out = {u for u in members if holdout and holdout.holds_out(*u)}
            self.held_out.append(len(held_out))
            self.suppressed.append(len((members - held_out) & suppressed))
            self.read.append(members - held_out)
            self.final.append(members - held_out - suppressed)

    def _users(self, rows: frozenset[Member] | int) -> set[Member]:
        if isinstance(rows, int):
            return self.read[rows]
        return {user for user in rows if find_problem(user[1]) is None}


def _load(
    engine: DuckEngine, rows: frozenset[Member] | int, targets: list[int], role: Role
) -> dict[int, tuple[list[str], list[int]]]:
    """Load a source. Return the values by load, the first of them twice, and its targets."""
    if isinstance(rows, int):
        engine.load(TargetMembers(target_index=rows), targets=targets, role=role)
        return {}
    loaded = {}
    for kind in Kind:
        values = [value for k, value in sorted(rows) if k is kind]
        if role == "intersect" and kind is not Kind.IDENTITY:
            continue
        values += values[:1]
        number = engine.load(InlineRows(kind=kind, values=values), targets=targets, role=role)
        loaded[number] = (values, targets)
    return loaded


def _counts(values: list[str]) -> tuple[int, int, int]:
    """Return the number of rows, of invalid ones and of duplicates."""
    valid = [value for value in values if find_problem(value) is None]
    return len(values), len(values) - len(valid), len(valid) - len(set(valid))


@dataclass(frozen=True, kw_only=True)
class Case:
    """The sources, and the recorded members of the targets that are planned."""

    sources: list[Source]
    suppressed: frozenset[Member] | None
    holdouts: dict[int, Holdout]
    before: dict[int, frozenset[Member]]
    retained: set[int]


holdouts = st.builds(Holdout, percent=st.sampled_from([30.0, 62.5, 100.0]), salt=st.just("s'1"))
cases = st.builds(
    Case,
    sources=sources(),
    suppressed=st.none() | sets,
    holdouts=st.dictionaries(st.integers(0, TARGETS - 1), holdouts, max_size=2),
    before=st.dictionaries(st.integers(0, TARGETS - 1), sets.map(_valid)),
    retained=st.sets(st.integers(0, TARGETS - 1)),
)


@settings(max_examples=examples(25, torture=200), deadline=None)
@given(case=cases)
def test_members_deltas_and_counts_are_those_of_plain_sets(
    tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    folder = tmp_path_factory.mktemp("sets")
    engine, oracle = DuckEngine(folder, threads=1), Oracle(case)
    loaded: dict[int, tuple[list[str], list[int]]] = {}
    for role, rows, targets in case.sources:
        loaded |= _load(engine, rows, targets, role)
    if case.suppressed is not None:
        loaded |= _load(engine, case.suppressed, list(range(TARGETS)), "suppress")
    for target, holdout in case.holdouts.items():
        engine.hold_out(target, holdout)
    for target in case.retained:
        engine.retain_members(target)
    for target, members in case.before.items():
        engine.set_recorded(target, recorded_files(folder, members, name=f"{target}"), wanted=True)
    diff = engine.diff()
    now = {target: set(members) for target, members in case.before.items()}
    for target, action, kind, value in write_delta(engine, list("ABCD"), folder):
        (now[target].add if action == "ADD" else now[target].remove)((Kind(kind), value))
    assert now == {target: oracle.final[target] for target in case.before}
    for target, counts in diff.targets.items():
        assert counts.declared == counts.desired == len(oracle.final[target])
        assert counts.held_out == oracle.held_out[target]
        assert counts.suppressed == oracle.suppressed[target]
    for number, (values, targets) in loaded.items():
        if case.before.keys() >= set(targets):  # rows for others may be unchecked
            stats = diff.loads[number]
            found = stats.rows, sum(stats.invalid.values()), stats.duplicates
            assert found == _counts(values)
    _check_questions(engine, oracle, sorted(case.retained))
    engine.close()


def _check_questions(engine: DuckEngine, oracle: Oracle, retained: list[int]) -> None:
    overlaps = {
        (a, b): _users(both)
        for a, b in combinations(retained, 2)
        if (both := oracle.final[a] & oracle.final[b])
    }
    shared = engine.find_shared([(retained, retained)])
    assert shared == overlaps
    assert [u.count for u in shared.values()] == sorted(u.count for u in shared.values())[::-1]
    stars = [([t], retained[1:2]) for t in retained]
    assert engine.find_shared(stars) == {
        pair: users for pair, users in overlaps.items() if retained[1] in pair
    }
    counts = engine.count_members()
    assert {t: counts.get(t, 0) for t in retained} == {t: len(oracle.final[t]) for t in retained}
    asked = list(product(retained, retained))
    outside = {(a, b): oracle.final[a] - oracle.final[b] for a, b in asked}
    assert engine.find_outside(asked) == {p: _users(found) for p, found in outside.items() if found}


def _users(members: set[Member]) -> Users:
    return Users(
        count=len(members), sample=tuple(sorted(members, key=lambda u: (str(u[0]), u[1]))[:3])
    )


def test_the_engine_holds_out_the_same_users_as_python(engine: DuckEngine, tmp_path: Path) -> None:
    users = [f"user{n}@example.com" for n in range(3000)]
    holdout = Holdout(percent=12.5, salt="spring é")
    engine.load(inline(*users), targets=[0])
    engine.hold_out(0, holdout)
    engine.set_recorded(0, RecordedFiles(), wanted=True)
    [counts] = engine.diff().targets.values()
    sent = {value for _, _, _, value in write_delta(engine, ["A"], tmp_path)}
    held_out = {u for u in users if holdout.holds_out(Kind.IDENTITY, u)}
    assert sent == set(users) - held_out
    assert (counts.held_out, counts.desired) == (len(held_out), 3000 - len(held_out))


def _diff(engine: DuckEngine, *targets: int) -> Diff:
    for target in targets:
        engine.set_recorded(target, RecordedFiles(), wanted=True)
    return engine.diff()


def test_invalid_rows_of_materialized_targets_are_counted_once(engine: DuckEngine) -> None:
    included = engine.load(inline("a", "", "a", "b"), targets=[0, 1])
    intersected = engine.load(inline("a", " x"), targets=[1], role="intersect")
    read = engine.load(TargetMembers(target_index=1), targets=[2])
    loads = _diff(engine, 0, 1, 2).loads
    assert {n: (s.rows, s.duplicates, sum(s.invalid.values())) for n, s in loads.items()} == {
        included: (4, 1, 1),
        intersected: (2, 0, 1),
        read: (1, 0, 0),
    }


def test_undeclared_segment_values_of_materialized_targets_are_counted(
    engine: DuckEngine, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("id,segment\na,gold\nb,silver\n,gold\nc,tin\nd,tin\ne,\n,other\n")
    scan = FileScan(
        paths=(table,), format="csv", column="id", kind=Kind.IDENTITY, segment_column="segment"
    )
    number = engine.load(scan, targets={"gold": 0, "silver": 1, "other": -1})
    engine.hold_out(0, Holdout(percent=1, salt="s"))
    stats = _diff(engine, 0, 1).loads[number]
    assert (stats.undeclared, stats.undeclared_rows, stats.undeclared_nulls) == (1, 3, 1)
    assert sum(stats.invalid.values()) == 1


def test_a_target_that_is_not_planned_can_be_read(engine: DuckEngine, tmp_path: Path) -> None:
    engine.load(inline("a", "b"), targets=[5])
    engine.load(TargetMembers(target_index=5), targets=[0])
    assert _diff(engine, 0).targets[0].add == 2
    assert {t for t, *_ in write_delta(engine, ["A"], tmp_path)} == {0}
