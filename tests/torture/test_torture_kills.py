"""A run killed at any point leaves a correct state, and the next run continues.

Points lie before, within and after every write, before and after every other step of
the disk, before and after every request leaves, and after its answer.  A power cut,
at any step of the disk or request, forgets what no sync brought to the disk as well.
"""

import pytest

from tests.core.faulty_disk import Loss
from tests.torture.conftest import Covered, some_of
from tests.torture.torture_kit import Place, Victims, check_converged, copied
from tests.torture.torture_scenarios import SCENARIOS, Scenario, check_finished_by_the_next

KILLS, CUTS = 3, 1
"""How many points of a scenario are taken, unless all are."""

SHARED = 20
"""How many steps fewer than counted a run may come to."""

CUT_OFF = {"first apply", "adds and removals", "saved plan", "recovery", "lost create"}


def die_everywhere(
    scenario: Scenario, place: Place, victims: Victims, *, sample: int, loss: Loss | None
) -> int:
    """Kill runs, each on a fresh copy, and let the next one finish. Return how many died."""
    scenario.prepare(place, victims)
    memory = place.service.remembered()
    place.service.choose = scenario.choose
    count = len(victims.points(place, loss=loss, **scenario.order(place)))
    points = some_of(count, f"{scenario.name} {loss}", sample=sample)
    for point in points:
        place.service.become(memory)
        place.service.choose = scenario.choose
        with copied(place) as copy:
            try:
                report = victims.run(copy, at=point, loss=loss, **scenario.order(copy))
                if report is None:
                    check_finished_by_the_next(copy, scenario)
                else:  # one sync can serve two requests, and one read a whole answer
                    assert point > count - SHARED
                    check_converged(copy, scenario.wanted)
            except Exception as error:
                error.add_note(f"died at point {point} of {count} of {scenario.name}")
                raise
    return len(points)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_run_killed_at_any_point_is_finished_by_the_next(
    scenario: Scenario, place: Place, victims: Victims, covered: Covered
) -> None:
    count = die_everywhere(scenario, place, victims, sample=KILLS, loss=None)
    covered(f"kills ({scenario.name})", count)


@pytest.mark.parametrize("loss", ["content", "names", "both"])
@pytest.mark.parametrize(
    "scenario", [s for s in SCENARIOS if s.name in CUT_OFF], ids=lambda scenario: scenario.name
)
def test_a_run_cut_off_at_any_step_is_finished_by_the_next(
    scenario: Scenario, loss: Loss, place: Place, victims: Victims, covered: Covered
) -> None:
    count = die_everywhere(scenario, place, victims, sample=CUTS, loss=loss)
    covered(f"power cuts ({scenario.name})", count)
