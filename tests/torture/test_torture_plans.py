"""Plans made or saved around an interrupted or running apply."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from segctl.core.errors import StateLocked
from tests.torture.torture_kit import IN_FLIGHT, Place, Victims, check_converged
from tests.torture.torture_scenarios import FIRST, begun, saved
from tests.torture.torture_service import Answer


def killed(place: Place, victims: Victims, label: str, which: int, **order: Any) -> None:
    """Kill an apply at a point with this name."""
    labels = victims.points(place, **order)
    points = [number for number, name in enumerate(labels, start=1) if name == label]
    assert victims.run(place, at=points[which], **order) is None


def test_a_plan_saved_after_a_kill_fits_what_the_next_apply_recovers(
    place: Place, victims: Victims
) -> None:
    begun(place)
    killed(place, victims, "request sent", 2)
    plan = place.plan(out=saved(place))
    assert plan == place.plan()
    place.apply(file=saved(place))
    check_converged(place, FIRST)


@pytest.mark.parametrize(
    ("label", "which"),
    [("answer received", -1), ("before restrict", -1), ("after rename", -2)],
    ids=["all but sent", "all sent", "all recorded"],
)
def test_a_saved_plan_whose_apply_died_before_its_end_is_not_stale(
    place: Place, victims: Victims, label: str, which: int
) -> None:
    begun(place)
    place.plan(out=saved(place))
    killed(place, victims, label, which, file=str(saved(place)))
    place.apply(file=saved(place))
    check_converged(place, FIRST)


def test_no_plan_is_saved_while_an_apply_sends(place: Place, victims: Victims) -> None:
    begun(place)
    place.service.choose = lambda call, _: Answer.HELD if call == "update" else Answer.GOOD
    with ThreadPoolExecutor() as pool:
        running = pool.submit(victims.run, place)
        place.service.wait_held(IN_FLIGHT)
        assert place.plan().changes
        with pytest.raises(StateLocked, match="would not match the state it leaves"):
            place.plan(out=saved(place))
        place.service.release()
        report = running.result()
    assert report is not None
    assert report.ended == "done"
    place.plan(out=saved(place))
