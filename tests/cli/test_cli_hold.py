"""``--hold`` and ``--exclude`` on the command line: what every view says, and exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest

from segctl.emulator.testing import RunningEmulator
from tests.cli.conftest import Segctl
from tests.cli.test_cli_forged_plans import rewrite
from tests.documents import check_document, check_stream

VIP = """\
apiVersion: segctl/v1
kind: Segment
metadata: {name: vip}
spec:
  displayName: VIP
  members: [{file: {path: vip.txt}}]
"""
HELD = "held back: segment.vip: there is no file vip.txt (vip.yaml:6:13)"


@pytest.fixture
def unreadable(workspace: Path) -> Path:
    """A workspace with a third segment, whose file is missing."""
    (workspace / "vip.yaml").write_text(VIP, encoding="utf-8")
    return workspace


def test_the_plan_names_first_what_is_held_back(segctl: Segctl, unreadable: Path) -> None:
    del unreadable
    done = segctl("plan", "--hold")
    assert done.code == 6
    first, _, second, *_ = done.out.splitlines()
    assert first == "1 segment held back: nothing is sent for what is named here."
    assert second == f"Warning: {HELD} [held-back]"
    assert "Plan: 2 to add" in done.out
    assert done.out.endswith("\n\n1 segment held back, named at the top.\n")


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("text", "\n  segment.council, segment.vip\n"),
        ("markdown", "\n> - segment.council, segment.vip\n"),
        ("html", "Nothing is sent for segment.council, segment.vip."),
        ("html", '<details class="finding warning" open>'),
    ],
)
def test_every_view_names_all_segments_that_are_held_back(
    segctl: Segctl, unreadable: Path, view: str, expected: str
) -> None:
    manifest = unreadable / "gold.yaml"
    manifest.write_text(
        manifest.read_text(encoding="utf-8") + "    - file: {path: none.txt}\n", encoding="utf-8"
    )
    assert expected in segctl("plan", "--hold", "--format", view).out


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("markdown", "### 1 segment held back. Plan: 2 to add"),
        ("markdown", "> **1 segment held back: nothing is sent for what is named here.**"),
        ("html", "<b>1 segment held back.</b>"),
    ],
)
def test_every_view_says_that_a_segment_is_held_back(
    segctl: Segctl, unreadable: Path, view: str, expected: str
) -> None:
    del unreadable
    assert expected in segctl("plan", "--hold", "--format", view).out


def test_the_document_lists_what_is_held_back(segctl: Segctl, unreadable: Path) -> None:
    del unreadable
    document = json.loads(segctl("plan", "--hold", "--exclude", "council", "--json").out)
    check_document("plan", document)
    assert document["excluded"] == ["council"]
    assert document["held"] == [
        {
            "code": "missing-file",
            "reason": "there is no file vip.txt",
            "segments": ["segment.vip"],
            "place": "vip.yaml:6:13",
        }
    ]


def test_a_workflow_shows_what_is_held_back_at_its_line(
    segctl: Segctl, unreadable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del unreadable
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    done = segctl("plan", "--hold")
    assert "line=6,col=13,title=segctl%3A held-back::held back: segment.vip" in done.out + done.err


def test_an_apply_sends_the_rest_and_exits_6(
    segctl: Segctl, unreadable: Path, emulator: RunningEmulator
) -> None:
    del emulator
    report = unreadable / "report.json"
    done = segctl("apply", "--auto-approve", "--hold", "--report", str(report))
    assert done.code == 6
    assert "Apply complete." in done.out
    assert "Error: 1 segment held back; everything else was applied" in done.err
    document = json.loads(report.read_text(encoding="utf-8"))
    check_document("report", document)
    assert document["outcome"] == "held"
    assert document["plan"]["held"][0]["segments"] == ["segment.vip"]
    again = segctl("apply", "--auto-approve", "--hold")
    assert again.code == 6
    assert "1 segment held back; nothing else had to be applied" in again.err


def test_the_stream_of_an_apply_says_what_is_held_back(
    segctl: Segctl, unreadable: Path, emulator: RunningEmulator
) -> None:
    del emulator, unreadable
    done = segctl("apply", "--auto-approve", "--hold", "--json")
    check_stream(done.out)
    lines: list[dict[str, Any]] = [json.loads(line) for line in done.out.splitlines()]
    [summary] = [line for line in lines if line["type"] == "change_summary"]
    assert summary["held"][0]["segments"] == ["segment.vip"]
    assert lines[-1]["diagnostic"]["code"] == "segments-held"


def test_a_saved_plan_is_applied_without_what_it_holds_back(
    segctl: Segctl, unreadable: Path, emulator: RunningEmulator
) -> None:
    del emulator
    file = str(unreadable / "held.segplan")
    assert segctl("plan", "--hold", "--out", file).code == 6
    assert HELD in segctl("show", file).out
    done = segctl("apply", file)
    assert done.code == 6
    assert "1 segment held back in the saved plan: segment.vip." in done.out


@pytest.mark.parametrize("part", ["held", "findings"])
def test_a_saved_plan_that_hides_what_it_holds_back_is_refused(
    segctl: Segctl, unreadable: Path, part: str
) -> None:
    file = unreadable / "held.segplan"
    segctl("plan", "--hold", "--out", str(file))
    rewrite(file, document=lambda plan: plan.update({part: []}))
    done = segctl("show", str(file))
    assert done.code == 1
    assert "do not fit" in done.err


@pytest.mark.parametrize("option", [["--hold"], ["--exclude", "vip"]])
def test_a_saved_plan_takes_no_selection(
    segctl: Segctl, unreadable: Path, option: list[str]
) -> None:
    file = str(unreadable / "a.segplan")
    assert segctl("apply", file, *option).code == 64


def test_destroy_leaves_out_what_is_excluded(segctl: Segctl, emulator: RunningEmulator) -> None:
    del emulator
    segctl("apply", "--auto-approve")
    done = segctl("destroy", "--auto-approve", "--exclude", "council")
    assert done.code == 0
    assert "segment.gold" in done.out
    assert "segment.council" not in done.out


def test_an_exclusion_that_matches_nothing_exits_64(segctl: Segctl) -> None:
    done = segctl("plan", "--exclude", "glod")
    assert done.code == 64
    assert 'Did you mean "gold"?' in done.err


def test_an_error_of_a_single_segment_mentions_hold(segctl: Segctl, unreadable: Path) -> None:
    del unreadable
    assert "plan with --hold" in segctl("plan").err
    assert "plan with --hold" not in segctl("plan", "--target", "vip").err


@pytest.mark.usefixtures("emulator")
def test_rules_and_guards_that_refuse_an_apply_are_counted(segctl: Segctl, workspace: Path) -> None:
    segctl("apply", "--auto-approve")
    manifest = workspace / "gold.yaml"
    text = manifest.read_text(encoding="utf-8").replace(
        "[anna@example.com, bert@example.com]", "[]"
    )
    manifest.write_text(
        text.replace(
            "  members:\n    - guids", "  rules: [{size: {min: 5}}]\n  members:\n    - guids"
        ),
        encoding="utf-8",
    )
    done = segctl("apply", "--auto-approve")
    assert (done.code, "Error: 1 rule and 1 guard refused the plan" in done.err) == (6, True)
