"""Two runs on one state: the second waits, gives up, or breaks the lock of the first."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from segctl.core.errors import StateLocked
from tests.torture.torture_kit import (
    IN_FLIGHT,
    Place,
    Victims,
    check_converged,
    declare,
    users,
)
from tests.torture.torture_scenarios import FIRST, applied
from tests.torture.torture_service import Answer, Choose
from tests.torture.torture_victim import Report

WANTED = {**FIRST, "gold": users(100, 900)}
"""Many requests away from the first segments, adds and removals."""

Running = Future[Report | None]


def loaded(first: int) -> Choose:
    """Hold a window of requests, starting at the ``first``."""
    return lambda call, number: (
        Answer.HELD if call == "update" and first <= number < first + IN_FLIGHT else Answer.GOOD
    )


@contextmanager
def running(place: Place, victims: Victims, *, requests: int = 1) -> Iterator[Running]:
    """Run an apply in another process that waits for answers from a request on."""
    applied(place)
    declare(place.root, WANTED)
    place.service.asked["update"] = 0
    place.service.choose = loaded(requests)
    with ThreadPoolExecutor() as pool:
        future = pool.submit(victims.run, place)
        try:
            place.service.wait_held(IN_FLIGHT)
            yield future
        finally:
            place.service.release()


def ended(future: Running) -> str:
    """Wait for the other run and return its result."""
    report = future.result()
    assert report is not None
    return report.ended


def lock_holder(place: Place) -> str:
    """Return the id of the lock."""
    info = place.context().backend().lock_holder()
    assert info is not None
    return info.id


def test_a_second_run_reports_who_holds_the_lock(place: Place, victims: Victims) -> None:
    with running(place, victims) as first:
        with pytest.raises(StateLocked) as locked_state:
            place.apply()
        assert lock_holder(place) in locked_state.value.message
        place.service.release()
        assert ended(first) == "done"
    check_converged(place, WANTED)


def test_a_second_run_that_waits_finds_nothing_left_to_do(place: Place, victims: Victims) -> None:
    with running(place, victims) as first, ThreadPoolExecutor() as pool:
        second = pool.submit(place.apply, lock_timeout=30.0)
        place.service.release()
        assert ended(first) == "done"
        assert second.result().plan.is_empty
    check_converged(place, WANTED)


def broken(
    place: Place, victims: Victims, *, requests: int, meanwhile: Callable[[], object]
) -> str:
    """Break the lock of a run that waits for answers, and return that run's result."""
    with running(place, victims, requests=requests) as first:
        place.context().backend().force_unlock(lock_holder(place))
        meanwhile()
        place.service.release()
        return ended(first)


@pytest.mark.parametrize("requests", [1, 2])
def test_a_run_whose_lock_is_broken_sends_nothing_more(
    place: Place, victims: Victims, requests: int
) -> None:
    assert "of this run was broken while" in broken(
        place, victims, requests=requests, meanwhile=lambda: None
    )
    assert place.service.asked["update"] == requests - 1 + IN_FLIGHT
    place.apply()
    check_converged(place, WANTED)


@pytest.mark.parametrize("requests", [1, 2])
def test_a_run_that_broke_a_lock_finishes_the_other_run(
    place: Place, victims: Victims, requests: int
) -> None:
    end = broken(place, victims, requests=requests, meanwhile=place.apply)
    assert "of this run was broken while" in end
    check_converged(place, WANTED)
