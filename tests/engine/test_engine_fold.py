from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.errors import StateDamaged
from segctl.core.identity import Kind, SetDigest
from segctl.core.outcomes import Ledger, Outcome, PairOutcome, RequestOutcome
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import FoldedTarget, RecordedFiles
from tests.engine.engine_kit import delta, identities, read, recorded

IDENTITY = Kind.IDENTITY


def ledger(*outcomes: Outcome, at: float = 50.0) -> Ledger:
    return Ledger(updates={n: RequestOutcome(outcome=o, at=at) for n, o in enumerate(outcomes)})


def planned(engine: DuckEngine, folder: Path, before: set[str], after: set[str]) -> RecordedFiles:
    held = recorded(folder, [(IDENTITY, value) for value in before])
    engine.load(identities(*sorted(after)), targets=[0])
    engine.set_recorded(0, held, wanted=True)
    engine.diff()
    delta(engine, ["A"], folder)
    return held


def members(held: RecordedFiles, folded: FoldedTarget) -> set[str]:
    if not folded.has_changed:
        return {str(row[1]) for row in read(held.base)}
    if folded.change is None:
        return {str(row[1]) for row in read(folded.base)}
    now = {str(row[1]) for row in read(held.base)}
    for action, _, value in read(folded.change):
        (now.add if action == "ADD" else now.remove)(str(value))
    return now


values = st.sets(st.sampled_from("abcdefgh"), max_size=8)


@settings(max_examples=25)
@given(before=values, after=values)
def test_an_acknowledged_request_makes_the_recorded_set_the_desired_one(
    tmp_path_factory: pytest.TempPathFactory, before: set[str], after: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("fold")
    engine = DuckEngine(folder, threads=1)
    held = planned(engine, folder, before, after)
    folded = engine.fold(folder / "delta.parquet", ledger(Outcome.ACKNOWLEDGED), {0: held})[0]
    assert members(held, folded) == after
    assert folded.digest == SetDigest.of((IDENTITY, value) for value in after)
    assert (folded.uncertain, folded.refused, folded.pairs) == (0, 0, None)
    engine.close()


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED, Outcome.NOT_TRIED])
def test_a_request_known_not_to_be_done_changes_nothing(
    engine: DuckEngine, tmp_path: Path, outcome: Outcome
) -> None:
    held = planned(engine, tmp_path, {"a"}, {"b"})
    folded = engine.fold(tmp_path / "delta.parquet", ledger(outcome), {0: held})[0]
    assert not folded.has_changed
    assert folded.digest == held.digest
    assert folded.pairs is None


def test_a_request_without_an_answer_leaves_the_set_and_remembers_each_pair(
    engine: DuckEngine, tmp_path: Path
) -> None:
    held = planned(engine, tmp_path, {"a"}, {"b"})
    folded = engine.fold(tmp_path / "delta.parquet", ledger(Outcome.UNCERTAIN), {0: held})[0]
    assert not folded.has_changed
    assert read(folded.pairs) == [
        ("identity", "a", "uncertain", "REMOVE", 50.0, ""),
        ("identity", "b", "uncertain", "ADD", 50.0, ""),
    ]
    assert folded.uncertain == 2


def test_a_pair_refused_out_of_an_accepted_request_is_remembered_with_the_words(
    engine: DuckEngine, tmp_path: Path
) -> None:
    held = planned(engine, tmp_path, set(), {"bad", "good"})
    odd = PairOutcome(
        target_index=0, kind="identity", value="bad", outcome=Outcome.REFUSED, at=9.0, detail="no"
    )
    told = Ledger(updates=ledger(Outcome.ACKNOWLEDGED).updates, exceptions=(odd,))
    folded = engine.fold(tmp_path / "delta.parquet", told, {0: held})[0]
    assert members(held, folded) == {"good"}
    assert read(folded.pairs) == [("identity", "bad", "refused", "ADD", 9.0, "no")]


def test_nothing_is_recorded_of_a_segment_that_was_not_created(
    engine: DuckEngine, tmp_path: Path
) -> None:
    held = planned(engine, tmp_path, set(), {"a"})
    told = Ledger(updates=ledger(Outcome.ACKNOWLEDGED).updates, blocked=frozenset({0}))
    folded = engine.fold(tmp_path / "delta.parquet", told, {0: held})[0]
    assert not folded.has_changed
    assert folded.digest == SetDigest()


def test_an_answered_assertion_settles_an_unanswered_pair(
    engine: DuckEngine, tmp_path: Path
) -> None:
    pairs = [(IDENTITY, "a", "uncertain", "ADD", 1.0), (IDENTITY, "z", "refused", "ADD", 1.0)]
    held = recorded(tmp_path, [(IDENTITY, "a")], pairs=pairs)
    engine.load(identities("a", "z"), targets=[0])
    engine.set_recorded(0, held, wanted=True)
    engine.diff()
    delta(engine, ["A"], tmp_path)
    folded = engine.fold(tmp_path / "delta.parquet", ledger(Outcome.ACKNOWLEDGED), {0: held})[0]
    assert not folded.has_changed  # it was recorded before it became uncertain
    assert [row[1] for row in read(folded.pairs)] == ["z"]


def test_an_unanswered_pair_whose_repetition_failed_stays_as_it_was(
    engine: DuckEngine, tmp_path: Path
) -> None:
    held = recorded(tmp_path, [], pairs=[(IDENTITY, "a", "uncertain", "ADD", 1.0)])
    engine.set_recorded(0, held, wanted=True)
    engine.diff()
    delta(engine, ["A"], tmp_path)
    folded = engine.fold(tmp_path / "delta.parquet", ledger(Outcome.FAILED), {0: held})[0]
    assert read(folded.pairs) == [("identity", "a", "uncertain", "ADD", 1.0, "")]


def test_a_small_change_is_written_beside_a_large_base(engine: DuckEngine, tmp_path: Path) -> None:
    before = {f"u{n:03d}" for n in range(100)}
    held = planned(engine, tmp_path, before, (before - {"u000"}) | {"new"})
    folded = engine.fold(tmp_path / "delta.parquet", ledger(Outcome.ACKNOWLEDGED), {0: held})[0]
    assert folded.base is None
    assert read(folded.change) == [("ADD", "identity", "new"), ("REMOVE", "identity", "u000")]
    assert folded.change_rows == 2


def test_changes_that_outgrow_a_share_of_the_base_become_a_new_sorted_base(
    engine: DuckEngine, tmp_path: Path
) -> None:
    before = {f"u{n:03d}" for n in range(100)}
    after = (before - {"u000"}) | {f"v{n:03d}" for n in range(40)}
    held = planned(engine, tmp_path, before, after)
    folded = engine.fold(tmp_path / "delta.parquet", ledger(Outcome.ACKNOWLEDGED), {0: held})[0]
    assert folded.change is None
    assert [row[1] for row in read(folded.base)] == sorted(after)


def test_a_member_file_that_does_not_add_up_is_refused(engine: DuckEngine, tmp_path: Path) -> None:
    held = planned(engine, tmp_path, {"a"}, {"b"})
    lying = RecordedFiles(digest=SetDigest(count=7), base=held.base, base_rows=1)
    with pytest.raises(StateDamaged, match="recorded members do not add up: 7 expected, 1 found"):
        engine.fold(tmp_path / "delta.parquet", ledger(Outcome.ACKNOWLEDGED), {0: lying})
