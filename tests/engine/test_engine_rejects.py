"""Rejects are matched to the last request for each pair, which is corrected and quarantined."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.identity import Kind, SetDigest
from segctl.core.outcomes import Ledger, Outcome, PairOutcome, RequestOutcome
from segctl.core.rejects import RejectDetails, Rejects
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import FoldedTarget, MatchedRejects, RecordedFiles, SentApply
from tests.engine.engine_kit import members_after, read_parquet, recorded_files

IDENTITY, GUID = Kind.IDENTITY, Kind.GUID
NOW = 5_000.0
GOLD = RejectDetails(ct_segment_id=None, customer_segment_id="G", type="API_SEGMENT_ID_MISMATCH")


def error_stream(*users: str, times: Sequence[float | None] = ()) -> Rejects:
    return Rejects(
        details=(GOLD,),
        detail_indexes=[0] * len(users),
        users=users,
        times=times or [None] * len(users),
    )


def sent_apply(
    path: Path,
    *rows: tuple[str, Kind, str],
    outcome: Outcome = Outcome.ACKNOWLEDGED,
    started_at: float = 1_000.0,
    exceptions: tuple[PairOutcome, ...] = (),
    blocked: frozenset[int] = frozenset(),
) -> SentApply:
    db = duckdb.connect()
    db.execute(
        "CREATE TABLE t (request BIGINT, target INTEGER, action VARCHAR, kind VARCHAR, "
        "value VARCHAR, recorded BOOLEAN, reasserted BOOLEAN, settle_from DOUBLE)"
    )
    for action, kind, value in rows:
        db.execute(
            "INSERT INTO t VALUES (0, 7, ?, ?, ?, false, false, NULL)", [action, str(kind), value]
        )
    db.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    db.close()
    ledger = Ledger(
        updates={0: RequestOutcome(outcome=outcome, at=started_at + 5)},
        exceptions=exceptions,
        blocked=blocked,
    )
    return SentApply(delta=path, ledger=ledger, target_indexes={7: 0}, started_at=started_at)


def reject(
    engine: DuckEngine, rejects: Rejects, before: RecordedFiles, *applies: SentApply
) -> MatchedRejects:
    return engine.match_rejects(
        {0: before}, rejects=rejects, target_indexes=[0], applies=applies, now=NOW
    )


def nonzero_counts(rejected: MatchedRejects) -> Mapping[str, int]:
    names = ("adds", "removes", "known", "older", "unmatched")
    return {name: getattr(rejected, name) for name in names if getattr(rejected, name)}


def test_a_refused_add_is_removed_from_the_set_and_quarantined(
    engine: DuckEngine, tmp_path: Path
) -> None:
    before = recorded_files(tmp_path, [(IDENTITY, "bad"), (IDENTITY, "good")])
    apply = sent_apply(tmp_path / "1", ("ADD", IDENTITY, "bad"), ("ADD", IDENTITY, "good"))
    rejected = reject(engine, error_stream("bad"), before, apply)
    folded = rejected.folded[0]
    assert nonzero_counts(rejected) == {"adds": 1}
    assert members_after(before, folded) == {("identity", "good")}
    assert folded.digest == SetDigest.of([(IDENTITY, "good")])
    assert read_parquet(folded.pairs) == [
        ("identity", "bad", "refused", "ADD", NOW, "API_SEGMENT_ID_MISMATCH")
    ]
    assert (folded.refused, folded.uncertain) == (1, 0)


def test_a_refused_remove_restores_the_member_and_is_quarantined(
    engine: DuckEngine, tmp_path: Path
) -> None:
    before = recorded_files(tmp_path, [(IDENTITY, "good")])
    apply = sent_apply(tmp_path / "1", ("REMOVE", IDENTITY, "out"))
    rejected = reject(engine, error_stream("out"), before, apply)
    assert nonzero_counts(rejected) == {"removes": 1}
    assert members_after(before, rejected.folded[0]) == {("identity", "good"), ("identity", "out")}
    assert [row[1:4] for row in read_parquet(rejected.folded[0].pairs)] == [
        ("out", "refused", "REMOVE")
    ]


def test_the_newest_apply_that_sent_a_pair_counts(engine: DuckEngine, tmp_path: Path) -> None:
    newer = sent_apply(tmp_path / "2", ("REMOVE", IDENTITY, "a"))
    older = sent_apply(tmp_path / "1", ("ADD", IDENTITY, "a"))
    rejected = reject(engine, error_stream("a"), recorded_files(tmp_path, []), newer, older)
    assert nonzero_counts(rejected) == {"removes": 1}


def test_the_last_request_for_a_member_in_no_apply_was_an_add(
    engine: DuckEngine, tmp_path: Path
) -> None:
    before = recorded_files(tmp_path, [(IDENTITY, "a")])
    rejected = reject(engine, error_stream("a", "unknown"), before)
    assert nonzero_counts(rejected) == {"adds": 1, "unmatched": 1}
    assert rejected.folded[0].digest == SetDigest()


def test_a_pair_that_was_never_sent_changes_nothing(engine: DuckEngine, tmp_path: Path) -> None:
    before = recorded_files(tmp_path, [(IDENTITY, "a")])
    apply = sent_apply(tmp_path / "1", ("ADD", IDENTITY, "a"))
    rejected = reject(engine, error_stream("unknown"), before, apply)
    assert nonzero_counts(rejected) == {"unmatched": 1}
    assert rejected.folded == {}
    assert rejected.matched_details == frozenset()


def test_a_reject_of_an_unknown_segment_is_unmatched(engine: DuckEngine, tmp_path: Path) -> None:
    before = recorded_files(tmp_path, [(IDENTITY, "a")])
    rejected = engine.match_rejects(
        {0: before}, rejects=error_stream("a"), target_indexes=[-1], applies=[], now=NOW
    )
    assert nonzero_counts(rejected) == {"unmatched": 1}


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED])
def test_a_request_that_was_not_accepted_is_ignored(
    engine: DuckEngine, tmp_path: Path, outcome: Outcome
) -> None:
    apply = sent_apply(tmp_path / "1", ("REMOVE", IDENTITY, "a"), outcome=outcome)
    rejected = reject(engine, error_stream("a"), recorded_files(tmp_path, [(IDENTITY, "a")]), apply)
    assert nonzero_counts(rejected) == {"adds": 1}


def test_a_pair_with_another_outcome_than_its_request_is_ignored(
    engine: DuckEngine, tmp_path: Path
) -> None:
    exception = PairOutcome(
        target_index=7, kind="identity", value="a", outcome=Outcome.FAILED, at=1.0
    )
    apply = sent_apply(tmp_path / "1", ("ADD", IDENTITY, "a"), exceptions=(exception,))
    rejected = reject(engine, error_stream("a"), recorded_files(tmp_path, []), apply)
    assert nonzero_counts(rejected) == {"unmatched": 1}


def test_requests_for_a_segment_that_was_not_created_are_ignored(
    engine: DuckEngine, tmp_path: Path
) -> None:
    apply = sent_apply(tmp_path / "1", ("ADD", IDENTITY, "a"), blocked=frozenset({7}))
    rejected = reject(engine, error_stream("a"), recorded_files(tmp_path, []), apply)
    assert nonzero_counts(rejected) == {"unmatched": 1}


def test_a_reject_turns_an_uncertain_pair_into_a_refused_one(
    engine: DuckEngine, tmp_path: Path
) -> None:
    before = recorded_files(tmp_path, [], pairs=[(IDENTITY, "a", "uncertain", "ADD", 1.0)])
    rejected = reject(engine, error_stream("a"), before)
    assert nonzero_counts(rejected) == {"adds": 1}
    assert not rejected.folded[0].has_changed
    assert (rejected.folded[0].refused, rejected.folded[0].uncertain) == (1, 0)


def test_a_reject_loaded_twice_changes_nothing_the_second_time(
    engine: DuckEngine, tmp_path: Path
) -> None:
    before = recorded_files(tmp_path, [], pairs=[(IDENTITY, "a", "refused", "ADD", 1.0)])
    rejected = reject(engine, error_stream("a"), before)
    assert nonzero_counts(rejected) == {"adds": 1, "known": 1}
    assert rejected.folded == {}
    assert rejected.matched_details == {0}


def test_a_reject_from_before_the_last_request_is_ignored(
    engine: DuckEngine, tmp_path: Path
) -> None:
    before = recorded_files(tmp_path, [(IDENTITY, "a"), (IDENTITY, "b")])
    apply = sent_apply(
        tmp_path / "1", ("ADD", IDENTITY, "a"), ("ADD", IDENTITY, "b"), started_at=2_000.0
    )
    rejected = reject(engine, error_stream("a", "b", times=[1_000.0, 1_900.0]), before, apply)
    assert nonzero_counts(rejected) == {"adds": 1, "older": 1}
    assert members_after(before, rejected.folded[0]) == {("identity", "a")}


def test_a_pair_rejected_twice_is_quarantined_once_with_the_latest_time(
    engine: DuckEngine, tmp_path: Path
) -> None:
    before = recorded_files(tmp_path, [(IDENTITY, "a")])
    rejected = reject(engine, error_stream("a", "a", times=[4_000.0, 3_000.0]), before)
    assert nonzero_counts(rejected) == {"adds": 2}
    assert [row[4] for row in read_parquet(rejected.folded[0].pairs)] == [4_000.0]


def test_a_time_in_the_future_becomes_now(engine: DuckEngine, tmp_path: Path) -> None:
    before = recorded_files(tmp_path, [(IDENTITY, "a")])
    rejected = reject(engine, error_stream("a", times=[9_999_999.0]), before)
    assert [row[4] for row in read_parquet(rejected.folded[0].pairs)] == [NOW]


def test_a_guid_is_matched_by_its_value(engine: DuckEngine, tmp_path: Path) -> None:
    before = recorded_files(tmp_path, [(GUID, "abc"), (IDENTITY, "x")])
    rejected = reject(engine, error_stream("abc"), before)
    assert members_after(before, rejected.folded[0]) == {("identity", "x")}


keys = st.sampled_from("abcdef")


@settings(max_examples=25)
@given(
    members=st.sets(keys),
    removed=st.sets(keys),
    refused=st.sets(st.sampled_from("abcdefgh")),
)
def test_the_digest_after_rejects_equals_the_digest_of_the_members(
    tmp_path_factory: pytest.TempPathFactory,
    members: set[str],
    removed: set[str],
    refused: set[str],
) -> None:
    folder = tmp_path_factory.mktemp("rejects")
    removed -= members
    engine = DuckEngine(folder, threads=1)
    before = recorded_files(folder, [(IDENTITY, value) for value in members])
    apply = sent_apply(folder / "1", *(("REMOVE", IDENTITY, value) for value in removed))
    rejected = reject(engine, error_stream(*sorted(refused)), before, apply)
    expected = {("identity", v) for v in (members - refused) | (removed & refused)}
    folded = rejected.folded.get(0, FoldedTarget(digest=before.digest))
    assert members_after(before, folded) == expected
    assert folded.digest == SetDigest.of((Kind(kind), value) for kind, value in expected)
    engine.close()


def test_releasing_refused_pairs_keeps_uncertain_ones(engine: DuckEngine, tmp_path: Path) -> None:
    pairs = [(IDENTITY, "a", "refused", "ADD", 1.0), (IDENTITY, "b", "uncertain", "ADD", 1.0)]
    before = recorded_files(tmp_path, [(IDENTITY, "c")], pairs=pairs)
    folded = engine.release_quarantined({0: before, 1: RecordedFiles()})
    assert list(folded) == [0]
    assert not folded[0].has_changed
    assert [row[1] for row in read_parquet(folded[0].pairs)] == ["b"]


def test_releasing_one_error_type_keeps_the_others(engine: DuckEngine, tmp_path: Path) -> None:
    before = recorded_files(tmp_path, [(IDENTITY, "a")])
    first = reject(engine, error_stream("a"), before).folded[0]
    before = RecordedFiles(digest=first.digest, base=first.base, pairs=first.pairs)
    assert engine.release_quarantined({0: before}, error_type="API_SEGMENT_EMPTY_IDENTITY") == {}
    assert (
        engine.release_quarantined({0: before}, error_type="api_segment_id_mismatch")[0].pairs
        is None
    )


def test_quarantined_pairs_are_listed_by_target(engine: DuckEngine, tmp_path: Path) -> None:
    one = recorded_files(tmp_path, [], name="1", pairs=[(IDENTITY, "a", "refused", "ADD", 7.0)])
    two = recorded_files(tmp_path, [], name="2", pairs=[(GUID, "g", "refused", "REMOVE", 8.0)])
    found = [
        (p.target_index, p.kind, p.value, p.action, p.refused_at)
        for p in engine.iter_quarantined({0: one, 1: two})
    ]
    assert found == [(0, IDENTITY, "a", "ADD", 7.0), (1, GUID, "g", "REMOVE", 8.0)]
