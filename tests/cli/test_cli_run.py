"""The commands over a real workspace and a real emulator."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segctl.backends.local import LocalBackend
from segctl.cli.main import execute
from segctl.core import errors
from segctl.core.clock import SystemClock
from tests.program import ENTRY

Segctl = Callable[..., Any]


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_new_workspace_is_valid_and_plans_cleanly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["init", str(tmp_path / "new")]) == 0
    assert "Wrote segctl.yaml\n" in capsys.readouterr().out
    assert execute(["validate", "-C", str(tmp_path / "new")]) == 0
    assert execute(["plan", "-C", str(tmp_path / "new")]) == 0


def test_init_overwrites_nothing(segctl: Segctl) -> None:
    done = segctl("init")
    assert done.code == 1
    assert "segctl.yaml already exists" in done.err
    assert "othing was written" in done.err


@pytest.mark.usefixtures("emulator")
def test_apply_makes_the_next_plan_empty(segctl: Segctl) -> None:
    assert segctl("plan", "--detailed-exitcode").code == 2
    applied = segctl("apply", "--auto-approve")
    assert applied.code == 0
    assert "Apply complete. 3 membership changes acknowledged" in applied.out
    assert "Created segment.council, segment.gold\n" in applied.err
    planned = segctl("plan", "--detailed-exitcode")
    assert planned.code == 0
    assert planned.out.startswith("No changes. ")


@pytest.mark.usefixtures("emulator")
def test_apply_of_nothing_says_that_there_is_nothing(segctl: Segctl) -> None:
    segctl("apply", "--auto-approve")
    again = segctl("apply", "--auto-approve")
    assert (again.code, again.out[:12]) == (0, "No changes. ")


@pytest.mark.usefixtures("emulator")
def test_a_saved_plan_is_shown_and_applied_as_it_was(segctl: Segctl) -> None:
    planned = segctl("plan", "--out", "my.plan", "--format", "json")
    assert planned.err == (
        "\nSaved the plan to my.plan. To apply exactly this:\n  segctl apply my.plan\n"
    )
    assert segctl("show", "my.plan", "--format", "json").out == planned.out
    applied = segctl("apply", "my.plan")
    assert applied.code == 0
    assert applied.out.startswith("Applying the saved plan my.plan.\nPlan: 2 to add")


@pytest.mark.usefixtures("emulator")
def test_a_saved_plan_that_no_longer_fits_exits_4(segctl: Segctl, workspace: Path) -> None:
    segctl("plan", "--out", "my.plan")
    (workspace / "more.yaml").write_text(
        "apiVersion: segctl/v1\nkind: Segment\nmetadata: {name: m}\nspec: {displayName: M}\n",
        encoding="utf-8",
    )
    stale = segctl("apply", "my.plan")
    assert stale.code == 4
    assert "the manifests changed since the plan was made" in stale.err


@pytest.mark.parametrize("view", ["json", "markdown", "html"])
def test_a_document_has_standard_output_to_itself(view: str, segctl: Segctl) -> None:
    done = segctl("plan", "--format", view, "--out", "x.plan")
    start = {"json": "{\n", "markdown": "### Plan", "html": "<!doctype html>"}[view]
    assert done.out.startswith(start)
    assert "Saved the plan" in done.err
    assert "example.com" not in done.out


def test_members_are_masked_where_nobody_watches_and_full_on_a_terminal(
    segctl: Segctl, on_terminal: Segctl
) -> None:
    assert "anna@example.com" not in segctl("plan").out
    assert "anna@example.com" in segctl("plan", "--identities", "full").out
    assert "anna@example.com" in on_terminal("plan").out
    assert "anna" not in on_terminal("plan", "--identities", "none").out


@pytest.mark.usefixtures("emulator")
def test_apply_asks_on_a_terminal_and_takes_yes(on_terminal: Segctl) -> None:
    done = on_terminal("apply", typed="yes\n")
    assert done.code == 0
    assert "Only 'yes' is taken for a yes." in done.out
    assert "Apply complete." in done.out


@pytest.mark.parametrize("answer", ["no", "y", "YES", ""])
@pytest.mark.usefixtures("emulator")
def test_apply_takes_nothing_else_for_a_yes(
    answer: str, on_terminal: Segctl, segctl: Segctl
) -> None:
    done = on_terminal("apply", typed=f"{answer}\n")
    assert done.code == 1
    assert "Apply cancelled." in done.out
    assert segctl("state", "list").out == ""


@pytest.mark.parametrize("command", ["apply", "destroy"])
def test_nobody_to_ask_is_reported_the_way_out(command: str, segctl: Segctl) -> None:
    done = segctl(command)
    assert done.code == 64
    assert done.err.startswith(
        f"Error: {command} asks for the word yes, and standard input is no terminal\n"
    )
    assert f"`segctl {command} --auto-approve`" in done.err


@pytest.mark.usefixtures("emulator")
def test_json_of_an_apply_is_a_stream_of_known_types(segctl: Segctl) -> None:
    done = segctl("apply", "--auto-approve", "--json")
    assert done.code == 0
    lines = objects(done.out)
    assert [line["type"] for line in lines] == [
        "version",
        "diagnostic",
        "planned_change",
        "planned_change",
        "change_summary",
        "apply_start",
        "batch_complete",
        "batch_complete",
        "apply_complete",
    ]
    assert all({"@level", "@message", "@timestamp"} <= set(line) for line in lines)
    assert lines[-1]["changes"] == 3


def test_json_cannot_ask(segctl: Segctl) -> None:
    done = segctl("apply", "--json")
    assert done.code == 64
    assert "--json cannot ask; add --auto-approve" in done.err


def test_an_error_is_in_the_stream_too(segctl: Segctl) -> None:
    done = segctl("apply", "--auto-approve", "--json")
    assert done.code == 1
    assert objects(done.out)[-1]["diagnostic"]["code"] == "credentials-refused"
    assert "CLEVERTAP_ACCOUNT_ID and CLEVERTAP_PASSCODE are not set" in done.err


@pytest.mark.usefixtures("emulator")
def test_refused_credentials_exit_1_with_advice(
    segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEVERTAP_PASSCODE", "n0t-right")
    done = segctl("apply", "--auto-approve")
    assert done.code == 1
    assert "credentials" in done.err
    assert "n0t-right" not in done.err + done.out


@pytest.mark.usefixtures("emulator")
def test_destroy_empties_and_keeps_the_shells_in_mind(segctl: Segctl) -> None:
    segctl("apply", "--auto-approve")
    assert "2 to destroy." in segctl("plan", "--destroy").out
    assert segctl("destroy", "--auto-approve").code == 0
    assert segctl("state", "list").out == ""
    assert "2 destroyed segments: their shells are still in CleverTap" in segctl("show").out


@pytest.mark.usefixtures("emulator")
def test_a_guard_exits_6_before_anything_else_and_sends_nothing(
    segctl: Segctl, workspace: Path
) -> None:
    segctl("apply", "--auto-approve")
    path = workspace / "gold.yaml"
    text = path.read_text(encoding="utf-8").replace("anna@example.com, bert@example.com", "")
    path.write_text(text, encoding="utf-8")
    planned = segctl("plan", "--detailed-exitcode", "--out", "my.plan")
    assert planned.code == 6
    assert "Error: segment.gold loses all of its 2 recorded members" in planned.out
    assert "This plan cannot be applied: 1 error above." in planned.out
    assert "Saved" not in planned.err
    applied = segctl("apply", "--auto-approve")
    assert applied.code == 6
    assert "Error: segment.gold loses all of its 2 recorded members" in applied.err


def test_invalid_manifests_exit_1_with_every_place(segctl: Segctl, workspace: Path) -> None:
    (workspace / "bad.yaml").write_text(
        "apiVersion: segctl/v1\nkind: Segment\nmetadata: {name: x}\nspec: {memebers: []}\n",
        encoding="utf-8",
    )
    for command in ("validate", "plan"):
        done = segctl(command)
        assert done.code == 1
        assert "bad.yaml:4:8: error: " in done.err
    document = json.loads(segctl("validate", "--json").out)
    assert not document["valid"]
    assert document["diagnostics"][0]["range"]["filename"] == "bad.yaml"


def test_a_source_line_is_shown_on_a_terminal_only(
    segctl: Segctl, on_terminal: Segctl, workspace: Path
) -> None:
    (workspace / "bad.yaml").write_text("apiVersion: segctl/v1\nkind: Segmnt\n", encoding="utf-8")
    assert "| kind: Segmnt" not in segctl("validate").err
    shown = on_terminal("validate", "--no-color").out
    assert "    | kind: Segmnt\n    |       ^\n" in shown


@pytest.mark.usefixtures("emulator")
def test_a_locked_state_exits_5_and_says_who_holds_it(segctl: Segctl, workspace: Path) -> None:
    backend = LocalBackend(workspace, clock=SystemClock())
    with backend.lock(command="segctl apply", timeout=0.0) as held:
        done = segctl("apply", "--auto-approve", "--lock-timeout", "10ms")
    assert done.code == 5
    assert held.id in done.err


@pytest.mark.usefixtures("emulator")
def test_state_lists_and_shows_what_is_recorded(segctl: Segctl) -> None:
    segctl("apply", "--auto-approve")
    assert segctl("state", "list").out == "segment.council\nsegment.gold\n"
    assert segctl("state", "list", "g*").out == "segment.gold\n"
    assert 'displayName       = "Gold Users"' in segctl("state", "show", "gold").out
    unknown = segctl("state", "show", "segment.nope")
    assert unknown.code == 64
    assert "the state has no segment segment.nope" in unknown.err
    assert json.loads(segctl("show", "--format", "json").out)["serial"] == 1
    assert segctl("show", "--format", "html").code == 64


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.CredentialsRefused("x"), 1),
        (errors.WrongAccount("x"), 1),
        (errors.StateDamaged("x"), 1),
        (errors.StateChanged("x"), 1),
        (errors.AppliedInPart("x"), 3),
        (errors.NothingApplied("x"), 1),
        (errors.StalePlan("x"), 4),
        (errors.StateLocked("x"), 5),
        (errors.GuardRefused("x"), 6),
        (errors.WrongUsage("x"), 64),
        (errors.Interrupted("x"), 130),
        (KeyboardInterrupt(), 130),
        (RuntimeError("x"), 70),
    ],
)
def test_each_kind_of_error_has_its_exit_code(
    error: BaseException, code: int, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("segctl.cli.show.read_state", fail)
    done = segctl("show")
    assert done.code == code
    assert "Traceback" not in done.err


def test_our_bug_hides_the_text_that_it_may_quote_until_asked(
    segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("anna@example.com")

    monkeypatch.setattr("segctl.cli.show.read_state", fail)
    done = segctl("show")
    assert "met an error that it did not expect: RuntimeError" in done.err
    assert "anna" not in done.err
    asked = segctl("show", "--log-level", "debug")
    assert "Traceback" in asked.err


def test_a_reader_that_leaves_early_meets_no_noise(workspace: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$@" -C {workspace} | true', "-", *ENTRY, "plan"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("environment", "arguments", "coloured"),
    [
        ({}, [], True),
        ({"NO_COLOR": "1"}, [], False),
        ({}, ["--no-color"], False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, [], False),
    ],
)
def test_a_terminal_gets_colours_unless_it_wants_none(
    environment: dict[str, str],
    arguments: list[str],
    coloured: bool,
    on_terminal: Segctl,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in on_terminal("plan", *arguments).out) == coloured


def test_a_pipe_gets_colours_only_when_forced(
    segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b[" not in segctl("plan").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in segctl("plan").out


def test_a_terminal_that_lacks_a_character_gets_its_escape(workspace: Path) -> None:
    done = subprocess.run(
        [*ENTRY, "plan", "-C", str(workspace)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "0 \\u2192 2 members" in done.stdout


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.usefixtures("emulator")
def test_what_is_only_recorded_is_reported_to_be_only_recorded(
    form: list[str], segctl: Segctl, workspace: Path
) -> None:
    segctl("apply", "--auto-approve")
    path = workspace / "gold.yaml"
    labelled = path.read_text(encoding="utf-8").replace(
        "{name: gold}", "{name: gold, labels: {a: b}}"
    )
    path.write_text(labelled, encoding="utf-8")
    done = segctl("apply", "--auto-approve", *form)
    assert done.code == 0
    assert "nothing had to be sent" in done.out.splitlines()[-1]
    assert segctl("plan").out.startswith("No changes.")


def test_a_saved_plan_takes_neither_target_nor_variables(segctl: Segctl) -> None:
    for more in (["--target", "gold"], ["--var", "a=b"]):
        done = segctl("apply", "my.plan", *more)
        assert done.code == 64
        assert "a saved plan is applied as it is, without --target, --exclude" in done.err


def test_what_is_passed_over_is_listed(segctl: Segctl, workspace: Path) -> None:
    (workspace / "ci.yaml").write_text("on: push\n", encoding="utf-8")
    done = segctl("validate")
    assert done.code == 0
    assert done.out == "The workspace is valid: 2 segments in 3 files.\n"
    assert "ci.yaml:1: passed over: not one of segctl's documents\n" in done.err


def test_a_lock_that_is_not_there_cannot_be_broken(segctl: Segctl) -> None:
    done = segctl("force-unlock", "3f9a2c71")
    assert done.code == 64
    assert done.err.startswith("Error: the state is not locked")


def test_a_held_lock_is_broken_by_its_id(segctl: Segctl, workspace: Path) -> None:
    backend = LocalBackend(workspace, clock=SystemClock())
    with backend.lock(command="segctl apply", timeout=0.0) as held:
        done = segctl("force-unlock", held.id)
        assert done.code == 0
        assert done.out.startswith(f"Lock {held.id} is broken. If its run is still alive, it stops")
