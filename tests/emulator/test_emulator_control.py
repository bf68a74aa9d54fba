"""The emulator's own API: lists, members, deletion, the Error Stream."""

import csv
import io
from typing import TYPE_CHECKING, Any

import pytest

from segctl.emulator.settings import Settings, alternatives

if TYPE_CHECKING:
    from tests.emulator.conftest import Client


def test_a_segment_is_listed_with_its_figures(client: "Client") -> None:
    number = client.create("gold")["gold"]
    client.update(["a"], [("gold", "ADD")])
    expected = {
        "ct_segment_id": number,
        "customer_segment_id": "gold",
        "segment_name": "Name of gold",
        "category": "API Segments",
        "members": 1,
        "reachable": {"any": 0, "email": 0, "sms": 0, "push": 0},
        "deleted": False,
        "created_at": "2027-01-15T08:00:00.000Z",
        "account": "ACC-1",
        "used_by": [],
    }
    assert client.read("segments") == [expected]
    assert client.read(f"segments/{number}") == expected


def test_members_are_sorted_by_kind_and_value(client: "Client") -> None:
    number = client.create("gold")["gold"]
    users = ["b", {"guid": "z"}, "a", {"guid": "y"}, "Ä"]
    client.update(users, [("gold", "ADD")])
    assert client.read(f"segments/{number}/members") == [
        {"guid": "y"},
        {"guid": "z"},
        {"identity": "a"},
        {"identity": "b"},
        {"identity": "Ä"},
    ]


@pytest.mark.parametrize(
    "path", ["segments/1", "segments/1/members", "segments/x", "segments/" + "9" * 5000]
)
def test_an_unknown_segment_is_a_404(client: "Client", path: str) -> None:
    assert client.call("GET", f"/emulator/v1/{path}").status_code == 404


def test_several_segments_are_deleted_at_once_or_none(client: "Client") -> None:
    ids = client.create("a", "b", "c")
    path = "/emulator/v1/segments/delete"
    wrong = client.call("POST", path, json={"ct_segment_ids": [ids["a"], 1]})
    assert wrong.status_code == 404
    assert not any(each["deleted"] for each in client.read("segments"))
    done = client.call("POST", path, json={"ct_segment_ids": [ids["a"], ids["c"]]})
    assert [each["deleted"] for each in done.json()] == [True, True]
    assert [each["deleted"] for each in client.read("segments")] == [True, False, True]


@pytest.mark.parametrize(
    "document", [[], {}, {"ct_segment_ids": ["1"]}, {"ct_segment_ids": [True]}]
)
def test_deletion_requires_an_array_of_ids(client: "Client", document: Any) -> None:
    answer = client.call("POST", "/emulator/v1/segments/delete", json=document)
    assert answer.status_code == 400


def test_the_error_stream_is_csv_too(client: "Client") -> None:
    client.update(['a, "b"'], [{"ct_segment_id": 5, "action": "ADD"}, ("x", "ADD")])
    answer = client.call("GET", "/emulator/v1/error-stream?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    first, second = csv.DictReader(io.StringIO(answer.text))
    assert (first["Segment ID"], first["Customer Segment ID"]) == ("5", "")
    assert (second["Segment ID"], second["Customer Segment ID"]) == ("", "x")
    assert first["User Identity"] == 'a, "b"'
    assert first["Error Type"] == "API_SEGMENT_NOT_FOUND_OR_DELETED"


def test_a_spreadsheet_runs_no_cell_of_a_guarded_csv(client: "Client") -> None:
    keys = ["=1+1", "+1", "-1", "@SUM(1)", "\ta", "\ra", "\na", "\uff1d1", "a=1", "'=1"]
    client.update(keys, [("=cmd|' /C calc'!A0", "ADD")])

    def cells(query: str, column: str) -> list[str]:
        text = client.call("GET", f"/emulator/v1/error-stream?format=csv{query}").text
        return [row[column] for row in csv.DictReader(io.StringIO(text, newline=""))]

    assert cells("", "User Identity") == keys
    guarded = ["'=1+1", "'+1", "'-1", "'@SUM(1)", "'\ta", "'\ra", "'\na", "'\uff1d1", "a=1", "'=1"]
    assert cells("&guard=spreadsheet", "User Identity") == guarded
    assert set(cells("&guard=spreadsheet", "Customer Segment ID")) == {"'=cmd|' /C calc'!A0"}
    assert client.call("GET", "/emulator/v1/error-stream?guard=x").status_code == 400


@pytest.mark.parametrize(
    ("query", "users"),
    [
        ("type=API_SEGMENT_INVALID_ACTION", ["a", "b"]),
        ("user=b", ["b", "b", "b"]),
        ("segment_id=5", ["a", "b"]),
        ("customer_segment_id=x&user=a", ["a"]),
        ("account=ACC-2", []),
    ],
)
def test_the_error_stream_is_filtered(client: "Client", query: str, users: list[str]) -> None:
    client.create("gold")
    client.update(
        ["a", "b"], [{"ct_segment_id": 5, "action": "ADD"}, ("x", "ADD"), ("gold", "DROP")]
    )
    assert [each["User Identity"] for each in client.read(f"error-stream?{query}")] == users


@pytest.mark.parametrize(
    "path",
    [
        "error-stream?format=xml",
        "error-stream?type=OTHER",
        "events?start=x",
        "events?limit=-1",
        "exports/events?from=x",
    ],
)
def test_an_invalid_query_is_a_400(client: "Client", path: str) -> None:
    assert client.call("GET", f"/emulator/v1/{path}").status_code == 400


def test_a_list_of_events_starts_at_a_number(client: "Client") -> None:
    client.create("gold")
    client.update(["a", "b", "c"], [("gold", "ADD")])
    found = client.read("events?start=2&limit=1")
    assert [(each["seq"], each["profile"]) for each in found] == [(2, {"identity": "b"})]


def test_reads_are_about_all_accounts_or_one(client: "Client", other: "Client") -> None:
    client.create("gold")
    other.create("gold")
    other.update(["a"], [("gold", "ADD")])
    assert [each["account"] for each in client.read("segments")] == ["ACC-1", "ACC-2"]
    assert [each["members"] for each in client.read("segments?account=ACC-2")] == [1]
    assert client.read("events?account=ACC-1") == []
    assert client.read("stats?account=ACC-1")["events"] == 0
    assert client.read("stats")["events"] == 1
    assert client.call("GET", "/emulator/v1/stats?account=nobody").status_code == 404


def test_alternatives_are_the_choices_that_are_not_defaults() -> None:
    found = alternatives()
    assert ("noop_changes", "event") in found
    assert ("noop_changes", "silent") not in found
    for name, choice in found:
        assert Settings().changed({name: choice}).document()[name] == choice
