"""Retries of a request: when to retry, how long to wait, and how to combine the answers.

Clock and chance are arguments, so tests are fast and repeatable.
``docs/decisions/0001-retry.md`` explains why segctl does not use a library for this.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from segctl.core.clock import Clock
from segctl.core.outcomes import Answer, Outcome


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """Limits on attempts and waits. Times are in seconds.

    ``max_attempts`` limits the attempts that get no trustworthy answer. A request answered with
    429 was certainly not applied, so it is retried for longer: until the waits after a 429 add up
    to ``max_throttled_wait``. Wait n is random between 0 and ``first_wait`` times 2ⁿ, but at least
    ``min_wait`` and at most ``max_wait``. A ``Retry-After`` header can extend a wait up to
    ``max_retry_after``.
    """

    max_attempts: int = 6
    max_throttled_wait: float = 600.0
    first_wait: float = 0.5
    max_wait: float = 30.0
    min_wait: float = 0.05
    max_retry_after: float = 120.0

    def wait(self, retry_index: int, *, chance: float, retry_after: float | None = None) -> float:
        """Return the seconds to wait before a retry.

        ``retry_index`` counts from 0. ``chance`` is a random number in [0, 1).
        """
        ceiling = min(self.max_wait, self.first_wait * 2.0 ** min(retry_index, 32))
        drawn = max(self.min_wait, chance * ceiling)
        return max(drawn, min(retry_after or 0.0, self.max_retry_after))


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """The answer to one attempt, and whether another attempt may get a better one.

    ``retry_after`` is the wait that the service asked for, in seconds.
    """

    answer: Answer
    is_retryable: bool
    retry_after: float | None = None


async def retry_request(
    attempt: Callable[[], Awaitable[Attempt]],
    *,
    policy: RetryPolicy,
    clock: Clock,
    chance: Callable[[], float],
    on_throttled: Callable[[float], None],
) -> Answer:
    """Make attempts until one is final or a limit of ``policy`` is reached.

    Returns the combined answer of all attempts. ``on_throttled`` is called with each wait, in
    seconds, that follows a 429.
    """
    answers: list[Answer] = []
    unanswered_attempts = throttled_in_row = 0
    throttled_wait = 0.0
    while True:
        last = await attempt()
        answers.append(last.answer)
        if not last.is_retryable:
            return combine_answers(answers)
        if last.answer.throttled:
            wait = policy.wait(throttled_in_row, chance=chance(), retry_after=last.retry_after)
            throttled_in_row += 1
            if throttled_wait + wait > policy.max_throttled_wait:
                return combine_answers(answers)
            throttled_wait += wait
            on_throttled(wait)
        else:
            unanswered_attempts += 1
            throttled_in_row = 0
            if unanswered_attempts >= policy.max_attempts:
                return combine_answers(answers)
            wait = policy.wait(
                unanswered_attempts - 1, chance=chance(), retry_after=last.retry_after
            )
        await clock.sleep(wait)


def combine_answers(answers: list[Answer]) -> Answer:
    """Return one answer for all attempts of a request, which are given oldest first.

    After an uncertain attempt, the request stays uncertain unless a later attempt is acknowledged
    or refused. A later failure does not undo what may have been applied.
    """
    last = answers[-1]
    uncertain = [a for a in answers if a.outcome is Outcome.UNCERTAIN]
    combined = replace(
        last,
        doubted=bool(uncertain),
        attempts=sum(a.attempts for a in answers),
        throttled=sum(a.throttled for a in answers),
    )
    if last.outcome is not Outcome.FAILED or not uncertain:
        return combined
    return replace(
        combined, outcome=Outcome.UNCERTAIN, detail=f"{uncertain[-1].detail}; then {last.detail}"
    )


def parse_retry_after(header: str | None, *, now: float) -> float | None:
    """Return the seconds in a ``Retry-After`` header, or ``None`` if it has no valid value.

    The value is a number of seconds or an HTTP date. CleverTap documents no such header, but a
    proxy may send one.
    """
    text = (header or "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        retry_at = parsedate_to_datetime(text)
    except ValueError:
        return None
    if retry_at.tzinfo is None:
        retry_at = retry_at.replace(tzinfo=UTC)
    return max(0.0, (retry_at - datetime.fromtimestamp(now, UTC)).total_seconds())
