"""Runs that are killed: what stands before, what the run is to do, how the next one finishes it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segctl.errors import StalePlan
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


def planned(place: Place) -> None:
    """Save a plan of much at once: changes, a replacement, a segment gone, one that is new."""
    declare(place.root, {**FIRST, "bronze": users(20, 60)})
    place.apply()
    declare(
        place.root,
        {"gold": users(100, 300), "silver": users(200, 380), "iron": users(0, 20)},
        ids={"silver": "silver-2"},
    )
    place.plan(out=saved(place))


def apply_saved(place: Place) -> None:
    """Apply the saved plan again; it is stale only where nothing of it is left."""
    try:
        place.apply(file=saved(place))
    except StalePlan:
        assert place.plan().is_empty


def saved(place: Place) -> Path:
    """Give where the saved plan is."""
    return place.folder / "saved.plan"


SCENARIOS = (
    Scenario(name="first apply", wanted=FIRST, prepare=alone(begun)),
    Scenario(name="adds and removals", wanted=SECOND, prepare=alone(changed)),
    Scenario(
        name="destroy",
        wanted=NOBODY,
        prepare=alone(applied),
        order=lambda _: {"destroy": True},
        finish=lambda place: place.apply(destroy=True),
    ),
    Scenario(
        name="saved plan",
        wanted={"gold": users(100, 300), "silver-2": users(200, 380), "iron": users(0, 20)},
        prepare=alone(planned),
        order=lambda place: {"file": str(saved(place))},
        finish=apply_saved,
    ),
)
