"""Scenarios of killed runs: preparation, run, and how the next run finishes it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segctl.core.errors import StalePlan
from segctl.workflows.state import forget_segments
from tests.torture.torture_kit import (
    Place,
    Victims,
    Wanted,
    check_converged,
    check_interrupted,
    check_sent_again,
    declare,
    users,
)
from tests.torture.torture_service import Answer, Choose, good

FIRST: Wanted = {"gold": users(0, 250), "silver": users(150, 350)}
SECOND: Wanted = {"gold": users(100, 300), "silver": users(200, 380)}
NOBODY: Wanted = {"gold": (), "silver": ()}
TURNED: Wanted = {"gold": users(0, 180), "silver": users(150, 260)}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One run to kill. ``wanted`` is what the service holds after another run finishes it.

    ``order`` is what the killed run is told, ``finish`` the run after it. The state need not know
    the ``foreign`` segments before the run.
    """

    name: str
    wanted: Wanted
    prepare: Callable[[Place, Victims], object]
    order: Callable[[Place], dict[str, Any]] = lambda _: {}
    finish: Callable[[Place], object] = lambda place: place.apply()
    choose: Choose = good
    foreign: frozenset[str] = frozenset()


def begun(place: Place) -> None:
    """Declare the first segments without applying them."""
    declare(place.root, FIRST)


def applied(place: Place) -> None:
    """Apply the first segments."""
    begun(place)
    place.apply()


def changed(place: Place) -> None:
    """Apply the first segments and declare different ones."""
    applied(place)
    declare(place.root, SECOND)


def alone(prepare: Callable[[Place], object]) -> Callable[[Place, Victims], object]:
    """Prepare without a child."""
    return lambda place, _: prepare(place)


def planned(place: Place) -> None:
    """Save a plan with changes, a replacement, a destroyed and a new segment."""
    declare(place.root, {**FIRST, "bronze": users(20, 60)})
    place.apply()
    declare(
        place.root,
        {"gold": users(100, 300), "silver": users(200, 380), "iron": users(0, 20)},
        ids={"silver": "silver-2"},
    )
    place.plan(out=saved(place))


def apply_saved(place: Place) -> None:
    """Apply the saved plan again. It is stale only if its apply was complete."""
    ended = not (place.state_folder / "lock.json").exists()
    try:
        place.apply(file=saved(place))
    except StalePlan:
        assert ended
        assert place.plan().is_empty


def saved(place: Place) -> Path:
    """Return the path of the saved plan."""
    return place.folder / "saved.plan"


def refactored(place: Place) -> None:
    """Declare one segment that moves, one that is imported, and one that is removed."""
    declare(place.root, {**FIRST, "bronze": users(20, 60)})
    place.apply()
    forget_segments(place.context(), ("silver",))
    known = "".join(f"{user}\n" for user in FIRST["silver"])
    declare(place.root, {"vip": SECOND["gold"], "silver": SECOND["silver"]}, ids={"vip": "gold"})
    (place.root / "members/today.csv").write_text(f"identity\n{known}", encoding="utf-8")
    (place.root / "refactoring.yaml").write_text(REFACTORING, encoding="utf-8")


def planned_refactoring(place: Place) -> None:
    """Save a plan with blocks."""
    refactored(place)
    place.plan(out=saved(place))


REFACTORING = """\
apiVersion: segctl/v1
kind: Refactoring
spec:
  import: [{address: segment.silver, members: [{file: {path: members/today.csv}}]}]
  moved: [{from: segment.gold, to: segment.vip}]
  removed: [{address: segment.bronze, onRemove: empty}]
"""


def relabelled(place: Place) -> None:
    """Change what only the state records."""
    applied(place)
    declare(place.root, FIRST, label="growth")


def planned_label(place: Place) -> None:
    """Save a plan that changes only the state."""
    relabelled(place)
    place.plan(out=saved(place))


def come_back(place: Place) -> None:
    """Destroy the first segments, and declare them again."""
    applied(place)
    place.apply(destroy=True)


def cut_short(place: Place, victims: Victims) -> None:
    """Kill an apply with requests in flight."""
    changed(place)
    labels = victims.points(place)
    [*_, last] = (n for n, name in enumerate(labels, start=1) if name == "request sent")
    assert victims.run(place, at=last) is None


def cut_short_and_turned(place: Place, victims: Victims) -> None:
    """Kill an apply, and declare something else."""
    cut_short(place, victims)
    declare(place.root, TURNED)


def first_lost(which: str) -> Choose:
    """Lose the answer to the first request of a call."""

    def choose(call: str, number: int) -> Answer:
        return Answer.LOST if (call, number) == (which, 1) else Answer.GOOD

    return choose


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
    Scenario(
        name="blocks", wanted=SECOND, prepare=alone(refactored), foreign=frozenset({"silver"})
    ),
    Scenario(
        name="saved plan with blocks",
        wanted=SECOND,
        prepare=alone(planned_refactoring),
        order=lambda place: {"file": str(saved(place))},
        finish=apply_saved,
        foreign=frozenset({"silver"}),
    ),
    Scenario(
        name="saved plan of the state alone",
        wanted=FIRST,
        prepare=alone(planned_label),
        order=lambda place: {"file": str(saved(place))},
        finish=apply_saved,
    ),
    Scenario(name="state alone", wanted=FIRST, prepare=alone(relabelled)),
    Scenario(name="adoption", wanted=FIRST, prepare=alone(come_back)),
    Scenario(name="recovery", wanted=SECOND, prepare=cut_short),
    Scenario(name="recovery of what turned", wanted=TURNED, prepare=cut_short_and_turned),
    Scenario(name="lost create", wanted=FIRST, prepare=alone(begun), choose=first_lost("create")),
    Scenario(
        name="lost update",
        wanted=SECOND,
        prepare=alone(changed),
        choose=first_lost("update"),
    ),
)


def check_finished_by_the_next(place: Place, scenario: Scenario) -> None:
    """Check what a killed run left, let the next run finish, and check the result."""
    told = check_interrupted(place, foreign=scenario.foreign)
    earlier = place.service.remembered().effects
    place.service.choose = good
    scenario.finish(place)
    check_converged(place, scenario.wanted)
    check_sent_again(earlier, place.service.memory.effects[len(earlier) :], told)
    assert list(place.scratch.iterdir()) == []
