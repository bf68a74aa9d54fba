"""Trying again."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.outcomes import Answer, Outcome
from segctl.provider.retry import (
    Attempt,
    RetryPolicy,
    combine_answers,
    parse_retry_after,
    retry_request,
)
from tests.provider.service import InstantClock

POLICY = RetryPolicy()
DOUBT = Attempt(answer=Answer(outcome=Outcome.UNCERTAIN, detail="HTTP 503"), is_retryable=True)
BUSY = Attempt(answer=Answer(outcome=Outcome.FAILED, detail="busy", throttled=1), is_retryable=True)
AWAY = Attempt(answer=Answer(outcome=Outcome.FAILED, detail="away", attempts=0), is_retryable=True)
DONE = Attempt(answer=Answer(outcome=Outcome.ACKNOWLEDGED), is_retryable=False)
REFUSED = Attempt(answer=Answer(outcome=Outcome.REFUSED, detail="no"), is_retryable=False)
KEYS = Attempt(answer=Answer(outcome=Outcome.FAILED, detail="keys", stop=True), is_retryable=False)
OUTCOMES = [DOUBT, BUSY, AWAY, DONE, REFUSED, KEYS]


def run(*attempts: Attempt, chance: float = 1.0) -> tuple[Answer, list[float], list[float]]:
    """Give the answer, the waits, and those told as caused by a 429; the last attempt repeats."""
    left, clock, told = list(attempts), InstantClock(), list[float]()

    async def attempt() -> Attempt:
        return left.pop(0) if len(left) > 1 else left[0]

    answer = asyncio.run(
        retry_request(
            attempt, policy=POLICY, clock=clock, chance=lambda: chance, on_throttled=told.append
        )
    )
    return answer, clock.slept, told


def test_an_acknowledged_request_is_sent_once() -> None:
    assert run(DONE) == (DONE.answer, [], [])


def test_waits_grow_twofold() -> None:
    answer, waits, told = run(DOUBT)
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert (answer.outcome, answer.attempts, told) == (Outcome.UNCERTAIN, 6, [])


def test_waits_are_drawn_from_their_whole_range() -> None:
    assert run(DOUBT, chance=0.5)[1] == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert run(DOUBT, chance=0.0)[1] == [POLICY.min_wait] * 5


def test_a_429_is_waited_out_for_ten_minutes() -> None:
    answer, waits, told = run(BUSY)
    assert 570 < sum(waits) <= POLICY.max_throttled_wait
    assert told == waits
    assert (answer.outcome, answer.throttled) == (Outcome.FAILED, len(waits) + 1)


def test_a_429_takes_nothing_from_the_patience_with_doubts() -> None:
    answer, _, told = run(DOUBT, BUSY, BUSY, DOUBT, BUSY, DOUBT, DOUBT, DOUBT, DOUBT, DONE)
    assert (answer.outcome, len(told)) == (Outcome.UNCERTAIN, 3)
    assert (answer.attempts, answer.throttled) == (9, 3)


def test_waits_after_429s_grow_only_while_they_follow_each_other() -> None:
    assert run(BUSY, BUSY, DOUBT, BUSY, DONE)[2] == [0.5, 1.0, 0.5]


def test_what_never_left_is_failed_and_counts_no_attempt() -> None:
    answer, waits, _ = run(AWAY)
    assert (answer.outcome, answer.attempts, len(waits)) == (Outcome.FAILED, 0, 5)


@pytest.mark.parametrize("after", [BUSY, AWAY, KEYS])
def test_a_later_failure_does_not_undo_a_doubt(after: Attempt) -> None:
    answer, _, _ = run(DOUBT, after)
    assert answer.outcome is Outcome.UNCERTAIN
    assert answer.detail == f"HTTP 503; then {after.answer.detail}"
    assert (answer.stop, answer.doubted) == (after.answer.stop, True)


@pytest.mark.parametrize("after", [DONE, REFUSED])
def test_an_acknowledgement_or_a_refusal_ends_a_doubt(after: Attempt) -> None:
    answer, _, _ = run(DOUBT, after)
    assert (answer.outcome, answer.detail) == (after.answer.outcome, after.answer.detail)
    assert (answer.attempts, answer.doubted) == (2, True)


@given(st.lists(st.sampled_from(OUTCOMES), min_size=1))
def test_nothing_is_acknowledged_that_the_last_attempt_did_not(attempts: list[Attempt]) -> None:
    answers = [a.answer for a in attempts]
    total = combine_answers(answers)
    doubted = any(a.outcome is Outcome.UNCERTAIN for a in answers)
    assert (total.outcome is Outcome.ACKNOWLEDGED) == (answers[-1].outcome is Outcome.ACKNOWLEDGED)
    assert not (doubted and total.outcome is Outcome.FAILED)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 1e9))
def test_every_wait_has_bounds(retry_index: int, chance: float, retry_after: float | None) -> None:
    assert (
        POLICY.min_wait
        <= POLICY.wait(retry_index, chance=chance, retry_after=retry_after)
        <= POLICY.max_retry_after
    )


def test_a_wait_asked_for_is_kept() -> None:
    asked = Attempt(answer=BUSY.answer, is_retryable=True, retry_after=7.0)
    assert run(asked, DONE)[1] == [7.0]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:28:30 -0000", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("Wed, 99 Oct 2015 07:27:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header, now=1_445_412_480.0) == seconds


@given(st.text())
def test_no_retry_after_raises(header: str) -> None:
    seconds = parse_retry_after(header, now=0.0)
    assert seconds is None or seconds >= 0
