"""Answers that are lost, late or come twice, floods of 429, and clocks that jump."""

import asyncio
import time

import pytest

from segctl.clock import Clock
from tests.torture.torture_kit import Place, Victims, Wanted, check_converged, declare, users
from tests.torture.torture_service import Answer, Choose

FULL: Wanted = {"gold": users(0, 60)}
NOBODY: Wanted = {"gold": ()}
SETTLE = 30.0
TEN_YEARS = 10 * 365 * 86400.0


class OwnClock:
    """A clock that goes only when somebody sleeps, and wherever a test moves it."""

    def __init__(self) -> None:
        self.time = time.time()
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)


def only(answer: Answer, *calls: str) -> Choose:
    """Answer some calls so, and the others well."""

    def choose(call: str, number: int) -> Answer:
        del number
        return answer if call in calls else Answer.GOOD

    return choose


def interrupted(place: Place, victims: Victims) -> None:
    """Kill an apply that adds members, right after its first update was sent."""
    declare(place.root, FULL)
    labels = victims.points(place)
    sent = [n for n, label in enumerate(labels, start=1) if label == "request sent"]
    assert victims.run(place, at=sent[1]) is None


def turned(place: Place, clock: Clock) -> list[float]:
    """Want nobody any more, and apply; gives the long waits."""
    declare(place.root, NOBODY)
    own = OwnClock()
    own.time = clock.now()
    place.apply(clock=own)
    return [seconds for seconds in own.slept if seconds > 1]


def test_a_pair_that_turns_round_after_a_kill_waits_from_the_moment_the_kill_was_found(
    place: Place, victims: Victims
) -> None:
    interrupted(place, victims)
    clock = OwnClock()
    clock.time += 300  # the request may have been repeated all this time
    assert turned(place, clock) == [pytest.approx(SETTLE, abs=1)]
    check_converged(place, NOBODY)
