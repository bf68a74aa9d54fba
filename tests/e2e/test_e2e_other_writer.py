"""What segctl does when somebody else changes its segments in the dashboard."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from segctl.applying.apply import ApplyResult
from segctl.core.stop_signal import StopSignal
from segctl.emulator.faults import parse_plan
from segctl.emulator.testing import RunningEmulator, running_emulator
from segctl.plan.model import Plan
from segctl.session.context import Context
from segctl.workflows.apply import apply_workspace
from segctl.workflows.plan import plan_workspace
from segctl.workflows.rejects import load_rejects
from tests.clocks import SwiftClock
from tests.e2e.workshop import many, segment
from tests.probing.probe_kit import bench

CLOCK = SwiftClock()
PROJECT = "apiVersion: segctl/v1\nkind: Project\nmetadata: {name: shop}\n"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningEmulator]:
    with running_emulator(clock=CLOCK.now) as emulator:
        yield emulator


class Shop:
    """A workspace with two segments, and the emulator that others change, too."""

    def __init__(self, root: Path, emulator: RunningEmulator) -> None:
        self.root = root
        self.emulator = emulator
        self.context = Context(
            root=root,
            environment=emulator.environment,
            clock=CLOCK,
            chance=random.Random(0).random,  # noqa: S311 - waits
            transport=httpx.AsyncHTTPTransport(),
        )
        (root / "segctl.yaml").write_text(PROJECT)

    def declare(self, count: int) -> None:
        text = "---\n".join(segment(name, *many(count)) for name in ("gold", "rest"))
        (self.root / "segments.yaml").write_text(text)

    def plan(self) -> Plan:
        return plan_workspace(self.context, variables={}).plan

    def apply(self, count: int) -> ApplyResult:
        self.declare(count)
        return apply_workspace(
            self.context, variables={}, approve=lambda _: True, stop=StopSignal()
        )

    def load_error_stream(self) -> None:
        file = self.root / "errors.json"
        file.write_text(json.dumps(self.emulator.error_stream()))
        load_rejects(self.context, file)


@pytest.fixture
def shop(tmp_path: Path, server: RunningEmulator) -> Shop:
    server.restart()
    return Shop(tmp_path, server)


def test_members_that_others_change_stay_as_they_are_and_the_plan_is_empty(shop: Shop) -> None:
    shop.apply(20)
    first, *rest = many(20)
    shop.emulator.change_members("gold", add=["stranger"], remove=[first])
    assert shop.plan().is_empty
    shop.apply(21)
    assert shop.emulator.members("gold") == {*rest, *many(21), "stranger"} - {first}


def test_what_others_added_and_is_declared_later_is_added_without_harm(shop: Shop) -> None:
    shop.apply(20)
    shop.emulator.change_members("gold", add=many(25))
    shop.apply(25)
    assert shop.emulator.members("gold") == set(many(25))
    assert shop.plan().is_empty


def test_a_renamed_segment_is_still_the_same(shop: Shop) -> None:
    shop.apply(20)
    shop.emulator.rename("gold", "Gold (dashboard)")
    assert shop.plan().is_empty
    shop.apply(30)
    assert shop.emulator.members("gold") == set(many(30))
    assert "Gold (dashboard)" in [each["segment_name"] for each in shop.emulator.segments()]


def test_a_deleted_segment_is_known_from_the_error_stream_and_left_alone(shop: Shop) -> None:
    shop.apply(20)
    shop.emulator.delete("gold")
    shop.apply(21)
    assert len(shop.emulator.error_stream()) == 1
    shop.load_error_stream()
    assert [each.code for each in shop.plan().findings] == ["missing"]
    shop.apply(22)
    assert len(shop.emulator.error_stream()) == 1
    assert shop.emulator.members("rest") == set(many(22))


def test_applies_end_while_others_change_segments_all_the_time(shop: Shop) -> None:
    rules: list[dict[str, Any]] = [
        {"fault": "change_members", "call": "updateSegment", "share": 0.5, "segment": "rest"},
        {"fault": "rename_segment", "share": 0.5},
    ]
    shop.emulator.faults(*rules, seed=3)
    for count in (150, 300, 450):
        shop.apply(count)
        assert shop.plan().is_empty
    injected = httpx.get(f"{shop.emulator.url}/emulator/v1/faults").json()["injected"]
    assert injected["change_members"]
    assert injected["rename_segment"]
    assert shop.emulator.members("gold") == set(many(450))


@pytest.mark.parametrize("fault", ["change_members", "rename_segment", "delete_segment"])
def test_a_probe_is_not_wrong_because_somebody_else_writes(fault: str) -> None:
    rule = {"fault": fault, "share": 0.4, "call": "updateSegment"}
    with bench() as at:
        at.service.change_faults(parse_plan({"seed": 1, "rules": [rule]}))
        found = at.probe().emulator_settings()
        assert at.service.faults.injected[fault]
        truth = at.service.settings.document()
        assert {name: truth[name] for name in found} == found
