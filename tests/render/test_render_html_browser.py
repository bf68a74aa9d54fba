"""The HTML file in a browser: it fits, sorts, searches, is legible, and runs nothing foreign."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from segctl.render import html
from tests.render.report_plans import REFUSED, SMALL, TRAPPED, UNCHANGED, large_plan

PLANS = {
    "small": SMALL,
    "refused": REFUSED,
    "unchanged": UNCHANGED,
    "hostile": TRAPPED,
    "many": large_plan(segments=250, changes=100_000),
    "large": large_plan(),
}
DESK, PHONE = 1440, 390

# Computes the contrast of every text with the nearest ground behind it (WCAG 2.2, 1.4.3).
CONTRAST = """() => {
  const channels = (color) => {
    const parts = color.match(/[\\d.e-]+/g).map(Number);
    return color.startsWith("color(") ? parts.map((p, i) => (i < 3 ? p * 255 : p)) : parts;
  };
  const light = ([r, g, b]) => [r, g, b]
    .map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = channels(getComputedStyle(e).backgroundColor);
      if (color.length < 4 || color[3] > 0.99) return color;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    const has = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!has || e.closest("script, svg, [hidden]")) continue;
    const [a, b] = [light(channels(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push([e.outerHTML.slice(0, 80), ratio]);
  }
  return poor;
}"""


class Reports:
    """Opens reports in a browser, and collects what they say, ask for and request."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.browser = browser
        self.folder = folder
        self.messages: list[str] = []
        self.requests: list[str] = []

    def open(self, name: str, *, width: int = DESK, **options: Any) -> Page:
        """Open the report of one of ``PLANS`` on a screen of this width."""
        file = self.folder / f"{name}.html"
        file.write_text(html.render(PLANS[name]), encoding="utf-8")
        page = self.browser.new_page(viewport={"width": width, "height": 900}, **options)
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("dialog", lambda dialog: self.messages.append(dialog.message))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(file.as_uri())
        return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield one browser for all tests of this module."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--headless", "--no-sandbox", "--disable-gpu"],
        )
        yield browser
        browser.close()


@pytest.fixture
def reports(browser: Browser, tmp_path: Path) -> Iterator[Reports]:
    """Yield a maker of pages; afterwards none of them complained or requested anything else."""
    reports = Reports(browser, tmp_path)
    yield reports
    for context in browser.contexts:
        context.close()
    assert reports.messages == []
    assert all(url.startswith(tmp_path.as_uri()) for url in reports.requests)
    assert len(reports.requests) == 1


def addresses(page: Page) -> list[str]:
    """Return the addresses of the visible rows, in their order."""
    return page.locator("#table tbody tr:visible th a").all_inner_texts()


@pytest.mark.parametrize("width", [DESK, PHONE, 700])
@pytest.mark.parametrize("name", ["small", "refused", "unchanged", "hostile", "many"])
def test_no_report_scrolls_sideways(reports: Reports, name: str, width: int) -> None:
    page = reports.open(name, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("name", ["small", "refused", "many"])
def test_the_first_screen_of_a_desk_shows_the_first_segment(reports: Reports, name: str) -> None:
    box = reports.open(name).locator("#table tbody tr").first.bounding_box()
    assert box
    assert box["y"] + box["height"] <= 900


@pytest.mark.parametrize("name", ["small", "refused", "many"])
def test_the_first_screen_of_a_phone_shows_result_loss_and_cost(
    reports: Reports, name: str
) -> None:
    box = reports.open(name, width=PHONE).locator("#result").bounding_box()
    assert box
    assert box["y"] + box["height"] <= 844


def test_a_phone_shows_all_figures_of_each_segment(reports: Reports) -> None:
    page = reports.open("refused", width=PHONE)
    for figure in page.locator("#table td.n:not(:empty)").all():
        box = figure.bounding_box()
        assert box
        assert 0 <= box["x"] < box["x"] + box["width"] <= PHONE


@pytest.mark.parametrize("width", [1000, PHONE])
def test_a_narrow_screen_shows_every_button_that_sorts(reports: Reports, width: int) -> None:
    page = reports.open("refused", width=width)
    buttons = page.locator("#table thead button").all()
    assert len(buttons) == 8
    for button in buttons:
        box = button.bounding_box()
        assert box
        assert 0 <= box["x"] < box["x"] + box["width"] <= width


@pytest.mark.parametrize("width", [DESK, 1160, 1000, PHONE])
def test_the_figures_of_a_segment_do_not_overlap(reports: Reports, width: int) -> None:
    page = reports.open("refused", width=width)
    for row in page.locator("#table tbody tr").all():
        whole = row.bounding_box()
        assert whole
        assert whole["height"] < 180
        boxes = [cell.bounding_box() for cell in row.locator("td:not(:empty), th").all()]
        shown = [box for box in boxes if box]
        for first in shown:
            for second in shown:
                apart = (
                    first["x"] + first["width"] <= second["x"] + 0.5
                    or second["x"] + second["width"] <= first["x"] + 0.5
                    or first["y"] + first["height"] <= second["y"] + 0.5
                    or second["y"] + second["height"] <= first["y"] + 0.5
                )
                assert first is second or apart


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("name", ["small", "refused"])
def test_every_text_has_enough_contrast(
    reports: Reports, name: str, width: int, scheme: str
) -> None:
    page = reports.open(name, width=width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate(CONTRAST) == []


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("Segment", ["bronze", "gold", "launch-council", "silver", "spring-sale"]),
        ("Before", ["bronze", "silver", "gold", "spring-sale", "launch-council"]),
        ("After", ["bronze", "silver", "gold", "launch-council", "spring-sale"]),
        ("Added", ["silver", "gold", "bronze", "launch-council", "spring-sale"]),
        ("Removed", ["spring-sale", "bronze", "silver", "gold", "launch-council"]),
        ("Change", ["launch-council", "gold", "silver", "bronze", "spring-sale"]),
        ("Why", ["bronze", "gold", "silver", "launch-council", "spring-sale"]),
    ],
)
def test_each_column_sorts_both_ways(reports: Reports, column: str, expected: list[str]) -> None:
    page = reports.open("small")
    button = page.get_by_role("button", name=column, exact=True)
    button.click()
    # Text sorts by whole words in the reader's order, so 1,490 comes after 816.
    if column == "Why":
        assert addresses(page)[-1] == "segment.spring-sale"
    else:
        assert addresses(page) == [f"segment.{name}" for name in expected]
    first = addresses(page)
    button.press("Enter")
    assert addresses(page) == first[::-1]


def test_the_first_column_restores_the_order_of_danger(reports: Reports) -> None:
    page = reports.open("refused")
    before = addresses(page)
    page.get_by_role("button", name="Before", exact=True).click()
    assert addresses(page) != before
    page.get_by_role("button", name="Action", exact=True).click()
    assert addresses(page) == before
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"


def test_the_search_finds_names_ids_and_unchanged_segments(reports: Reports) -> None:
    page = reports.open("small")
    search = page.get_by_label("Search")
    search.fill("LOYALTY programme")
    assert addresses(page) == ["segment.gold"]
    search.fill("loyal-")
    expect(page.locator("#nothing")).to_have_text("No changed segment matches.")
    search.fill("segment.loyal")
    expect(page.locator("#nothing")).to_have_text("No changed segment matches, but 1 unchanged.")
    search.fill("")
    assert len(addresses(page)) == 5


def test_segments_can_be_chosen_by_action_and_by_mark(reports: Reports) -> None:
    page = reports.open("refused")
    page.get_by_label("Action").select_option("destroy")
    assert addresses(page) == ["segment.spring-sale"]
    page.get_by_label("Action").select_option("marked by a guard or rule")
    assert addresses(page) == ["segment.gold", "segment.loyal"]


@pytest.mark.parametrize("scripts", [True, False])
def test_a_row_leads_to_its_details_and_back(reports: Reports, *, scripts: bool) -> None:
    page = reports.open("small", java_script_enabled=scripts)
    page.locator("#table").get_by_role("link", name="segment.silver").click()
    details = page.locator("details.segment", has_text="segment.silver").filter(
        has=page.locator("#s2")
    )
    expect(details.get_by_text("31,220 → 31,798 members")).to_be_in_viewport()
    details.get_by_role("link", name="Back to the table").click()
    expect(page.locator("#r2")).to_be_in_viewport()


def test_without_scripts_everything_is_there_and_no_control(reports: Reports) -> None:
    page = reports.open("many", java_script_enabled=False)
    expect(page.locator("#table tbody tr").last).to_be_visible()
    expect(page.locator("#controls")).to_be_hidden()
    expect(page.locator("#unfold")).to_be_hidden()
    expect(page.locator("#table thead button")).to_have_count(0)


def test_a_long_table_is_shown_in_parts(reports: Reports) -> None:
    page = reports.open("many")
    rows = page.locator("#table tbody tr:visible")
    expect(rows).to_have_count(100)
    page.get_by_role("button", name="Show 100 more").click()
    expect(rows).to_have_count(200)
    page.get_by_role("button", name="Show all 250").click()
    expect(rows).to_have_count(250)
    page.get_by_label("Search").fill("tier-0249")
    expect(rows).to_have_count(1)


def test_2500_segments_and_a_million_changes_sort_and_search(reports: Reports) -> None:
    page = reports.open("large")
    expect(page.locator("#shown")).to_have_text("100 of 2,500 segments")
    page.get_by_role("button", name="Before", exact=True).click()
    first = page.locator("#table tbody tr").first.locator(".before")
    largest = max(change.members.before for change in PLANS["large"].changes)
    expect(first).to_have_text(f"{largest:,}")
    page.get_by_label("Search").fill("tier-2499")
    expect(page.locator("#table tbody tr:not(.beyond)")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") == DESK


def test_details_lead_back_to_a_row_that_is_not_shown(reports: Reports) -> None:
    page = reports.open("many")
    page.goto(f"{page.url}#s240")
    page.locator("#s240").get_by_role("link", name="Back to the table").click()
    expect(page.locator("#r240")).to_be_in_viewport()


def test_a_finding_leads_to_the_segment(reports: Reports) -> None:
    page = reports.open("refused")
    finding = page.locator(".alerts .finding").first
    finding.locator("summary").click()
    finding.get_by_role("link", name="segment.gold").click()
    expect(page.locator("#s0")).to_be_in_viewport()


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_hostile_values_run_nothing(reports: Reports, width: int) -> None:
    page = reports.open("hostile", width=width)
    page.get_by_role("button", name="Open all").click()
    page.get_by_label("Search").fill("<script>")
    for button in page.locator("#table thead button").all():
        button.click()
    assert page.title() != "ran"
    assert page.locator("img, iframe, object, link").count() == 0
    assert page.locator("script").count() == page.locator("style").count() == 1
    assert "<script>document.title='ran'</script>" in page.locator("#result").inner_text()


def test_a_printed_report_has_all_rows_and_no_controls(reports: Reports) -> None:
    page = reports.open("many")
    page.emulate_media(media="print")
    expect(page.locator("#table tbody tr").last).to_be_visible()
    expect(page.locator("#controls")).to_be_hidden()
