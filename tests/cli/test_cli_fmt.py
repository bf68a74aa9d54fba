"""Formatting from the command line: what is written, what is only shown."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Segctl = Callable[..., Any]

UNTIDY = """\
kind: Segment
apiVersion: segctl/v1
metadata: {name: gold}   # the best
spec: {displayName: Gold}
"""
TIDY = """\
apiVersion: segctl/v1
kind: Segment
metadata: {name: gold}   # the best
spec: {displayName: Gold}
"""


def test_fmt_rewrites_what_is_untidy_and_names_it(segctl: Segctl, workspace: Path) -> None:
    path = workspace / "gold.yaml"
    path.write_text(UNTIDY, encoding="utf-8")
    done = segctl("fmt")
    assert (done.code, done.out, done.err) == (0, "gold.yaml\n", "")
    assert path.read_text(encoding="utf-8") == TIDY
    assert segctl("fmt").out == ""


def test_check_writes_nothing_and_exits_1(segctl: Segctl, workspace: Path) -> None:
    path = workspace / "gold.yaml"
    path.write_text(UNTIDY, encoding="utf-8")
    done = segctl("fmt", "--check", "--diff")
    assert done.code == 1
    assert path.read_text(encoding="utf-8") == UNTIDY
    assert "-apiVersion: segctl/v1\n" in done.out
    assert "+apiVersion: segctl/v1\n" in done.out


def test_a_tidy_workspace_passes_the_check(segctl: Segctl, workspace: Path) -> None:
    (workspace / "gold.yaml").write_text(TIDY, encoding="utf-8")
    done = segctl("fmt", "--check")
    assert (done.code, done.out) == (0, "")


def test_a_file_that_cannot_be_read_is_an_error_and_stays(segctl: Segctl, workspace: Path) -> None:
    path = workspace / "gold.yaml"
    path.write_text("kind: [\n", encoding="utf-8")
    done = segctl("fmt")
    assert done.code == 1
    assert "gold.yaml:" in done.err
    assert path.read_text(encoding="utf-8") == "kind: [\n"


def test_named_files_are_formatted_and_no_others(segctl: Segctl, workspace: Path) -> None:
    for name in ("gold.yaml", "other.yaml"):
        (workspace / name).write_text(UNTIDY, encoding="utf-8")
    done = segctl("fmt", "other.yaml", "./other.yaml")
    assert (done.code, done.out, done.err) == (0, "other.yaml\n", "")
    assert (workspace / "gold.yaml").read_text(encoding="utf-8") == UNTIDY


def test_a_folder_and_a_file_outside_of_a_workspace_are_formatted(
    segctl: Segctl, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("loose")
    (folder / "sub").mkdir()
    for path in (folder / "a.yaml", folder / "sub/b.yml"):
        path.write_text(UNTIDY, encoding="utf-8")
    assert segctl("fmt", str(folder / "sub")).out == f"{folder}/sub/b.yml\n"
    assert segctl("fmt", "--check", str(folder / "a.yaml")).code == 1
    assert (folder / "sub/b.yml").read_text(encoding="utf-8") == TIDY


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("chart.yaml", "{{ helm }}: {\n", "not one of segctl's documents"),
        ("empty.yaml", "", "not one of segctl's documents"),
        ("project.yaml", "kind: Project\napiVersion: v1\n", "not one of segctl's documents"),
        ("gold.csv", "segctl\n", "not a .yaml or .yml file"),
    ],
)
def test_a_named_file_that_is_not_segctls_is_passed_over(
    segctl: Segctl, workspace: Path, name: str, content: str, reason: str
) -> None:
    (workspace / name).write_text(content, encoding="utf-8")
    done = segctl("fmt", name)
    assert (done.code, done.out, done.err) == (0, "", f"{name}: passed over: {reason}\n")
    assert json.loads(segctl("fmt", name, "--json").out)["passed_over"] == [name]
    assert (workspace / name).read_text(encoding="utf-8") == content


def test_a_named_file_that_is_missing_or_wrong_is_an_error(segctl: Segctl, workspace: Path) -> None:
    (workspace / "sub").mkdir()
    (workspace / "sub/a.yaml").write_text("apiVersion: segctl/v1\nkind: [\n", encoding="utf-8")
    (workspace / "sub/b.json").write_text('{"apiVersion": "segctl/v1"}', encoding="utf-8")
    done = segctl("fmt", "none.yaml", "sub")
    assert done.code == 1
    for told in ("none.yaml: error: cannot be read", "sub/a.yaml:", "sub/b.json: error:"):
        assert told in done.err


@pytest.mark.parametrize(
    ("options", "content", "result"),
    [
        ("", UNTIDY, (0, TIDY)),
        ("", TIDY, (0, TIDY)),
        ("--check", UNTIDY, (1, "")),
        ("--check", TIDY, (0, "")),
        ("--check --diff", TIDY, (0, "")),
        ("", "kind: [\n", (1, "")),
        ("", "", (0, "")),
    ],
)
def test_standard_input_is_formatted_to_standard_output(
    segctl: Segctl,
    monkeypatch: pytest.MonkeyPatch,
    options: str,
    content: str,
    result: tuple[int, str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    done = segctl("fmt", "-", *options.split())
    assert (done.code, done.out) == result


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_standard_input_is_never_changed_for_a_runner(
    segctl: Segctl, monkeypatch: pytest.MonkeyPatch, ci: str, code: int
) -> None:
    text = TIDY.replace("Gold", "'##[group]'")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    monkeypatch.setenv("GITHUB_ACTIONS", ci)
    monkeypatch.delenv("CI", raising=False)
    done = segctl("fmt", "-")
    assert (done.code, done.out) == (code, "" if code else text)


def test_the_difference_of_standard_input_is_printed_alone(
    segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(UNTIDY.encode())))
    assert segctl("fmt", "-", "--diff").out.startswith("--- a/standard input\n+++ b/")


@pytest.mark.parametrize("words", [("-", "gold.yaml"), ("-", "--json"), ("",)])
def test_what_cannot_be_formatted_together_is_wrong_usage(
    segctl: Segctl, words: tuple[str, ...]
) -> None:
    assert segctl("fmt", *words).code == 64
