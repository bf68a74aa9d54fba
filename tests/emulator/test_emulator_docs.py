"""docs/emulator.md: the tests it names exist, and it has every switch and every fault."""

import re
from pathlib import Path

from segctl.emulator.faults import FAULTS
from segctl.emulator.settings import QUESTIONS, SWITCHES

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


def test_the_page_has_every_switch_with_its_choices_and_question() -> None:
    for name, choices in SWITCHES.items():
        listed = ", ".join(f"`{choice}`" for choice in choices)
        assert f"| `{name}` | {listed} | {QUESTIONS[name]} |" in PAGE


def test_the_page_has_every_fault() -> None:
    assert [name for name in FAULTS if f"`{name}`" not in PAGE] == []
