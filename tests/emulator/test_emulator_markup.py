"""The pages without a browser: what the server renders, and that it is escaped."""

from typing import TYPE_CHECKING

import pytest

from segctl.emulator.pages.html import el

if TYPE_CHECKING:
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


def test_the_newest_events_come_first_and_only_those_in_sight(
    client: "Client", other: "Client", clock: "Clock"
) -> None:
    client.create("gold")
    other.create("silver")
    client.update(["early"], [("gold", "ADD")])
    other.update(["foreign"], [("silver", "ADD")])
    clock.now += 10
    client.update(["late"], [("gold", "ADD")])
    text = client.call("GET", "/events?account=ACC-1").text
    assert "foreign" not in text
    assert 0 < text.index("late") < text.index("early")
    client.settings(visibility_lag_ms=5000)
    assert "late" not in client.call("GET", "/events").text


def test_assets_are_a_closed_list(client: "Client") -> None:
    assert client.call("GET", "/assets/app.css").headers["content-type"].startswith("text/css")
    for path in ("/assets/..%2fviews.py", "/assets/none.css", "/segments/1"):
        assert client.call("GET", path).status_code == 404


def test_markup_is_escaped_by_construction() -> None:
    assert el("p", "<b>", class_='a"b', hidden=True, id=None) == (
        '<p class="a&quot;b" hidden>&lt;b&gt;</p>'
    )
    assert el("p", ["x", el("br"), None, 1]) == "<p>x<br>1</p>"
