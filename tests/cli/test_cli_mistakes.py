"""What a slip of the hand must not do: an unset shell variable, a wrong name, a wrong folder."""

import errno
import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.program import ENTRY

Segctl = Callable[..., Any]


@pytest.mark.usefixtures("emulator")
def test_an_empty_plan_name_applies_nothing(segctl: Segctl, workspace: Path) -> None:
    done = segctl("apply", "")
    assert done.code == 64
    assert "'[FILE]': it is empty. Is a shell variable not set?" in done.err
    assert not (workspace / "segctl.state.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [("show", ""), ("plan", "--out", ""), ("plan", "--target", ""), ("apply", "--target", "")],
)
def test_an_empty_name_is_wrong_usage(segctl: Segctl, arguments: tuple[str, ...]) -> None:
    done = segctl(*arguments)
    assert done.code == 64
    assert "it is empty" in done.err


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("name", ["segctl.state.json", "segctl.yaml", "gold.yaml"])
def test_a_plan_is_not_saved_over_a_file_of_the_workspace(
    segctl: Segctl, workspace: Path, name: str
) -> None:
    assert segctl("apply", "--auto-approve").code == 0
    before = (workspace / name).read_bytes()
    done = segctl("plan", "--out", name)
    assert done.code == 1
    assert f"{name} already exists and is not a plan file" in done.err
    assert (workspace / name).read_bytes() == before


def test_a_plan_is_not_saved_in_the_place_of_the_workspace(segctl: Segctl) -> None:
    done = segctl("plan", "--out", ".")
    assert done.code == 1
    assert (
        "Is a directory\n"
        "  The path is a folder, not a file. Choose another path, or move the folder away.\n"
    ) in done.err


def test_a_mistake_of_the_user_shows_no_traceback_at_any_log_level(segctl: Segctl) -> None:
    done = segctl("apply", "missing.plan", "--log-level", "debug")
    assert (done.code, "Traceback" in done.err) == (1, False)


def test_destroy_that_cannot_ask_says_how_to_review_it(segctl: Segctl) -> None:
    done = segctl("destroy")
    assert done.code == 64
    assert "Review with `segctl plan --destroy --out FILE`" in done.err


def test_a_command_stream_is_json_alone_when_the_plan_is_missing(segctl: Segctl) -> None:
    done = segctl("apply", "missing.plan", "--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["type"] for line in lines] == ["version", "diagnostic"]


@pytest.mark.usefixtures("emulator")
def test_a_changed_id_is_told_to_force_the_replacement(segctl: Segctl, workspace: Path) -> None:
    segctl("apply", "--auto-approve")
    manifest = workspace / "gold.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("SEG-GOLD", "SEG-AU"), "utf-8")
    shown = segctl("plan").out
    assert '~ customerSegmentId = "SEG-GOLD" -> "SEG-AU"  # forces replacement\n' in shown
    assert "~ 2 members, +2 −2\n" in shown


@pytest.mark.usefixtures("emulator")
def test_an_apply_that_cannot_create_a_segment_does_not_call_itself_complete(
    segctl: Segctl, workspace: Path
) -> None:
    segctl("apply", "--auto-approve")
    for part in [*workspace.glob("segctl.state*"), *workspace.glob("segctl.lock*")]:
        part.rename(workspace.parent / part.name)
    again = segctl("apply", "--auto-approve")
    assert again.code == 1
    assert "Apply incomplete. 0 membership changes acknowledged" in again.out
    assert "  Not created: 2 segments. Their members were not sent" in again.out


def test_a_workspace_without_segments_says_so(segctl: Segctl, workspace: Path) -> None:
    (workspace / "gold.yaml").unlink()
    assert segctl("plan").out == "No changes. No segment is declared or recorded.\n"


@pytest.mark.parametrize(
    ("view", "shown"),
    [
        ("text", "        members are not managed\n"),
        ("markdown", "| create | not managed |"),
        ("html", "<p>members are not managed</p>"),
    ],
)
def test_a_plan_counts_no_members_that_are_not_managed(
    segctl: Segctl, workspace: Path, view: str, shown: str
) -> None:
    (workspace / "gold.yaml").write_text(
        "apiVersion: segctl/v1\nkind: Segment\nmetadata: {name: g}\n"
        "spec: {displayName: G, members: unmanaged}\n",
        encoding="utf-8",
    )
    assert shown in segctl("plan", "--format", view).out


def test_what_has_no_end_is_not_pushed_as_a_state(segctl: Segctl) -> None:
    done = segctl("state", "push", "/dev/zero")
    assert done.code == 64
    assert "/dev/zero is not a head of a state: it is larger than 64 MB" in done.err


@pytest.mark.parametrize("command", ["plan", "init", "apply --auto-approve"])
def test_a_folder_that_is_gone_is_told(tmp_path: Path, command: str) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        ["bash", "-c", f'cd {gone}; rmdir {gone}; "$@" {command}', "-", *ENTRY],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.endswith(
        "Error: the current folder no longer exists\n  Change to another folder first.\n"
    )


def test_a_temporary_folder_that_cannot_be_made_is_told(
    segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    done = segctl("plan")
    assert done.code == 1
    folder = tempfile.gettempdir()
    denied = f"Error: cannot create a folder for scratch files in {folder}: Permission denied\n"
    assert denied in done.err


@pytest.mark.parametrize("command", [("plan",), ("show", "a.segplan"), ("show",)])
@pytest.mark.parametrize("view", ["text", "json", "html"])
def test_only_the_comment_has_a_limit(command: tuple[str, ...], view: str, segctl: Segctl) -> None:
    done = segctl(*command, "--format", view, "--max-bytes", "32768")
    assert done.code == 64
    assert f"--max-bytes limits the Markdown comment, and the format is {view}" in done.err


@pytest.mark.parametrize("limit", ["0", "4095", "-1", "64k", ""])
def test_a_limit_of_the_comment_is_a_number_of_bytes(limit: str, segctl: Segctl) -> None:
    done = segctl("plan", "--format", "markdown", "--max-bytes", limit)
    assert done.code == 64
    assert "--max-bytes" in done.err


def test_a_comment_has_at_most_so_many_bytes(segctl: Segctl, workspace: Path) -> None:
    manifest = (
        "---\napiVersion: segctl/v1\nkind: Segment\nmetadata: {{name: s{n}}}\n"
        "spec: {{displayName: 'ünï {n}', customerSegmentId: S{n}, members: [{{guids: [g{n}]}}]}}\n"
    )
    text = "".join(manifest.format(n=number) for number in range(60))
    (workspace / "many.yaml").write_text(text, encoding="utf-8")
    assert segctl("plan", "--out", "a.segplan").code == 0
    for command in (("plan",), ("show", "a.segplan")):
        done = segctl(*command, "--format", "markdown", "--max-bytes", "4096")
        assert done.code == 0
        assert len(done.out.encode()) <= 4_096
        assert done.out.startswith("### Plan: 62 to add, 0 to change, 0 to destroy.\n")
        assert done.out.endswith("<!-- segctl plan -->\n")
