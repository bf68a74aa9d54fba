"""The plan as JSON contains no identity. ``test_render_schemas.py`` checks its form."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from segctl.plan.model import Plan
from segctl.render import json_document

ExamplePlan = Callable[[str], Plan]


def document(plan: Plan) -> Any:
    return json.loads(json_document.render(plan))


def test_the_document_contains_no_identity(example_plan: ExamplePlan) -> None:
    page = json_document.render(example_plan("everyday"))
    assert "@" not in page
    assert "abcde12345" not in page


def test_the_document_is_ascii_even_if_names_are_not(example_plan: ExamplePlan) -> None:
    assert json_document.render(example_plan("hostile")).isascii()


def test_the_counts_are_those_of_the_plan(example_plan: ExamplePlan) -> None:
    written = document(example_plan("everyday"))
    assert written["summary"] == {
        "create": 1,
        "adopt": 0,
        "update": 1,
        "replace": 0,
        "destroy": 0,
        "forget": 0,
        "members_add": 18,
        "members_remove": 600,
    }
    assert written["requests"] == {"create": 1, "update": 7, "naive": 9, "floor": 7}
    assert written["estimate"] == {"seconds": 2.0, "billable_events": 618}
    assert written["changes"][1]["members"] == {
        "before": 12_004,
        "after": 11_420,
        "add": 16,
        "remove": 600,
        "reasserted": 0,
        "quarantined": 0,
        "held_out": 0,
        "suppressed": 0,
    }


def test_a_finding_has_the_figures_of_its_summary(example_plan: ExamplePlan) -> None:
    shared, *_, warned = document(example_plan("ruled"))["findings"]
    assert shared["figures"] == {
        "count": 12,
        "of": None,
        "limit": 0,
        "segments": ["segment.bronze", "segment.silver"],
        "place": "segctl.yaml:12:7",
    }
    assert (warned["figures"]["count"], warned["figures"]["limit"]) == (12, 10)
    assert document(example_plan("everyday"))["findings"][0]["figures"] is None


def test_sample_members_do_not_change_the_document(example_plan: ExamplePlan) -> None:
    plan = example_plan("everyday")
    bare = replace(plan, changes=tuple(replace(c, sample=type(c.sample)()) for c in plan.changes))
    assert json_document.render(plan) == json_document.render(bare)
