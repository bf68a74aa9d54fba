"""The HTML file in a browser: a phone shows all member counts without scrolling sideways."""

from collections.abc import Callable
from dataclasses import replace

from playwright.sync_api import sync_playwright

from segctl.plan.model import Plan
from segctl.render import html

WIDTH = 390


def test_a_phone_shows_the_added_and_removed_members(example_plan: Callable[[str], Plan]) -> None:
    plan = example_plan("everyday")
    longest = replace(plan.changes[1], address="segment.gold-members-of-the-north")
    markup = html.render(replace(plan, changes=(longest, *plan.changes)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--headless", "--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": 844})
        page.set_content(markup)
        assert page.evaluate("document.documentElement.scrollWidth") == WIDTH
        for figure in page.locator("table").first.locator("td.plus, td.minus").all():
            box = figure.bounding_box()
            assert box
            assert box["x"] + box["width"] <= WIDTH
        browser.close()
