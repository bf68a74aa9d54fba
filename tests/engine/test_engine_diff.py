"""The delta of desired and recorded members."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.identity import Kind, SetDigest
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import InlineRows, RecordedFiles
from tests.engine.engine_kit import (
    inline,
    read_entries,
    recorded_files,
    write_changes,
    write_delta,
    write_members,
    write_pairs,
)

IDENTITY, GUID = Kind.IDENTITY, Kind.GUID

members = st.sets(
    st.tuples(st.sampled_from([IDENTITY, GUID]), st.text("abcé😀'\"\\%", min_size=1, max_size=3)),
    max_size=12,
)


@settings(max_examples=25)
@given(before=members, after=members)
def test_applying_the_delta_to_the_recorded_members_gives_the_desired_ones(
    tmp_path_factory: pytest.TempPathFactory,
    before: set[tuple[Kind, str]],
    after: set[tuple[Kind, str]],
) -> None:
    folder = tmp_path_factory.mktemp("diff")
    engine = DuckEngine(folder, threads=1)
    for kind in Kind:
        values = [value for k, value in after if k is kind]
        engine.load(InlineRows(kind=kind, values=values), targets=[0])
    engine.set_recorded(0, recorded_files(folder, before), wanted=True)
    engine.diff()
    changes = write_delta(engine, ["A"], folder)
    added = {(Kind(k), v) for _, action, k, v in changes if action == "ADD"}
    removed = {(Kind(k), v) for _, action, k, v in changes if action == "REMOVE"}
    assert (before - removed) | added == after
    assert not added & before
    assert removed <= before
    engine.close()


def test_the_diff_of_equal_sets_is_empty(engine: DuckEngine, tmp_path: Path) -> None:
    engine.load(inline("a", "b"), targets=[0])
    engine.set_recorded(
        0, recorded_files(tmp_path, [(IDENTITY, "a"), (IDENTITY, "b")]), wanted=True
    )
    [counts] = engine.diff().targets.values()
    assert (counts.add, counts.remove, counts.desired, counts.recorded) == (0, 0, 2, 2)
    assert write_delta(engine, ["A"], tmp_path) == set()


def test_an_exclusion_applies_to_all_sources_of_a_target(
    engine: DuckEngine, tmp_path: Path
) -> None:
    engine.load(inline("a", "b"), targets=[0, 1])
    engine.load(inline("b", "c"), targets=[0])
    engine.load(inline("b"), targets=[0], role="exclude")
    engine.set_recorded(0, RecordedFiles(), wanted=True)
    engine.set_recorded(1, RecordedFiles(), wanted=True)
    engine.diff()
    added = {(t, v) for t, _, _, v in write_delta(engine, ["A", "B"], tmp_path)}
    assert added == {(0, "a"), (0, "c"), (1, "a"), (1, "b")}


def test_the_same_value_as_identity_and_as_guid_is_two_users(
    engine: DuckEngine, tmp_path: Path
) -> None:
    engine.load(inline("x"), targets=[0])
    engine.set_recorded(0, recorded_files(tmp_path, [(GUID, "x")]), wanted=True)
    engine.diff()
    assert write_delta(engine, ["A"], tmp_path) == {
        (0, "ADD", "identity", "x"),
        (0, "REMOVE", "guid", "x"),
    }


def test_a_target_that_is_not_wanted_is_emptied(engine: DuckEngine, tmp_path: Path) -> None:
    engine.load(inline("new"), targets=[0])
    engine.set_recorded(0, recorded_files(tmp_path, [(IDENTITY, "old")]), wanted=False)
    engine.diff()
    assert write_delta(engine, ["A"], tmp_path) == {(0, "REMOVE", "identity", "old")}


def test_an_uncertain_pair_is_sent_again_in_the_direction_that_is_desired_now(
    engine: DuckEngine, tmp_path: Path
) -> None:
    pairs = [
        (IDENTITY, "in", "uncertain", "ADD", 5.0),  # still desired, not recorded
        (IDENTITY, "out", "uncertain", "ADD", 6.0),  # no longer desired
        (IDENTITY, "stays", "uncertain", "REMOVE", 7.0),  # recorded, and desired again
    ]
    engine.load(inline("in", "stays"), targets=[0])
    engine.set_recorded(
        0, recorded_files(tmp_path, [(IDENTITY, "stays")], pairs=pairs), wanted=True
    )
    [counts] = engine.diff().targets.values()
    assert write_delta(engine, ["A"], tmp_path) == {
        (0, "ADD", "identity", "in"),
        (0, "REMOVE", "identity", "out"),
        (0, "ADD", "identity", "stays"),
    }
    assert (counts.add, counts.remove, counts.reasserted, counts.desired) == (0, 0, 3, 2)


def test_pairs_in_the_opposite_direction_are_sent_last_and_after_their_settle_time(
    engine: DuckEngine, tmp_path: Path
) -> None:
    pairs = [(IDENTITY, "out", "uncertain", "ADD", 100.0)]
    engine.load(inline("a", "b"), targets=[0])
    engine.set_recorded(0, recorded_files(tmp_path, [], pairs=pairs), wanted=True)
    engine.diff()
    summary = engine.pack(["A"], counting="strict", settle_seconds=30.0)
    engine.save(tmp_path / "delta.parquet")
    assert (summary.requests, summary.settle_from, summary.settled_at) == (2, 1, 130.0)
    assert [row[3] for row in read_entries(engine, tmp_path)] == ["a", "b", "out"]


def test_a_refused_pair_is_quarantined_in_the_refused_direction_only(
    engine: DuckEngine, tmp_path: Path
) -> None:
    pairs = [(IDENTITY, "bad", "refused", "ADD", 1.0), (IDENTITY, "old", "refused", "ADD", 1.0)]
    engine.load(inline("bad", "good"), targets=[0])
    engine.set_recorded(0, recorded_files(tmp_path, [(IDENTITY, "old")], pairs=pairs), wanted=True)
    [counts] = engine.diff().targets.values()
    assert write_delta(engine, ["A"], tmp_path) == {
        (0, "ADD", "identity", "good"),
        (0, "REMOVE", "identity", "old"),
    }
    assert counts.quarantined == 1
    assert counts.desired == 1


def test_change_files_are_part_of_the_recorded_members(engine: DuckEngine, tmp_path: Path) -> None:
    base = write_members(tmp_path / "base.parquet", [(IDENTITY, "a"), (IDENTITY, "b")])
    first = write_changes(
        tmp_path / "1.parquet", [("REMOVE", IDENTITY, "a"), ("ADD", IDENTITY, "c")]
    )
    second = write_changes(
        tmp_path / "2.parquet", [("ADD", IDENTITY, "a"), ("REMOVE", IDENTITY, "c")]
    )
    now = RecordedFiles(
        digest=SetDigest.of([(IDENTITY, "a"), (IDENTITY, "b")]),
        base=base,
        base_rows=2,
        changes=(first, second),
    )
    engine.load(inline("a", "b"), targets=[0])
    engine.set_recorded(0, now, wanted=True)
    engine.diff()
    assert write_delta(engine, ["A"], tmp_path) == set()
    assert engine.digest_recorded(now) == now.digest


def test_targets_can_share_a_member_file(engine: DuckEngine, tmp_path: Path) -> None:
    same = recorded_files(tmp_path, [(IDENTITY, "a"), (IDENTITY, "b")])
    engine.load(inline("a"), targets=[0])
    engine.load(inline("b"), targets=[1])
    engine.set_recorded(0, same, wanted=True)
    engine.set_recorded(1, same, wanted=True)
    engine.diff()
    assert write_delta(engine, ["A", "B"], tmp_path) == {
        (0, "REMOVE", "identity", "b"),
        (1, "REMOVE", "identity", "a"),
    }


def test_the_digest_of_a_delta_depends_only_on_its_rows(tmp_path: Path) -> None:
    digests = set()
    for number, values in enumerate([["a", "b", "c"], ["c", "a", "b", "a"]]):
        folder = tmp_path / str(number)
        folder.mkdir()
        engine = DuckEngine(folder, threads=2)
        engine.load(inline(*values), targets=[0])
        engine.set_recorded(0, RecordedFiles(), wanted=True)
        engine.diff()
        digests.add(engine.digest_delta(["A"]))
        assert engine.digest_delta(["B"]) not in digests
        engine.close()
    assert len(digests) == 1


def test_requests_do_not_depend_on_threads_or_the_order_of_rows(tmp_path: Path) -> None:
    packed = set()
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        engine = DuckEngine(folder, threads=number + 1)
        values = [f"u{i * 7919 % 1000}" for i in range(1000)][:: 1 if number else -1]
        engine.load(inline(*values), targets=[0, 1])
        engine.set_recorded(0, RecordedFiles(), wanted=True)
        engine.set_recorded(1, RecordedFiles(), wanted=True)
        engine.diff()
        write_delta(engine, ["A", "B"], folder)
        packed.add(tuple(read_entries(engine, folder)))
        engine.close()
    assert len(packed) == 1
    assert len(set(*packed)) == 2000


def test_the_rest_of_a_saved_delta_is_what_the_state_does_not_contain_yet(
    engine: DuckEngine, tmp_path: Path
) -> None:
    engine.load(inline("a", "b", "c", "d"), targets=[0])
    engine.set_recorded(
        0, recorded_files(tmp_path, [(IDENTITY, "x"), (IDENTITY, "y")]), wanted=True
    )
    engine.diff()
    write_delta(engine, ["A"], tmp_path)
    saved = (tmp_path / "delta.parquet").rename(tmp_path / "saved.parquet")
    done = RecordedFiles(
        digest=SetDigest(count=3),
        base=recorded_files(
            tmp_path, [(IDENTITY, "a"), (IDENTITY, "b"), (IDENTITY, "y")], name="now"
        ).base,
        base_rows=3,
        pairs=write_pairs(
            tmp_path / "p.parquet",
            [(IDENTITY, "b", "uncertain", "REMOVE", 1.0), (IDENTITY, "c", "refused", "ADD", 1.0)],
        ),
    )
    left = engine.load_saved_delta(saved, {0: done})
    assert left == 3
    assert write_delta(engine, ["A"], tmp_path) == {
        (0, "ADD", "identity", "b"),  # recorded, but its last request got no answer
        (0, "ADD", "identity", "d"),
        (0, "REMOVE", "identity", "y"),
    }
