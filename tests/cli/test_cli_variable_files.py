"""Values of variables from files: their order, their form, and what is said of a wrong one."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.cli.arguments import split_levels
from segctl.cli.main import cli

Segctl = Callable[..., Any]

PROJECT = """\
apiVersion: segctl/v1
kind: Project
metadata: {name: test}
spec: {variables: {tier: {default: none}, level: {default: none}}}
"""
GOLD = """\
apiVersion: segctl/v1
kind: Segment
metadata: {name: gold}
spec: {displayName: 'tier ${var.tier} level ${var.level}', members: [{identities: [a]}]}
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace whose segment shows two variables."""
    (tmp_path / "segctl.yaml").write_text(PROJECT, encoding="utf-8")
    (tmp_path / "gold.yaml").write_text(GOLD, encoding="utf-8")
    (tmp_path / "a.vars").write_text("tier: a\n", encoding="utf-8")
    (tmp_path / "b.vars").write_text('{\n\t"tier": "b",\n\t"level": 007\n}', encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ("--var-file a.vars", "tier a level none"),
        ("--var-file a.vars --var-file b.vars", "tier b level 007"),
        ("--var-file b.vars --var-file=a.vars", "tier a level 007"),
        ("--var tier=x --var-file a.vars", "tier a level none"),
        ("--var-file a.vars --var tier=x", "tier x level none"),
    ],
)
def test_the_last_of_options_and_files_counts(segctl: Segctl, options: str, shown: str) -> None:
    assert shown in segctl("plan", *options.split()).out


def test_a_file_wins_over_the_environment(segctl: Segctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGCTL_VAR_TIER", "set")
    assert "tier a" in segctl("plan", "--var-file", "a.vars").out


def test_standard_input_is_a_file(segctl: Segctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"tier: true\n")))
    assert "tier true" in segctl("plan", "--var-file", "-").out


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("tier: a\ntiger: b\n", 'c.vars:2:1: error: this line sets "tiger"'),
        ("tier: a\ntier: b\n", 'c.vars:2:1: error: the key "tier" is used twice'),
        ("tier: [a]\n", 'c.vars:1:1: error: the variable "tier" is a list.'),
        ("tier: {a: b}\n", 'c.vars:1:1: error: the variable "tier" is a mapping.'),
        ("level: x\ntier:\n", 'c.vars:2:1: error: the variable "tier" has no value.'),
        ("", "c.vars: error: the file is empty."),
        ("# tier: a\n", "c.vars: error: the file is empty."),
        ("tier = a\n", "c.vars:1:1: error: the file is not a mapping."),
        ("tier: a\n---\ntier: b\n", "c.vars:3:1: error: the file has a second document."),
        ("tier: 'a\n", "c.vars:1:7: error: "),
        ("t: " + "x" * (1 << 20), "c.vars: error: the file is larger than 1 MB."),
    ],
)
def test_a_wrong_file_is_an_error_at_its_line(
    segctl: Segctl, workspace: Path, content: str, told: str
) -> None:
    (workspace / "c.vars").write_text(content, encoding="utf-8")
    done = segctl("plan", "--var-file", "c.vars")
    assert (done.code, told in done.err, done.out) == (1, True, "")


def test_the_problems_of_all_files_are_reported_at_once(segctl: Segctl, workspace: Path) -> None:
    (workspace / "c.vars").write_text("", encoding="utf-8")
    done = segctl("plan", "--var-file", "c.vars", "--var-file", "d.vars")
    assert "c.vars: error: the file is empty." in done.err
    assert "d.vars: error: --var-file cannot be read: No such file or directory." in done.err


def test_standard_input_is_read_once(segctl: Segctl) -> None:
    done = segctl("plan", "--var-file", "-", "--var-file", "-")
    assert (done.code, "standard input can be read once" in done.err) == (64, True)


def test_a_saved_plan_takes_no_file(segctl: Segctl) -> None:
    segctl("plan", "--out", "a.segplan")
    assert segctl("apply", "a.segplan", "--var-file", "a.vars").code == 64


def test_a_file_gives_no_access_that_the_trusted_copy_does_not_give(
    segctl: Segctl, workspace: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = tmp_path_factory.mktemp("trusted") / "segctl.yaml"
    for path in (workspace / "segctl.yaml", copy):
        path.write_text(
            PROJECT.replace("spec: {", "spec: {allowFolders: ['${var.level}'], "), encoding="utf-8"
        )
    trusted = ("--trusted-config", str(copy))
    assert segctl("plan", *trusted, "--var", f"level={workspace}").code == 0
    (workspace / "c.vars").write_text(f"level: {workspace}\n", encoding="utf-8")
    done = segctl("plan", *trusted, "--var-file", "c.vars")
    assert (done.code, "allowFolders has" in done.err) == (1, True)


@given(st.lists(st.sampled_from(["--var=tier=x", "--var tier=y", "--var-file=a", "--json"])))
def test_the_words_in_their_order_are_those_that_click_reads(words: list[str]) -> None:
    split = [part for word in words for part in word.split()]
    level = split_levels(click.Context(cli), ["plan", *split])[-1]
    read = [word.value for word in level.options if word.option and word.option.name == "variables"]
    parsed = level.context.command.make_parser(level.context).parse_args(split)[0]
    assert read == parsed.get("variables", [])
