"""The pages in a browser: what they show, how they update, what they change."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.emulator.browser_kit import Site

PATHS = ("/", "/events", "/errors", "/settings", "/faults")


def test_the_overview_lists_segments_and_updates_their_figures(site: Site) -> None:
    site.go("/")
    expect(site.page.locator("main")).to_contain_text("No segment yet")
    site.create("Gold Users", "SEG-GOLD")
    site.add("SEG-GOLD", "a", "b")
    row = site.page.locator("tbody tr")
    expect(row).to_contain_text("Gold Users")
    expect(row.locator("[data-figure=members]")).to_have_text("2")
    site.add("SEG-GOLD", "c")
    expect(row.locator("[data-figure=members]")).to_have_text("3")
    expect(site.page.locator("#figures")).to_contain_text("15 data points")


def test_the_overview_shows_new_and_deleted_segments(site: Site) -> None:
    number = site.create("Gold", "g")
    site.go("/")
    site.create("Silver", "s")
    expect(site.page.locator("tbody tr")).to_have_count(2)
    site.call("DELETE", f"/emulator/v1/segments/{number}")
    expect(site.page.locator("[data-figure=segments]")).to_have_text("1")
    expect(site.page.locator(".badge")).to_have_text("deleted")


def test_the_overview_can_be_filtered(site: Site) -> None:
    site.create("Gold", "g")
    site.create("Silver", "s")
    site.go("/")
    site.page.get_by_label("Search", exact=True).fill("silv")
    site.page.keyboard.press("Enter")
    expect(site.page.locator("tbody tr")).to_have_count(1)


def test_a_segments_page_shows_members_in_pages(site: Site) -> None:
    site.create("Gold", "g")
    site.add("g", *[f"user-{n}" for n in range(60)])
    site.add("g", *[f"user-{n}" for n in range(60, 150)])
    site.go("/")
    site.page.get_by_role("link", name="Gold").click()
    expect(site.page.locator("tbody tr")).to_have_count(100)
    site.page.get_by_role("link", name="Next").click()
    expect(site.page.locator("tbody tr")).to_have_count(50)


def test_a_segments_page_updates_its_reach(site: Site) -> None:
    number = site.create("Gold", "g")
    site.add("g", "a")
    site.go(f"/segments/{number}")
    record = {"identity": "a", "type": "profile", "profileData": {"Email": "a@example.com"}}
    site.call("POST", "/1/upload", {"d": [record]})
    expect(site.page.locator("[data-figure=email]")).to_have_text("1")


def test_a_segment_is_deleted_as_in_the_dashboard(site: Site) -> None:
    number = site.create("Gold", "g")
    site.go(f"/segments/{number}")
    site.confirm("Delete segment")
    expect(site.page.locator(".badge")).to_have_text("deleted")
    assert site.call("GET", "/emulator/v1/segments")[0]["deleted"] is True


def test_events_appear_as_they_happen(site: Site) -> None:
    site.create("Gold", "g")
    site.go("/events")
    site.add("g", "a", "b")
    expect(site.page.locator("#events tr")).to_have_count(2)
    expect(site.page.locator("#events tr").first).to_contain_text("b")
    shown = site.page.locator("#events").inner_text()
    site.go("/events")
    assert site.page.locator("#events").inner_text() == shown


def test_the_error_stream_is_filtered_by_type(site: Site) -> None:
    site.create("Gold", "g")
    site.add("nowhere", "a")
    site.add("g", "")
    site.go("/errors")
    expect(site.page.locator("tbody tr")).to_have_count(2)
    site.page.get_by_label("Type").select_option("API_SEGMENT_EMPTY_IDENTITY")
    site.page.get_by_role("button", name="Filter").click()
    expect(site.page.locator("tbody tr")).to_have_count(1)


def test_markup_in_names_is_shown_and_never_run(site: Site) -> None:
    name = "<img src=x onerror=\"document.title='run'\"> & 'Größe'"
    number = site.create(name, "<b>id</b>")
    site.add("<b>id</b>", "<script>document.title='run'</script>")
    for path in ("/", f"/segments/{number}", "/events"):
        site.go(path)
        assert site.page.title() != "run"
        assert site.page.locator("main img, main script, td b").count() == 0
    expect(site.page.locator("#events")).to_contain_text("<script>")


CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const even = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [x, y, z] = [r, g, b].map(even);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const wrong = [];
  for (const node of document.querySelectorAll("main *, header *, footer")) {
    const own = [...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim());
    if (!own || !node.offsetParent) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) wrong.push(`${node.tagName} ${node.className} ${ratio.toFixed(2)}`);
  }
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!field.labels.length && !field.ariaLabel) wrong.push(`no label: ${field.name}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) wrong.push("wider than the window");
  if (document.querySelectorAll("h1").length !== 1) wrong.push("not one h1");
  return wrong;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_pages_have_contrast_labels_and_fit_the_window(site: Site, scheme: Any, width: int) -> None:
    number = site.create("Gold", "g")
    site.create("Gone", "x")
    site.call("DELETE", f"/emulator/v1/segments/{number + 1}")
    site.add("g", "a", "")
    site.page.emulate_media(color_scheme=scheme)
    site.page.set_viewport_size({"width": width, "height": 800})
    for path in (*PATHS, f"/segments/{number}"):
        site.go(path)
        assert site.page.evaluate(CONTRAST) == [], path


def test_the_keyboard_reaches_the_content_first(site: Site) -> None:
    site.go("/settings")
    site.page.keyboard.press("Tab")
    site.page.keyboard.press("Enter")
    assert site.page.evaluate("document.activeElement.id") == "content"
