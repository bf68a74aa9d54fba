"""``--json-into FILE`` and ``--report FILE``: JSON in a file, and the page for people."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from segctl.emulator.testing import RunningEmulator
from segctl.workflows.apply import apply_workspace
from tests.cli.conftest import Segctl
from tests.documents import check_document, check_stream


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_plan_goes_to_the_file_and_its_page_to_the_screen(
    segctl: Segctl, workspace: Path
) -> None:
    done = segctl("plan", "--json-into", "plan.json")
    check_document("plan", read(workspace / "plan.json"))
    assert "Plan: 2 to add" in done.out
    assert "format_version" not in done.out


@pytest.mark.parametrize(
    ("words", "name"), [(["validate"], "validate"), (["show", "p.segplan"], "plan")]
)
def test_so_do_other_documents(
    words: list[str], name: str, segctl: Segctl, workspace: Path
) -> None:
    segctl("plan", "--out", "p.segplan")
    done = segctl(*words, "--json-into", "out.json")
    check_document(name, read(workspace / "out.json"))
    assert not done.out.startswith("{")


def test_the_state_goes_to_the_file_too(segctl: Segctl, workspace: Path) -> None:
    assert "The state is empty" in segctl("show", "--json-into", "out.json").out
    assert read(workspace / "out.json")["segments"] == []


def test_an_error_takes_the_place_of_the_document(segctl: Segctl, workspace: Path) -> None:
    segctl("plan", "--json-into", "plan.json")
    (workspace / "gold.yaml").write_text("apiVersion: segctl/v1\nkind: X\n", encoding="utf-8")
    assert segctl("plan", "--json-into", "plan.json").code == 1
    check_document("error", read(workspace / "plan.json"))


@pytest.mark.parametrize("verb", ["apply", "destroy"])
def test_a_run_streams_into_the_file(
    verb: str, segctl: Segctl, emulator: RunningEmulator, workspace: Path
) -> None:
    del emulator
    assert segctl("apply", "--auto-approve").code == 0
    (workspace / "gold.yaml").write_text(
        (workspace / "gold.yaml").read_text(encoding="utf-8").replace("bert@", "carl@"),
        encoding="utf-8",
    )
    done = segctl(verb, "--auto-approve", "--json-into", "run.jsonl")
    lines = check_stream((workspace / "run.jsonl").read_text(encoding="utf-8"))
    assert (lines[0]["type"], lines[-1]["type"]) == ("version", "apply_complete")
    assert "Apply complete." in done.out


def test_a_stream_ends_with_the_error(segctl: Segctl, workspace: Path) -> None:
    done = segctl("apply", "--auto-approve", "--json-into", "run.jsonl", "--report", "r.json")
    assert done.code == 1  # there are no credentials
    lines = check_stream((workspace / "run.jsonl").read_text(encoding="utf-8"))
    assert lines[-1]["diagnostic"]["code"] == "credentials-refused"
    report = read(workspace / "r.json")
    check_document("report", report)
    assert (report["outcome"], report["exit_code"]) == ("failed", 1)


@pytest.mark.parametrize("option", ["--json-into", "--report"])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("-", "standard output has the page for people"),
        ("missing/x.json", "No such file or directory"),
        ("folder", "Is a directory"),
        ("link.json", "symbolic link"),
        ("gold.yaml", "exists, and is not JSON"),
        ("segctl.state.json", "is a name of the state's files"),
        ("", "it is empty"),
    ],
)
def test_a_file_that_cannot_be_meant_fails_before_anything_is_sent(
    option: str, name: str, told: str, segctl: Segctl, workspace: Path
) -> None:
    (workspace / "folder").mkdir()
    (workspace / "link.json").symlink_to(workspace / "gold.yaml")
    before = (workspace / "gold.yaml").read_bytes()
    done = segctl("apply", "--auto-approve", option, name)
    assert done.code in {1, 64}
    assert told in done.err
    assert not (workspace / "segctl.state.d").exists()
    assert (workspace / "gold.yaml").read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "--out", "x", "--json-into", "./x"],
        ["show", "x", "--json-into", "x"],
        ["apply", "--auto-approve", "--json-into", "x", "--report", "x"],
        ["apply", "x", "--report", "x"],
    ],
)
def test_two_outputs_are_two_files(words: list[str], segctl: Segctl) -> None:
    done = segctl(*words)
    assert done.code == 64
    assert "name the same file" in done.err


def test_json_on_the_screen_and_in_a_file_exclude_each_other(segctl: Segctl) -> None:
    assert segctl("validate", "--json", "--json-into", "x").code == 64


def test_the_file_has_the_permissions_of_the_umask(segctl: Segctl, workspace: Path) -> None:
    before = os.umask(0o027)
    try:
        segctl("plan", "--json-into", "plan.json")
    finally:
        os.umask(before)
    assert stat.S_IMODE((workspace / "plan.json").stat().st_mode) == 0o640
    assert [path.name for path in workspace.iterdir() if path.name.endswith(".tmp")] == []


def test_a_report_says_how_the_apply_ended(
    segctl: Segctl, emulator: RunningEmulator, workspace: Path
) -> None:
    del emulator
    segctl("apply", "--auto-approve", "--report", "r.json")
    report = read(workspace / "r.json")
    check_document("report", report)
    assert (report["outcome"], report["exit_code"]) == ("complete", 0)
    assert report["changes"] == {
        "planned": 3,
        "acknowledged": 3,
        "refused": 0,
        "failed": 0,
        "uncertain": 0,
        "not_tried": 0,
        "left": 0,
    }
    by_segment = {each["address"]: each["changes"]["acknowledged"] for each in report["segments"]}
    assert by_segment == {"segment.gold": 2, "segment.council": 1}
    assert {each["created"] for each in report["segments"]} == {"acknowledged"}
    assert "example.com" not in json.dumps(report)


def test_a_report_of_an_apply_in_part_counts_what_is_left(
    segctl: Segctl, emulator: RunningEmulator, workspace: Path
) -> None:
    del emulator
    done = segctl("apply", "--auto-approve", "--max-duration", "0", "--report", "r.json")
    assert done.code == 3
    report = read(workspace / "r.json")
    check_document("report", report)
    assert report["outcome"] == "incomplete"
    assert report["changes"]["left"] == 3
    assert report["diagnostics"][0]["code"] == "applied-in-part"


def test_reports_of_runs_that_send_nothing(
    segctl: Segctl, emulator: RunningEmulator, workspace: Path
) -> None:
    del emulator
    segctl("apply", "--auto-approve")
    segctl("apply", "--auto-approve", "--report", "r.json")
    assert read(workspace / "r.json")["outcome"] == "no_changes"
    (workspace / "gold.yaml").unlink()
    (workspace / "segctl.yaml").write_text("apiVersion: segctl/v1\n", encoding="utf-8")
    assert segctl("apply", "--auto-approve", "--report", "r.json").code == 1
    assert (read(workspace / "r.json")["outcome"], read(workspace / "r.json")["plan"]) == (
        "failed",
        None,
    )


def test_a_report_says_running_until_the_end(
    segctl: Segctl, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def look(*_: object, **__: object) -> None:
        seen.append(read(workspace / "r.json"))
        raise KeyboardInterrupt

    monkeypatch.setattr("segctl.cli.apply_run.apply_workspace", look)
    assert segctl("apply", "--auto-approve", "--report", "r.json").code == 130
    check_document("report", seen[0])
    assert (seen[0]["outcome"], seen[0]["exit_code"]) == ("running", None)
    assert read(workspace / "r.json")["outcome"] == "interrupted"


def test_a_report_that_cannot_be_written_at_the_end_is_said(
    segctl: Segctl, emulator: RunningEmulator, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del emulator
    folder = workspace / "reports"
    folder.mkdir()

    def apply_and_remove(*values: Any, **named: Any) -> Any:
        result = apply_workspace(*values, **named)
        (folder / "r.json").unlink()
        folder.rmdir()
        return result

    monkeypatch.setattr("segctl.cli.apply_run.apply_workspace", apply_and_remove)
    done = segctl("apply", "--auto-approve", "--report", "reports/r.json")
    assert done.code == 1
    assert "Apply complete." in done.out
    assert "cannot write --report" in done.err
