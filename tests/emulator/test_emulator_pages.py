"""The pages in a browser: what they show, how they update, what they change."""

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.emulator.browser_kit import Site


def test_the_overview_lists_segments_and_updates_their_figures(site: "Site") -> None:
    site.go("/")
    expect(site.page.locator("main")).to_contain_text("No segment yet")
    site.create("Gold Users", "SEG-GOLD")
    site.add("SEG-GOLD", "a", "b")
    row = site.page.locator("tbody tr")
    expect(row).to_contain_text("Gold Users")
    expect(row.locator("[data-figure=members]")).to_have_text("2")
    site.add("SEG-GOLD", "c")
    expect(row.locator("[data-figure=members]")).to_have_text("3")
    expect(site.page.locator("#figures")).to_contain_text("15for 3 events")


def test_the_overview_shows_new_and_deleted_segments(site: "Site") -> None:
    number = site.create("Gold", "g")
    site.go("/")
    site.create("Silver", "s")
    expect(site.page.locator("tbody tr")).to_have_count(2)
    site.call("DELETE", f"/emulator/v1/segments/{number}")
    expect(site.page.locator("[data-figure=segments]")).to_have_text("1")
    expect(site.page.locator(".badge")).to_have_text("deleted")


def test_the_overview_can_be_filtered(site: "Site") -> None:
    site.create("Gold", "g")
    site.create("Silver", "s")
    site.go("/")
    site.page.get_by_label("Search", exact=True).fill("silv")
    site.page.keyboard.press("Enter")
    expect(site.page.locator("tbody tr")).to_have_count(1)


def test_a_segments_page_shows_members_in_pages(site: "Site") -> None:
    site.create("Gold", "g")
    site.add("g", *[f"user-{n}" for n in range(60)])
    site.add("g", *[f"user-{n}" for n in range(60, 150)])
    site.go("/")
    site.page.get_by_role("link", name="Gold").click()
    expect(site.page.locator("#users tr")).to_have_count(100)
    site.page.get_by_role("link", name="Next").first.click()
    expect(site.page.locator("#users tr")).to_have_count(50)
    site.page.get_by_label("Identity or object id contains").fill("user-14")
    site.page.get_by_role("button", name="Search").click()
    expect(site.page.locator("#users tr")).to_have_count(11)


def test_a_segments_page_updates_its_reach(site: "Site") -> None:
    number = site.create("Gold", "g")
    site.add("g", "a")
    site.go(f"/segments/{number}")
    record = {"identity": "a", "type": "profile", "profileData": {"Email": "a@example.com"}}
    site.call("POST", "/1/upload", {"d": [record]})
    expect(site.page.locator("[data-figure=email]")).to_have_text("1")


def test_a_segment_is_deleted_as_in_the_dashboard(site: "Site") -> None:
    number = site.create("Gold", "g")
    site.go(f"/segments/{number}")
    site.confirm("Delete segment")
    expect(site.page.locator(".badge")).to_have_text("deleted")
    assert site.call("GET", "/emulator/v1/segments")[0]["deleted"] is True


def test_events_appear_as_they_happen(site: "Site") -> None:
    site.create("Gold", "g")
    site.go("/events")
    site.add("g", "a", "b")
    rows = site.page.locator("#events tr:not(.group)")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("b")
    expect(site.page.locator(".pager").first).to_contain_text("1–2 of 2 events")


def test_skipped_entries_appear_as_they_happen_and_filters_stay(site: "Site") -> None:
    site.create("Gold", "g")
    site.go("/errors")
    site.page.get_by_label("Type").select_option("API_SEGMENT_EMPTY_IDENTITY")
    site.add("nowhere", "a")
    site.add("g", "")
    rows = site.page.locator("#errors tr:not(.group)")
    expect(rows).to_have_count(2)
    site.page.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(1)


def test_an_update_keeps_what_is_typed_scrolled_and_focused(site: "Site") -> None:
    site.create("Gold", "g")
    for start in (0, 60):
        site.add("g", *[f"user-{number}" for number in range(start, start + 60)])
    site.go("/events")
    site.page.get_by_label("Segment").fill("half a na")
    link = site.page.get_by_role("link", name="user-30", exact=True)
    link.focus()
    top = link.bounding_box()
    site.add("g", "late")
    expect(site.page.locator("#events")).to_contain_text("late")
    assert site.page.evaluate("document.activeElement.textContent") == "user-30"
    assert site.page.get_by_label("Segment").input_value() == "half a na"
    assert link.bounding_box() == top


def test_all_tabs_of_a_browser_share_one_connection(site: "Site") -> None:
    site.create("Gold", "g")
    tabs = [site.page, *[site.new_page() for _ in range(2)]]
    for tab in tabs:
        site.go("/", tab)
    assert len(site.emulator.app.state.service.streams) == 1
    tabs[0].close()
    site.add("g", "a")
    for tab in tabs[1:]:
        expect(tab.locator("#segments [data-figure=members]")).to_have_text("1")


HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_hidden_tab_has_no_connection_and_catches_up_when_it_is_shown(site: "Site") -> None:
    site.create("Gold", "g")
    site.go("/")
    with site.page.expect_event("requestfailed", lambda request: "stream" in request.url):
        site.page.evaluate(HIDE, True)
    site.add("g", "a")
    expect(site.page.locator("#segments [data-figure=members]")).to_have_text("0")
    site.page.evaluate(HIDE, False)
    expect(site.page.locator("#segments [data-figure=members]")).to_have_text("1")


def test_a_page_without_a_connection_says_since_when(site: "Site") -> None:
    site.go("/")
    site.context.set_offline(True)
    site.emulator.loop.call_soon_threadsafe(site.emulator.app.state.service.close_streams)
    expect(site.page.locator("#live")).to_have_text(re.compile(r"^not live since \d\d:\d\d:\d\d$"))
    site.emulator.app.state.service.is_closing = False
    site.context.set_offline(False)
    expect(site.page.locator("#live")).to_have_text("live")
    site.console_messages.clear()


def test_markup_in_names_is_shown_and_never_run(site: "Site") -> None:
    name = "<img src=x onerror=\"document.title='run'\"> & 'Größe'"
    number = site.create(name, "<b>id</b>")
    site.add("<b>id</b>", "<script>document.title='run'</script>")
    for path in ("/", f"/segments/{number}", "/events"):
        site.go(path)
        assert site.page.title() != "run"
        assert site.page.locator("main img, main script, td b").count() == 0
    expect(site.page.locator("#events")).to_contain_text("<script>")


def test_the_keyboard_reaches_the_content_first(site: "Site") -> None:
    site.go("/settings")
    site.page.keyboard.press("Tab")
    site.page.keyboard.press("Enter")
    assert site.page.evaluate("document.activeElement.id") == "content"
