"""The pages without a browser: what the server renders, and that it escapes every value."""

import asyncio
import dataclasses
import html
import json
import re
from typing import TYPE_CHECKING

import pytest

from segctl.emulator.faults import FAULT_FIELDS, Rule
from segctl.emulator.settings import QUESTIONS
from tests.emulator.conftest import body

if TYPE_CHECKING:
    import httpx

    from tests.emulator.conftest import Client, Clock

PATHS = ("/", "/events", "/errors", "/settings", "/faults")


@pytest.mark.parametrize("path", PATHS)
def test_pages_show_everything_without_scripts(client: "Client", path: str) -> None:
    client.create("gold")
    client.update(["a"], [("gold", "ADD"), ("nowhere", "ADD")])
    text = client.call("GET", path).text
    assert text.startswith("<!doctype html>")
    wanted = {"/": "gold", "/events": "ADD", "/errors": "nowhere"}.get(path, "Save")
    assert wanted in text


def test_pages_of_one_account_show_that_account(client: "Client", other: "Client") -> None:
    client.create("gold")
    other.create("silver")
    assert "Name of silver" not in client.call("GET", "/?account=ACC-1").text
    assert "Name of silver" in client.call("GET", "/?account=").text
    assert client.call("GET", "/?account=nobody").status_code == 404


def test_the_newest_visible_events_come_first(
    client: "Client", other: "Client", clock: "Clock"
) -> None:
    client.create("gold")
    other.create("silver")
    client.update(["earlier@x"], [("gold", "ADD")])
    other.update(["foreign"], [("silver", "ADD")])
    clock.now += 10
    client.update(["later@x"], [("gold", "ADD")])
    text = client.call("GET", "/events?account=ACC-1").text
    assert "foreign" not in text
    assert 0 < text.index("later@x") < text.index("earlier@x")
    client.settings(visibility_lag_ms=5000)
    assert "later@x" not in client.call("GET", "/events").text


def test_assets_are_a_closed_list(client: "Client") -> None:
    assert client.call("GET", "/assets/app.css").headers["content-type"].startswith("text/css")
    for path in ("/assets/..%2fviews.py", "/assets/none.css", "/segments/1"):
        assert client.call("GET", path).status_code == 404


def test_values_are_escaped_in_text_and_in_attributes(client: "Client") -> None:
    client.create('<b>"')
    client.update(["<i>"], [('<b>"', "ADD"), ("<u>", "ADD")])
    (segment,) = client.read("segments")
    for path in (*PATHS, f"/segments/{segment['ct_segment_id']}", "/errors?user=%22%3E%3Cs%3E"):
        text = client.call("GET", path).text
        assert not any(each in text for each in ("<b>", "<i>", "<u>", "<s>"))
    assert 'value="&#34;&gt;&lt;s&gt;"' in text


BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize("path", ["/segments/1", "/nowhere", "/?account=nobody"])
def test_a_browser_gets_a_page_instead_of_a_404_in_the_vendors_form(
    client: "Client", path: str
) -> None:
    page = client.call("GET", path, headers=BROWSER)
    assert (page.status_code, page.text[:15]) == (404, "<!doctype html>")
    assert "Go to Segments" in page.text
    assert client.call("GET", path).json()["status"] == "fail"


def test_a_page_of_an_error_says_what_is_wrong_and_leads_back_to_its_section(
    client: "Client",
) -> None:
    page = client.call("GET", "/events?action=x", headers=BROWSER)
    assert page.status_code == 400
    assert "action must be ADD or REMOVE." in page.text
    assert '<a class="button" href="/events">Go to Events</a>' in page.text


@pytest.mark.parametrize("path", ["/emulator/v1/segments/1", "/api/nothing", "/1/nothing"])
def test_programs_get_the_vendors_form_even_if_they_accept_pages(
    client: "Client", path: str
) -> None:
    assert client.call("GET", path, headers=BROWSER).json()["code"] == 404


def test_a_page_with_a_wrong_number_in_its_address_says_what_is_wrong(client: "Client") -> None:
    page = client.call("GET", "/requests?before=x", headers=BROWSER)
    assert page.status_code == 400
    assert "before must be a whole number" in page.text


def test_requests_are_summarized_by_call_and_paged(client: "Client") -> None:
    client.create("gold")
    for _ in range(60):
        client.update([], [("gold", "ADD")])
    text = client.call("GET", "/requests").text
    assert "400</span> × 60" in text
    assert "before=12" in text
    assert client.call("GET", "/requests?before=12").text.count("<tr data-key=") == 2 + 11
    assert "No request matches" in client.call("GET", "/requests?status=200&call=upload").text


def test_every_setting_and_every_field_of_a_rule_is_in_its_form(client: "Client") -> None:
    settings = client.call("GET", "/settings").text
    assert [name for name in QUESTIONS if f'name="{name}"' not in settings] == []
    assert {name for fields in FAULT_FIELDS.values() for name in fields} | {"fault"} == {
        each.name for each in dataclasses.fields(Rule)
    }


def test_every_link_and_form_of_a_page_keeps_the_account(client: "Client") -> None:
    client.create("gold")
    client.update(["a"], [("gold", "ADD"), ("nowhere", "ADD")])
    offline = {"name": "News", "kind": "offline", "channel": "email", "include": ["gold"]}
    client.call("POST", "/emulator/v1/campaigns?account=ACC-1", json=offline)
    visited: set[str] = set()
    waiting = ["/?account=ACC-1"]
    while waiting:
        path = waiting.pop()
        visited.add(path)
        page = client.call("GET", path, headers=BROWSER).text
        links = {html.unescape(each) for each in re.findall(r'<a [^>]*href="(/[^"]*)"', page)}
        # What an id names has one account.
        unnamed = {each for each in links if not re.match(r"/emulator/v1/\w+/\d", each)}
        assert [each for each in unnamed if "account=ACC-1" not in each] == [], path
        forms = re.findall(r'<form[^>]* method="get".*?</form>', page, re.DOTALL)
        assert all('name="account"' in each for each in forms), path
        pages = {each for each in links if not each.startswith("/emulator/")}
        waiting += sorted(pages - visited - set(waiting))
    assert len(visited) > 10


def test_the_page_of_a_segment_or_campaign_is_about_its_account(client: "Client") -> None:
    number = client.create("gold")["gold"]
    text = client.call("GET", f"/segments/{number}").text
    assert '<option value="ACC-1" selected>' in text
    assert 'href="/events?account=ACC-1"' in text


def test_a_page_that_a_change_overtakes_is_known_to_be_old(client: "Client") -> None:
    client.create(*[f"segment-{number}" for number in range(100)])
    lines = [(f"segment-{number}", "ADD") for number in range(100)]

    async def work(http: "httpx.AsyncClient") -> "httpx.Response":
        update = http.post("/api/updateSegment", json=body((["a"], lines)))
        page, _ = await asyncio.gather(http.get("/?account=ACC-1"), update)
        return page

    page = client.run(work).text
    versions = json.loads(html.unescape(re.findall(r'data-versions="(.*?)"', page)[0]))
    is_complete = page.count('data-figure="members">1<') == 100
    assert is_complete or versions["data"] < client.read("changes")["data"]
