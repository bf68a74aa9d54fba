"""The HTML file: self-contained, without scripts, and without full identities."""

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from segctl.plan.model import Plan
from segctl.render import html
from segctl.render.phrases import Identities

ExamplePlan = Callable[[str], Plan]


class Page(HTMLParser):
    """The tags and attributes of a page, and its text."""

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
        self.words += data


def test_the_file_loads_nothing(example_plan: ExamplePlan) -> None:
    page = Page(html.render(example_plan("everyday")))
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not {"href", "src", "style", "onclick"} & {name for name, _ in page.attributes}


def test_the_policy_allows_only_the_style_sheet_of_the_file(example_plan: ExamplePlan) -> None:
    page = html.render(example_plan("everyday"))
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in page


def test_hostile_names_do_not_become_markup(example_plan: ExamplePlan) -> None:
    page = Page(html.render(example_plan("hostile")))
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.words
    assert "\x1b" not in page.words
    assert "\u202e" not in page.words


@pytest.mark.parametrize("mode", [Identities.MASKED, Identities.NONE])
def test_members_are_not_shown_in_full(mode: Identities, example_plan: ExamplePlan) -> None:
    page = Page(html.render(example_plan("everyday"), identities=mode))
    assert "example.com" not in page.words
    assert ("n…@e….com" in page.words) == (mode is Identities.MASKED)


def test_the_summary_is_the_same_as_in_text(example_plan: ExamplePlan) -> None:
    words = Page(html.render(example_plan("everyday"))).words
    assert "Plan: 1 to add, 1 to change, 0 to destroy." in words
    assert "618 billable events." in words
