"""Folding outcomes into the recorded members."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.errors import StateDamaged
from segctl.core.identity import Kind, SetDigest
from segctl.core.outcomes import Ledger, Outcome, PairOutcome, RequestOutcome
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import FoldedTarget, RecordedFiles
from tests.engine.engine_kit import inline, members_after, read_parquet, recorded_files, write_delta

IDENTITY = Kind.IDENTITY


def ledger(*outcomes: Outcome, at: float = 50.0) -> Ledger:
    return Ledger(updates={n: RequestOutcome(outcome=o, at=at) for n, o in enumerate(outcomes)})


def plan(engine: DuckEngine, folder: Path, before: set[str], after: set[str]) -> RecordedFiles:
    """Compare two sets and save the delta; return the recorded files."""
    files = recorded_files(folder, [(IDENTITY, value) for value in before])
    engine.load(inline(*sorted(after)), targets=[0])
    engine.set_recorded(0, files, wanted=True)
    engine.diff()
    write_delta(engine, ["A"], folder)
    return files


def values_after(files: RecordedFiles, folded: FoldedTarget) -> set[str]:
    return {value for _, value in members_after(files, folded)}


values = st.sets(st.sampled_from("abcdefgh"), max_size=8)


@settings(max_examples=25)
@given(before=values, after=values)
def test_after_an_acknowledged_request_the_desired_members_are_recorded(
    tmp_path_factory: pytest.TempPathFactory, before: set[str], after: set[str]
) -> None:
    folder = tmp_path_factory.mktemp("fold")
    engine = DuckEngine(folder, threads=1)
    files = plan(engine, folder, before, after)
    folded = engine.fold(folder / "delta.parquet", ledger(Outcome.ACKNOWLEDGED), {0: files})[0]
    assert values_after(files, folded) == after
    assert folded.digest == SetDigest.of((IDENTITY, value) for value in after)
    assert (folded.uncertain, folded.refused, folded.pairs) == (0, 0, None)
    engine.close()


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED, Outcome.NOT_TRIED])
def test_a_request_that_was_not_applied_changes_nothing(
    engine: DuckEngine, tmp_path: Path, outcome: Outcome
) -> None:
    files = plan(engine, tmp_path, {"a"}, {"b"})
    folded = engine.fold(tmp_path / "delta.parquet", ledger(outcome), {0: files})[0]
    assert not folded.has_changed
    assert folded.digest == files.digest
    assert folded.pairs is None


def test_a_request_without_an_answer_makes_its_pairs_uncertain(
    engine: DuckEngine, tmp_path: Path
) -> None:
    files = plan(engine, tmp_path, {"a"}, {"b"})
    folded = engine.fold(tmp_path / "delta.parquet", ledger(Outcome.UNCERTAIN), {0: files})[0]
    assert not folded.has_changed
    assert read_parquet(folded.pairs) == [
        ("identity", "a", "uncertain", "REMOVE", 50.0, ""),
        ("identity", "b", "uncertain", "ADD", 50.0, ""),
    ]
    assert folded.uncertain == 2


def test_a_pair_refused_in_an_accepted_request_is_kept_with_the_detail(
    engine: DuckEngine, tmp_path: Path
) -> None:
    files = plan(engine, tmp_path, set(), {"bad", "good"})
    refused = PairOutcome(
        target_index=0, kind="identity", value="bad", outcome=Outcome.REFUSED, at=9.0, detail="no"
    )
    outcomes = Ledger(updates=ledger(Outcome.ACKNOWLEDGED).updates, exceptions=(refused,))
    folded = engine.fold(tmp_path / "delta.parquet", outcomes, {0: files})[0]
    assert values_after(files, folded) == {"good"}
    assert read_parquet(folded.pairs) == [("identity", "bad", "refused", "ADD", 9.0, "no")]


def test_nothing_is_recorded_for_a_segment_that_was_not_created(
    engine: DuckEngine, tmp_path: Path
) -> None:
    files = plan(engine, tmp_path, set(), {"a"})
    outcomes = Ledger(updates=ledger(Outcome.ACKNOWLEDGED).updates, blocked=frozenset({0}))
    folded = engine.fold(tmp_path / "delta.parquet", outcomes, {0: files})[0]
    assert not folded.has_changed
    assert folded.digest == SetDigest()


def test_an_acknowledged_reassertion_removes_an_uncertain_pair(
    engine: DuckEngine, tmp_path: Path
) -> None:
    pairs = [(IDENTITY, "a", "uncertain", "ADD", 1.0), (IDENTITY, "z", "refused", "ADD", 1.0)]
    files = recorded_files(tmp_path, [(IDENTITY, "a")], pairs=pairs)
    engine.load(inline("a", "z"), targets=[0])
    engine.set_recorded(0, files, wanted=True)
    engine.diff()
    write_delta(engine, ["A"], tmp_path)
    folded = engine.fold(tmp_path / "delta.parquet", ledger(Outcome.ACKNOWLEDGED), {0: files})[0]
    assert not folded.has_changed  # it was recorded before it became uncertain
    assert [row[1] for row in read_parquet(folded.pairs)] == ["z"]


def test_an_uncertain_pair_stays_if_its_reassertion_failed(
    engine: DuckEngine, tmp_path: Path
) -> None:
    files = recorded_files(tmp_path, [], pairs=[(IDENTITY, "a", "uncertain", "ADD", 1.0)])
    engine.set_recorded(0, files, wanted=True)
    engine.diff()
    write_delta(engine, ["A"], tmp_path)
    folded = engine.fold(tmp_path / "delta.parquet", ledger(Outcome.FAILED), {0: files})[0]
    assert read_parquet(folded.pairs) == [("identity", "a", "uncertain", "ADD", 1.0, "")]


def test_a_small_change_of_a_large_base_is_written_as_a_change_file(
    engine: DuckEngine, tmp_path: Path
) -> None:
    before = {f"u{n:03d}" for n in range(100)}
    files = plan(engine, tmp_path, before, (before - {"u000"}) | {"new"})
    folded = engine.fold(tmp_path / "delta.parquet", ledger(Outcome.ACKNOWLEDGED), {0: files})[0]
    assert folded.base is None
    assert read_parquet(folded.change) == [
        ("ADD", "identity", "new"),
        ("REMOVE", "identity", "u000"),
    ]
    assert folded.change_rows == 2


def test_a_large_change_is_written_as_a_new_sorted_base(engine: DuckEngine, tmp_path: Path) -> None:
    before = {f"u{n:03d}" for n in range(100)}
    after = (before - {"u000"}) | {f"v{n:03d}" for n in range(40)}
    files = plan(engine, tmp_path, before, after)
    folded = engine.fold(tmp_path / "delta.parquet", ledger(Outcome.ACKNOWLEDGED), {0: files})[0]
    assert folded.change is None
    assert [row[1] for row in read_parquet(folded.base)] == sorted(after)


def test_a_wrong_member_count_is_an_error(engine: DuckEngine, tmp_path: Path) -> None:
    files = plan(engine, tmp_path, {"a"}, {"b"})
    wrong = RecordedFiles(digest=SetDigest(count=7), base=files.base, base_rows=1)
    with pytest.raises(
        StateDamaged, match="members of a segment do not add up: 7 expected, 1 found"
    ):
        engine.fold(tmp_path / "delta.parquet", ledger(Outcome.ACKNOWLEDGED), {0: wrong})
