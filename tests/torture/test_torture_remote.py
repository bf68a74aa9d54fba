"""A run that dies before or after any request to the store is finished by the next machine."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal

import pytest

from segctl.applying.send_window import STORE_SECONDS
from segctl.backends.remote_journals import WINDOW
from segctl.core.clock import Clock
from segctl.core.codec import load_json
from segctl.core.resources import ResourceLimits
from segctl.manifests.object_urls import ObjectUrl
from segctl.session.context import Context
from segctl.workflows.plan import plan_workspace
from tests.backends.memory_store import MemoryStore
from tests.core.faulty_disk import PowerCut
from tests.torture.conftest import Covered, some_of
from tests.torture.torture_kit import (
    IN_FLIGHT,
    PROJECT,
    READY,
    Place,
    check_converged,
    check_sent_again,
)
from tests.torture.torture_scenarios import (
    FIRST,
    NOBODY,
    SECOND,
    Scenario,
    applied,
    begun,
    changed,
    come_back,
    first_lost,
    relabelled,
)
from tests.torture.torture_service import TortureService, good
from tests.torture.torture_victim import JumpingClock

SAMPLE = 2
Side = Literal["before", "after"]
SETTINGS = "state: {backend: objectStore, url: 's3://bucket/state', leaseSeconds: 3600}"
"""The clock jumps, and the lock is renewed in real time, so the lease is a long one."""


class DyingStore(MemoryStore):
    """The objects of another store, as a process sees them that dies at one request."""

    def __init__(self, shared: MemoryStore, *, at: int = 0, side: Side = "before") -> None:
        super().__init__()
        self.objects, self.versions = shared.objects, shared.versions
        self._mutex, self._numbers = shared._mutex, shared._numbers
        self._at, self._side = at, side
        self._is_dead = False
        self.before = self._pass_before
        self.after = self._pass_after

    def _pass_before(self, *_: str) -> None:
        if self._is_dead or (self._side == "before" and len(self.requests) + 1 == self._at):
            self._die()

    def _pass_after(self, *_: str) -> None:
        if self._is_dead or (self._side == "after" and len(self.requests) == self._at):
            self._die()

    def _die(self) -> None:
        self._is_dead = True
        raise PowerCut


class PacedClock(JumpingClock):
    """A jumping clock for tasks that sleep again and again while others wait for the machine.

    A slow machine would otherwise let it run beyond the lease, which is renewed in real time.
    """

    async def sleep(self, seconds: float) -> None:
        self.wait(seconds)
        await asyncio.sleep(0.01 if seconds <= STORE_SECONDS else 0)


@dataclass(kw_only=True)
class RemotePlace(Place):
    """A workspace whose state is in a store. Each run has a machine of its own."""

    max_uncertain: int = WINDOW + WINDOW // 2 + IN_FLIGHT + READY
    clock: Clock = field(default_factory=PacedClock)
    store: MemoryStore = field(default_factory=MemoryStore)
    dying: DyingStore | None = None
    _machines: Any = field(default_factory=lambda: count(1))

    def context(self, **changes: Any) -> Context:
        (self.root / "segctl.yaml").write_text(
            PROJECT.replace("spec: {", f"spec: {{{SETTINGS}, "), encoding="utf-8"
        )
        machine = self.folder / f"machine-{next(self._machines)}"
        machine.mkdir()
        context = super().context(**changes)
        clock = context.clock
        assert isinstance(clock, JumpingClock)
        return replace(
            context,
            environment={**context.environment, "SEGCTL_CACHE_DIR": str(machine / "cache")},
            limits=ResourceLimits(folder=machine),
            open_store=self._open,
            sleep=lambda seconds: clock.wait(60 * seconds),  # fewer looks at a dead run's lock
        )

    def _open(self, url: ObjectUrl) -> MemoryStore:
        assert str(url) == "s3://bucket/state"
        return self.dying or self.store

    def apply_and_die(self, scenario: Scenario, *, at: int, side: Side) -> DyingStore:
        """Apply on a machine that dies at this request to the store."""
        self.dying = DyingStore(self.store, at=at, side=side)
        try:
            self.apply(**scenario.order(self))
        except PowerCut:
            pass
        finally:
            store, self.dying = self.dying, None
        return store

    def remember(self) -> Callable[[], None]:
        """Return a function that brings back service, store and what git keeps of the state."""
        memory = self.service.remembered()
        objects, versions = dict(self.store.objects), dict(self.store.versions)
        lock_file = self.root / "segctl.lock.yaml"
        committed = lock_file.read_bytes() if lock_file.exists() else None

        def go_back() -> None:
            self.service.become(memory)
            self.store.become(objects, versions)
            lock_file.unlink(missing_ok=True)
            if committed is not None:
                lock_file.write_bytes(committed)

        return go_back

    def unneeded_objects(self) -> set[str]:
        """Return the objects that nothing names, other than those that a later run removes.

        A member file, a journal and the object of a check are removed later, a head is not.
        """
        root = load_json(self.store.objects["root.json"])
        assert isinstance(root, dict)
        removed_later = ("members/", "history/", "journals/", "probe/")
        named = {"root.json", f"heads/{root['head']}.json"}
        return {key for key in self.store.objects if not key.startswith(removed_later)} - named


@pytest.fixture
def remote(tmp_path: Path, service: TortureService) -> RemotePlace:
    return RemotePlace(folder=tmp_path / "place", service=service)


def alone(prepare: Callable[[Place], object]) -> Callable[..., object]:
    return lambda place, _=None: prepare(place)


def cut_short(place: Place, _: object = None) -> None:
    """Die in the middle of an apply."""
    assert isinstance(place, RemotePlace)
    changed(place)
    place.apply_and_die(Scenario(name="", wanted={}, prepare=alone(begun)), at=22, side="after")


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
    Scenario(name="state alone", wanted=FIRST, prepare=alone(relabelled)),
    Scenario(name="adoption", wanted=FIRST, prepare=alone(come_back)),
    Scenario(name="recovery", wanted=SECOND, prepare=cut_short),
    Scenario(name="lost create", wanted=FIRST, prepare=alone(begun), choose=first_lost("create")),
    Scenario(
        name="lost update", wanted=SECOND, prepare=alone(changed), choose=first_lost("update")
    ),
)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_run_that_dies_at_any_request_to_the_store_is_finished_by_the_next(
    scenario: Scenario, side: Side, remote: RemotePlace, covered: Covered
) -> None:
    scenario.prepare(remote, None)  # type: ignore[arg-type]  # no child is needed
    go_back = remote.remember()
    remote.service.choose = scenario.choose
    total = len(remote.apply_and_die(scenario, at=0, side=side).requests)
    points = some_of(total, f"{scenario.name} {side}", sample=SAMPLE)
    for point in points:
        go_back()
        remote.service.choose = scenario.choose
        remote.apply_and_die(scenario, at=point, side=side)
        told = remote.seen()
        earlier = remote.service.remembered().effects
        remote.service.choose = good
        scenario.finish(remote)
        check_converged(remote, scenario.wanted)
        check_sent_again(earlier, remote.service.memory.effects[len(earlier) :], told)
        unneeded = remote.unneeded_objects()
        assert all(key.startswith("heads/") for key in unneeded)
        assert len(unneeded) <= 1  # the head that the dead run did not get to name, or to remove
    covered("requests to the store", len(points))


def test_a_plan_to_save_waits_for_an_apply_that_lives(remote: RemotePlace) -> None:
    changed(remote)
    running = remote.context().open_state().backend
    looks: list[float] = []

    def end_soon(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            lock.close()

    with ExitStack() as lock:
        lock.enter_context(running.lock(command="segctl apply", timeout=0))
        context = replace(remote.context(), sleep=end_soon)
        out = remote.folder / "saved.plan"
        plan_workspace(context, variables={}, out=out, lock_timeout=600)
    assert len(looks) >= 3
    assert out.exists()
