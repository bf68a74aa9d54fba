"""The examples of docs/formats.md match the schemas, and its tables the program."""

import json
import re
from pathlib import Path

import pytest

from segctl.cli.schema import NAMES
from segctl.render.apply_report import OUTCOMES
from segctl.render.schemas import STREAM_TYPES
from tests.documents import check_document, check_stream

PAGE = (Path(__file__).parents[2] / "docs/formats.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^```json (\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("name", ["plan", "validate", "report", "error"])
def test_an_example_matches_its_schema(name: str) -> None:
    check_document(name, json.loads(EXAMPLES[name]))


def test_the_lines_of_the_stream_match() -> None:
    assert len(check_stream(EXAMPLES["apply"])) == 4


def test_the_line_of_the_log_has_the_fields_that_the_page_names() -> None:
    assert set(json.loads(EXAMPLES["log"])) == {"timestamp", "level", "logger", "message", "fields"}


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def cells(text: str, column: int) -> set[str]:
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")]
    return {word for row in rows for word in re.findall(r"`(\w+)`", row[column])}


def test_every_schema_every_type_and_every_outcome_is_in_its_table() -> None:
    assert cells(section("The formats"), 3) == set(NAMES)
    assert cells(section("The stream of an apply"), 1) == set(STREAM_TYPES)
    assert cells(section("The report of an apply"), 1) - {"outcome"} == set(OUTCOMES)
