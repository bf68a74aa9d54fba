"""A run that is killed at any point leaves a state that is true, and the next one goes on.

Points lie before, within and after every write, before and after every other step of
the disk, before and after every request and after its answer.
"""

import random
from collections.abc import Iterator

import pytest

from tests.torture.conftest import ALL_POINTS, Covered
from tests.torture.torture_kit import (
    Place,
    Victims,
    check_converged,
    check_interrupted,
    check_sent_again,
    copied,
)
from tests.torture.torture_scenarios import SCENARIOS, Scenario

SAMPLE = 24
"""How many points of a scenario are taken, unless all are."""


def sample(count: int, name: str) -> list[int]:
    """Give the points at which runs die: all, or some that are the same each time."""
    every = range(1, count + 1)
    chance = random.Random(f"torture {name}")  # noqa: S311 - a sample, not a secret
    return sorted(every if ALL_POINTS else chance.sample(every, min(SAMPLE, count)))


def killed(place: Place, victims: Victims, scenario: Scenario) -> Iterator[tuple[int, Place]]:
    """Give a fresh copy of the place for each point, killed there."""
    memory = place.service.remembered()
    with copied(place) as whole:
        report = victims.run(whole, **scenario.order(whole))
        assert report is not None
        assert report.ended == scenario.ended
    for point in sample(len(report.points), scenario.name):
        place.service.become(memory)
        with copied(place) as copy:
            place.service.choose = scenario.choose
            assert victims.run(copy, at=point, **scenario.order(copy)) is None
            yield point, copy


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_run_killed_at_any_point_is_finished_by_the_next(
    scenario: Scenario, place: Place, victims: Victims, covered: Covered
) -> None:
    scenario.prepare(place, victims)
    for point, copy in killed(place, victims, scenario):
        try:
            told = check_interrupted(copy)
            earlier = place.service.remembered().effects
            place.service.choose = scenario.choose_afterwards
            scenario.finish(copy)
            check_converged(copy, scenario.wanted)
            assert list(copy.scratch.iterdir()) == []
            check_sent_again(earlier, place.service.memory.effects[len(earlier) :], told)
        except Exception as error:
            error.add_note(f"killed at point {point} of {scenario.name}")
            raise
        covered(f"kills ({scenario.name})", 1)
