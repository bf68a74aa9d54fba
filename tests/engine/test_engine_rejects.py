"""Rejects matched to the last request for each pair, and what they leave of it."""

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
from tests.engine.engine_kit import read, recorded

IDENTITY, GUID = Kind.IDENTITY, Kind.GUID
NOW = 5_000.0
GOLD = RejectDetails(ct_segment_id=None, customer_segment_id="G", type="API_SEGMENT_ID_MISMATCH")


def stream(*users: str, times: Sequence[float | None] = ()) -> Rejects:
    return Rejects(
        details=(GOLD,),
        detail_indexes=[0] * len(users),
        users=users,
        times=times or [None] * len(users),
    )


def sent(
    path: Path,
    *rows: tuple[str, Kind, str],
    outcome: Outcome = Outcome.ACKNOWLEDGED,
    started_at: float = 1_000.0,
    odd: tuple[PairOutcome, ...] = (),
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
        exceptions=odd,
        blocked=blocked,
    )
    return SentApply(delta=path, ledger=ledger, target_indexes={7: 0}, started_at=started_at)


def reject(
    engine: DuckEngine, rejects: Rejects, held: RecordedFiles, *applies: SentApply
) -> MatchedRejects:
    return engine.match_rejects(
        {0: held}, rejects=rejects, target_indexes=[0], applies=applies, now=NOW
    )


def counts(rejected: MatchedRejects) -> Mapping[str, int]:
    names = ("adds", "removes", "known", "older", "unmatched")
    return {name: getattr(rejected, name) for name in names if getattr(rejected, name)}


def left(held: RecordedFiles, folded: FoldedTarget) -> set[tuple[str, str]]:
    """Give the members of a target after its rejects."""
    if folded.has_changed and folded.change is None:
        return {(str(kind), str(value)) for kind, value in read(folded.base)}
    now = {(str(kind), str(value)) for kind, value in read(held.base)}
    for action, kind, value in read(folded.change):
        (now.add if action == "ADD" else now.remove)((str(kind), str(value)))
    return now


def test_a_refused_add_leaves_the_recorded_set_and_is_marked(
    engine: DuckEngine, tmp_path: Path
) -> None:
    held = recorded(tmp_path, [(IDENTITY, "bad"), (IDENTITY, "good")])
    apply = sent(tmp_path / "1", ("ADD", IDENTITY, "bad"), ("ADD", IDENTITY, "good"))
    rejected = reject(engine, stream("bad"), held, apply)
    folded = rejected.folded[0]
    assert counts(rejected) == {"adds": 1}
    assert left(held, folded) == {("identity", "good")}
    assert folded.digest == SetDigest.of([(IDENTITY, "good")])
    assert read(folded.pairs) == [
        ("identity", "bad", "refused", "ADD", NOW, "API_SEGMENT_ID_MISMATCH")
    ]
    assert (folded.refused, folded.uncertain) == (1, 0)


def test_a_refused_remove_puts_the_member_back_and_is_marked(
    engine: DuckEngine, tmp_path: Path
) -> None:
    held = recorded(tmp_path, [(IDENTITY, "good")])
    apply = sent(tmp_path / "1", ("REMOVE", IDENTITY, "out"))
    rejected = reject(engine, stream("out"), held, apply)
    assert counts(rejected) == {"removes": 1}
    assert left(held, rejected.folded[0]) == {("identity", "good"), ("identity", "out")}
    assert [row[1:4] for row in read(rejected.folded[0].pairs)] == [("out", "refused", "REMOVE")]


def test_the_newest_apply_that_sent_a_pair_decides(engine: DuckEngine, tmp_path: Path) -> None:
    newer = sent(tmp_path / "2", ("REMOVE", IDENTITY, "a"))
    older = sent(tmp_path / "1", ("ADD", IDENTITY, "a"))
    rejected = reject(engine, stream("a"), recorded(tmp_path, []), newer, older)
    assert counts(rejected) == {"removes": 1}


def test_of_a_recorded_member_without_evidence_the_last_request_was_an_add(
    engine: DuckEngine, tmp_path: Path
) -> None:
    held = recorded(tmp_path, [(IDENTITY, "a")])
    rejected = reject(engine, stream("a", "stranger"), held)
    assert counts(rejected) == {"adds": 1, "unmatched": 1}
    assert rejected.folded[0].digest == SetDigest()


def test_a_pair_that_was_never_sent_changes_nothing(engine: DuckEngine, tmp_path: Path) -> None:
    held = recorded(tmp_path, [(IDENTITY, "a")])
    apply = sent(tmp_path / "1", ("ADD", IDENTITY, "a"))
    rejected = reject(engine, stream("stranger"), held, apply)
    assert counts(rejected) == {"unmatched": 1}
    assert rejected.folded == {}
    assert rejected.matched_details == frozenset()


def test_a_reject_of_an_unknown_segment_is_counted_as_never_sent(
    engine: DuckEngine, tmp_path: Path
) -> None:
    held = recorded(tmp_path, [(IDENTITY, "a")])
    found = engine.match_rejects(
        {0: held}, rejects=stream("a"), target_indexes=[-1], applies=[], now=NOW
    )
    assert counts(found) == {"unmatched": 1}


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED])
def test_a_request_that_was_not_accepted_is_no_evidence(
    engine: DuckEngine, tmp_path: Path, outcome: Outcome
) -> None:
    apply = sent(tmp_path / "1", ("REMOVE", IDENTITY, "a"), outcome=outcome)
    rejected = reject(engine, stream("a"), recorded(tmp_path, [(IDENTITY, "a")]), apply)
    assert counts(rejected) == {"adds": 1}


def test_a_pair_that_fared_otherwise_than_its_request_is_no_evidence(
    engine: DuckEngine, tmp_path: Path
) -> None:
    odd = PairOutcome(target_index=7, kind="identity", value="a", outcome=Outcome.FAILED, at=1.0)
    apply = sent(tmp_path / "1", ("ADD", IDENTITY, "a"), odd=(odd,))
    rejected = reject(engine, stream("a"), recorded(tmp_path, []), apply)
    assert counts(rejected) == {"unmatched": 1}


def test_a_segment_that_was_not_created_got_nothing(engine: DuckEngine, tmp_path: Path) -> None:
    apply = sent(tmp_path / "1", ("ADD", IDENTITY, "a"), blocked=frozenset({7}))
    rejected = reject(engine, stream("a"), recorded(tmp_path, []), apply)
    assert counts(rejected) == {"unmatched": 1}


def test_a_reject_answers_a_request_that_had_no_answer(engine: DuckEngine, tmp_path: Path) -> None:
    held = recorded(tmp_path, [], pairs=[(IDENTITY, "a", "uncertain", "ADD", 1.0)])
    rejected = reject(engine, stream("a"), held)
    assert counts(rejected) == {"adds": 1}
    assert not rejected.folded[0].has_changed
    assert (rejected.folded[0].refused, rejected.folded[0].uncertain) == (1, 0)


def test_a_reject_loaded_twice_changes_nothing_the_second_time(
    engine: DuckEngine, tmp_path: Path
) -> None:
    held = recorded(tmp_path, [], pairs=[(IDENTITY, "a", "refused", "ADD", 1.0)])
    rejected = reject(engine, stream("a"), held)
    assert counts(rejected) == {"adds": 1, "known": 1}
    assert rejected.folded == {}
    assert rejected.matched_details == {0}


def test_a_reject_from_before_the_last_request_is_left_alone(
    engine: DuckEngine, tmp_path: Path
) -> None:
    held = recorded(tmp_path, [(IDENTITY, "a"), (IDENTITY, "b")])
    apply = sent(tmp_path / "1", ("ADD", IDENTITY, "a"), ("ADD", IDENTITY, "b"), started_at=2_000.0)
    rejected = reject(engine, stream("a", "b", times=[1_000.0, 1_900.0]), held, apply)
    assert counts(rejected) == {"adds": 1, "older": 1}
    assert left(held, rejected.folded[0]) == {("identity", "a")}


def test_a_pair_rejected_several_times_is_marked_once_with_the_newest_time(
    engine: DuckEngine, tmp_path: Path
) -> None:
    held = recorded(tmp_path, [(IDENTITY, "a")])
    rejected = reject(engine, stream("a", "a", times=[4_000.0, 3_000.0]), held)
    assert counts(rejected) == {"adds": 2}
    assert [row[4] for row in read(rejected.folded[0].pairs)] == [4_000.0]


def test_a_time_in_the_future_is_no_later_than_now(engine: DuckEngine, tmp_path: Path) -> None:
    held = recorded(tmp_path, [(IDENTITY, "a")])
    rejected = reject(engine, stream("a", times=[9_999_999.0]), held)
    assert [row[4] for row in read(rejected.folded[0].pairs)] == [NOW]


def test_a_guid_is_found_by_its_value(engine: DuckEngine, tmp_path: Path) -> None:
    held = recorded(tmp_path, [(GUID, "abc"), (IDENTITY, "x")])
    rejected = reject(engine, stream("abc"), held)
    assert left(held, rejected.folded[0]) == {("identity", "x")}


keys = st.sampled_from("abcdef")


@settings(max_examples=25)
@given(
    members=st.sets(keys),
    removed=st.sets(keys),
    refused=st.sets(st.sampled_from("abcdefgh")),
)
def test_the_digest_after_rejects_is_that_of_the_members_counted_anew(
    tmp_path_factory: pytest.TempPathFactory,
    members: set[str],
    removed: set[str],
    refused: set[str],
) -> None:
    folder = tmp_path_factory.mktemp("rejects")
    removed -= members
    engine = DuckEngine(folder, threads=1)
    held = recorded(folder, [(IDENTITY, value) for value in members])
    apply = sent(folder / "1", *(("REMOVE", IDENTITY, value) for value in removed))
    rejected = reject(engine, stream(*sorted(refused)), held, apply)
    expected = {("identity", v) for v in (members - refused) | (removed & refused)}
    folded = rejected.folded.get(0, FoldedTarget(digest=held.digest))
    assert left(held, folded) == expected
    assert folded.digest == SetDigest.of((Kind(kind), value) for kind, value in expected)
    engine.close()


def test_retry_takes_refused_pairs_out_of_quarantine_and_leaves_uncertain_ones(
    engine: DuckEngine, tmp_path: Path
) -> None:
    pairs = [(IDENTITY, "a", "refused", "ADD", 1.0), (IDENTITY, "b", "uncertain", "ADD", 1.0)]
    held = recorded(tmp_path, [(IDENTITY, "c")], pairs=pairs)
    folded = engine.release_quarantined({0: held, 1: RecordedFiles()})
    assert list(folded) == [0]
    assert not folded[0].has_changed
    assert [row[1] for row in read(folded[0].pairs)] == ["b"]


def test_retry_of_one_type_leaves_the_others(engine: DuckEngine, tmp_path: Path) -> None:
    held = recorded(tmp_path, [(IDENTITY, "a")])
    first = reject(engine, stream("a"), held).folded[0]
    held = RecordedFiles(digest=first.digest, base=first.base, pairs=first.pairs)
    assert engine.release_quarantined({0: held}, error_type="API_SEGMENT_EMPTY_IDENTITY") == {}
    assert (
        engine.release_quarantined({0: held}, error_type="api_segment_id_mismatch")[0].pairs is None
    )


def test_the_refused_pairs_are_told_by_target(engine: DuckEngine, tmp_path: Path) -> None:
    one = recorded(tmp_path, [], name="1", pairs=[(IDENTITY, "a", "refused", "ADD", 7.0)])
    two = recorded(tmp_path, [], name="2", pairs=[(GUID, "g", "refused", "REMOVE", 8.0)])
    found = [
        (p.target_index, p.kind, p.value, p.action, p.refused_at)
        for p in engine.iter_quarantined({0: one, 1: two})
    ]
    assert found == [(0, IDENTITY, "a", "ADD", 7.0), (1, GUID, "g", "REMOVE", 8.0)]
