"""Outcomes of answers to an update."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from segctl.core.outcomes import Outcome
from segctl.provider.wire import MAX_DETAIL_LENGTH, judge_create, judge_update
from tests.provider.service import GOLD

ACK, REFUSED, FAILED, UNCERTAIN = (
    Outcome.ACKNOWLEDGED,
    Outcome.REFUSED,
    Outcome.FAILED,
    Outcome.UNCERTAIN,
)
FAIL = {"status": "fail", "error": "Bad things"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["success", "status", "error", "code", "segments", "data", "id", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
BODIES = st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode())


@pytest.mark.parametrize(
    "body", [b'{"success": true}', b'{"success":true,"status":"success"}', b' {"success":true}\n']
)
def test_a_200_that_says_success_is_acknowledged(body: bytes) -> None:
    assert judge_update(200, body).outcome is ACK


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>Welcome</html>"),
        (200, b'{"success": tr'),
        (200, b"[]"),
        (200, b"true"),
        (200, b"{}"),
        (200, b'[{"success": true}]'),
        (200, b'{"success": 1}'),
        (200, b'{"success": "true"}'),
        (200, b'{"success": false}'),
        (200, b'{"success": false, "success": true}'),
        (200, b'{"success": true, "status": "fail"}'),
        (200, b'{"success": true, "status": "pending"}'),
        (200, b'{"success": true, "error": "no"}'),
        (200, b'{"success": true, "code": 100}'),
        (200, b'{"success": true, "unprocessed": [{}]}'),
        (200, b'{"status": "success"}'),
        (200, b'{"status": "fail"}'),
        (200, b'{"status": "fail", "code": 530}'),
        (200, b"[" * 100_000),
        (200, b"1" * 10_000),
        (201, b'{"success": true}'),
        (202, b'{"success": true}'),
        (204, b""),
        (408, b""),
        (500, b'{"success": true}'),
        (503, b"down"),
        (999, b""),
    ],
)
def test_any_other_answer_that_may_have_been_applied_is_uncertain(status: int, body: bytes) -> None:
    answer = judge_update(status, body)
    assert (answer.outcome, answer.stop, answer.throttled) == (UNCERTAIN, False, 0)


@pytest.mark.parametrize(
    ("status", "code", "outcome", "stop", "throttled"),
    [
        (401, None, FAILED, True, 0),
        (403, None, FAILED, True, 0),
        (400, 401, FAILED, True, 0),
        (200, 401, FAILED, True, 0),
        (429, None, FAILED, False, 1),
        (200, 429, FAILED, False, 1),
        (301, None, FAILED, False, 0),
        (407, None, FAILED, False, 0),
        (400, None, REFUSED, False, 0),
        (400, 100, REFUSED, False, 0),
        (200, 100, REFUSED, False, 0),
        (200, "100", REFUSED, False, 0),
        (404, None, REFUSED, False, 0),
        (413, None, REFUSED, False, 0),
    ],
)
def test_an_error_is_judged_by_status_and_code(
    status: int, code: Any, outcome: Outcome, stop: bool, throttled: int
) -> None:
    body = json.dumps(FAIL | ({"code": code} if code else {})).encode()
    answer = judge_update(status, body)
    assert (answer.outcome, answer.stop, answer.throttled) == (outcome, stop, throttled)
    assert answer.status == status


@pytest.mark.parametrize(
    ("status", "body", "detail"),
    [
        (400, b'{"error":"Segment limit exceeded","code":100}', "Segment limit exceeded"),
        (400, b'{"error":{"message":"Nested"}}', "Nested"),
        (400, b'{"errors":["First","Second"]}', "First"),
        (400, b'{"error":"a\\u001b[31m\\nb\\u202ec"}', "a [31m b c"),
        (400, b"<html>", "HTTP 400 without a reason"),
        (403, b"", "access was refused (HTTP 403)"),
        (404, b'{"error":"No such call"}', "HTTP 404: No such call"),
        (401, b'{"error":"No"}', "the credentials were refused (HTTP 401): No"),
        (429, b"", "too many concurrent requests (HTTP 429)"),
        (302, b"", "HTTP 302 is a redirect, which segctl does not follow"),
        (503, b'{"error":"try later"}', "HTTP 503: try later"),
        (200, b"", "HTTP 200 without a readable confirmation"),
    ],
)
def test_the_detail_is_the_message_of_the_service(status: int, body: bytes, detail: str) -> None:
    assert judge_update(status, body).detail == detail


def test_a_long_message_is_shortened() -> None:
    answer = judge_update(400, json.dumps({"error": "x" * 5000}).encode())
    assert answer.detail == "x" * (MAX_DETAIL_LENGTH - 1) + "…"


@pytest.mark.parametrize(
    ("words", "hidden", "shown"),
    [
        ("user CT123456 is bad", {"CT123456"}, "user [hidden] is bad"),
        ("user ct123456 is bad", {"CT123456"}, "user [hidden] is bad"),
        ("user 4 of 40 is bad", {"4"}, "user [hidden] of 40 is bad"),
        ("user +91 98 is bad", {"+91 98"}, "user [hidden] is bad"),
        ("ann@x.example.com and ann@x", {"ann@x"}, "[hidden].example.com and [hidden]"),
        ("user Somebody@else.example", (), "user [hidden]"),
        ("abcd" * 100, {"abcd" * 99}, "[hidden]abcd"),
        ("nothing to hide", {""}, "nothing to hide"),
    ],
)
def test_identities_are_masked_in_the_message_of_the_service(
    words: str, hidden: set[str], shown: str
) -> None:
    answer = judge_update(400, json.dumps({"error": words}).encode(), hidden)
    assert answer.detail == shown


@given(st.integers(min_value=-1, max_value=1100), BODIES)
@example(200, b"\xff\xfe")
@example(200, b'{"success": NaN}')
def test_no_answer_raises_and_only_success_is_acknowledged(status: int, body: bytes) -> None:
    update, create = judge_update(status, body), judge_create(status, body, [GOLD])
    if update.outcome is ACK:
        assert status == 200
        assert json.loads(body)["success"] is True
    if create.outcome is ACK:
        assert 200 <= status < 300
        assert isinstance(json.loads(body), dict | list)
    assert len(update.detail) < MAX_DETAIL_LENGTH + 80
