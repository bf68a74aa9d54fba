"""A migrated state is the same at its new place, and there is never a second one to go on with."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from segctl.core.errors import OperationError, WrongState, WrongUsage
from segctl.session.context import Context
from segctl.workflows.fsck import check_state
from segctl.workflows.state import list_versions, read_state
from segctl.workflows.state_migrate import MigrateResult, migrate_state
from tests.core.faulty_disk import FaultyDisk, PowerCut
from tests.torture.conftest import Covered, some_of
from tests.torture.test_torture_remote import DyingStore, RemotePlace, Side
from tests.torture.torture_kit import PROJECT, check_converged
from tests.torture.torture_scenarios import SECOND, changed
from tests.torture.torture_service import TortureService

URL = "s3://bucket/state"
SAMPLE = 2


@dataclass(kw_only=True)
class MovingPlace(RemotePlace):
    """A workspace whose state is where ``settings`` says, on a machine that stays."""

    settings: str = ""

    def context(self, **changes: Any) -> Context:
        context = super().context(**changes)
        spec = f"spec: {{state: {self.settings}, " if self.settings else "spec: {"
        (self.root / "segctl.yaml").write_text(PROJECT.replace("spec: {", spec), encoding="utf-8")
        return context

    def migrate(self, destination: str, **changes: Any) -> MigrateResult:
        """Move the state and, as the user is told, write where it is to ``segctl.yaml``."""
        moved = migrate_state(self.context(**changes), destination)
        self.settings = moved.settings.replace("}", ", leaseSeconds: 3600}")
        return moved

    def paths(self) -> list[str]:
        """Return nothing: the old place keeps its files."""
        return []

    def content(self) -> tuple[object, ...]:
        """Return what a state has: its value, its versions, its archived applies."""
        context = self.context()
        applies = [apply.header["id"] for apply in context.backend().journals.archived()]
        versions = [(v.name, v.serial, v.problem) for v in list_versions(context)]
        return read_state(context), versions, applies


@pytest.fixture
def place(tmp_path: Any, service: TortureService) -> MovingPlace:
    """A workspace with a local state that has a history."""
    place = MovingPlace(folder=tmp_path / "place", service=service)
    changed(place)
    place.apply()
    return place


def test_a_migrated_state_has_the_same_head_files_history_and_applies(place: MovingPlace) -> None:
    before = place.content()
    moved = place.migrate(URL)
    assert (moved.segments, moved.heads, moved.applies) == (2, 1, 2)
    assert place.content() == before
    assert check_state(place.context()).problems == ()
    place.migrate("local")
    assert place.content() == before
    check_converged(place, SECOND)
    place.migrate(URL)
    assert place.content() == before


def test_the_old_place_refuses_to_be_used(place: MovingPlace) -> None:
    place.migrate(URL)
    place.settings = ""
    for use in (place.plan, place.apply, lambda: place.migrate("local:else/where")):
        with pytest.raises(WrongState, match=f"was moved to {URL}"):
            use()


def test_a_destination_with_another_state_is_refused(
    place: MovingPlace, tmp_path: Any, service: TortureService
) -> None:
    service.forget()
    other = MovingPlace(folder=tmp_path / "other", service=service, store=place.store)
    changed(other)
    other.apply()
    other.migrate(URL)
    with pytest.raises(OperationError, match="there is another state in s3://bucket/state"):
        place.migrate(URL)
    assert place.plan().is_empty


@pytest.mark.parametrize(
    "destination", ["local", "local:.", "s3://", "http://x/y", "s3://bucket/a/../b", "elsewhere"]
)
def test_a_destination_that_cannot_be_one_is_wrong_usage(
    place: MovingPlace, destination: str
) -> None:
    with pytest.raises(WrongUsage):
        place.migrate(destination)


def test_without_a_state_there_is_nothing_to_move(tmp_path: Any, service: TortureService) -> None:
    place = MovingPlace(folder=tmp_path / "empty", service=service)
    with pytest.raises(OperationError, match="there is no state to move yet"):
        place.migrate(URL)


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_migration_to_a_bucket_that_died_can_be_run_again(
    side: Side, place: MovingPlace, covered: Covered
) -> None:
    before, go_back = place.content(), place.remember()
    moved_file = place.state_folder / "moved.json"
    total = len(migrate_and_die(place, at=0, side=side).requests)
    points = some_of(total, f"migration {side}", sample=SAMPLE)
    for point in points:
        go_back()
        moved_file.unlink(missing_ok=True)
        place.settings = ""
        migrate_and_die(place, at=point, side=side)
        place.settings = ""
        if not moved_file.exists():
            assert place.content() == before
        # It is finished, or done again; if it was done, the old place says so.
        with suppress(WrongState):
            place.migrate(URL)
        place.settings = f"{{backend: objectStore, url: '{URL}', leaseSeconds: 3600}}"
        assert place.content() == before
        check_converged(place, SECOND)
    covered("requests of a migration", len(points))


def migrate_and_die(place: MovingPlace, *, at: int, side: Side) -> DyingStore:
    place.dying = DyingStore(place.store, at=at, side=side)
    try:
        place.migrate(URL)
    except PowerCut:
        pass
    finally:
        store, place.dying = place.dying, None
    return store


def test_a_migration_to_a_disk_that_died_can_be_run_again(
    place: MovingPlace, covered: Covered
) -> None:
    place.migrate(URL)
    settings, before, go_back = place.settings, place.content(), place.remember()
    counting = FaultyDisk(place.spare)
    place.migrate("local:disk", disk=counting)
    points = some_of(counting.steps, "migration to a disk", sample=SAMPLE)
    for number, point in enumerate(points):
        go_back()
        place.settings, destination = settings, f"local:disk-{number}"
        spare = place.spare / f"{number}"  # for files that a step replaced
        spare.mkdir()
        try:
            place.migrate(destination, disk=FaultyDisk(spare, at=point))
        except PowerCut:
            place.settings = settings
            with suppress(WrongState):
                place.migrate(destination)
            place.settings = f"{{path: disk-{number}}}"
        assert place.content() == before
        check_converged(place, SECOND)
    covered("steps of a migration", len(points))
