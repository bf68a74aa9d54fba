"""``segctl verify`` confirms a plan as it was made, and finds what was changed in one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.cli.conftest import Segctl
from tests.cli.test_cli_forged_plans import rewrite

SEGMENTS, USERS = 60, 250
CHANCE = Random(7)  # noqa: S311 - no secret
CHOICES = [CHANCE.sample(range(SEGMENTS), 4) for _ in range(USERS)]
"""Each user is in four segments, so few users have several in common."""


@pytest.fixture
def plan(segctl: Segctl, workspace: Path) -> Path:
    """Return a saved plan whose floor is above that by slots."""
    (workspace / "many.yaml").write_text(
        "---\n".join(
            f"apiVersion: segctl/v1\nkind: Segment\nmetadata: {{name: s{segment}}}\n"
            f"spec: {{displayName: S{segment}, members: [{{identities: {users}}}]}}\n"
            for segment in range(SEGMENTS)
            if (users := [f"u{user}" for user in range(USERS) if segment in CHOICES[user]])
        ),
        encoding="utf-8",
    )
    done = segctl("plan", "--out", "saved.segplan")
    assert done.code == 0, done.err
    return workspace / "saved.segplan"


def test_a_plan_as_it_was_made_is_verified(segctl: Segctl, plan: Path) -> None:
    done = segctl("verify", "saved.segplan")
    assert done.code == 0
    assert "0 problems" in done.out
    document = json.loads(segctl("verify", plan.name, "--json").out)
    assert document["verified"] is True
    assert [check["topic"] for check in document["checks"]] == ["changes", "naive", "floor"]
    shown = json.loads(segctl("show", "saved.segplan", "--format", "json").out)
    assert document["certificates"] == shown["certificates"]
    assert [c["proof"] for c in shown["certificates"]] == ["splits"]
    assert [c["floor"] for c in shown["certificates"]] == [shown["requests"]["floor"]]


def claim_more(document: dict[str, Any]) -> None:
    document["certificates"][0]["floor"] += 1
    document["requests"]["floor"] += 1


FORGERIES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another naive number": (
        lambda p: p["requests"].update(naive=99),
        "without packing: 99 in the plan",
    ),
    "no certificate": (
        lambda p: (p.update(certificates=[]), p["requests"].update(floor=0)),
        "another number of certificates",
    ),
    "one certificate too many": (
        lambda p: p["certificates"].append(p["certificates"][0] | {"floor": 0}),
        "another number of certificates",
    ),
    "a floor that is too high": (claim_more, "its changes prove"),
    "a price that proves less": (lambda p: p["certificates"][0].update(price=1), "prove"),
    "a theorem of other counting": (
        lambda p: p["certificates"][0].update(proof="pairs"),
        "a certificate by pairs proves nothing",
    ),
    "impossible numbers": (
        lambda p: p["certificates"][0].update(proof="splits", price=0),
        "impossible",
    ),
    "a certificate of another floor": (
        lambda p: p["certificates"][0].update(floor=0),
        "it shows other requests than it sends",
    ),
}


def test_what_was_changed_in_a_plan_is_found(segctl: Segctl, plan: Path) -> None:
    for name, (change, problem) in FORGERIES.items():
        forged = Path(shutil.copy(plan, plan.with_name("forged.segplan")))
        rewrite(forged, document=change)
        done = segctl("verify", forged.name)
        assert done.code == 1, name
        assert problem in done.out + done.err, name


def test_a_file_that_is_no_plan_is_refused(segctl: Segctl, workspace: Path) -> None:
    (workspace / "notes.txt").write_text("hello")
    done = segctl("verify", "notes.txt")
    assert done.code == 1
    assert "is not a plan file" in done.err
