"""``segctl rejects`` over a real workspace and a real emulator."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segctl.backends.local import LocalBackend
from segctl.core.clock import SystemClock

Segctl = Callable[..., Any]
STREAM = (
    "Error Type\tCustomer Segment ID\tUser Identity\n"
    "API_SEGMENT_ID_MISMATCH\tSEG-GOLD\tanna@example.com\n"
    "API_SEGMENT_ID_MISMATCH\tSEG-GOLD\tstranger@example.com\n"
)


@pytest.fixture
def refused(segctl: Segctl, workspace: Path, emulator: object) -> Segctl:
    """A workspace that was applied, and where one member was refused."""
    del emulator
    assert segctl("apply", "--auto-approve").code == 0
    (workspace / "stream.txt").write_text(STREAM, encoding="utf-8")
    assert segctl("rejects", "load", "stream.txt").code == 0
    return segctl


@pytest.mark.usefixtures("emulator")
def test_load_counts_what_was_matched(segctl: Segctl, workspace: Path) -> None:
    segctl("apply", "--auto-approve")
    (workspace / "stream.txt").write_text(STREAM, encoding="utf-8")
    done = segctl("rejects", "load", "stream.txt")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "2 rejects: 1 matched an ADD, 0 a REMOVE, 1 never sent from this state.\n"
        "The matched ones are quarantined: plans show them, and they are not sent again until "
        "their source changes or you run `segctl rejects retry`.\n"
    )


def test_load_again_says_that_all_was_known(refused: Segctl) -> None:
    assert refused("rejects", "load", "stream.txt").out == (
        "2 rejects: 1 matched an ADD, 0 a REMOVE, 1 never sent from this state.\n"
        "Of these, 1 had already been loaded.\n"
    )


def test_a_deleted_segment_is_reported_at_once(refused: Segctl, workspace: Path) -> None:
    text = STREAM.replace("ID_MISMATCH", "NOT_FOUND_OR_DELETED").replace("anna", "bert")
    (workspace / "stream.txt").write_text(text, encoding="utf-8")
    assert refused("rejects", "load", "stream.txt").out.endswith(
        "segment.gold is missing in CleverTap: nothing is sent to it. "
        "`segctl plan` shows what to do.\n"
    )
    assert "[missing]" in refused("plan").out
    assert "missing" in refused("state", "show", "gold").out
    assert refused("rejects", "retry").out.startswith("segment.gold is treated as restored: ")


def test_list_tells_who_was_refused_and_why_hashed_where_nobody_watches(refused: Segctl) -> None:
    [line] = refused("rejects", "list").out.splitlines()
    address, action, reason, at, user = line.split("  ")
    assert (address, action, reason) == ("segment.gold", "ADD", "API_SEGMENT_ID_MISMATCH")
    assert at.endswith("Z")
    assert re.fullmatch("#[0-9a-f]{10}", user)
    assert "anna" not in refused("rejects", "list", "--json").out
    assert '"anna@example.com"' in refused("rejects", "list", "--identities", "full").out
    assert "@" not in refused("rejects", "list", "--identities", "none").out


def test_the_list_is_full_on_a_terminal(refused: Segctl, on_terminal: Segctl) -> None:
    del refused
    assert '"anna@example.com"' in on_terminal("rejects", "list").out


def test_the_list_is_a_document_for_machines(refused: Segctl) -> None:
    document = json.loads(refused("rejects", "list", "--json").out)
    [item] = document["refused"]
    assert document["format_version"] == "1.0"
    assert item.pop("refused_at").endswith("Z")
    assert re.fullmatch("[0-9a-f]{10}", item.pop("hash"))
    assert item == {
        "address": "segment.gold",
        "action": "ADD",
        "type": "API_SEGMENT_ID_MISMATCH",
        "kind": "identity",
    }
    other = json.loads(refused("rejects", "list", "--json", "--target", "council").out)
    assert other["refused"] == []


def test_the_plan_says_how_many_are_held_back(refused: Segctl) -> None:
    done = refused("plan", "--detailed-exitcode")
    assert done.code == 0
    assert "segment.gold: 1 refused earlier, not retried" in done.out
    assert done.out.startswith("No changes. Nothing needs to be sent; what CleverTap refused")


def test_retry_says_what_will_be_sent_again(refused: Segctl) -> None:
    assert refused("rejects", "retry", "--target", "gold").out == (
        "The next apply sends 1 refused membership in 1 segment again, if still wanted.\n"
    )
    assert refused("plan", "--detailed-exitcode").code == 2
    assert refused("rejects", "list").out == "No membership is refused.\n"
    assert refused("rejects", "retry").out == "No refused membership matches.\n"


def test_every_row_that_cannot_be_used_is_reported_and_nothing_is_changed(
    refused: Segctl, workspace: Path
) -> None:
    (workspace / "stream.txt").write_text("segment id,identity\n,x@example.com\n1,\n")
    done = refused("rejects", "load", "stream.txt")
    assert done.code == 1
    assert "stream.txt:2: error: the row does not name a segment\n" in done.err
    assert "stream.txt:3: error: the row does not name a user\n" in done.err
    assert "example.com" not in done.err


@pytest.mark.parametrize("arguments", [("load", "stream.txt"), ("retry",)])
def test_rejects_wait_for_the_lock_like_every_change(
    arguments: tuple[str, ...], refused: Segctl, workspace: Path
) -> None:
    backend = LocalBackend(workspace, clock=SystemClock())
    with backend.lock(command="segctl apply", timeout=0.0):
        assert refused("rejects", *arguments).code == 5
        assert refused("rejects", "list").code == 0


def test_a_folder_where_nothing_was_applied_is_reported_so(segctl: Segctl, workspace: Path) -> None:
    (workspace / "stream.txt").write_text(STREAM, encoding="utf-8")
    done = segctl("rejects", "load", "stream.txt")
    assert done.code == 1
    assert done.err.startswith(
        "Error: the state is empty: nothing was ever sent from this workspace\n"
    )
