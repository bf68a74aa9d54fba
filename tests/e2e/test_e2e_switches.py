"""Plan and apply work with every setting of the emulator's open questions."""

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from segctl.applying.apply import ApplyResult
from segctl.core.errors import NothingApplied, SegctlError
from segctl.core.stop_signal import StopSignal
from segctl.emulator.app import create_app
from segctl.emulator.settings import CAMPAIGN_SWITCHES, READING_SWITCHES, Settings, alternatives
from segctl.plan.model import Plan
from segctl.session.context import Context
from segctl.workflows.apply import apply_workspace
from segctl.workflows.plan import plan_workspace
from tests.clocks import SwiftClock
from tests.e2e.workshop import saved_plan

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
ACCOUNT, PASSCODE = "ACC-1", "pass-very-secret"

WITHOUT_SETTINGS = [
    (name, choice)
    for name, choice in alternatives()
    if (name, choice) != ("create_body", "wrapped")
    and name not in {*READING_SWITCHES, *CAMPAIGN_SWITCHES, "api_segments"}
]
"""A plan and an apply make no call that only reads, so the switches of those change nothing."""

DECLARED = {
    "SEG-GOLD": [
        "0012345",
        *(f"{name}@example.com" for name in ("ada", "barbara", "donald", "grace")),
    ],
    "newsletter": ["ada@example.com", "edsger@example.com"],
    "council": ["barbara@example.com", "donald@example.com"],
}
CHANGED = {**DECLARED, "newsletter": ["edsger@example.com", "fran@example.com"]}


class Shop:
    """The quickstart workspace and an in-process emulator."""

    def __init__(self, root: Path, app: Starlette, clock: SwiftClock) -> None:
        self.root = root
        self.app = app
        self.context = Context(
            root=root,
            environment={
                "CLEVERTAP_ACCOUNT_ID": ACCOUNT,
                "CLEVERTAP_PASSCODE": PASSCODE,
                "CLEVERTAP_BASE_URL": "https://emulator",
            },
            clock=clock,
            chance=random.Random(0).random,  # noqa: S311 - waits
            transport=httpx.ASGITransport(app=app),
        )

    def plan(self) -> Plan:
        return plan_workspace(self.context, variables={}).plan

    def apply(self, saved: Path | None = None) -> ApplyResult:
        return apply_workspace(
            self.context,
            variables={},
            approve=lambda _: True,
            stop=StopSignal(),
            saved=saved_plan(saved),
        )

    def provider(self, setting: str) -> None:
        """Add a setting to spec.provider."""
        project = self.root / "segctl.yaml"
        project.write_text(f"{project.read_text('utf-8')}    {setting}\n", "utf-8")

    def members(self) -> dict[str, list[str]]:
        """Return the emulator's members of every segment."""
        (account,) = self.app.state.service.store.accounts.values()
        return {
            segment.customer_id: sorted(account.profiles.user(n).value for n in segment.members)
            for segment in account.segments.values()
        }

    def change(self) -> None:
        """Remove ada from the newsletter segment and add fran."""
        file = self.root / "segments.yaml"
        text = file.read_text("utf-8")
        before = "- ada@example.com\n        - edsger@example.com"
        assert text.count(before) == 1
        after = "- fran@example.com\n        - edsger@example.com"
        file.write_text(text.replace(before, after), encoding="utf-8")

    def events(self) -> int:
        """Count the events that the emulator raised."""
        return int(self.app.state.service.stats(None)["events"])


@contextmanager
def shop(folder: Path, **settings: Any) -> Iterator[Shop]:
    clock = SwiftClock()
    app = create_app(
        accounts={ACCOUNT: PASSCODE},
        settings=Settings().changed({"latency_ms": 1, **settings}),
        clock=clock.now,
        sleep=clock.sleep,
    )
    root = folder / "workspace"
    shutil.copytree(QUICKSTART, root, ignore=shutil.ignore_patterns("segctl.state*"))
    try:
        yield Shop(root, app, clock)
    finally:
        app.state.service.store.close()


@pytest.mark.parametrize(("name", "choice"), [("both_ids", "identity"), *WITHOUT_SETTINGS])
def test_applies_converge_and_send_only_changes(name: str, choice: Any, tmp_path: Path) -> None:
    with shop(tmp_path, **{name: choice}) as at:
        at.apply()
        assert at.members() == DECLARED
        assert at.plan().is_empty
        before = at.events()
        at.change()
        at.apply()
        assert at.members() == CHANGED
        assert at.events() - before == 2
        assert at.plan().is_empty


def test_a_service_that_wants_another_body_gets_it_once_it_is_declared(tmp_path: Path) -> None:
    with shop(tmp_path, create_body="wrapped") as at:
        with pytest.raises(NothingApplied, match="the body must be an object with a segments"):
            at.apply()
        assert at.members() == {}
        at.provider("createBody: wrapped")
        at.apply()
        assert at.members() == DECLARED


@pytest.mark.parametrize("is_saved", [False, True], ids=["planned", "saved"])
def test_a_service_that_counts_pairs_gets_no_request_of_more(
    tmp_path: Path, is_saved: bool
) -> None:
    with shop(tmp_path, profile_updates="pairs") as at:
        at.provider("counting: pairs")
        users = [f"u{number}" for number in range(60)]
        file = at.root / "segments.yaml"
        listed = file.read_text("utf-8").replace(
            "- ada@example.com", "\n        - ".join(["- ada@example.com", *users])
        )
        file.write_text(listed, "utf-8")
        plan = plan_workspace(at.context, variables={}, out=tmp_path / "plan").plan
        assert (plan.requests.update, plan.requests.floor) == (2, 2)
        at.apply(tmp_path / "plan" if is_saved else None)
        assert at.members() == {
            key: sorted([*who, *users]) if "ada@example.com" in who else who
            for key, who in DECLARED.items()
        }


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("401", r"the credentials were refused \(HTTP 401\)"),
        ("403", r"access was refused \(HTTP 403\)"),
        ("404", r"HTTP 404: API Segments are not enabled"),
    ],
)
def test_an_account_without_api_segments_is_told_of_the_private_beta(
    status: str, error: str, tmp_path: Path
) -> None:
    with shop(tmp_path, account_api_segments={ACCOUNT: status}) as at:
        with pytest.raises(SegctlError, match=error) as caught:
            at.apply()
        text = f"{caught.value} {caught.value.hint}"
        assert "a private beta for the plans Advanced and Cutting Edge" in text
        at.app.state.service.change_settings(Settings())
        at.apply()
        assert at.members() == DECLARED
