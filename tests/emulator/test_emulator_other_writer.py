"""Another writer: changes behind the client's back, by call and by fault."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from segctl.emulator.app import create_app
from tests.emulator.conftest import ACCOUNTS

if TYPE_CHECKING:
    from tests.emulator.conftest import Client

GOLD = [("gold", "ADD")]


def change(client: "Client", *, status: int = 200, **document: Any) -> Any:
    """Ask for a change; return the answer."""
    path = f"/emulator/v1/other-writer?account={client.headers['X-CleverTap-Account-Id']}"
    answer = client.call("POST", path, json=document)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_another_writer_changes_members_and_raises_events(client: "Client") -> None:
    client.create("gold")
    client.update(["a", "b"], GOLD)
    users = ["c", {"guid": "g"}, "a"]
    answer = change(client, change="members", segment="gold", add=users, remove=["b", "x"])
    assert (answer["added"], answer["removed"], answer["segment"]["members"]) == (2, 1, 3)
    assert client.members("gold") == ["g", "a", "c"]
    events = [each["event_props"]["Action"] for each in client.read("events")]
    assert events == ["ADD", "ADD", "ADD", "ADD", "REMOVE"]
    assert "dashboard" in [each["label"] for each in client.read("applies")]


@pytest.mark.parametrize("count", [0, 1, 30])
def test_users_are_chosen_at_random_repeatably(
    client: "Client", other: "Client", count: int
) -> None:
    for each in (client, other):
        each.create("gold")
        each.update([f"u{n}" for n in range(20)], GOLD)
        each.update(["gone", "never"], [("gold", "ADD")])
        each.update(["gone"], [("gold", "REMOVE")])
        answer = change(each, change="members", segment="gold", add=count, remove=count, seed=4)
        assert (answer["added"], answer["removed"]) == (count, min(count, 21))
    assert client.members("gold") == other.members("gold")


def test_later_events_have_the_new_name_and_earlier_ones_keep_theirs(
    client: "Client", tmp_path: Path
) -> None:
    client.app = create_app(data=tmp_path, accounts=ACCOUNTS)
    ids = client.create("gold")
    client.update(["a"], GOLD)
    assert change(client, change="rename", segment=ids["gold"], name="New <b>")["segment"]
    client.update(["b"], GOLD)
    change(client, change="rename", segment="gold", name="Newest")
    client.update(["c"], GOLD)
    names = ["Name of gold", "New <b>", "Newest"]
    for _ in range(2):
        events = client.read("events?account=ACC-1")
        assert [each["event_props"]["Segment Name"] for each in events] == names
        assert client.read("segments")[0]["segment_name"] == "Newest"
        client.app.state.service.store.close()
        client.app = create_app(data=tmp_path, accounts=ACCOUNTS)
    client.app.state.service.store.close()


def test_another_writer_deletes_a_segment(client: "Client") -> None:
    client.create("gold")
    client.update(["a"], GOLD)
    assert change(client, change="delete", segment="gold")["segment"]["deleted"]
    client.update(["b"], GOLD)
    assert client.error_types() == ["API_SEGMENT_NOT_FOUND_OR_DELETED"]
    assert "deleted" in change(client, status=409, change="delete", segment="gold")["error"]


@pytest.mark.parametrize(
    ("document", "status", "problem"),
    [
        ([], 400, "not an object"),
        ({}, 400, "change must be one of members, rename, delete"),
        ({"change": "x", "segment": "gold"}, 400, "change must be one of"),
        ({"change": "delete"}, 400, "segment must be"),
        ({"change": "delete", "segment": True}, 400, "segment must be"),
        ({"change": "delete", "segment": "nope"}, 404, "no such segment"),
        ({"change": "delete", "segment": 10**30}, 404, "no such segment"),
        ({"change": "delete", "segment": "gold", "name": "x"}, 400, "delete has no field name"),
        ({"change": "rename", "segment": "gold"}, 400, "name must be"),
        ({"change": "rename", "segment": "gold", "name": " "}, 400, "name must be"),
        ({"change": "members", "segment": "gold", "add": -1}, 400, "add must be"),
        ({"change": "members", "segment": "gold", "remove": 10**9}, 400, "remove must be"),
        ({"change": "members", "segment": "gold", "add": True}, 400, "add must be"),
        ({"change": "members", "segment": "gold", "add": [""]}, 400, "a user of add must be"),
        ({"change": "members", "segment": "gold", "add": [{"x": "y"}]}, 400, "a user of add"),
        ({"change": "members", "segment": "gold", "seed": "x"}, 400, "seed must be"),
    ],
)
def test_a_wrong_change_is_refused_with_its_reason(
    client: "Client", document: Any, status: int, problem: str
) -> None:
    client.create("gold")
    answer = client.call("POST", "/emulator/v1/other-writer?account=ACC-1", json=document)
    assert (answer.status_code, problem in answer.json()["error"]) == (status, True), answer.text


def test_with_several_accounts_one_must_be_named(client: "Client") -> None:
    answer = client.call("POST", "/emulator/v1/other-writer", json={"change": "delete"})
    assert "name one with ?account=" in answer.json()["error"]


def test_a_fault_changes_segments_after_requests_repeatably(
    client: "Client", other: "Client"
) -> None:
    rules = [
        {"fault": "change_members", "call": "updateSegment", "share": 0.5, "add": 2},
        {"fault": "rename_segment", "segment": "gold", "skip": 5, "times": 1},
        {"fault": "delete_segment", "segment": "rest", "skip": 9, "times": 1},
    ]
    members = []
    for each in (client, other):
        each.faults(*rules, seed=7)
        each.create("gold", "rest")
        for number in range(10):
            each.update([f"u{number}"], [("gold", "ADD"), ("rest", "ADD")])
        injected = each.read("faults")["injected"]
        assert (injected["rename_segment"], injected["delete_segment"]) == (1, 1)
        assert 0 < injected["change_members"] < 10
        members.append(each.members("gold"))
    assert members[0] == members[1]
    assert members[0] != sorted(f"u{number}" for number in range(10))
    account = "?account=ACC-1"
    assert [each["deleted"] for each in client.read("segments" + account)] == [False, True]
    assert "(renamed " in client.read("segments" + account)[0]["segment_name"]


@pytest.mark.parametrize("fault", ["change_members", "rename_segment", "delete_segment"])
def test_a_fault_without_a_segment_does_nothing_and_is_not_used_up(
    client: "Client", fault: str
) -> None:
    client.faults({"fault": fault, "times": 1, "call": "updateSegment"})
    client.update(["a"], GOLD)
    assert client.read("faults")["injected"][fault] == 0
    client.create("gold")
    client.update(["a"], GOLD)
    client.update(["b"], GOLD)
    assert client.read("faults")["injected"][fault] == 1


def test_members_of_a_dashboard_segment_do_not_change_and_raise_no_event(client: "Client") -> None:
    document = {"category": "Live", "segment_name": "Buyers", "members": [{"identity": "a"}]}
    path = "/emulator/v1/segments?account=ACC-1"
    number = client.call("POST", path, json=document).json()["ct_segment_id"]
    answer = change(client, status=400, change="members", segment=number, add=["b"])
    assert "this is Live" in answer["error"]
    client.create("gold")
    client.faults({"fault": "change_members", "segment": number})
    client.update(["c"], GOLD)
    assert len(client.read("events")) == 1
    assert client.read(f"segments/{number}")["members"] == 1
