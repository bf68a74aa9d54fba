from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.identity import Kind, SetDigest
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import InlineRows, RecordedFiles
from tests.engine.engine_kit import (
    changes_file,
    delta,
    identities,
    members_file,
    pairs_file,
    recorded,
    sent,
)

IDENTITY, GUID = Kind.IDENTITY, Kind.GUID

members = st.sets(
    st.tuples(st.sampled_from([IDENTITY, GUID]), st.text("abcé😀'\"\\%", min_size=1, max_size=3)),
    max_size=12,
)


@settings(max_examples=25)
@given(before=members, after=members)
def test_applying_the_delta_to_what_is_recorded_gives_what_is_desired(
    tmp_path_factory: pytest.TempPathFactory,
    before: set[tuple[Kind, str]],
    after: set[tuple[Kind, str]],
) -> None:
    folder = tmp_path_factory.mktemp("law")
    engine = DuckEngine(folder, threads=1)
    for kind in Kind:
        values = [value for k, value in after if k is kind]
        engine.load(InlineRows(kind=kind, values=values), targets=[0])
    engine.set_recorded(0, recorded(folder, before), wanted=True)
    engine.diff()
    changes = delta(engine, ["A"], folder)
    added = {(Kind(k), v) for _, action, k, v in changes if action == "ADD"}
    removed = {(Kind(k), v) for _, action, k, v in changes if action == "REMOVE"}
    assert (before - removed) | added == after
    assert not added & before
    assert removed <= before
    engine.close()


def test_the_diff_of_equal_sets_is_empty(engine: DuckEngine, tmp_path: Path) -> None:
    engine.load(identities("a", "b"), targets=[0])
    engine.set_recorded(0, recorded(tmp_path, [(IDENTITY, "a"), (IDENTITY, "b")]), wanted=True)
    [counts] = engine.diff().targets.values()
    assert (counts.add, counts.remove, counts.desired, counts.recorded) == (0, 0, 2, 2)
    assert delta(engine, ["A"], tmp_path) == set()


def test_an_exclusion_beats_every_source(engine: DuckEngine, tmp_path: Path) -> None:
    engine.load(identities("a", "b"), targets=[0, 1])
    engine.load(identities("b", "c"), targets=[0])
    engine.load(identities("b"), targets=[0], role="exclude")
    engine.set_recorded(0, RecordedFiles(), wanted=True)
    engine.set_recorded(1, RecordedFiles(), wanted=True)
    engine.diff()
    gained = {(t, v) for t, _, _, v in delta(engine, ["A", "B"], tmp_path)}
    assert gained == {(0, "a"), (0, "c"), (1, "a"), (1, "b")}


def test_the_same_value_as_identity_and_as_guid_is_two_users(
    engine: DuckEngine, tmp_path: Path
) -> None:
    engine.load(identities("x"), targets=[0])
    engine.set_recorded(0, recorded(tmp_path, [(GUID, "x")]), wanted=True)
    engine.diff()
    assert delta(engine, ["A"], tmp_path) == {
        (0, "ADD", "identity", "x"),
        (0, "REMOVE", "guid", "x"),
    }


def test_a_target_that_is_not_wanted_is_emptied_whatever_was_loaded(
    engine: DuckEngine, tmp_path: Path
) -> None:
    engine.load(identities("new"), targets=[0])
    engine.set_recorded(0, recorded(tmp_path, [(IDENTITY, "old")]), wanted=False)
    engine.diff()
    assert delta(engine, ["A"], tmp_path) == {(0, "REMOVE", "identity", "old")}


def test_an_unanswered_pair_is_asserted_again_in_the_direction_that_is_desired_now(
    engine: DuckEngine, tmp_path: Path
) -> None:
    pairs = [
        (IDENTITY, "in", "uncertain", "ADD", 5.0),  # still desired, not recorded
        (IDENTITY, "out", "uncertain", "ADD", 6.0),  # no longer desired
        (IDENTITY, "stays", "uncertain", "REMOVE", 7.0),  # recorded, and desired again
    ]
    engine.load(identities("in", "stays"), targets=[0])
    engine.set_recorded(0, recorded(tmp_path, [(IDENTITY, "stays")], pairs=pairs), wanted=True)
    [counts] = engine.diff().targets.values()
    assert delta(engine, ["A"], tmp_path) == {
        (0, "ADD", "identity", "in"),
        (0, "REMOVE", "identity", "out"),
        (0, "ADD", "identity", "stays"),
    }
    assert (counts.add, counts.remove, counts.reasserted, counts.desired) == (0, 0, 3, 2)


def test_pairs_that_turn_round_travel_last_and_not_before_their_settle_time(
    engine: DuckEngine, tmp_path: Path
) -> None:
    pairs = [(IDENTITY, "out", "uncertain", "ADD", 100.0)]
    engine.load(identities("a", "b"), targets=[0])
    engine.set_recorded(0, recorded(tmp_path, [], pairs=pairs), wanted=True)
    engine.diff()
    packed = engine.pack(["A"], counting="strict", settle_seconds=30.0)
    engine.save(tmp_path / "delta.parquet", tmp_path / "batches.parquet")
    assert (packed.requests, packed.settle_from, packed.settled_at) == (2, 1, 130.0)
    assert [row[3] for row in sent(engine, tmp_path)] == ["a", "b", "out"]


def test_a_refused_pair_is_quarantined_in_the_refused_direction_only(
    engine: DuckEngine, tmp_path: Path
) -> None:
    pairs = [(IDENTITY, "bad", "refused", "ADD", 1.0), (IDENTITY, "old", "refused", "ADD", 1.0)]
    engine.load(identities("bad", "good"), targets=[0])
    engine.set_recorded(0, recorded(tmp_path, [(IDENTITY, "old")], pairs=pairs), wanted=True)
    [counts] = engine.diff().targets.values()
    assert delta(engine, ["A"], tmp_path) == {
        (0, "ADD", "identity", "good"),
        (0, "REMOVE", "identity", "old"),
    }
    assert counts.quarantined == 1
    assert counts.desired == 1


def test_change_files_are_part_of_what_is_recorded(engine: DuckEngine, tmp_path: Path) -> None:
    base = members_file(tmp_path / "base.parquet", [(IDENTITY, "a"), (IDENTITY, "b")])
    first = changes_file(
        tmp_path / "1.parquet", [("REMOVE", IDENTITY, "a"), ("ADD", IDENTITY, "c")]
    )
    second = changes_file(
        tmp_path / "2.parquet", [("ADD", IDENTITY, "a"), ("REMOVE", IDENTITY, "c")]
    )
    now = RecordedFiles(
        digest=SetDigest.of([(IDENTITY, "a"), (IDENTITY, "b")]),
        base=base,
        base_rows=2,
        changes=(first, second),
    )
    engine.load(identities("a", "b"), targets=[0])
    engine.set_recorded(0, now, wanted=True)
    engine.diff()
    assert delta(engine, ["A"], tmp_path) == set()
    assert engine.digest_recorded(now) == now.digest


def test_targets_may_share_one_file_of_members(engine: DuckEngine, tmp_path: Path) -> None:
    same = recorded(tmp_path, [(IDENTITY, "a"), (IDENTITY, "b")])
    engine.load(identities("a"), targets=[0])
    engine.load(identities("b"), targets=[1])
    engine.set_recorded(0, same, wanted=True)
    engine.set_recorded(1, same, wanted=True)
    engine.diff()
    assert delta(engine, ["A", "B"], tmp_path) == {
        (0, "REMOVE", "identity", "b"),
        (1, "REMOVE", "identity", "a"),
    }


def test_the_digest_of_a_delta_depends_on_its_rows_alone(tmp_path: Path) -> None:
    digests = set()
    for number, values in enumerate([["a", "b", "c"], ["c", "a", "b", "a"]]):
        folder = tmp_path / str(number)
        folder.mkdir()
        engine = DuckEngine(folder, threads=2)
        engine.load(identities(*values), targets=[0])
        engine.set_recorded(0, RecordedFiles(), wanted=True)
        engine.diff()
        digests.add(engine.digest_delta(["A"]))
        assert engine.digest_delta(["B"]) not in digests
        engine.close()
    assert len(digests) == 1


def test_requests_are_the_same_wherever_they_are_packed(tmp_path: Path) -> None:
    packed = set()
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        engine = DuckEngine(folder, threads=number + 1)
        values = [f"u{i * 7919 % 1000}" for i in range(1000)][:: 1 if number else -1]
        engine.load(identities(*values), targets=[0, 1])
        engine.set_recorded(0, RecordedFiles(), wanted=True)
        engine.set_recorded(1, RecordedFiles(), wanted=True)
        engine.diff()
        delta(engine, ["A", "B"], folder)
        packed.add(tuple(sent(engine, folder)))
        engine.close()
    assert len(packed) == 1
    assert len(set(*packed)) == 2000


def test_what_is_left_of_a_saved_delta_is_what_the_state_does_not_show_as_done(
    engine: DuckEngine, tmp_path: Path
) -> None:
    engine.load(identities("a", "b", "c", "d"), targets=[0])
    engine.set_recorded(0, recorded(tmp_path, [(IDENTITY, "x"), (IDENTITY, "y")]), wanted=True)
    engine.diff()
    delta(engine, ["A"], tmp_path)
    saved = (tmp_path / "delta.parquet").rename(tmp_path / "saved.parquet")
    done = RecordedFiles(
        digest=SetDigest(count=3),
        base=recorded(
            tmp_path, [(IDENTITY, "a"), (IDENTITY, "b"), (IDENTITY, "y")], name="now"
        ).base,
        base_rows=3,
        pairs=pairs_file(
            tmp_path / "p.parquet",
            [(IDENTITY, "b", "uncertain", "REMOVE", 1.0), (IDENTITY, "c", "refused", "ADD", 1.0)],
        ),
    )
    left = engine.load_saved_delta(saved, {0: done})
    assert left == 3
    assert delta(engine, ["A"], tmp_path) == {
        (0, "ADD", "identity", "b"),  # recorded, but its last request got no answer
        (0, "ADD", "identity", "d"),
        (0, "REMOVE", "identity", "y"),
    }
