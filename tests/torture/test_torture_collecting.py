"""Garbage collection removes what the state no longer needs, and nothing else."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from segctl.backends.local import LocalBackend
from segctl.core.dataclass import dataclass
from segctl.core.errors import OperationError, StateDamaged
from segctl.session.context import Context
from segctl.session.open_state import OpenState
from segctl.state import codec as states
from segctl.state.model import FileRef
from segctl.workflows.plan import PlanResult, plan_workspace
from segctl.workflows.state import collect_garbage
from segctl.workflows.state_push import push_state
from tests.core.faulty_disk import Loss
from tests.torture.conftest import Covered, some_of
from tests.torture.torture_kit import (
    Place,
    Victims,
    check_converged,
    check_interrupted,
    check_kept_heads,
    copied,
    declare,
    grow_old,
)
from tests.torture.torture_scenarios import FIRST, SECOND, applied, cut_short

KILLS = 3


def full_of_the_past(place: Place) -> None:
    """Create a full history whose oldest head has member files of its own."""
    applied(place)
    declare(place.root, SECOND)
    place.apply()
    declare(place.root, FIRST)
    place.apply()
    grow_old(place)
    declare(place.root, SECOND)


def unused(place: Place) -> int:
    """Count the unreferenced member files."""
    return len(collect_garbage(place.context(), dry_run=True).files)


@pytest.mark.parametrize("loss", [None, "both"])
def test_a_run_killed_during_garbage_collection_loses_nothing(
    place: Place, victims: Victims, covered: Covered, loss: Loss | None
) -> None:
    full_of_the_past(place)
    memory = place.service.remembered()
    count = len(victims.points(place, loss=loss))
    first = count - 30  # the last steps of an apply collect garbage
    points = [first + point for point in some_of(30, f"clearing {loss}", sample=KILLS)]
    for point in points:
        place.service.become(memory)
        with copied(place) as copy:
            assert victims.run(copy, at=point, loss=loss) is None
            check_interrupted(copy)
            copy.apply()
            check_converged(copy, SECOND)
            grow_old(copy, times=1)
            check_kept_heads(copy)
            assert unused(copy) == 0
    covered("kills (clearing out)", len(points))


@dataclass(frozen=True, kw_only=True)
class Overtaken(Context):
    """A context in which another run writes when this run first looks for a file."""

    meanwhile: Callable[[], object]

    def open_state(self) -> OpenState:
        meanwhile = [self.meanwhile]

        class Looked(LocalBackend):
            def check_present(self, ref: FileRef) -> None:
                if meanwhile:
                    meanwhile.pop()()
                super().check_present(ref)

        backend = Looked(self.root, clock=self.clock, disk=self.disk)
        return replace(super().open_state(), backend=backend)


def overtaken(place: Place, meanwhile: Callable[[], object]) -> PlanResult:
    context = vars(place.context())
    return plan_workspace(Overtaken(**context, meanwhile=meanwhile), variables={})


def test_a_plan_whose_files_are_collected_is_built_from_the_new_state(
    place: Place,
) -> None:
    applied(place)
    declare(place.root, SECOND)

    def meanwhile() -> None:
        place.apply()
        grow_old(place, times=25)

    planned = overtaken(place, meanwhile)
    assert planned.plan.is_empty
    assert planned.plan.serial == 28


def test_a_missing_file_in_an_unchanged_state_is_damage(place: Place) -> None:
    applied(place)

    def meanwhile() -> None:
        for file in (place.state_folder / "members").iterdir():
            file.unlink()

    with pytest.raises(StateDamaged, match="is missing"):
        overtaken(place, meanwhile)


def test_nothing_is_removed_while_an_earlier_head_cannot_be_read(place: Place) -> None:
    full_of_the_past(place)
    backend = place.context().backend()
    name = backend.list_history()[-2]
    (place.state_folder / "history" / name).write_bytes(b"{}")
    before = backend.file_sizes()
    place.apply()
    assert backend.file_sizes().keys() >= before.keys()
    with pytest.raises(StateDamaged) as caught:
        collect_garbage(place.context(), dry_run=False)
    assert caught.value.message == (
        f"the earlier state {name} cannot be read: its content does not match its name"
    )


def test_nothing_is_removed_while_an_apply_is_unfinished(place: Place, victims: Victims) -> None:
    applied(place)
    declare(place.root, SECOND)
    (place.state_folder / "members" / f"{'0' * 64}.parquet").write_bytes(b"of no use")
    labels = victims.points(place)
    assert victims.run(place, at=labels.index("request sent")) is None
    assert unused(place) == 0
    place.apply()
    assert unused(place) == 0
    assert not (place.state_folder / "members" / f"{'0' * 64}.parquet").exists()


def lost_in_the_middle(place: Place, victims: Victims) -> bytes:
    """Kill an apply with requests in flight, and delete the head it started from."""
    cut_short(place, victims)
    head = place.root / "segctl.state.json"
    data = head.read_bytes()
    head.unlink()
    return data


def test_the_head_an_interrupted_apply_started_from_can_be_restored(
    place: Place, victims: Victims
) -> None:
    data = lost_in_the_middle(place, victims)
    push_state(place.context(), data)
    check_interrupted(place)
    place.apply()
    check_converged(place, SECOND)


def test_no_other_head_replaces_that_of_an_interrupted_apply(
    place: Place, victims: Victims
) -> None:
    data = lost_in_the_middle(place, victims)
    other = states.encode(states.decode(data).next())
    with pytest.raises(OperationError) as caught:
        push_state(place.context(), other, force=True)
    assert caught.value.message == (
        "an interrupted apply started from serial 1 of the state, which is not the pushed one"
    )
    assert caught.value.hint == ("Push the head of serial 1; the next run then recovers the apply.")
