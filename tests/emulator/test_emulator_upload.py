"""Upload and reach: which members of a segment can be reached, by channel."""

from typing import TYPE_CHECKING, Any

import pytest

from segctl.emulator.app import create_app

if TYPE_CHECKING:
    from pathlib import Path

    from tests.emulator.conftest import Client

NONE_REACHED = {"any": 0, "email": 0, "sms": 0, "push": 0}


def upload(client: "Client", *records: Any, query: str = "") -> Any:
    answer = client.call("POST", f"/1/upload{query}", json={"d": list(records)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def profile(identity: str, **fields: Any) -> dict[str, Any]:
    return {"identity": identity, "type": "profile", "profileData": fields}


def token(identity: str) -> dict[str, Any]:
    return {"identity": identity, "type": "token", "tokenData": {"id": "t-1", "type": "fcm"}}


def reach(client: "Client", segment: int = 0) -> Any:
    return client.read("segments")[segment]["reachable"]


def test_a_profile_made_by_an_update_cannot_be_reached(client: "Client") -> None:
    client.create("gold")
    client.update(["a"], [("gold", "ADD")])
    assert reach(client) == NONE_REACHED


def test_reach_follows_memberships_at_once(client: "Client") -> None:
    client.create("gold")
    upload(client, profile("a", Email="a@example.com", Phone="+14155550100"))
    client.update(["a", "b"], [("gold", "ADD")])
    assert reach(client) == {"any": 1, "email": 1, "sms": 1, "push": 0}
    client.update(["a"], [("gold", "REMOVE")])
    assert reach(client) == NONE_REACHED


def test_reach_follows_profiles_at_once(client: "Client") -> None:
    client.create("gold", "silver")
    client.update(["a"], [("gold", "ADD")])
    upload(client, profile("a", Email="a@example.com"), token("a"))
    assert reach(client) == {"any": 1, "email": 1, "sms": 0, "push": 1}
    assert reach(client, 1) == NONE_REACHED
    upload(client, profile("a", **{"MSG-email": False, "MSG-push": False}))
    assert reach(client) == NONE_REACHED
    upload(client, profile("a", **{"MSG-email": True}))
    assert reach(client)["email"] == 1


def test_a_deleted_segment_reaches_nobody(client: "Client") -> None:
    number = client.create("gold")["gold"]
    upload(client, profile("a", Email="a@example.com"))
    client.update(["a"], [("gold", "ADD")])
    client.call("DELETE", f"/emulator/v1/segments/{number}")
    assert reach(client) == NONE_REACHED


def test_an_upload_makes_profiles_and_costs_data_points(client: "Client") -> None:
    done = upload(client, profile("a", Name="A", City="Pune"), profile("b", Name="B"))
    assert done == {"status": "success", "processed": 2, "unprocessed": []}
    stats = client.read("stats")
    assert (stats["profiles"], stats["data_points"]) == (2, 3)


def test_an_upload_gives_one_profile_both_identity_and_object_id(client: "Client") -> None:
    client.create("gold")
    both = {**profile("a", Name="A"), "objectId": "g-1"}
    upload(client, both)
    client.update([{"guid": "g-1"}], [("gold", "ADD")])
    client.update([{"identity": "a"}], [("gold", "ADD")])
    assert client.members("gold") == ["a"]


def test_an_upload_adds_the_missing_key_to_a_profile(client: "Client") -> None:
    client.create("gold")
    client.update(["a", {"guid": "g-2"}], [("gold", "ADD")])
    upload(
        client,
        {**profile("a", Name="A"), "objectId": "g-1"},
        {**profile("b", Name="B"), "objectId": "g-2"},
    )
    assert client.members("gold") == ["a", "b"]
    client.update([{"guid": "g-1"}, "b"], [("gold", "REMOVE")])
    assert client.members("gold") == []


def test_an_upload_does_not_take_an_object_id_from_another_profile(client: "Client") -> None:
    client.create("gold")
    client.update(["a", {"guid": "g-1"}], [("gold", "ADD")])
    upload(client, {**profile("a", Name="A"), "objectId": "g-1"})
    client.update([{"guid": "g-1"}], [("gold", "REMOVE")])
    assert client.members("gold") == ["a"]


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ("x", 524),
        ({"identity": "a", "type": "event", "evtName": "E"}, 524),
        ({"identity": "a", "type": "profile"}, 524),
        ({"type": "profile", "profileData": {}}, 523),
        ({"identity": ["a"], "type": "profile", "profileData": {}}, 523),
        ({"objectId": True, "type": "profile", "profileData": {}}, 526),
        (profile("a", Email="nonsense"), 515),
        (profile("a", Phone="123"), 516),
        (profile("a", **{"MSG-sms": "no"}), 514),
        (profile("a", **{"x" * 121: 1}), 514),
        (profile("a", Name="x" * 513), 514),
        ({"identity": "a", "type": "token"}, 530),
        ({"identity": "a", "type": "token", "tokenData": {"id": ""}}, 530),
    ],
)
def test_a_wrong_record_is_left_out_and_reported(client: "Client", record: Any, code: int) -> None:
    done = upload(client, profile("b", Name="B"), record)
    assert (done["status"], done["processed"]) == ("partial", 1)
    (reported,) = done["unprocessed"]
    assert (reported["code"], reported["record"]) == (code, record)
    assert "Skipped record number : 2" in reported["error"]
    assert upload(client, record)["status"] == "fail"


@pytest.mark.parametrize(
    ("name", "code"), [("Segment Membership Change", 513), ("Charged", 524), (None, 509), (7, 509)]
)
def test_events_are_refused_and_the_system_event_is_restricted(
    client: "Client", name: Any, code: int
) -> None:
    answer = upload(client, {"identity": "a", "type": "event", "evtName": name})
    assert [each["code"] for each in answer["unprocessed"]] == [code]
    assert client.read("stats")["events"] == 0


@pytest.mark.parametrize("document", [{}, {"d": []}, {"d": {}}, [], {"d": [1] * 1001}])
def test_an_upload_takes_1_to_1000_records(client: "Client", document: Any) -> None:
    assert client.call("POST", "/1/upload", json=document).status_code == 400


def test_a_dry_run_changes_nothing(client: "Client") -> None:
    upload(client, profile("a", Name="A"), query="?dryRun=1")
    assert client.read("stats")["profiles"] == 0


def test_reach_and_figures_survive_a_restart(client: "Client", tmp_path: "Path") -> None:
    for start in range(3):
        client.app = create_app(data=tmp_path, accounts={"ACC-1": "pass-1"})
        if start == 0:
            client.create("gold")
            upload(client, profile("a", Email="a@example.com"))
            client.update(["a", "b"], [("gold", "ADD")])
        assert reach(client) == {"any": 1, "email": 1, "sms": 0, "push": 0}
        stats = client.read("stats")
        assert (stats["data_points"], stats["membership_changes"], stats["events"]) == (11, 2, 2)
        if start == 1:
            client.app.state.service.store.close()
        else:
            client.app.state.service.store.database.close()
