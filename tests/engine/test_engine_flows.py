"""Who leaves one segment and joins another is counted in the delta."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.identity import Kind
from segctl.engine import flows
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import LEFT_OUT, InlineRows, RecordedFiles
from tests.engine.engine_kit import inline, recorded_files

IDENTITY, GUID = Kind.IDENTITY, Kind.GUID
SEGMENTS = (0, 1, 2, 2, LEFT_OUT)
"""Of five targets, two belong to one segment, and one is left out."""

Members = set[tuple[Kind, str]]
users = st.sets(st.tuples(st.sampled_from(list(Kind)), st.sampled_from("abcdef")), max_size=8)


@settings(max_examples=25)
@given(old=st.lists(users, min_size=5, max_size=5), new=st.lists(users, min_size=5, max_size=5))
def test_flows_are_what_the_members_before_and_after_show(
    tmp_path_factory: pytest.TempPathFactory, old: list[Members], new: list[Members]
) -> None:
    folder = tmp_path_factory.mktemp("flows")
    engine = DuckEngine(folder, threads=1)
    new[2], old[3] = set(), set()  # the third segment is replaced
    before: list[Members] = [old[0], old[1], old[2]]
    after: list[Members] = [new[0], new[1], new[3]]
    for target in range(5):
        for kind in Kind:
            values = [value for k, value in new[target] if k is kind]
            engine.load(InlineRows(kind=kind, values=values), targets=[target])
        files = recorded_files(folder, old[target], name=f"t{target}")
        engine.set_recorded(target, files, wanted=True)
    engine.diff()
    assert engine.count_flows(SEGMENTS) == Counter(
        (left, joined)
        for left in range(3)
        for joined in range(3)
        for _ in (before[left] - after[left]) & (after[joined] - before[joined])
    )
    engine.close()


def move(engine: DuckEngine, folder: Path, *moved: str) -> None:
    """Let these users leave target 0 and join target 1."""
    engine.load(inline("stays"), targets=[0])
    engine.load(inline(*moved), targets=[1])
    before = [(IDENTITY, value) for value in ("stays", *moved)]
    engine.set_recorded(0, recorded_files(folder, before), wanted=True)
    engine.set_recorded(1, RecordedFiles(), wanted=True)
    engine.diff()


def test_a_user_who_leaves_one_and_joins_another_is_counted(
    engine: DuckEngine, tmp_path: Path
) -> None:
    move(engine, tmp_path, "a", "b")
    assert engine.count_flows([7, 3]) == {(7, 3): 2}


def test_a_change_that_is_sent_again_does_not_count(engine: DuckEngine, tmp_path: Path) -> None:
    uncertain = [(IDENTITY, "a", "uncertain", "ADD", 1.0)]
    engine.load(inline("a"), targets=[1])
    engine.set_recorded(0, recorded_files(tmp_path, [(IDENTITY, "a")]), wanted=True)
    engine.set_recorded(1, recorded_files(tmp_path, [], name="new", pairs=uncertain), wanted=True)
    engine.diff()
    assert engine.count_flows([0, 1]) == {}


def test_a_value_that_changes_its_kind_is_another_user(engine: DuckEngine, tmp_path: Path) -> None:
    engine.load(InlineRows(kind=GUID, values=["a"]), targets=[1])
    engine.set_recorded(0, recorded_files(tmp_path, [(IDENTITY, "a")]), wanted=True)
    engine.set_recorded(1, RecordedFiles(), wanted=True)
    engine.diff()
    assert engine.count_flows([0, 1]) == {}


def test_users_who_stay_in_a_replaced_segment_do_not_leave_it(
    engine: DuckEngine, tmp_path: Path
) -> None:
    engine.load(inline("stays"), targets=[1])
    engine.load(inline("stays", "leaves"), targets=[2])
    old = [(IDENTITY, "stays"), (IDENTITY, "leaves")]
    engine.set_recorded(0, recorded_files(tmp_path, old), wanted=False)
    for target in (1, 2):
        engine.set_recorded(target, RecordedFiles(), wanted=True)
    engine.diff()
    assert engine.count_flows([5, 5, 6]) == {(5, 6): 1}


@pytest.mark.parametrize("limit", ["MAX_PAIRS", "MAX_FLOWS"])
def test_too_many_pairs_are_not_counted(
    limit: str, engine: DuckEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move(engine, tmp_path, "a", "b")
    monkeypatch.setattr(flows, limit, {"MAX_PAIRS": 1, "MAX_FLOWS": 0}[limit])
    assert engine.count_flows([0, 1]) is None


def test_without_leaves_nothing_is_joined(engine: DuckEngine) -> None:
    engine.load(inline("a"), targets=[0])
    engine.set_recorded(0, RecordedFiles(), wanted=True)
    engine.diff()
    assert engine.count_flows([0]) == {}
