"""Get Events, the live stream and the export: three ways to read the system event."""

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from segctl.emulator.testing import running_emulator

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from tests.emulator.conftest import Client, Clock

NAME = "Segment Membership Change"


def ask(client: "Client", *, size: int = 50, **changes: Any) -> Any:
    query = {"event_name": NAME, "from": 20270115, "to": 20270115, **changes}
    return client.call("POST", f"/1/events.json?batch_size={size}", json=query)


def pages(client: "Client", cursor: str) -> list[list[Any]]:
    found = []
    while cursor:
        page = client.call("GET", f"/1/events.json?cursor={cursor}").json()
        assert page["status"] == "success"
        found.append(page["records"])
        cursor = page.get("next_cursor", "")
    return found


def test_a_cursor_leads_through_all_records_in_order(client: "Client") -> None:
    client.create("gold", "silver")
    client.update([f"u{n}" for n in range(60)], [("gold", "ADD"), ("silver", "ADD")])
    found = pages(client, ask(client, size=50).json()["cursor"])
    assert [len(each) for each in found] == [50, 50, 20]
    records = [record for page in found for record in page]
    assert [each["profile"]["identity"] for each in records] == [f"u{n}" for n in range(60)] * 2
    assert {each["event_props"]["Customer_Segment_ID"] for each in records[60:]} == {"silver"}


def test_a_record_has_profile_time_and_properties(client: "Client") -> None:
    number = client.create("gold")["gold"]
    client.update(["a", {"guid": "g-1"}], [("gold", "ADD")])
    (records,) = pages(client, ask(client).json()["cursor"])
    assert records[0]["profile"]["identity"] == "a"
    assert records[0]["profile"]["all_identities"] == ["a"]
    assert records[1]["profile"] == {"objectId": "g-1"}
    assert records[0]["ts"] == 20270115080000
    assert records[0]["event_props"]["Segment ID"] == number


def test_the_object_id_of_a_record_identifies_the_same_user(client: "Client") -> None:
    client.create("gold")
    client.update(["a"], [("gold", "ADD")])
    (records,) = pages(client, ask(client).json()["cursor"])
    client.update([{"guid": records[0]["profile"]["objectId"]}], [("gold", "REMOVE")])
    assert client.members("gold") == []


def test_only_the_requested_days_are_read(client: "Client", clock: "Clock") -> None:
    client.create("gold")
    client.update(["a"], [("gold", "ADD")])
    clock.now += 86_400
    client.update(["b"], [("gold", "ADD")])
    for first, last, users in (
        (15, 15, ["a"]),
        (16, 16, ["b"]),
        (15, 16, ["a", "b"]),
        (17, 18, []),
    ):
        asked = ask(client, size=50, **days(first, last))
        (records,) = pages(client, asked.json()["cursor"])
        assert [each["profile"]["identity"] for each in records] == users


def days(first: int, last: int) -> dict[str, Any]:
    return {"from": 20270100 + first, "to": str(20270100 + last)}


def test_other_events_have_no_records(client: "Client") -> None:
    client.create("gold")
    client.update(["a"], [("gold", "ADD")])
    assert pages(client, ask(client, event_name="App Launched").json()["cursor"]) == [[]]


def test_an_account_reads_its_own_events_only(client: "Client", other: "Client") -> None:
    client.create("gold")
    client.update(["a"], [("gold", "ADD")])
    assert pages(other, ask(other).json()["cursor"]) == [[]]
    cursor = ask(client).json()["cursor"]
    assert other.call("GET", f"/1/events.json?cursor={cursor}").status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"event_name": 1},
        {"event_name": ""},
        {"from": "x"},
        {"from": 20271301},
        {"from": None},
        {"from": 20280101},
        {"to": True},
    ],
)
def test_an_invalid_query_is_a_400(client: "Client", changes: Any) -> None:
    assert ask(client, **changes).status_code == 400


@pytest.mark.parametrize("size", ["0", "5001", "x", "-1"])
def test_a_batch_is_from_1_to_5000(client: "Client", size: Any) -> None:
    assert ask(client, size=size).status_code == 400


@pytest.mark.parametrize("cursor", ["", "x", "e30", "W10", "\u00e4", "bnVsbA"])
def test_a_cursor_that_is_not_ours_is_a_400(client: "Client", cursor: str) -> None:
    assert client.call("GET", "/1/events.json", params={"cursor": cursor}).status_code == 400


def test_a_cursor_expires(client: "Client", clock: "Clock") -> None:
    cursor = ask(client).json()["cursor"]
    clock.now += 14_401
    assert client.call("GET", f"/1/events.json?cursor={cursor}").status_code == 400


def test_a_cursor_that_nobody_uses_expires_sooner(client: "Client", clock: "Clock") -> None:
    client.create("gold")
    client.update(["a", "b", "c"], [("gold", "ADD")])
    cursor = ask(client, size=1).json()["cursor"]
    clock.now += 3600
    page = client.call("GET", f"/1/events.json?cursor={cursor}").json()
    clock.now += 3601
    assert client.call("GET", f"/1/events.json?cursor={page['next_cursor']}").status_code == 400


def test_a_cursor_is_percent_encoded_and_sent_as_it_came(client: "Client") -> None:
    cursors = [ask(client, event_name="x" * n).json()["cursor"] for n in (1, 2, 3)]
    assert not set("".join(cursors)) & set("+/=")
    cursor = next(each for each in cursors if "%" in each)
    again = client.call("GET", "/1/events.json", params={"cursor": cursor})
    assert again.status_code == 400
    assert "send it as it came" in again.json()["error"]
    client.settings(encoded_cursor="accept")
    assert client.call("GET", "/1/events.json", params={"cursor": cursor}).status_code == 200


def filtered(client: "Client", *conditions: tuple[str, str, Any], size: int = 2) -> list[str]:
    """Return the users of the events that match, read in batches of two."""
    names = ("name", "operator", "value")
    properties = [dict(zip(names, each, strict=True)) for each in conditions]
    cursor = ask(client, size=size, event_properties=properties).json()["cursor"]
    return [each["profile"]["identity"] for page in pages(client, cursor) for each in page]


def test_records_are_filtered_by_the_properties_of_events(client: "Client") -> None:
    ids = client.create("gold", "silver")
    client.update([f"u{n}" for n in range(5)], [("gold", "ADD"), ("silver", "ADD")])
    client.update(["u1", "u3"], [("gold", "REMOVE")])
    gold = ("Segment ID", "equals", ids["gold"])
    assert filtered(client, gold, ("Action", "equals", "REMOVE")) == ["u1", "u3"]
    assert filtered(client, gold, size=50) == [*(f"u{n}" for n in range(5)), "u1", "u3"]
    assert filtered(client, ("Customer_Segment_ID", "equals", "none")) == []


def test_a_record_has_the_name_that_its_segment_had(client: "Client", app: "Starlette") -> None:
    client.create("gold")
    client.update(["a"], [("gold", "ADD")])
    store = app.state.service.store
    account = store.accounts["ACC-1"]
    store.rename(account, account.by_customer_id["gold"], "New")
    client.update(["b"], [("gold", "ADD")])
    (records,) = pages(client, ask(client).json()["cursor"])
    names = [each["event_props"]["Segment Name"] for each in records]
    assert names == ["Name of gold", "New"]
    assert filtered(client, ("Segment Name", "equals", "New")) == ["b"]


def test_a_long_search_goes_on_with_the_same_cursor(client: "Client") -> None:
    client.create("gold", "silver")
    for number in range(4):
        client.update([f"u{number}"], [("silver", "ADD")])
    client.update(["a"], [("gold", "ADD")])
    client.settings(search_events=1)
    advanced = {"did_all": [{"event_name": NAME, "from": 20270115, "to": 20270115}]}
    gold = [{"name": "Segment Name", "operator": "contains", "value": "gold"}]
    cursor = ask(client, advanced_query=advanced, event_properties=gold).json()["cursor"]
    replies = [client.call("GET", f"/1/events.json?cursor={cursor}") for _ in range(3)]
    while replies[-1].json()["status"] == "fail":
        replies.append(client.call("GET", f"/1/events.json?cursor={cursor}"))
    waiting = {"status": "fail", "error": "Request still in progress, please retry later"}
    assert (replies[0].status_code, replies[0].json()) == (200, {**waiting, "code": 2})
    (record,) = replies[-1].json()["records"]
    assert record["profile"]["identity"] == "a"


@pytest.mark.parametrize("path", ["events", "profiles"])
def test_a_cursor_whose_query_is_refused_now_is_a_400_each_time(
    client: "Client", path: str
) -> None:
    query = {"event_name": "Charged", "from": 20270115, "to": 20270115}
    cursor = client.call("POST", f"/1/{path}.json", json=query).json()["cursor"]
    client.settings(unknown_event="refuse")
    for _ in range(2):
        assert client.call("GET", f"/1/{path}.json?cursor={cursor}").status_code == 400
    client.settings(unknown_event="accept")
    assert client.call("GET", f"/1/{path}.json?cursor={cursor}").status_code == 200


def test_a_first_batch_may_be_still_in_progress(client: "Client") -> None:
    client.settings(search_answer="in_progress")
    cursor = ask(client).json()["cursor"]
    replies = [client.call("GET", f"/1/events.json?cursor={cursor}").json() for _ in range(2)]
    assert [each["status"] for each in replies] == ["fail", "success"]


def test_events_that_come_after_the_query_are_not_in_its_batches(client: "Client") -> None:
    client.create("gold")
    client.update(["a"], [("gold", "ADD")])
    cursor = ask(client).json()["cursor"]
    client.update(["b"], [("gold", "ADD")])
    (records,) = pages(client, cursor)
    assert [each["profile"]["identity"] for each in records] == ["a"]


def test_a_small_batch_may_mean_no_limit(client: "Client") -> None:
    client.create("gold")
    client.update([f"u{n}" for n in range(60)], [("gold", "ADD")])
    assert len(pages(client, ask(client, size=22).json()["cursor"])[0]) == 22
    client.settings(small_batch="unlimited")
    assert [len(each) for each in pages(client, ask(client, size=22).json()["cursor"])] == [60]
    assert len(pages(client, ask(client, size=23).json()["cursor"])[0]) == 23


def test_a_batch_without_records_may_have_no_key_of_them(client: "Client") -> None:
    client.settings(empty_records="absent")
    cursor = ask(client).json()["cursor"]
    assert client.call("GET", f"/1/events.json?cursor={cursor}").json() == {"status": "success"}


@pytest.mark.parametrize("path", ["events", "profiles"])
def test_the_export_of_the_event_may_be_refused(client: "Client", path: str) -> None:
    client.settings(event_export="refuse")
    query = {"event_name": NAME, "from": 20270115, "to": 20270115}
    reply = client.call("POST", f"/1/{path}.json", json=query)
    assert (reply.status_code, reply.json()["error"]) == (400, "Export not allowed for this event")
    other = client.call("POST", f"/1/{path}.json", json={**query, "event_name": "App Launched"})
    assert other.status_code == 200


def test_a_query_that_is_too_long_for_a_cursor_is_told(client: "Client") -> None:
    long = [{"name": "Segment Name", "operator": "equals", "value": ["x" * 50] * 1000}]
    reply = ask(client, event_properties=long)
    assert reply.status_code == 400
    assert "too long for a cursor; split the query" in reply.json()["error"]


def test_get_events_requires_credentials(client: "Client") -> None:
    client.headers = {}
    assert ask(client).status_code == 401


def test_the_export_is_the_events_name_and_then_json_lines(client: "Client") -> None:
    client.create("gold")
    client.update(["a", {"guid": "g-1"}], [("gold", "ADD")])
    answer = client.call("GET", "/emulator/v1/exports/events?from=20270115&to=20270115")
    first, *lines = answer.text.splitlines()
    records = [json.loads(line) for line in lines]
    assert first == NAME
    assert [each["profile"] for each in records] == [{"identity": "a"}, {}]
    assert records[0]["ts"] == 20270115080000
    assert records[0]["eventProps"]["Action"] == "ADD"
    assert "Segment_Membership_Change-20270115" in answer.headers["content-disposition"]


def test_the_export_may_carry_object_ids(client: "Client") -> None:
    client.settings(export_object_id="present")
    client.create("gold")
    client.update([{"guid": "g-1"}], [("gold", "ADD")])
    answer = client.call("GET", "/emulator/v1/exports/events")
    assert json.loads(answer.text.splitlines()[1])["profile"] == {"objectId": "g-1"}
    assert client.call("GET", "/emulator/v1/exports/events?to=20270114").text == NAME + "\n"


def data(lines: list[str]) -> list[Any]:
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def test_the_stream_starts_at_a_number(client: "Client") -> None:
    client.create("gold")
    client.update(["a", "b", "c"], [("gold", "ADD")])
    answer = client.call("GET", "/emulator/v1/events/stream?start=2&limit=2")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [each["profile"]["identity"] for each in data(answer.text.splitlines())] == ["b", "c"]
    again = client.call("GET", "/emulator/v1/events/stream?limit=1", headers={"Last-Event-ID": "2"})
    assert [each["seq"] for each in data(again.text.splitlines())] == [3]


def test_the_stream_pushes_a_change_as_it_happens() -> None:
    entry = {
        "user_profiles": [{"identity": "a"}],
        "segments": [{"customer_segment_id": "gold", "action": "ADD"}],
    }
    with (
        running_emulator() as emulator,
        httpx.Client(base_url=emulator.url, headers=emulator.headers) as http,
    ):
        with http.stream("GET", "/emulator/v1/events/stream?limit=1") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith(":")
            http.post(
                "/api/createSegment", json=[{"segment_name": "G", "customer_segment_id": "gold"}]
            )
            http.post("/api/updateSegment", json={"bulk_profiles": [entry]})
            (event,) = data(list(lines))
        assert event["profile"] == {"identity": "a"}
        with http.stream("GET", "/emulator/v1/figures/stream") as stream:
            figures = data(list(islice(stream.iter_lines(), 2)))
        assert figures[0]["segments"][0]["members"] == 1


def test_an_open_stream_does_not_keep_the_server_from_stopping() -> None:
    with running_emulator() as emulator:
        http = httpx.Client(base_url=emulator.url)
        stream = http.send(http.build_request("GET", "/emulator/v1/events/stream"), stream=True)
        next(stream.iter_lines())
    stream.close()
    http.close()
