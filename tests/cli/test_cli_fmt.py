"""Formatting from the command line: what is written, what is only shown."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
