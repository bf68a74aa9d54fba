"""One user: found by any key, with segments, history, skipped entries and channels."""

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Client

KEYS = (
    "a/b/../c",
    "..",
    "  two  spaces ",
    "tab\tand\nline",
    "?q=1&b#c",
    "%2F",
    "ü\u202ex",
    "x" * 200,
)


@pytest.mark.parametrize("key", KEYS)
def test_a_user_with_any_key_is_found(client: "Client", key: str) -> None:
    client.create("gold")
    client.update([key], [("gold", "ADD")])
    found = client.read(f"users?{urlencode({'identity': key})}")
    assert found["identity"] == key
    assert [each["customer_segment_id"] for each in found["segments"]] == ["gold"]
    page = client.call("GET", "/users", params={"user": key}, follow_redirects=True)
    assert page.status_code == 200
    assert "Name of gold" in page.text


@pytest.mark.parametrize("key", ["ada", "a/b//c", "a b", "?#&%2F", "ü"])
def test_a_user_is_named_by_the_path(client: "Client", key: str) -> None:
    client.create("gold")
    client.update([key], [("gold", "ADD")])
    assert client.read(f"users/{quote(key, safe='')}")["identity"] == key


def test_a_user_has_segments_events_errors_channels_and_fields(client: "Client") -> None:
    client.create("gold", "silver")
    client.update(["ada"], [("gold", "ADD"), ("silver", "ADD"), ("nowhere", "ADD")])
    client.update(["ada"], [("silver", "REMOVE")])
    profile = {"Email": "ada@example.com"}
    record = {"identity": "ada", "type": "profile", "profileData": profile}
    client.call("POST", "/1/upload", json={"d": [record]})
    found = client.read("users/ada")
    assert [each["customer_segment_id"] for each in found["segments"]] == ["gold"]
    assert [each["event_props"]["Action"] for each in found["events"]] == ["REMOVE", "ADD", "ADD"]
    assert [each["Customer Segment ID"] for each in found["errors"]] == ["nowhere"]
    assert found["reachable"] == {"any": True, "email": True, "sms": False, "push": False}
    assert found["profile"] == profile


def test_the_segments_of_a_user_are_shown_in_pages(client: "Client") -> None:
    names = [f"s{number:03d}" for number in range(130)]
    for part in (names[:100], names[100:]):
        client.create(*part)
        client.update(["ada"], [(name, "ADD") for name in part])
    first = client.call("GET", "/users?identity=ada").text
    segments = first.split("<h2>History</h2>")[0]
    assert "1–100 of <strong>130</strong> segments" in segments
    assert "Earlier than the history below" in segments
    assert "Name of s100" not in segments
    assert "Name of s129" in client.call("GET", "/users?identity=ada&start=100").text


def test_a_user_is_found_by_its_object_id(client: "Client") -> None:
    client.create("gold")
    client.update(["ada"], [("gold", "ADD")])
    guid = client.read("users/ada")["guid"]
    assert client.read(f"users/{guid}")["identity"] == "ada"
    assert client.read(f"users?guid={guid}")["identity"] == "ada"
    for query in (f"identity={guid}", "", "identity=a&guid=b", "identity="):
        assert client.call("GET", f"/emulator/v1/users?{query}").status_code in {400, 404}


def test_a_user_of_several_accounts_needs_an_account(client: "Client", other: "Client") -> None:
    for each in (client, other):
        each.create("gold")
        each.update(["ada"], [("gold", "ADD")])
    answer = client.call("GET", "/emulator/v1/users/ada")
    assert (answer.status_code, "account" in answer.text) == (400, True)
    assert client.read("users/ada?account=ACC-2")["account"] == "ACC-2"
    page = client.call("GET", "/users?user=ada").text
    assert page.count("<tr data-key=") == 2


def test_users_are_found_by_the_start_of_their_key(client: "Client") -> None:
    client.create("gold")
    client.update(["ada@x", "adam@x", "eve@x"], [("gold", "ADD")])
    text = client.call("GET", "/users?user=ada").text
    assert "adam@x" in text
    assert "eve@x" not in text


def test_what_was_skipped_about_a_user_without_a_profile_is_shown(client: "Client") -> None:
    client.update(["ghost"], [("nowhere", "ADD")])
    page = client.call("GET", "/users?identity=ghost")
    assert page.status_code == 404
    assert "nowhere" in page.text
    assert client.call("GET", "/emulator/v1/users/ghost").status_code == 404


def test_all_profiles_are_listed_newest_first_in_pages(client: "Client") -> None:
    client.create("gold")
    for start in (0, 75):
        users = [f"u{number}" for number in range(start, start + 75)]
        client.update(users, [("gold", "ADD")])
    first = client.call("GET", "/users?account=ACC-1").text
    assert first.index(">u149<") < first.index(">u148<")
    assert "1–100 of <strong>150</strong> profiles" in first
    second = client.call("GET", "/users?account=ACC-1&before=50").text
    assert "101–150 of <strong>150</strong> profiles" in second
    assert ">u0<" in second
