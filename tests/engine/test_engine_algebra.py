"""Set algebra on the engine, against the same rules in plain Python sets."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.holdout import Holdout
from segctl.core.identity import Kind, find_problem
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import Diff, FileScan, InlineRows, RecordedFiles, TargetMembers
from segctl.plan.model import Users
from tests.engine.engine_kit import delta, identities, recorded

Member = tuple[Kind, str]

TARGETS = 4
users = st.tuples(
    st.sampled_from(Kind), st.sampled_from(["a", "b", "c", "d", "é", "'q", "null", " x"])
)
sets = st.frozensets(users, max_size=6)
identity_sets = sets.map(lambda found: frozenset(u for u in found if u[0] is Kind.IDENTITY))


def _valid(found: frozenset[Member]) -> frozenset[Member]:
    return frozenset(user for user in found if find_problem(user[1]) is None)


@st.composite
def rules(draw: st.DrawFn) -> list[tuple[str, frozenset[Member] | int, list[int]]]:
    """Draw sources: a role, users or a target to read, and targets that come later."""
    count = draw(st.integers(1, 9))
    drawn: list[tuple[str, frozenset[Member] | int, list[int]]] = []
    for _ in range(count):
        role = draw(st.sampled_from(["include", "include", "include", "intersect", "exclude"]))
        read = draw(st.none() | st.integers(0, TARGETS - 2))
        least = 0 if read is None else read + 1
        places = draw(st.lists(st.integers(least, TARGETS - 1), min_size=1, unique=True))
        # An inline list has one kind, and an intersection with two lists is another thing.
        own = draw(sets if role != "intersect" else identity_sets)
        drawn.append((role, own if read is None else read, places))
    return drawn


class Oracle:
    """Desired sets and counts, in Python.

    Whether others read a segment with its suppressed members or without makes no
    difference to any set; with them, the counts are of those who would have come.
    """

    def __init__(self, case: "Case") -> None:
        self.final: list[set[Member]] = []
        self.read: list[set[Member]] = []
        self.held: list[int] = []
        self.suppressed: list[int] = []
        suppressed = _valid(case.suppressed or frozenset())
        for target in range(TARGETS):
            mine = [(role, self._members(what)) for role, what, t in case.drawn if target in t]
            found = set().union(*(m for role, m in mine if role == "include"))
            for role, members in mine:
                found = found & members if role == "intersect" else found
            for role, members in mine:
                found = found - members if role == "exclude" else found
            holdout = case.holdouts.get(target)
            held = {u for u in found if holdout and holdout.holds_out(*u)}
            self.held.append(len(held))
            self.suppressed.append(len((found - held) & suppressed))
            self.read.append(found - held)
            self.final.append(found - held - suppressed)

    def _members(self, what: frozenset[Member] | int) -> set[Member]:
        if isinstance(what, int):
            return self.read[what]
        return {user for user in what if find_problem(user[1]) is None}


def _load(engine: DuckEngine, what: frozenset[Member] | int, places: list[int], role: str) -> None:
    if isinstance(what, int):
        engine.load(TargetMembers(target_index=what), targets=places, role=role)  # type: ignore[arg-type]  # drawn
        return
    for kind in Kind:
        values = [value for k, value in sorted(what) if k is kind]
        if role == "intersect" and kind is not Kind.IDENTITY:
            continue
        engine.load(InlineRows(kind=kind, values=values), targets=places, role=role)  # type: ignore[arg-type]  # drawn


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is loaded, and what is recorded of the targets that are planned."""

    drawn: list[tuple[str, frozenset[Member] | int, list[int]]]
    suppressed: frozenset[Member] | None
    holdouts: dict[int, Holdout]
    before: dict[int, frozenset[Member]]
    kept: set[int]


holdouts = st.builds(Holdout, percent=st.sampled_from([30.0, 62.5, 100.0]), salt=st.just("s'1"))
cases = st.builds(
    Case,
    drawn=rules(),
    suppressed=st.none() | sets,
    holdouts=st.dictionaries(st.integers(0, TARGETS - 1), holdouts, max_size=2),
    before=st.dictionaries(st.integers(0, TARGETS - 1), sets.map(_valid)),
    kept=st.sets(st.integers(0, TARGETS - 1)),
)


@settings(max_examples=40, deadline=None)
@given(case=cases)
def test_final_sets_deltas_and_counts_are_those_of_plain_sets(
    tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    folder = tmp_path_factory.mktemp("law")
    engine, oracle = DuckEngine(folder, threads=1), Oracle(case)
    for role, what, places in case.drawn:
        _load(engine, what, places, role)
    if case.suppressed is not None:
        _load(engine, case.suppressed, list(range(TARGETS)), "suppress")
    for target, holdout in case.holdouts.items():
        engine.hold_out(target, holdout)
    for target in case.kept:
        engine.retain_members(target)
    for target, members in case.before.items():
        engine.set_recorded(target, recorded(folder, members, name=f"{target}"), wanted=True)
    diff = engine.diff().targets
    now = {target: set(members) for target, members in case.before.items()}
    for target, action, kind, value in delta(engine, list("ABCD"), folder):
        (now[target].add if action == "ADD" else now[target].remove)((Kind(kind), value))
    assert now == {target: oracle.final[target] for target in case.before}
    for target, found in diff.items():
        assert found.declared == found.desired == len(oracle.final[target])
        assert found.held_out == oracle.held[target]
        assert found.suppressed == oracle.suppressed[target]
    _check_questions(engine, oracle, sorted(case.kept))
    engine.close()


def _check_questions(engine: DuckEngine, oracle: Oracle, kept: list[int]) -> None:
    expected = {(a, b): oracle.final[a] & oracle.final[b] for a in kept for b in kept if a < b}
    shared = engine.find_shared(kept)
    assert shared == {pair: _users(found) for pair, found in expected.items() if found}
    assert [u.count for u in shared.values()] == sorted(u.count for u in shared.values())[::-1]
    for target in kept:
        assert engine.count_members(target) == len(oracle.final[target])
        strays = {t: oracle.final[t] - oracle.final[target] for t in kept}
        found = {t: _users(users) for t, users in strays.items() if users}
        assert engine.find_outside(kept, target) == found


def _users(found: set[Member]) -> Users:
    return Users(count=len(found), sample=tuple(sorted(found, key=lambda u: (str(u[0]), u[1]))[:3]))


@settings(max_examples=50)
@given(st.text(min_size=1, max_size=20), st.text("ab:\N{SNOWMAN}", max_size=9), st.floats(0, 100))
def test_a_user_is_held_out_by_the_documented_hash(value: str, salt: str, percent: float) -> None:
    hashed = hashlib.sha256(f"{salt}\x1fg{value}".encode()).hexdigest()[:16]
    holdout = Holdout(percent=percent, salt=salt)
    share = int(hashed, 16) / 2**64
    if abs(share - percent / 100) > 1e-12:
        assert holdout.holds_out(Kind.GUID, value) == (share < percent / 100)


def test_a_greater_share_only_adds_users_to_a_hold_out() -> None:
    users = [f"user{n}@example.com" for n in range(2000)]
    small, large = Holdout(percent=5, salt="spring"), Holdout(percent=7.5, salt="spring")
    held = {u for u in users if small.holds_out(Kind.IDENTITY, u)}
    assert held < {u for u in users if large.holds_out(Kind.IDENTITY, u)}
    assert 70 < len(held) < 130


def test_the_engine_holds_out_the_users_that_python_holds_out(
    engine: DuckEngine, tmp_path: Path
) -> None:
    users = [f"user{n}@example.com" for n in range(3000)]
    holdout = Holdout(percent=12.5, salt="spring é")
    engine.load(identities(*users), targets=[0])
    engine.hold_out(0, holdout)
    engine.set_recorded(0, RecordedFiles(), wanted=True)
    [counts] = engine.diff().targets.values()
    sent = {value for _, _, _, value in delta(engine, ["A"], tmp_path)}
    held = {u for u in users if holdout.holds_out(Kind.IDENTITY, u)}
    assert sent == set(users) - held
    assert (counts.held_out, counts.desired) == (len(held), 3000 - len(held))


def _diff(engine: DuckEngine, *targets: int) -> Diff:
    for target in targets:
        engine.set_recorded(target, RecordedFiles(), wanted=True)
    return engine.diff()


def test_invalid_rows_are_counted_once_where_final_sets_are_made(engine: DuckEngine) -> None:
    listed = engine.load(identities("a", "", "a", "b"), targets=[0, 1])
    narrowing = engine.load(identities("a", " x"), targets=[1], role="intersect")
    reading = engine.load(TargetMembers(target_index=1), targets=[2])
    loads = _diff(engine, 0, 1, 2).loads
    assert {n: (s.rows, s.duplicates, sum(s.invalid.values())) for n, s in loads.items()} == {
        listed: (4, 1, 1),
        narrowing: (2, 0, 1),
        reading: (1, 0, 0),
    }


def test_a_row_of_a_table_for_an_undeclared_segment_is_told_where_final_sets_are_made(
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
    assert stats.undeclared == (("tin", 2), ("(no value)", 1))
    assert sum(stats.invalid.values()) == 1


def test_a_target_that_nobody_plans_is_read_all_the_same(
    engine: DuckEngine, tmp_path: Path
) -> None:
    engine.load(identities("a", "b"), targets=[5])
    engine.load(TargetMembers(target_index=5), targets=[0])
    assert _diff(engine, 0).targets[0].add == 2
    assert {t for t, *_ in delta(engine, ["A"], tmp_path)} == {0}
