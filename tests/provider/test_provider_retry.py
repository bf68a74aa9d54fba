"""Retries: waits, limits and combined answers."""

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
UNSURE = Attempt(answer=Answer(outcome=Outcome.UNCERTAIN, detail="HTTP 503"), is_retryable=True)
THROTTLED = Attempt(
    answer=Answer(outcome=Outcome.FAILED, detail="busy", throttled=1), is_retryable=True
)
UNREACHABLE = Attempt(
    answer=Answer(outcome=Outcome.FAILED, detail="away", attempts=0), is_retryable=True
)
ACCEPTED = Attempt(answer=Answer(outcome=Outcome.ACKNOWLEDGED), is_retryable=False)
REFUSED = Attempt(answer=Answer(outcome=Outcome.REFUSED, detail="no"), is_retryable=False)
BAD_CREDENTIALS = Attempt(
    answer=Answer(outcome=Outcome.FAILED, detail="keys", stop=True), is_retryable=False
)
OUTCOMES = [UNSURE, THROTTLED, UNREACHABLE, ACCEPTED, REFUSED, BAD_CREDENTIALS]


def run(*attempts: Attempt, chance: float = 1.0) -> tuple[Answer, list[float], list[float]]:
    """Return the answer, all waits, and the waits after a 429. The last attempt repeats."""
    left, clock, throttled_waits = list(attempts), InstantClock(), list[float]()

    async def attempt() -> Attempt:
        return left.pop(0) if len(left) > 1 else left[0]

    answer = asyncio.run(
        retry_request(
            attempt,
            policy=POLICY,
            clock=clock,
            chance=lambda: chance,
            on_throttled=throttled_waits.append,
        )
    )
    return answer, clock.slept, throttled_waits


def test_an_acknowledged_request_is_sent_once() -> None:
    assert run(ACCEPTED) == (ACCEPTED.answer, [], [])


def test_waits_double() -> None:
    answer, waits, throttled_waits = run(UNSURE)
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert (answer.outcome, answer.attempts, throttled_waits) == (Outcome.UNCERTAIN, 6, [])


def test_waits_are_drawn_from_their_whole_range() -> None:
    assert run(UNSURE, chance=0.5)[1] == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert run(UNSURE, chance=0.0)[1] == [POLICY.min_wait] * 5


def test_a_429_is_retried_for_ten_minutes() -> None:
    answer, waits, throttled_waits = run(THROTTLED)
    assert 570 < sum(waits) <= POLICY.max_throttled_wait
    assert throttled_waits == waits
    assert (answer.outcome, answer.throttled) == (Outcome.FAILED, len(waits) + 1)


def test_a_429_does_not_count_as_an_uncertain_attempt() -> None:
    answer, _, throttled_waits = run(
        UNSURE, THROTTLED, THROTTLED, UNSURE, THROTTLED, UNSURE, UNSURE, UNSURE, UNSURE, ACCEPTED
    )
    assert (answer.outcome, len(throttled_waits)) == (Outcome.UNCERTAIN, 3)
    assert (answer.attempts, answer.throttled) == (9, 3)


def test_waits_grow_only_with_consecutive_429s() -> None:
    assert run(THROTTLED, THROTTLED, UNSURE, THROTTLED, ACCEPTED)[2] == [0.5, 1.0, 0.5]


def test_a_request_that_was_never_sent_is_failed_with_no_attempts() -> None:
    answer, waits, _ = run(UNREACHABLE)
    assert (answer.outcome, answer.attempts, len(waits)) == (Outcome.FAILED, 0, 5)


@pytest.mark.parametrize("after", [THROTTLED, UNREACHABLE, BAD_CREDENTIALS])
def test_a_failure_after_an_uncertain_attempt_stays_uncertain(after: Attempt) -> None:
    answer, _, _ = run(UNSURE, after)
    assert answer.outcome is Outcome.UNCERTAIN
    assert answer.detail == f"HTTP 503; then {after.answer.detail}"
    assert (answer.stop, answer.doubted) == (after.answer.stop, True)


@pytest.mark.parametrize("after", [ACCEPTED, REFUSED])
def test_an_acknowledgement_or_a_refusal_resolves_an_uncertain_attempt(after: Attempt) -> None:
    answer, _, _ = run(UNSURE, after)
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


def test_a_retry_after_extends_the_wait() -> None:
    asked = Attempt(answer=THROTTLED.answer, is_retryable=True, retry_after=7.0)
    assert run(asked, ACCEPTED)[1] == [7.0]


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
def test_parse_retry_after_never_raises(header: str) -> None:
    seconds = parse_retry_after(header, now=0.0)
    assert seconds is None or seconds >= 0
