"""Signals to the real program during an apply: stopping and quitting are safe."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from segctl.core.errors import Interrupted
from segctl.core.stop_signal import StopSignal
from tests.program import ENTRY
from tests.torture.test_torture_answers import OwnClock
from tests.torture.torture_kit import (
    IN_FLIGHT,
    READY,
    Place,
    check_converged,
    check_interrupted,
    check_sent_again,
    declare,
    users,
)
from tests.torture.torture_service import Answer

WANTED = {"gold": users(0, 900)}
STOPPING = "Stopping: finishing what is in flight"


@contextmanager
def program(place: Place) -> Iterator["subprocess.Popen[str]"]:
    """Run the program until a window of its requests waits for answers."""
    declare(place.root, WANTED)
    place.service.choose = lambda call, _: Answer.HELD if call == "update" else Answer.GOOD
    process = subprocess.Popen(
        [*ENTRY, "apply", "--auto-approve", "-C", str(place.root)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **place.service.environment, "TMPDIR": str(place.scratch)},
    )
    try:
        place.service.wait_held(IN_FLIGHT)
        yield process
    finally:
        process.kill()
        process.communicate()
        place.service.release()


def stopping(process: "subprocess.Popen[str]") -> bool:
    """Wait until the program says that it is stopping."""
    assert process.stderr
    return any(line.startswith(STOPPING) for line in process.stderr)


def check_finished(place: Place) -> None:
    """Finish the apply, and check that only what was uncertain is sent again."""
    told = check_interrupted(place)
    earlier = place.service.remembered().effects
    place.apply()
    check_converged(place, WANTED)
    check_sent_again(earlier, place.service.memory.effects[len(earlier) :], told)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name
)
def test_the_first_signal_finishes_requests_in_flight_and_saves(
    place: Place, number: signal.Signals
) -> None:
    with program(place) as process:
        process.send_signal(number)
        assert stopping(process)
        place.service.release()
        _, rest = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted; what was acknowledged is recorded" in rest
    assert place.service.asked["update"] == IN_FLIGHT
    assert not (place.state_folder / "journal" / "current").exists()
    assert not place.seen()["gold"].uncertain
    check_finished(place)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_the_second_signal_exits_at_once_and_the_journal_has_what_was_sent(
    place: Place, number: signal.Signals
) -> None:
    with program(place) as process:
        process.send_signal(signal.SIGINT)
        assert stopping(process)
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode == 130
    told = place.seen()["gold"]
    assert len(told.uncertain) in {IN_FLIGHT * 100, (IN_FLIGHT + READY) * 100}
    check_finished(place)


class ImpatientClock(OwnClock):
    """A clock whose first wait is interrupted by Ctrl-C."""

    def __init__(self, stop: StopSignal) -> None:
        super().__init__()
        self._stop = stop

    async def sleep(self, seconds: float) -> None:
        self._stop.set()
        await super().sleep(seconds)


def test_a_request_waiting_for_a_retry_is_not_in_flight(place: Place) -> None:
    declare(place.root, WANTED)
    place.service.choose = lambda call, _: Answer.BUSY if call == "update" else Answer.GOOD
    stop = StopSignal()
    with pytest.raises(Interrupted):
        place.apply(clock=ImpatientClock(stop), stop=stop)
    assert place.service.asked["update"] <= IN_FLIGHT + READY
    place.service.choose = lambda _, __: Answer.GOOD
    check_finished(place)
