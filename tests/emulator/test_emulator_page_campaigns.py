"""The pages of campaigns: what the server shows, and the form in a browser."""

from typing import TYPE_CHECKING, Any

from playwright.sync_api import Locator, expect

if TYPE_CHECKING:
    from tests.emulator.browser_kit import Site
    from tests.emulator.conftest import Client

OFFLINE = {"name": "News", "kind": "offline", "channel": "email", "include": ["gold"], "when": None}
BROWSER = {"Accept": "text/html"}


def create(client: "Client", **changes: Any) -> int:
    answer = client.call("POST", "/emulator/v1/campaigns?account=ACC-1", json=OFFLINE | changes)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["id"])


def test_campaigns_are_listed_with_their_segments_and_status(client: "Client") -> None:
    assert "No campaign yet" in client.call("GET", "/campaigns").text
    client.create("gold", "silver")
    create(client, exclude=["silver"])
    text = client.call("GET", "/campaigns").text
    assert all(each in text for each in ("News", "Name of gold", "not in", "draft"))
    assert "News" not in client.call("GET", "/campaigns?account=ACC-2").text


def test_a_campaign_shows_its_frozen_audience(client: "Client") -> None:
    client.create("gold")
    client.update(["a<b"], [("gold", "ADD")])
    number = create(client, when="now")
    client.update(["later"], [("gold", "ADD")])
    text = client.call("GET", f"/campaigns/{number}").text
    assert "a&lt;b" in text
    assert "later" not in text


def test_the_trigger_log_is_shown_in_pages_newest_first(client: "Client") -> None:
    client.create("gold")
    number = create(
        client, kind="online", include=[], when="now", trigger={"action": "ADD", "segment": "gold"}
    )
    for first in (0, 100):
        client.update([f"user-{first + n:03d}" for n in range(100)], [("gold", "ADD")])
    client.run(lambda _http: client.app.state.service.engagement.run_due())
    text = client.call("GET", f"/campaigns/{number}").text
    assert 0 < text.index("user-199") < text.index("user-100")
    assert "user-099" not in text
    older = text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert "user-099" in client.call("GET", older).text


def test_a_trigger_names_its_segment(client: "Client") -> None:
    client.create("gold")
    trigger = {"action": "ANY", "segment": None}
    number = create(client, kind="online", include=[], when="now", trigger=trigger)
    client.update(["ada"], [("gold", "ADD")])
    client.run(lambda _http: client.app.state.service.engagement.run_due())
    assert "Name of gold" in client.call("GET", f"/campaigns/{number}").text


def test_a_campaign_of_many_segments_links_the_first_ones(client: "Client") -> None:
    names = [f"s{number:02d}" for number in range(15)]
    client.create(*names)
    number = create(client, include=names)
    for path in ("/campaigns", f"/campaigns/{number}"):
        text = client.call("GET", path).text
        assert "Name of s09</bdi></a> and 5 more" in text
        assert "Name of s10" not in text


def test_a_segment_of_many_campaigns_links_the_first_ones(client: "Client") -> None:
    client.create("gold")
    for number in range(12):
        trigger = {"action": "ADD", "segment": "gold"}
        create(client, name=f"C{number}", kind="online", include=[], when="now", trigger=trigger)
    assert "C9</bdi></a> and 2 more" in client.call("GET", "/").text


def test_a_new_campaign_asks_for_its_account_and_finds_segments(client: "Client") -> None:
    client.create("gold", "silver")
    assert "Which account?" in client.call("GET", "/campaigns/new").text
    text = client.call("GET", "/campaigns/new?account=ACC-1&q=SILV").text
    assert "Name of silver" in text
    assert "Name of gold" not in text


def test_a_campaign_that_does_not_exist_is_a_page(client: "Client") -> None:
    page = client.call("GET", "/campaigns/1", headers=BROWSER)
    assert (page.status_code, "No such campaign" in page.text) == (404, True)


def figure(site: "Site", name: str) -> Locator:
    return site.page.locator(f"#estimate [data-figure={name}]")


def test_the_audience_is_estimated_while_one_picks(site: "Site") -> None:
    site.create("Gold", "g")
    site.create("Silver", "s")
    site.add("g", "a", "b", "c")
    site.add("s", "c")
    site.go("/campaigns/new")
    site.page.get_by_label("Name", exact=True).fill("News")
    site.page.get_by_label("Find a segment").fill("gol")
    expect(site.page.locator("#found li")).to_have_count(1)
    site.page.get_by_role("button", name="Include").click()
    expect(figure(site, "audience")).to_have_text("3")
    site.page.get_by_label("Find a segment").fill("")
    expect(site.page.locator("#found li")).to_have_count(2)
    site.page.locator("#found li", has_text="Silver").get_by_role("button", name="Exclude").click()
    expect(figure(site, "audience")).to_have_text("2")
    site.add("g", "d")
    expect(figure(site, "audience")).to_have_text("3")
    site.page.get_by_role("button", name="Create campaign").click()
    expect(site.page.locator("#audience tbody tr")).to_have_count(3)


def test_a_trigger_is_composed_and_its_log_is_live(site: "Site") -> None:
    site.create("Gold", "g")
    site.go("/campaigns/new")
    site.page.get_by_label("Name", exact=True).fill("Welcome")
    site.page.get_by_label("Kind").select_option("online")
    site.page.get_by_role("button", name="Choose").click()
    site.page.get_by_role("button", name="Add a filter").click()
    site.page.get_by_label("Property").select_option("Segment Name")
    site.page.get_by_label("Operator").select_option("contains")
    site.page.get_by_label("Value").fill("Go")
    site.page.get_by_role("button", name="Create campaign").click()
    expect(site.page.locator("#triggers")).to_contain_text("Nothing sent yet")
    site.add("g", "a")
    expect(site.page.locator("#triggers tbody tr")).to_contain_text("unreachable")
    with site.page.expect_navigation():
        site.confirm("Stop")
    expect(site.page.locator(".lead .badge")).to_have_text("stopped")
    site.confirm("Delete")
    expect(site.page.locator("main")).to_contain_text("No campaign yet")
    site.forgive_not_found()


def test_a_refused_campaign_says_why_and_keeps_what_was_typed(site: "Site") -> None:
    site.go("/campaigns/new")
    site.page.get_by_label("Name", exact=True).fill("News")
    site.page.get_by_role("button", name="Create campaign").click()
    expect(site.page.locator(".saved")).to_contain_text("include is empty")
    expect(site.page.get_by_label("Name", exact=True)).to_have_value("News")
    site.take_refusals()
