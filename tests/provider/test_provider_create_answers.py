"""Outcomes of answers to a create, whose shape is not documented."""

import json
from typing import Any

import pytest

from segctl.core.outcomes import Answer, Outcome
from segctl.provider.wire import NewSegment, judge_create

ACK, REFUSED, FAILED, UNCERTAIN = (
    Outcome.ACKNOWLEDGED,
    Outcome.REFUSED,
    Outcome.FAILED,
    Outcome.UNCERTAIN,
)
A, B = (
    NewSegment(segment_name="Gold", customer_segment_id="SEG-A"),
    NewSegment(segment_name="Silver", customer_segment_id="SEG-B"),
)
ROWS = [{"customer_segment_id": "SEG-B", "id": 2}, {"customer_segment_id": "SEG-A", "id": 1}]
BOTH = {"SEG-A": 1, "SEG-B": 2}


def judge(document: Any, status: int = 200, sent: tuple[NewSegment, ...] = (A, B)) -> Answer:
    return judge_create(status, json.dumps(document).encode(), sent)


@pytest.mark.parametrize(
    "document",
    [
        ROWS,
        {"segments": ROWS},
        {"data": ROWS, "success": True},
        {"status": "success", "result": {"segments": ROWS}},
        [{"customer_segment_id": "SEG-A", "ct_segment_id": "1"}, ROWS[0]],
        [{"customer_segment_id": "SEG-A", "segment_id": 1, "id": "SEG-A"}, ROWS[0]],
        [{"segment_name": "Silver", "id": 2}, {"segment_name": "Gold", "id": 1}],
        [{"name": "Silver", "id": 2}, {"customer_segment_id": "SEG-A", "id": 1}],
        [{"id": 1}, {"id": 2}],
        [1, "2"],
    ],
)
def test_ids_are_found_in_any_likely_shape(document: Any) -> None:
    answer = judge(document)
    assert (answer.outcome, answer.ids) == (ACK, BOTH)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"success": True},
        {"status": "success", "code": 200},
        {"status": "success", "code": 0, "error": None, "errors": []},
        [{"segment_name": "Gold"}, {"segment_name": "Silver"}],
        [{"id": "x"}, {"id": True}],
        [{"id": 7}, {"id": 7}],
        [{"id": -1}, {"id": 10**30}],
    ],
)
def test_a_create_is_acknowledged_without_ids(document: Any) -> None:
    answer = judge(document, status=201)
    assert (answer.outcome, answer.ids) == (ACK, {})


def test_a_single_object_answers_for_a_single_segment() -> None:
    answer = judge({"id": 5, "segment_name": "Gold", "status": "active"}, sent=(A,))
    assert (answer.outcome, answer.ids) == (ACK, {"SEG-A": 5})


def test_a_name_that_two_segments_share_gives_no_id() -> None:
    twin = NewSegment(segment_name="Gold", customer_segment_id="SEG-C")
    rows = [{"segment_name": "Gold", "id": 1}, {"segment_name": "Gold", "id": 2}]
    assert judge(rows, sent=(A, twin)).ids == {}


def test_one_known_row_stops_the_others_from_being_matched_by_position() -> None:
    assert judge([{"customer_segment_id": "SEG-B", "id": 2}, {"id": 1}]).ids == {"SEG-B": 2}


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"segments": []},
        ROWS[:1],
        [*ROWS, {"id": 3}],
        {"id": 5},
        [{"customer_segment_id": "OTHER", "id": 1}, ROWS[0]],
        [{"customer_segment_id": "SEG-A", "error": "already exists"}, {"id": 2}],
        [{"error": "already exists"}, ROWS[0]],
        {"data": {"status": "fail"}},
        {"status": "partial", "segments": ROWS},
        {"success": True, "unprocessed": [{}]},
        {"success": False},
        {"status": "fail", "error": "Internal"},
        {"error": "account does not exist"},
        {"code": 513},
        "created",
        7,
        None,
    ],
)
def test_a_partial_or_ambiguous_create_is_uncertain(document: Any) -> None:
    assert judge(document).outcome is UNCERTAIN


@pytest.mark.parametrize("fault", [{"status": "failed"}, {"error": "already exists"}])
def test_a_partial_create_that_names_each_segment_returns_the_created_ids(
    fault: dict[str, str],
) -> None:
    answer = judge([{"customer_segment_id": "SEG-A", **fault}, ROWS[0]])
    assert (answer.outcome, answer.doubted, answer.ids) == (REFUSED, False, {"SEG-B": 2})


def test_the_detail_of_a_partial_create_counts_the_segments() -> None:
    bad = {"customer_segment_id": "SEG-A", "status": "fail", "code": 400, "error": "Bad name"}
    assert judge([bad, ROWS[0]]).detail == "HTTP 200: 1 of 2 segments failed: Bad name"
    assert judge(ROWS[:1]).detail == "HTTP 200 lists 1 of 2 segments"


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (409, {}),
        (409, None),
        (200, {"status": "fail", "code": 409}),
        (400, {"error": "Segment already exists"}),
        (400, {"error": "customer_segment_id must be unique"}),
        (422, {"message": "Duplicate customer_segment_id"}),
        (400, {"error": "SEG-A is already in use"}),
        (200, {"success": False, "error": "already exists"}),
        (200, [{"status": "fail", "error": "already exists"}] * 2),
    ],
)
def test_a_duplicate_is_refused_as_existing(status: int, document: Any) -> None:
    answer = judge(document, status)
    assert (answer.outcome, answer.exists) == (REFUSED, True)


@pytest.mark.parametrize(
    ("status", "document", "outcome"),
    [
        (400, {"error": "Invalid name"}, REFUSED),
        (400, {"error": "Account does not exist"}, REFUSED),
        (401, {"error": "already exists"}, FAILED),
        (500, {"error": "already exists"}, UNCERTAIN),
        (429, {"error": "already exists"}, FAILED),
        (200, [{"status": "fail", "code": 400, "error": "Bad"}] * 2, REFUSED),
    ],
)
def test_other_errors_do_not_count_as_existing(
    status: int, document: Any, outcome: Outcome
) -> None:
    answer = judge(document, status)
    assert (answer.outcome, answer.exists) == (outcome, False)
