"""Everything that decides who is in a segment, combined, compared row by row with sets."""

import zipfile
from contextlib import suppress
from pathlib import Path
from random import Random

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.errors import AppliedInPart, SegctlError
from segctl.plan.model import Plan
from tests.e2e.mingled import NAMES, WORDS, Violation, World
from tests.e2e.outside_answers import Chances, no_faults
from tests.e2e.outside_service import User, running
from tests.e2e.workshop import Workshop
from tests.profiles import examples

Change = tuple[str, str, User]
"""The name of a segment, ADD or REMOVE, and whom."""

NOBODY: set[User] = set()


class MingledWorkspace:
    """A workspace, its service, and the expected members.

    ``there`` is who the service has, ``quarantined`` what it refused and is still asked
    for, ``forgets`` the segments that are or were recorded, and whether they keep their
    members when they go; one that was emptied is to stay so.
    """

    def __init__(self, shop: Workshop, random: Random) -> None:
        self.shop, self.random = shop, random
        self.world = World(random)
        self.there: dict[str, set[User]] = {}
        self.quarantined: set[Change] = set()
        self.forgets: dict[str, bool] = {}

    def step(self) -> None:
        """Change some things, compare the plan of some or all segments, apply it, and compare."""
        for _ in range(self.random.randint(0, 4)):
            self.world.change()
        self.world.write(self.shop.root)
        some = self._targets()
        after = self._wanted(some)
        changes = _changes(self.there, after)
        file = self.shop.scratch / "a.segplan"
        plan = self.shop.plan(targets=tuple(sorted(some)), out=file)
        assert self._saved(file, plan) == changes - self.quarantined
        self._check_counts(plan, some, changes)
        refused = self._apply(some, file, changes)
        if not plan.is_empty:
            self.quarantined = (self.quarantined | refused) - self._given_up(some, changes)
        self.there = _applied(after, changes & (self.quarantined | refused))
        assert self.shop.service.everyone() == {f"ID-{n}": m for n, m in self.there.items() if m}
        self._remember(some)

    def _targets(self) -> set[str]:
        some = set(self.random.sample(NAMES, 3)) if self.random.random() < 0.5 else set()
        return some & (self.world.said.keys() | self.forgets.keys())

    def _wanted(self, some: set[str]) -> dict[str, set[User]]:
        """Return the expected members after applying these segments, or all if empty."""
        members = self.world.members()
        after = dict(self.there)
        for name in NAMES:
            if some and name not in some:
                continue
            if name in members:
                after[name] = members[name]
            elif self.forgets.get(name) is False:
                after[name] = set()
        return after

    def _saved(self, file: Path, plan: Plan) -> set[Change]:
        """Return the changes in a saved plan, read from its Parquet file."""
        inside = self.shop.scratch / "inside"
        with zipfile.ZipFile(file) as archive:
            archive.extract("delta.parquet", inside)
        sql = f"SELECT target, action, kind, value FROM '{inside}/delta.parquet' WHERE request >= 0"
        rows = duckdb.execute(sql).fetchall()
        keys = [target.key.removeprefix("ID-") for target in plan.targets]
        found = [(keys[n], action, (kind, value)) for n, action, kind, value in rows]
        assert len(set(found)) == len(found)
        return set(found)

    def _check_counts(self, plan: Plan, some: set[str], changes: set[Change]) -> None:
        solved = self.world.solved()
        for change in plan.changes:
            name, members = change.address.removeprefix("segment."), change.members
            refused = {c for c in self.quarantined & changes if c[0] == name}
            if name in solved:
                final, held, suppressed = solved[name]
                found = (members.held_out, members.suppressed, members.quarantined)
                assert found == (held, suppressed, len(refused))
                assert members.after == len(_applied({name: final}, refused)[name])
        planned = {change.address.removeprefix("segment.") for change in plan.changes}
        assert planned >= (some or solved.keys()) & solved.keys()
        assert _broken(plan) == self.world.broken(planned & solved.keys())

    def _apply(self, some: set[str], file: Path, changes: set[Change]) -> set[Change]:
        """Apply in one of several ways. Return what the service refused."""
        targets = tuple(sorted(some))
        match self.random.randrange(4):
            case 0:
                self.shop.apply(file=file)
            case 1:
                self.shop.apply(targets=targets)
            case 2:
                self.shop.service.faults = Chances(seed=self.random.randrange(1 << 30), share=0.4)
                for _ in range(3):
                    with suppress(SegctlError):
                        self.shop.apply(targets=targets)
                self.shop.service.faults = no_faults
                self.shop.apply(targets=targets)
            case 3:
                refused = set(self.random.sample(WORDS, 2))
                self.shop.service.refuses = refused
                with suppress(AppliedInPart):
                    self.shop.apply(targets=targets)
                self.shop.service.refuses = set()
                return {change for change in changes if change[2][1] in refused}
        return set()

    def _given_up(self, some: set[str], changes: set[Change]) -> set[Change]:
        """Return what was refused and is no longer desired."""
        return {c for c in self.quarantined - changes if not some or c[0] in some}

    def _remember(self, some: set[str]) -> None:
        for name in some or NAMES:
            if name in self.world.said:
                self.forgets[name] = self.world.said[name].forget
            elif self.forgets.get(name):
                del self.forgets[name]


def _broken(plan: Plan) -> set[Violation]:
    """Return the rule violations that a plan reports."""
    return {
        (found.code, found.figures.count, tuple(n[8:] for n in found.figures.segments))
        for found in plan.findings
        if found.figures and found.code in ("disjoint", "subset", "size")
    }


def _changes(before: dict[str, set[User]], after: dict[str, set[User]]) -> set[Change]:
    ways = (("ADD", after, before), ("REMOVE", before, after))
    return {
        (name, action, user)
        for action, many, few in ways
        for name in NAMES
        for user in many.get(name, NOBODY) - few.get(name, NOBODY)
    }


def _applied(after: dict[str, set[User]], undone: set[Change]) -> dict[str, set[User]]:
    """Return the members after all changes but some."""
    there = {name: set(users) for name, users in after.items()}
    for name, action, user in undone:
        (there[name].discard if action == "ADD" else there[name].add)(user)
    return there


@settings(max_examples=examples(1, torture=100))
@given(seed=st.integers(0, 1 << 30))
def test_changes_and_members_equal_those_of_python_sets(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("mingled")
    with running() as service:
        shop = Workshop(root=folder / "shop", scratch=folder / "scratch", service=service)
        mingled = MingledWorkspace(shop, Random(seed))  # noqa: S311 - test data, not a secret
        for _ in range(5):
            mingled.step()
        shop.apply()
        shop.settled()
