"""The pages without a browser: what the server renders, and that it escapes every value."""

from typing import TYPE_CHECKING

import pytest

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
