"""An apply that may take only some time ends in it, and the next one goes on."""

from pathlib import Path

import pytest

from segctl.core.errors import AppliedInPart
from segctl.core.events import Event, RequestDone
from tests.clocks import SwiftClock
from tests.e2e.workshop import Workshop, identities, many, segment

REQUESTS = 12


class Slow(list[Event]):
    """Events of a service whose every answer takes ten seconds."""

    def __init__(self, clock: SwiftClock) -> None:
        super().__init__()
        self.clock = clock

    def append(self, event: Event) -> None:
        super().append(event)
        if isinstance(event, RequestDone):
            self.clock.time += 10.0


def applied_in_time(shop: Workshop, file: Path | None) -> bool:
    """Apply for two minutes at most, and return whether everything was sent."""
    begun = shop.clock.monotonic()
    try:
        shop.apply(file=file, max_seconds=120.0, events=Slow(shop.clock))
    except AppliedInPart as error:
        told = (error.message.partition(";")[0], error.hint)
    else:
        return True
    assert told == (
        "the time that --max-duration gives is over",
        "The next run goes on from there.",
    )
    # Half of the time is kept for the three requests in flight and for recording.
    assert shop.clock.monotonic() - begun <= 60.0 + 3 * 10.0
    return False


@pytest.mark.parametrize("saved", [False, True])
def test_runs_after_each_other_equal_one(shop: Workshop, saved: bool) -> None:
    shop.declare(segment("gold", *many(REQUESTS * 100)))
    file: Path | None = shop.scratch / "a.segplan" if saved else None
    if file:
        shop.plan(out=file)
    runs = 1
    while not applied_in_time(shop, file):
        runs += 1
        assert runs < REQUESTS
    assert runs > 1
    assert shop.service.everyone() == {"gold": identities(*many(REQUESTS * 100))}
    shop.settled()
    assert shop.in_doubt == 0


def test_a_run_without_any_time_sends_nothing(shop: Workshop) -> None:
    shop.declare(segment("gold", "a"))
    with pytest.raises(AppliedInPart, match="--max-duration"):
        shop.apply(max_seconds=0.0)
    assert shop.service.everyone() == {}
    shop.apply()
    shop.settled()


def test_enough_time_changes_nothing(shop: Workshop) -> None:
    shop.declare(segment("gold", "a"))
    shop.apply(max_seconds=3600.0)
    shop.settled()


def test_the_command_exits_with_3(shop: Workshop) -> None:
    shop.declare(segment("gold", *many(200)))
    ran = shop.run("apply", "--auto-approve", "--max-duration", "0.000001")
    assert ran.code == 3
    assert "the time that --max-duration gives is over" in ran.err
    assert "The next run goes on from there." in ran.err
    assert shop.run("apply", "--auto-approve", "--max-duration", "5h").code == 0
    assert shop.run("apply", "--auto-approve", "--max-duration", "soon").code == 64
