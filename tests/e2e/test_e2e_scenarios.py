"""Random histories of a workspace, with faults, crashes and interruptions."""

import gc
import random
import tempfile
import warnings
from pathlib import Path

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from segctl.core.errors import SegctlError
from segctl.core.events import CreateDone, Event, RequestDone
from segctl.core.stop_signal import StopSignal
from tests.e2e.declared import Workspace
from tests.e2e.outside_answers import (
    CREATED,
    CUT_AFTER,
    DUPLICATE,
    FAULTS,
    UNCLEAR,
    Chances,
    always,
    no_faults,
)
from tests.e2e.outside_service import User, running
from tests.e2e.workshop import Workshop
from tests.profiles import examples

LIVES = examples(2, torture=100)
STEPS = 12
GUARDS = "{guards: {maxRemovePercent: 100, allowEmpty: true, maxDestroys: 1000}}"


class Crash(BaseException):
    """Ends a run immediately, like a power cut."""


class Bomb(list[Event]):
    """Crashes when a request ends, after ``left`` more requests."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self._left = left

    def append(self, event: Event) -> None:
        """Count a finished request."""
        self._left -= isinstance(event, RequestDone | CreateDone)
        if self._left < 0:
            raise Crash


class Life:
    """One workspace and its service over time, checked after every step."""

    def __init__(self, shop: Workshop, seed: int) -> None:
        self.shop = shop
        self.service = shop.service
        self.random = random.Random(seed)  # noqa: S311 - a scenario, not a secret
        self.declared = Workspace(random.Random(seed + 1))  # noqa: S311 - as above
        self.service.created_answer = self.random.choice(list(CREATED))
        self.service.duplicate_answer = self.random.choice(list(DUPLICATE))
        self.hands_off: dict[str, tuple[str, set[User]]] = {}
        self.calm = True
        shop.project(f"{{variables: {{keep: {{default: 'yes'}}}}, {GUARDS[1:]}")

    def step(self) -> None:
        """Edit, apply in some way until it succeeds, and check everything."""
        self._edit()
        way = self.random.choice((self._calmly, self._calmly, self._troubled, self._crashing))
        way = self.random.choice((way, way, self._stopped, self._saved, self._targeted))
        try:
            way()
        except (SegctlError, Crash, BaseExceptionGroup):
            self.calm = False
        self.service.faults = no_faults
        if not self.calm and self.random.random() < 0.3:
            self._edit()
        self.shop.apply()
        self._check()
        self.calm = True

    def _edit(self) -> None:
        for _ in range(self.random.randrange(1, 5)):
            self.declared.edit(names_too=self.calm)
        self.declared.write(self.shop.root)

    # Ways to apply

    def _calmly(self) -> None:
        plan = self.shop.plan()
        before = dict(self.service.requests)
        seen = len(self.service.changes)
        self.shop.apply()
        if self.calm:
            sent = {c: self.service.requests[c] - before.get(c, 0) for c in ("create", "update")}
            if self.service.created_answer in UNCLEAR:  # then a create is sent again to be sure
                sent["create"] = plan.requests.create
            assert sent == {"create": plan.requests.create, "update": plan.requests.update}
            changes = self.service.changes[seen:]
            assert len(changes) == plan.members_add + plan.members_remove
            assert all(change.moved for change in changes)

    def _troubled(self) -> None:
        self.calm = False
        seed = self.random.randrange(1 << 30)
        faults = self.random.choice((FAULTS, (CUT_AFTER,)))
        self.service.faults = self.random.choice(
            (
                Chances(seed=seed, share=0.4, faults=faults),
                Chances(seed=seed, share=0.9, faults=faults, most=30),
                always(CUT_AFTER, call="update"),
                always(CUT_AFTER, call="create"),
            )
        )
        self.shop.apply()

    def _crashing(self) -> None:
        try:
            self.shop.apply(events=Bomb(self.random.randrange(6)))
        except BaseException:
            with warnings.catch_warnings():
                # Python leaves a socket open if its task is cancelled while it connects.
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()
            self.shop.died()
            raise

    def _stopped(self) -> None:
        stop, at = StopSignal(), self.random.randrange(4)
        seen = sum(self.service.requests.values())

        def count(moment: str, call: str, number: int) -> None:
            del moment, call, number
            if sum(self.service.requests.values()) - seen > at:
                stop.set()

        before, self.service.at = self.service.at, count
        try:
            self.shop.apply(stop=stop)
        finally:
            self.service.at = before

    def _saved(self) -> None:
        file = self.shop.scratch / "saved.segplan"
        self.shop.plan(out=file)
        self.service.faults = Chances(seed=self.random.randrange(1 << 30), share=0.3, most=20)
        self.calm = False
        try:
            self.shop.apply(file=file)
        except SegctlError:
            self.service.faults = no_faults
            self.shop.apply(file=file)
        self.service.faults = no_faults
        assert self.shop.plan().is_empty

    def _targeted(self) -> None:
        self.calm = False
        letter = self.random.randrange(10)
        self.shop.apply(targets=(f"segment.*{letter}",))

    # Laws

    def _check(self) -> None:
        for key, members in self.declared.members().items():
            assert self.service.members(key) == members, key
        for key in self.declared.gone:
            assert key not in self.service.everyone()
        if self.calm:
            for key, (name, members) in self.hands_off.items():
                if self._is_left_alone(key, name):
                    assert self.service.members(key) == members, key
        self.hands_off = {
            s.key: (s.name, self.service.members(s.key))
            for s in self.declared.segments
            if s.forget or not s.managed
        }
        self.shop.settled()

    def _is_left_alone(self, key: str, name: str) -> bool:
        """Whether a segment was forgotten, or is still unmanaged."""
        here = {s.name: s for s in self.declared.segments}
        known = {s.key: s for s in self.declared.segments}
        if key in known:
            return not known[key].managed
        return name not in here and key not in self.declared.gone


@settings(max_examples=LIVES, phases=[Phase.explicit, Phase.generate], print_blob=False)
@given(seed=st.integers(0, 1 << 30))
def test_the_service_ends_with_the_declared_members_after_any_history(seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder, running() as service:
        shop = Workshop(root=Path(folder, "shop"), scratch=Path(folder, "s"), service=service)
        life = Life(shop, seed)
        for _ in range(STEPS):
            life.step()
