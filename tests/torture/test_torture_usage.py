"""What was sent in a month is recorded once, wherever a run is killed."""

import pytest

from segctl.workflows.state import read_state
from tests.torture.conftest import Covered, some_of
from tests.torture.torture_kit import Place, Victims, check_converged, copied
from tests.torture.torture_scenarios import FIRST, SECOND, begun, changed
from tests.torture.torture_service import Effect

POINTS = 4


def recorded(place: Place) -> tuple[int, int]:
    """Return the requests and the events of all months."""
    usage = read_state(place.context()).usage
    return sum(month.requests for month in usage), sum(month.events for month in usage)


def received(effects: list[Effect]) -> tuple[int, int]:
    return len(effects), sum(len(effect.changes) for effect in effects)


@pytest.mark.parametrize(("prepare", "wanted"), [(begun, FIRST), (changed, SECOND)])
def test_a_killed_run_counts_all_that_the_service_received_and_hardly_more(
    prepare: object, wanted: object, place: Place, victims: Victims, covered: Covered
) -> None:
    assert callable(prepare)
    prepare(place)
    memory = place.service.remembered()
    count = len(victims.points(place))
    for point in some_of(count, "usage", sample=POINTS):
        place.service.become(memory)
        with copied(place) as copy:
            victims.run(copy, at=point)
            copy.apply()
            check_converged(copy, wanted)  # type: ignore[arg-type]  # a Wanted
            requests, events = recorded(copy)
            sent, changes = received(place.service.remembered().effects)
            # What was in the journal and never left counts too: one request in each slot, and
            # the next one, of at most 100 users in two segments.
            assert 0 <= requests - sent <= place.max_uncertain
            assert 0 <= events - changes <= 200 * place.max_uncertain
    covered("kills (usage)", POINTS)


def test_reading_an_interrupted_apply_twice_counts_it_once(place: Place, victims: Victims) -> None:
    changed(place)
    labels = victims.points(place)
    [*_, last] = (n for n, name in enumerate(labels, start=1) if name == "request sent")
    assert victims.run(place, at=last) is None
    place.plan()
    place.plan()
    place.apply()
    once = recorded(place)
    place.plan()
    place.apply()
    assert recorded(place) == once
