"""Runs that are killed: what stands before, what the run is to do, how the next one finishes it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.torture.torture_kit import Place, Victims, Wanted, declare, users
from tests.torture.torture_service import Choose, good

FIRST: Wanted = {"gold": users(0, 250), "silver": users(150, 350)}
SECOND: Wanted = {"gold": users(100, 300), "silver": users(200, 380)}
NOBODY: Wanted = {"gold": (), "silver": ()}
TURNED: Wanted = {"gold": users(0, 180), "silver": users(150, 260)}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One run to be killed; ``wanted`` is what the service holds once another has finished it.

    ``order`` is what the killed run is told, ``finish`` the run after it.
    """

    name: str
    wanted: Wanted
    prepare: Callable[[Place, Victims], object]
    order: Callable[[Place], dict[str, Any]] = lambda _: {}
    finish: Callable[[Place], object] = lambda place: place.apply()
    choose: Choose = good
    choose_afterwards: Choose = good
    ended: str = "done"


def begun(place: Place) -> None:
    """Declare the first segments; nothing was applied yet."""
    declare(place.root, FIRST)


def applied(place: Place) -> None:
    """Apply the first segments."""
    begun(place)
    place.apply()


def changed(place: Place) -> None:
    """Apply the first segments, and declare others."""
    applied(place)
    declare(place.root, SECOND)


def alone(prepare: Callable[[Place], object]) -> Callable[[Place, Victims], object]:
    """Prepare without a child."""
    return lambda place, _: prepare(place)


SCENARIOS = (
    Scenario(name="first apply", wanted=FIRST, prepare=alone(begun)),
    Scenario(name="adds and removals", wanted=SECOND, prepare=alone(changed)),
)
