"""The emulator's page tells the truth: its tests exist, its switches are all there."""

import re
from dataclasses import fields
from pathlib import Path

from segctl.emulator.faults import FAULTS
from segctl.emulator.settings import SWITCH, Settings

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "emulator.md").read_text("utf-8")


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    written = {
        name
        for file in HERE.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.MULTILINE)
    }
    assert named
    assert named <= written


def test_every_switch_stands_on_the_page_with_its_choices_and_question() -> None:
    for each in fields(Settings):
        if each.metadata["kind"] == SWITCH:
            choices = ", ".join(f"`{choice}`" for choice in each.metadata["choices"])
            assert f"| `{each.name}` | {choices} | {each.metadata['question']} |" in PAGE


def test_every_fault_stands_on_the_page() -> None:
    assert [name for name in FAULTS if f"`{name}`" not in PAGE] == []
