"""The HTML file: self-contained, with a script and a style of its own, and masked user keys."""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from segctl.core.diagnostics import Severity
from segctl.plan.model import Finding, Flow, Plan
from segctl.render import html
from segctl.render.html_segments import format_growth, listed_changes
from segctl.render.member_format import IN_FULL, NOT_SHOWN, MemberFormat
from segctl.render.phrases import format_percent
from tests.render.conftest import HASHED
from tests.render.report_plans import REFUSED, SMALL, TRAPPED, UNCHANGED, build_plan, large_plan

ExamplePlan = Callable[[str], Plan]


class Page(HTMLParser):
    """The tags and attributes of a page, and its text without style and script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] not in (["style"], ["script"]):
            self.words += data

    def values(self, name: str) -> set[str | None]:
        """Return the values of an attribute."""
        return {value for key, value in self.attributes if key == name}


@pytest.mark.parametrize("plan", [SMALL, REFUSED, UNCHANGED, TRAPPED])
def test_the_file_loads_nothing(plan: Plan) -> None:
    page = Page(html.render(plan))
    assert not {"link", "img", "iframe", "object", "base"} & set(page.tags)
    assert page.tags.count("script") == page.tags.count("style") == 1
    assert not {
        name
        for name, _ in page.attributes
        if name in ("src", "style", "xlink:href", "action") or name.startswith("on")
    }


@pytest.mark.parametrize("plan", [SMALL, REFUSED, UNCHANGED, TRAPPED])
def test_every_link_leads_to_a_place_in_the_file(plan: Plan) -> None:
    page = Page(html.render(plan))
    assert page.values("href") <= {f"#{name}" for name in page.values("id")}


@pytest.mark.parametrize("tag", ["style", "script"])
def test_the_policy_allows_only_the_style_and_the_script_of_the_file(tag: str) -> None:
    page = html.render(TRAPPED)
    (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert "default-src 'none'; style-src 'sha256-" in page
    assert f"{tag}-src 'sha256-{digest}';" in page


def test_hostile_names_do_not_become_markup(example_plan: ExamplePlan) -> None:
    page = Page(html.render(example_plan("hostile")))
    assert page.tags.count("script") == 1
    assert "<script>alert(1)</script>" in page.words
    assert "\x1b" not in page.words
    assert "\u202e" not in page.words


@pytest.mark.parametrize("shown", [HASHED, NOT_SHOWN])
def test_members_are_not_shown_in_full(shown: MemberFormat, example_plan: ExamplePlan) -> None:
    page = Page(html.render(example_plan("everyday"), identities=shown))
    assert "example.com" not in page.words
    assert ("segctl members --find HASH" in page.words) == (shown is HASHED)


def test_the_file_says_when_user_keys_are_in_full() -> None:
    words = Page(html.render(SMALL, identities=IN_FULL)).words
    assert "council00@example.com" in words
    assert "User keys are shown in full: keep this file as safe as they are." in words


def test_the_result_costs_and_origin_are_shown() -> None:
    words = " ".join(Page(html.render(SMALL)).words.split())
    assert "Plan for production: 1 to add, 3 to change, 1 to destroy." in words
    assert "1 segment loses all members: segment.spring-sale (destroy, 8,114 members)" in words
    assert "Billable events13,822" in words
    for fact in ("WRK-485-456Z", "2026-12-03 12:13:20 UTC", 'tier_min = "250"', SMALL.digest):
        assert fact in words


def test_a_refused_plan_says_so_first() -> None:
    words = Page(html.render(REFUSED)).words.partition("Skip to")[2]
    assert words.index("This plan cannot be applied: 2 errors.") < words.index("Plan for")


def test_what_a_guard_or_rule_marks_comes_first_also_if_it_is_unchanged() -> None:
    listed = [change.address.removeprefix("segment.") for change in listed_changes(REFUSED)]
    assert listed == ["gold", "loyal", "spring-sale", "silver", "bronze", "launch-council"]


def test_a_warning_that_is_no_limit_does_not_move_a_segment_up() -> None:
    assert listed_changes(SMALL)[0].address == "segment.spring-sale"


def test_notes_are_below_the_table_and_folded() -> None:
    page = html.render(SMALL)
    assert page.index("data/tier-11.csv") > page.index("</table>")
    assert '<details class="fold"><summary>4 notes' in page


def test_findings_of_a_kind_share_one_line() -> None:
    findings = [
        Finding(severity=Severity.ERROR, code="size", summary=f"segment {n} is too small")
        for n in range(40)
    ]
    page = Page(html.render(replace(SMALL, findings=tuple(findings))))
    assert "size 40 times: segment 0 is too small … and 39 more" in page.words


def test_the_rest_of_a_plan_says_what_is_left() -> None:
    words = Page(html.render(replace(SMALL, remaining=40))).words
    assert "Applied in part: 40 of 13,822 membership changes are left to send." in words


@pytest.mark.parametrize("flows", [None, ()])
def test_without_moves_there_is_no_diagram(flows: tuple[Flow, ...] | None) -> None:
    assert 'id="moves"' not in html.render(replace(SMALL, flows=flows))


def test_a_plan_without_any_facts_renders() -> None:
    empty = build_plan(
        account=None, commit="", made_at=0.0, env_name="", variables={}, lineage="", host=""
    )
    assert "No segment is declared or recorded." in Page(html.render(empty)).words


def test_unchanged_segments_are_named_without_details() -> None:
    page = html.render(SMALL)
    assert page.count("segment.loyal") == 1


def test_a_million_changes_in_2500_segments_stay_below_five_megabytes() -> None:
    plan = large_plan()
    assert plan.members_changed == 1_000_000
    assert len(html.render(plan).encode()) < 5_000_000


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (0, 10, ""),
        (1, 0, ""),
        (600, 12_004, "5.0%"),
        (1, 1_000_000, "<0.1%"),
        (999_999, 1_000_000, ">99.9%"),
        (10, 10, "100%"),
        (300, 10, "3,000%"),
    ],
)
def test_a_share_never_rounds_to_nothing_or_to_all(part: int, whole: int, expected: str) -> None:
    assert format_percent(part, whole) == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(5, 5, ""), (0, 5, "new"), (10, 15, "+50.0%"), (10, 0, "−100%"), (0, 0, "")],
)
def test_growth_has_a_sign(before: int, after: int, expected: str) -> None:
    assert format_growth(before, after) == expected


def test_moves_that_are_not_counted_are_said_to_be(example_plan: ExamplePlan) -> None:
    page = html.render(replace(example_plan("everyday"), flows=None))
    assert "Moves between segments are not counted: " in page
