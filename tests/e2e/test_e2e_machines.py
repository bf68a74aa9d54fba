"""Real runs on machines that live for one run each, with a real store between them."""

import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.killer import Killer
from tests.e2e.machines import LEASE_SECONDS, Team
from tests.e2e.outside_service import IN_FLIGHT, OutsideService
from tests.e2e.workshop import PATIENCE, identities, many
from tests.sources.buckets_kit import Store, running

IS_TORTURE = os.environ.get("HYPOTHESIS_PROFILE") == "torture"
KILLS = 200 if IS_TORTURE else 1
RUNS = 10 if IS_TORTURE else 4
STOPPED_SECONDS = 3 * LEASE_SECONDS if IS_TORTURE else 0
"""How long a run is stopped before the next one starts, which waits for a lease itself."""


@pytest.fixture(scope="module")
def bucket() -> Iterator[Store]:
    with running() as store:
        yield store


@pytest.fixture
def team(tmp_path: Path, service: OutsideService, bucket: Store) -> Team:
    return Team(tmp_path, service, bucket, prefix=f"team/{tmp_path.name}")


def wanted_of(chance: random.Random) -> dict[str, list[str]]:
    """Return a few segments with random members."""
    names = chance.sample(["a", "b", "c", "d", "e"], 3)
    return {name: chance.sample(many(300), chance.randrange(20, 300)) for name in names}


def test_a_team_on_ephemeral_machines_loses_nothing_when_runners_die(team: Team) -> None:
    chance = random.Random(1)  # noqa: S311 - a scenario, not a secret
    calm = team.service.at
    for _ in range(KILLS):
        wanted = wanted_of(chance)
        team.declare(wanted)
        with Killer(
            team.service, lambda: team.start("apply", "--auto-approve"), chance, most=12
        ).process as process:
            process.communicate(timeout=2 * PATIENCE)
        team.service.at = calm
        team.service.await_quiet()
        sent = len(team.service.needless())
        done = team.run("apply", "--auto-approve")
        assert done.code == 0, done.err
        assert {k: v for k, v in team.service.everyone().items() if v} == {
            name: identities(*members) for name, members in wanted.items()
        }
        # What was acknowledged is not sent again, other than what was not stored yet.
        assert len(team.service.needless()) - sent <= 28 * 100
        assert "No changes" in team.run("plan").out
    assert all(most <= IN_FLIGHT for most in team.service.most_in_flight.values())
    assert team.service.complaints == []


def test_of_several_runs_at_a_time_one_has_the_lock(team: Team) -> None:
    team.declare({"gold": many(2000)})
    runs = [team.start("apply", "--auto-approve", "--lock-timeout", "100s") for _ in range(RUNS)]
    for run in runs:
        out, err = run.communicate(timeout=3 * PATIENCE)
        assert run.returncode == 0, err
        assert "Apply complete" in out or "No changes" in out
    assert team.service.everyone() == {"gold": identities(*many(2000))}
    assert team.service.needless() == []
    assert all(most <= IN_FLIGHT for most in team.service.most_in_flight.values())


def test_a_run_that_was_stopped_for_longer_than_its_lease_sends_and_writes_nothing(
    team: Team,
) -> None:
    calm, stopped = team.service.at, threading.Event()
    team.declare({"gold": many(5000)})
    begun = threading.Event()

    def stop(moment: str, call: str, number: int) -> None:
        assert begun.wait(PATIENCE)
        if (moment, call) == ("answered", "update") and number >= 5 and not stopped.is_set():
            stopped.set()
            run.send_signal(signal.SIGSTOP)

    team.service.at = stop
    run = team.start("apply", "--auto-approve")
    try:
        begun.set()
        assert stopped.wait(PATIENCE)
        team.service.at = calm
        threading.Event().wait(STOPPED_SECONDS)
        done = team.run("apply", "--auto-approve")
        assert done.code == 0, done.err
        before = len(team.service.changes), team.bucket.listing()
        run.send_signal(signal.SIGCONT)
        _, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == 1
        assert "took over the lock" in err or "was not renewed" in err
        assert (len(team.service.changes), team.bucket.listing()) == before
    finally:
        run.kill()
        run.communicate(timeout=PATIENCE)
