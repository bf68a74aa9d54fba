"""Get User Profiles returns one profile, or null."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Client, Clock


def record(client: "Client", **query: str) -> Any:
    answer = client.call("GET", "/1/profile.json", params=query)
    assert (answer.status_code, answer.json()["status"]) == (200, "success")
    return answer.json()["record"]


def upload(client: "Client", identity: str, **fields: Any) -> None:
    document = {"d": [{"identity": identity, "type": "profile", "profileData": fields}]}
    assert client.call("POST", "/1/upload", json=document).json()["processed"] == 1


def test_a_profile_is_found_by_identity_email_and_object_id(client: "Client") -> None:
    upload(client, "a", Email="a@example.com", Plan="gold")
    found = record(client, identity="a")
    assert found["all_identities"] == ["a"]
    assert found["profileData"] == {"Email": "a@example.com", "Plan": "gold"}
    assert found["email"] == "a@example.com"
    assert record(client, email="a@example.com") == found
    assert record(client, objectId=found["platformInfo"][0]["objectId"]) == found


def test_a_profile_that_an_update_made_is_found(client: "Client") -> None:
    client.create("gold")
    client.update(["a", {"guid": "g-1"}], [("gold", "ADD")])
    assert record(client, identity="a")["identity"] == "a"
    assert record(client, objectId="g-1", events="false") == {
        "profileData": {},
        "platformInfo": [{"objectId": "g-1"}],
    }


def test_a_record_says_how_often_and_when_its_user_had_the_event(
    client: "Client", clock: "Clock"
) -> None:
    client.create("gold")
    first = int(clock.now)
    for action in ("ADD", "REMOVE", "ADD"):
        client.update(["a", "b"], [("gold", action)])
        clock.now += 60.5
    assert record(client, identity="a")["events"] == {
        "Segment Membership Change": {
            "count": 3,
            "first_seen": first,
            "last_seen": first + 121,
        }
    }


def test_an_unknown_profile_has_no_record(client: "Client", other: "Client") -> None:
    upload(client, "a", Email="a@example.com")
    assert record(client, identity="b") is None
    assert record(client, email="b@example.com") is None
    assert record(other, identity="a") is None


@pytest.mark.parametrize("query", [{}, {"identity": ""}, {"identity": "a", "email": "b@x.org"}])
def test_the_query_has_exactly_one_key(client: "Client", query: dict[str, str]) -> None:
    answer = client.call("GET", "/1/profile.json", params=query)
    assert answer.status_code == 400


def test_get_profile_requires_credentials(client: "Client") -> None:
    client.headers["X-CleverTap-Passcode"] = "wrong"
    assert client.call("GET", "/1/profile.json", params={"identity": "a"}).status_code == 401
