"""Create Campaign with estimate_only: reachable users by platform, and nothing is sent."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Client

NAME = "Segment Membership Change"
REMOVED = {
    "event_name": NAME,
    "from": 20270115,
    "to": 20270115,
    "event_properties": [{"name": "Action", "value": "REMOVE"}],
}


def ask(client: "Client", **changes: Any) -> Any:
    body = {"name": "Spring", "estimate_only": True, **changes}
    return client.call("POST", "/1/targets/create.json", json=body)


def estimates(client: "Client", **changes: Any) -> Any:
    reply = ask(client, **changes)
    assert reply.status_code == 200, reply.text
    assert reply.json()["status"] == "success"
    return reply.json()["estimates"]


@pytest.fixture
def ids(client: "Client") -> dict[str, int]:
    """Return the ids of two segments: three of four members can be reached."""
    ids = client.create("gold", "silver")
    client.update(["a", "b", "c", "d"], [("gold", "ADD")])
    client.update(["d"], [("gold", "REMOVE")])
    client.update(["d"], [("gold", "ADD")])
    records = [
        {"identity": "a", "type": "profile", "profileData": {"Email": "a@example.com"}},
        {"identity": "b", "type": "token", "tokenData": {"id": "t1", "type": "apns"}},
        {"identity": "c", "type": "token", "tokenData": {"id": "t2", "type": "chrome"}},
        {"identity": "d", "type": "profile", "profileData": {"Phone": "+14155551234"}},
        {"identity": "z", "type": "profile", "profileData": {"Email": "z@example.com"}},
    ]
    assert client.call("POST", "/1/upload", json={"d": records}).json()["processed"] == 5
    return ids


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("push", {"ios": 1, "android": 0, "windows": 0}),
        ("webpush", {"chrome": 1}),
        ("email", {"web": 1}),
        ("sms", {"sms": 1}),
    ],
)
def test_reachable_members_are_estimated_by_platform(
    client: "Client", ids: dict[str, int], mode: str, expected: Any
) -> None:
    assert estimates(client, segment=ids["gold"], target_mode=mode) == expected
    assert estimates(client, segment="gold", target_mode=mode) == expected
    assert sum(estimates(client, segment="silver", target_mode=mode).values()) == 0


@pytest.mark.usefixtures("ids")
def test_a_target_is_everybody_or_a_query(client: "Client") -> None:
    assert estimates(client, segment="all", target_mode="email") == {"web": 2}
    assert estimates(client, where={}, target_mode="email") == {"web": 2}
    assert estimates(client, where=REMOVED, target_mode="sms") == {"sms": 1}
    assert estimates(client, where=REMOVED, target_mode="email") == {"web": 0}


@pytest.mark.usefixtures("ids")
def test_a_long_estimate_goes_on_with_the_same_request(client: "Client") -> None:
    client.settings(search_events=1)
    replies = [ask(client, where=REMOVED, target_mode="sms").json()]
    while replies[-1].get("code") == 2:
        replies.append(ask(client, where=REMOVED, target_mode="sms").json())
    assert len(replies) > 1
    assert replies[-1] == {"status": "success", "estimates": {"sms": 1}}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"segment": "gold", "where": {}}, "either segment or where is required, not both"),
        ({}, "either segment or where is required"),
        ({"segment": "gold", "estimate_only": False}, "estimate_only must be true"),
        ({"segment": "gold", "estimate_only": "true"}, "estimate_only must be true"),
        ({"segment": "nowhere"}, "there is no such segment"),
        ({"segment": True}, "there is no such segment"),
        ({"segment": "gold", "target_mode": ["push"]}, "target_mode must be one of"),
        ({"where": []}, "where must be an object"),
        ({"where": {"event_name": 1}}, "event_name: must be a string"),
        ({"segment": "gold", "name": " "}, "name must be a string"),
    ],
)
@pytest.mark.usefixtures("ids")
def test_a_wrong_target_is_told(client: "Client", changes: Any, text: str) -> None:
    reply = ask(client, **changes)
    assert reply.status_code == 400
    assert text in reply.json()["error"]


def test_two_accounts_that_ask_the_same_in_turn_both_get_an_answer(
    client: "Client", other: "Client", ids: dict[str, int]
) -> None:
    assert ids
    other.create("gold")
    other.update(["x", "y"], [("gold", "ADD"), ("gold", "REMOVE")])
    client.settings(search_events=1)
    found = [
        ask(each, where=REMOVED).json()["status"] for _ in range(9) for each in (client, other)
    ]
    assert "success" in found[::2]
    assert "success" in found[1::2]
