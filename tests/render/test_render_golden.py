"""All views of the example plans, as whole pages. SEGCTL_REGENERATE=1 rewrites the pages."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from segctl.plan.model import Plan
from segctl.render import html, json_document, markdown, text
from tests.render.conftest import HASHED

GOLDEN = Path(__file__).parent / "golden"
CASES = ("everyday", "unchanged", "oddities", "refused", "hostile", "ruled")
VIEWS: Mapping[str, Callable[[Plan], str]] = {
    "plan.txt": text.render,
    "masked.txt": lambda plan: text.render(plan, identities=HASHED),
    "plan.md": lambda plan: markdown.render(plan, identities=HASHED),
    "plan.json": json_document.render,
    "plan.html": lambda plan: html.render(plan, identities=HASHED),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("case", CASES)
def test_a_view_matches_its_golden_page(
    case: str, view: str, example_plan: Callable[[str], Plan]
) -> None:
    page = VIEWS[view](example_plan(case))
    path = GOLDEN / case / view
    if os.environ.get("SEGCTL_REGENERATE"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    assert page == path.read_text(encoding="utf-8")
