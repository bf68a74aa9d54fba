"""The pages of the emulator in docs: their tests exist, and each switch and fault is there."""

import re
from pathlib import Path

from segctl.emulator.faults import FAULTS
from segctl.emulator.settings import QUESTIONS, SWITCHES

HERE = Path(__file__).parent
PAGES = {
    file.stem: file.read_text("utf-8") for file in (HERE.parents[1] / "docs").glob("emulator*.md")
}


def test_every_test_that_the_pages_name_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", "\n".join(PAGES.values())))
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
        assert f"| `{name}` | {listed} | {QUESTIONS[name]} |" in PAGES["emulator-settings"]


def test_the_page_has_every_fault() -> None:
    assert [name for name in FAULTS if f"`{name}`" not in PAGES["emulator"]] == []
