"""Lost, late and repeated answers, floods of 429, and clocks that jump."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from segctl.core.disk import Disk
from segctl.core.errors import AppliedInPart
from tests.torture.torture_kit import (
    Place,
    Victims,
    Wanted,
    check_converged,
    check_interrupted,
    declare,
    users,
)
from tests.torture.torture_service import Answer, Choose

FULL: Wanted = {"gold": users(0, 60)}
MANY: Wanted = {"gold": users(0, 900)}
NOBODY: Wanted = {"gold": ()}
SETTLE = 30.0
TEN_YEARS = 10 * 365 * 86400.0


class OwnClock:
    """A clock that advances only by sleeps; ``meanwhile`` runs during a long sleep."""

    def __init__(self, ahead: float = 0.0, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.time = time.time() + ahead
        self.long_sleeps: list[float] = []
        self._meanwhile = meanwhile

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        if seconds > 1:
            self.long_sleeps.append(seconds)
            self._meanwhile()
        await asyncio.sleep(0)


class JumpyClock(OwnClock):
    """A clock that is set ten years forward or back whenever it is read."""

    def now(self) -> float:
        self._sign = -getattr(self, "_sign", -1)
        return self.time + self._sign * TEN_YEARS


def updates(choose: Callable[[int], Answer]) -> Choose:
    """Answer creates normally, and the n-th update as ``choose`` says."""
    return lambda call, number: choose(number) if call == "update" else Answer.GOOD


def unanswered(place: Place, answer: Answer) -> None:
    """Send members without getting an answer, then declare none."""
    declare(place.root, FULL)
    place.service.choose = updates(lambda _: answer)
    with pytest.raises(AppliedInPart):
        place.apply(clock=OwnClock())
    place.service.choose = updates(lambda _: Answer.GOOD)
    declare(place.root, NOBODY)


@pytest.mark.parametrize("answer", [Answer.LOST, Answer.CUT, Answer.BROKEN])
def test_members_whose_answers_were_lost_are_uncertain_and_sent_again(
    place: Place, answer: Answer
) -> None:
    unanswered(place, answer)
    assert len(check_interrupted(place)["gold"].uncertain) == len(FULL["gold"])
    declare(place.root, FULL)
    clock = OwnClock()
    place.apply(clock=clock)
    assert clock.long_sleeps == []
    check_converged(place, FULL)


def test_a_late_addition_does_not_overtake_the_removal_that_waits_for_it(place: Place) -> None:
    unanswered(place, Answer.LATE)
    clock = OwnClock(meanwhile=place.service.release)
    place.apply(clock=clock)
    assert clock.long_sleeps == [pytest.approx(SETTLE, abs=5)]
    assert len(place.service.memory.effects) > 2
    check_converged(place, NOBODY)


def test_a_repeated_answer_is_not_read_as_the_answer_to_the_next_request(
    place: Place,
) -> None:
    declare(place.root, MANY)
    place.service.choose = updates(lambda n: Answer.TWICE if n % 2 else Answer.CUT)
    with suppress(AppliedInPart):
        place.apply(clock=OwnClock())
    check_interrupted(place)
    place.service.choose = updates(lambda _: Answer.GOOD)
    place.apply(clock=OwnClock())
    check_converged(place, MANY)


class EchoingDisk(Disk):
    """A slow disk: repeated answers arrive while it works."""

    def __init__(self, place: Place) -> None:
        self._service = place.service

    def sync(self, descriptor: int) -> None:
        self._service.echo()
        super().sync(descriptor)


class EchoingClock(OwnClock):
    """A clock on which a repeated answer arrives before a request is retried."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._service = place.service

    async def sleep(self, seconds: float) -> None:
        # Without it, the retries use every connection before the disk syncs.
        self._service.echo()
        await super().sleep(seconds)


def test_a_repeated_answer_during_a_disk_write_is_noticed(place: Place) -> None:
    declare(place.root, MANY)
    project = place.root / "segctl.yaml"
    project.write_text(
        project.read_text().replace("{guards", "{provider: {concurrency: 1}, guards")
    )
    place.service.choose = updates(lambda n: Answer.ECHO if n == 1 else Answer.CUT)
    with pytest.raises(AppliedInPart):
        place.apply(clock=EchoingClock(place), disk=EchoingDisk(place))
    check_interrupted(place)
    place.service.choose = updates(lambda _: Answer.GOOD)
    place.apply(clock=OwnClock())
    check_converged(place, MANY)


def test_a_flood_of_429_is_waited_out(place: Place) -> None:
    declare(place.root, MANY)
    place.service.choose = updates(lambda n: Answer.BUSY if n <= 40 else Answer.GOOD)
    place.apply(clock=OwnClock())
    assert sum(effect.call == "update" for effect in place.service.memory.effects) == 9
    check_converged(place, MANY)


def test_an_endless_flood_of_429_leaves_nothing_uncertain(place: Place) -> None:
    unanswered(place, Answer.BUSY)
    assert not check_interrupted(place)["gold"].uncertain
    declare(place.root, FULL)
    place.apply(clock=OwnClock())
    check_converged(place, FULL)


@pytest.mark.parametrize(("years", "wait"), [(10, []), (-10, [SETTLE])])
def test_a_clock_that_jumped_between_two_runs_delays_neither_for_long(
    place: Place, years: int, wait: list[float]
) -> None:
    unanswered(place, Answer.LOST)
    clock = OwnClock(ahead=years / 10 * TEN_YEARS)
    place.apply(clock=clock)
    assert clock.long_sleeps == wait
    check_converged(place, NOBODY)


def test_a_clock_that_jumps_constantly_changes_only_the_waits(place: Place) -> None:
    unanswered(place, Answer.LOST)
    clock = JumpyClock()
    place.apply(clock=clock)
    assert sum(clock.long_sleeps) <= SETTLE
    check_converged(place, NOBODY)


def test_the_settle_time_after_a_kill_starts_when_the_kill_is_found(
    place: Place, victims: Victims
) -> None:
    declare(place.root, FULL)
    labels = victims.points(place)
    [_, sent] = (n for n, label in enumerate(labels, start=1) if label == "request sent")
    assert victims.run(place, at=sent) is None
    declare(place.root, NOBODY)
    clock = OwnClock(ahead=300)  # the request may have been retried during all this time
    place.apply(clock=clock)
    assert clock.long_sleeps == [SETTLE]
    check_converged(place, NOBODY)
