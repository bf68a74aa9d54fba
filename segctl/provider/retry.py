"""Trying a request again: when, after how long, and what its attempts add up to.

Runs on a passed-in clock and chance.  ``docs/decisions/0001-retry.md`` says why
this is no library.
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
    """How patient a request is; times are seconds.

    ``attempts`` bounds the attempts without an answer to trust.  A 429 is known not
    to be applied, so it is waited out longer: until its waits add up to ``patience``.
    The n-th wait is drawn from 0 to ``first`` times 2ⁿ, at most ``longest`` and at
    least ``shortest``.  A Retry-After is honoured up to ``longest_asked``.
    """

    attempts: int = 6
    patience: float = 600.0
    first: float = 0.5
    longest: float = 30.0
    shortest: float = 0.05
    longest_asked: float = 120.0

    def wait(self, n: int, *, chance: float, asked: float | None = None) -> float:
        """Give the ``n``-th wait, from 0; ``chance`` lies in [0, 1)."""
        ceiling = min(self.longest, self.first * 2.0 ** min(n, 32))
        drawn = max(self.shortest, chance * ceiling)
        return max(drawn, min(asked or 0.0, self.longest_asked))


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt's verdict; ``again`` where another one may do better.

    ``retry_after`` is how long the service asked to wait, in seconds.
    """

    answer: Answer
    again: bool
    retry_after: float | None = None


async def persist(
    attempt: Callable[[], Awaitable[Attempt]],
    *,
    policy: RetryPolicy,
    clock: Clock,
    chance: Callable[[], float],
    on_throttled: Callable[[float], None],
) -> Answer:
    """Try until something is known for certain or patience ends; gives the sum of all attempts.

    ``on_throttled`` is told each wait, in seconds, that follows a 429.
    """
    answers: list[Answer] = []
    in_doubt = in_row = 0
    waited = 0.0
    while True:
        last = await attempt()
        answers.append(last.answer)
        if not last.again:
            return conclude(answers)
        if last.answer.throttled:
            wait = policy.wait(in_row, chance=chance(), asked=last.retry_after)
            in_row += 1
            if waited + wait > policy.patience:
                return conclude(answers)
            waited += wait
            on_throttled(wait)
        else:
            in_doubt += 1
            in_row = 0
            if in_doubt >= policy.attempts:
                return conclude(answers)
            wait = policy.wait(in_doubt - 1, chance=chance(), asked=last.retry_after)
        await clock.sleep(wait)


def conclude(answers: list[Answer]) -> Answer:
    """Add up the attempts of one request, oldest first.

    Once an attempt was uncertain, only an acknowledgement or a refusal of the same
    content says more: a later failure does not undo what may have been applied.
    """
    last = answers[-1]
    doubts = [a for a in answers if a.outcome is Outcome.UNCERTAIN]
    total = replace(
        last,
        doubted=bool(doubts),
        attempts=sum(a.attempts for a in answers),
        throttled=sum(a.throttled for a in answers),
    )
    if last.outcome is not Outcome.FAILED or not doubts:
        return total
    return replace(
        total, outcome=Outcome.UNCERTAIN, detail=f"{doubts[-1].detail}; then {last.detail}"
    )


def seconds_asked(header: str | None, *, now: float) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date; ``None`` where it says nothing.

    The service documents no such header; a proxy before it may send one.
    """
    text = (header or "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())
