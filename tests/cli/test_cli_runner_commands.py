"""No text can speak to the CI runner that shows it."""

import io
import json
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.cli.screen import Screen

COMMAND = re.compile(r"^\s*::|##\[|##vso\[", re.MULTILINE)
TEXT = st.lists(st.sampled_from(["::error::x", "##[error]", "##vso[x]", " ", "\t", "\n", "a"]))


@given(parts=TEXT)
def test_no_line_begins_like_a_command_of_a_runner(parts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        shown = io.StringIO()
        patch.setattr(sys, "stderr", shown)
        Screen().err("".join(parts))
    assert not any(COMMAND.search(line) for line in shown.getvalue().split("\n"))


def test_json_keeps_its_values() -> None:
    document = {"name": "##[add-mask]e", "other": ["##vso[x]", "# ##", "::x"]}
    with pytest.MonkeyPatch.context() as patch:
        shown = io.StringIO()
        patch.setattr(sys, "stdout", shown)
        Screen().out(json.dumps(document))
    assert not COMMAND.search(shown.getvalue())
    assert json.loads(shown.getvalue()) == document


@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028"])
@pytest.mark.parametrize("space", ["", " ", "\t", "\u00a0", "\u2003"])
def test_no_space_or_line_end_hides_a_command(line_end: str, space: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        shown = io.StringIO(newline="")
        patch.setattr(sys, "stdout", shown)
        Screen().out(f"a{line_end}{space}::error::x\n{space}::add-mask::y ##teamcity[z]")
    assert not re.search(r"(?:^|[\n\r\v\f\x85\u2028])\s*::|##teamcity\[", shown.getvalue())


def test_an_annotation_is_a_command_and_is_written_once() -> None:
    with pytest.MonkeyPatch.context() as patch:
        shown = io.StringIO()
        patch.setattr(sys, "stderr", shown)
        screen = Screen()
        for _ in range(2):
            screen.annotate("::error file=a::b\n")
    assert shown.getvalue() == "::error file=a::b\n"
