"""``--json``: every command that prints facts prints one object, also of an error."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from segctl.cli.main import COMMANDS, cli
from segctl.emulator.testing import RunningEmulator
from tests.cli.conftest import Done, Segctl
from tests.documents import check_document, check_stream

WITHOUT_JSON = {
    "comment": "prints the page of a plan; the JSON of one is that of plan",
    "completion": "prints a script for a shell",
    "emulator": "is a server; its own API answers in JSON",
    "help": "prints a page for people",
    "state pull": "prints the head, which is JSON",
}


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command
        if isinstance(command, click.Group):
            for sub in command.list_commands(context):
                found = command.get_command(context, sub)
                assert found
                yield f"{name} {sub}", found
        else:
            yield name, command


def test_every_command_has_json_or_a_reason_not_to() -> None:
    with_json = {name for name, command in commands() if "as_json" in names(command)}
    assert {name for name, _ in commands()} - with_json == set(WITHOUT_JSON)


def names(command: click.Command) -> set[str]:
    return {str(parameter.name) for parameter in command.params}


def facts(done: Done) -> Any:
    """Return the one object on standard output, which has a version."""
    document = json.loads(done.out)
    assert document["format_version"] == "1.0"
    return document


@pytest.fixture
def applied(segctl: Segctl, emulator: RunningEmulator) -> Segctl:
    """The program, after an apply."""
    del emulator
    assert segctl("apply", "--auto-approve").code == 0
    return segctl


FACTS = {
    "version": {"segctl", "python", "system", "machine"},
    "schema --list": {"schemas"},
    "fmt --check": {"written", "changed", "passed_over", "diagnostics"},
    "state list": {"lineage", "serial", "addresses"},
    "state show segment.gold": {"lineage", "serial", "segment"},
    "state history": {"versions"},
    "state gc --dry-run": {"dry_run", "heads", "files", "plans", "bytes"},
    "state mv segment.gold segment.vip": {"moved", "dry_run"},
    "state rm segment.gold": {"forgotten", "dry_run"},
    "state migrate --to local:moved": {
        "place",
        "settings",
        "segments",
        "files",
        "heads",
        "applies",
    },
    "rejects list": {"refused"},
    "rejects retry": {"pairs", "segments", "found"},
}


@pytest.mark.parametrize("words", FACTS)
def test_a_command_prints_its_facts_as_one_object(words: str, applied: Segctl) -> None:
    done = applied(*words.split(), "--json")
    assert set(facts(done)) == FACTS[words] | {"format_version"}
    assert "@example.com" not in done.out
    assert "abcde12345" not in done.out


def test_a_new_workspace_is_an_object(segctl: Segctl, workspace: Path) -> None:
    (workspace / "segctl.yaml").unlink()
    assert "segctl.yaml" in facts(segctl("init", "--json"))["written"]


def test_the_check_of_the_state_is_an_object(applied: Segctl, workspace: Path) -> None:
    checked = facts(applied("state", "fsck", "--json"))
    assert (checked["consistent"], checked["segments"], checked["members"]) == (True, 2, 3)
    next((workspace / "segctl.state.d/members").iterdir()).unlink()
    done = applied("state", "fsck", "--json")
    assert (done.code, facts(done)["consistent"]) == (1, False)
    assert facts(done)["problems"][0]["summary"]


def test_an_import_a_push_and_a_load_are_objects(applied: Segctl, workspace: Path) -> None:
    (workspace / "gold.csv").write_text("identity\nanna@example.com\n", encoding="utf-8")
    applied("state", "rm", "gold")
    done = applied("import", "gold", "--members", "gold.csv", "--json")
    assert facts(done)["members"] == 1
    (workspace / "head.json").write_text(applied("state", "pull").out, encoding="utf-8")
    assert facts(applied("state", "push", "head.json", "--json"))["edited"] is False
    header = "Segment ID,Customer Segment ID,User Identity,type\n"
    (workspace / "stream.csv").write_text(header, encoding="utf-8")
    assert facts(applied("rejects", "load", "stream.csv", "--json"))["rows"] == 0


def test_a_plan_and_its_saved_file_are_the_plan_document(segctl: Segctl) -> None:
    planned = segctl("plan", "--out", "p.segplan", "--json")
    check_document("plan", facts(planned))
    shown = segctl("show", "p.segplan", "--json")
    assert facts(shown)["digest"] == facts(planned)["digest"]
    assert facts(segctl("show", "--json"))["segments"] == []


def test_validate_is_the_validate_document_also_for_a_bad_workspace(
    segctl: Segctl, workspace: Path
) -> None:
    check_document("validate", facts(segctl("validate", "--json")))
    (workspace / "gold.yaml").write_text("apiVersion: segctl/v1\nkind: Segmant\n", encoding="utf-8")
    done = segctl("validate", "--json")
    check_document("validate", facts(done))
    assert (done.code, facts(done)["valid"]) == (1, False)


def test_a_stored_head_matches_its_schema(applied: Segctl) -> None:
    check_document("state", json.loads(applied("state", "pull").out))


def test_an_apply_and_a_destroy_are_streams(segctl: Segctl, emulator: RunningEmulator) -> None:
    del emulator
    lines = check_stream(segctl("apply", "--auto-approve", "--json").out)
    assert lines[-1]["type"] == "apply_complete"
    destroyed = segctl("destroy", "--auto-approve", "--json")
    lines = check_stream(destroyed.out)
    assert (destroyed.code, lines[0]["type"], lines[-1]["changes"]) == (0, "version", 3)


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        (["plan", "--json"], 1, "kind"),
        (["plan", "--format", "json"], 1, "kind"),
        (["show", "missing.plan", "--json"], 1, "operation-error"),
        (["state", "show", "segment.none", "--json"], 64, "wrong-usage"),
        (["state", "migrate", "--json"], 64, "wrong-usage"),
        (["plan", "--json", "--format", "html"], 64, "wrong-usage"),
        (["plan", "--jsson", "--json"], 64, "wrong-usage"),
        (["nonsense", "--json"], 64, "wrong-usage"),
        (["completion", "bash", "--json"], 64, "wrong-usage"),
        (["destroy", "--json"], 64, "wrong-usage"),
        (["apply", "--json"], 64, "wrong-usage"),
        (["probe", "--json"], 64, "wrong-usage"),
    ],
)
def test_an_error_is_json_with_the_usual_exit_code(
    words: list[str], code: int, name: str, segctl: Segctl, workspace: Path
) -> None:
    (workspace / "gold.yaml").write_text("apiVersion: segctl/v1\nkind: Segmant\n", encoding="utf-8")
    done = segctl(*words)
    assert done.code == code
    assert done.err  # people are told as without --json
    if words[0] in {"apply", "destroy"}:
        found = [line["diagnostic"] for line in check_stream(done.out)[1:]]
    else:
        check_document("error", facts(done))
        assert facts(done)["exit_code"] == code
        found = facts(done)["diagnostics"]
    assert name in {each["code"] for each in found}


def test_a_bug_is_json_without_its_text(segctl: Segctl, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("anna@example.com")

    monkeypatch.setattr("segctl.cli.state.list_versions", fail)
    done = segctl("state", "history", "--json")
    assert (done.code, facts(done)["diagnostics"][0]["code"]) == (70, "internal-error")
    assert "anna" not in done.out + done.err


def test_an_interrupted_command_is_json(segctl: Segctl, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("segctl.cli.state.list_versions", stop)
    done = segctl("state", "history", "--json")
    assert (done.code, facts(done)["diagnostics"][0]["code"]) == (130, "interrupted")


def test_a_refused_plan_is_still_a_plan_document(segctl: Segctl, workspace: Path) -> None:
    (workspace / "segctl.yaml").write_text(
        "apiVersion: segctl/v1\nkind: Project\nmetadata: {name: test}\n"
        "spec: {rules: [{size: {segments: [gold], max: 1}}]}\n",
        encoding="utf-8",
    )
    done = segctl("plan", "--json")
    check_document("plan", facts(done))
    assert done.code == 6
    assert "error" in {found["severity"] for found in facts(done)["findings"]}


def test_help_of_json_is_for_people(segctl: Segctl) -> None:
    assert segctl("plan", "--help", "--json").out.startswith("Usage:")
