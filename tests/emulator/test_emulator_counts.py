"""The calls that count: at once or in progress, top values, trends; the schema and now."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from tests.emulator.conftest import Client, Clock

NAME = "Segment Membership Change"
BASE: dict[str, Any] = {"event_name": NAME, "from": 20270115, "to": 20270115}
CALLS = ("events", "profiles", "top", "trends")
GROUPS = {
    "top": {"foo": {"property_type": "event_properties", "name": "Action"}},
    "trends": {"foo": {"trend_type": "daily"}},
}


def ask(client: "Client", call: str, **changes: Any) -> Any:
    query = {**BASE, **({"groups": GROUPS[call]} if call in GROUPS else {}), **changes}
    return client.call("POST", f"/1/counts/{call}.json", json=query)


def answer(client: "Client", call: str, **changes: Any) -> Any:
    """Return the answer of a count, polled until it is done."""
    reply = ask(client, call, **changes)
    while reply.json().get("status") == "partial":
        reply = client.call("GET", f"/1/counts/{call}.json?req_id={reply.json()['req_id']}")
    assert (reply.status_code, reply.json().pop("status")) == (200, "success"), reply.text
    return {key: value for key, value in reply.json().items() if key != "status"}


def top(client: "Client", kind: str, name: str, **group: Any) -> Any:
    groups = {"foo": {"property_type": kind, "name": name, **group}}
    return answer(client, "top", groups=groups)["foo"]


@pytest.mark.usefixtures("ids")
def test_events_and_their_users_are_counted(client: "Client", other: "Client") -> None:
    assert answer(client, "events") == {"count": 5}
    assert answer(client, "profiles") == {"count": 3}
    assert answer(other, "events") == answer(other, "profiles") == {"count": 0}


@pytest.mark.usefixtures("ids")
@pytest.mark.parametrize("call", CALLS)
def test_a_count_in_progress_is_polled_by_its_request_id(client: "Client", call: str) -> None:
    expected = answer(client, call)
    client.settings(search_answer="in_progress")
    reply = ask(client, call).json()
    assert reply == {"status": "partial", "req_id": reply["req_id"]}
    polled = client.call("GET", f"/1/counts/{call}.json?req_id={reply['req_id']}").json()
    assert polled == {"status": "success", **expected}


@pytest.mark.parametrize("call", ["profiles", "top", "trends"])
def test_a_long_count_goes_on_with_each_poll(client: "Client", call: str) -> None:
    client.create("gold")
    for number in range(5):
        client.update([f"u{number}"], [("gold", "ADD")])
    expected = answer(client, call, **(more := {"unique": True} if call == "trends" else {}))
    client.settings(search_events=1)
    assert ask(client, call, **more).json()["status"] == "partial"
    assert answer(client, call, **more) == expected


@pytest.mark.parametrize("name", ["1", "x", "", "9" * 30])
def test_an_unknown_request_id_is_a_400(client: "Client", name: str) -> None:
    reply = client.call("GET", f"/1/counts/events.json?req_id={name}")
    assert reply.status_code == 400
    assert "Invalid request id" in reply.json()["error"]


def test_a_request_id_is_its_accounts_and_its_calls_until_a_reset(
    client: "Client", other: "Client", clock: "Clock"
) -> None:
    client.settings(search_answer="in_progress", request_id_type="string")
    number = ask(client, "events").json()["req_id"]
    assert isinstance(number, str)
    path = f"/1/counts/events.json?req_id={number}"
    assert other.call("GET", path).status_code == 400
    assert client.call("GET", path.replace("events", "top")).status_code == 400
    number = ask(client, "events").json()["req_id"]
    path = f"/1/counts/events.json?req_id={number}"
    assert client.call("GET", path).status_code == 200
    clock.now += 14_401
    assert client.call("GET", path).status_code == 400
    number = ask(client, "events").json()["req_id"]
    client.call("POST", "/emulator/v1/reset")
    assert client.call("GET", f"/1/counts/events.json?req_id={number}").status_code == 400


def test_only_visible_events_are_counted(client: "Client", clock: "Clock") -> None:
    client.create("gold")
    client.update(["a"], [("gold", "ADD")])
    client.settings(visibility_lag_ms=60_000)
    assert answer(client, "events") == answer(client, "profiles") == {"count": 0}
    clock.now += 60
    assert answer(client, "events") == answer(client, "profiles") == {"count": 1}


def test_top_counts_the_values_of_a_property(client: "Client", ids: dict[str, int]) -> None:
    kind = "event_properties"
    assert top(client, kind, "Action") == {"STR": {"ADD": 4, "REMOVE": 1}}
    assert top(client, kind, "Action", order="asc", top_n=1) == {"STR": {"REMOVE": 1}}
    assert top(client, kind, "Customer_Segment_ID") == {"STR": {"gold": 4, "silver": 1}}
    by_id = {str(ids["gold"]): 4, str(ids["silver"]): 1}
    assert top(client, kind, "Segment ID") == {"NUMBER": by_id}
    removed = [{"name": "Action", "operator": "equals", "value": "REMOVE"}]
    found = answer(client, "top", groups=GROUPS["top"], event_properties=removed)
    assert found == {"foo": {"STR": {"REMOVE": 1}}}


def test_an_event_is_found_by_the_name_of_its_time(client: "Client", app: "Starlette") -> None:
    client.create("gold")
    client.update(["a", "b"], [("gold", "ADD")])
    store = app.state.service.store
    account = store.accounts["ACC-1"]
    store.rename(account, account.by_customer_id["gold"], "New")
    client.update(["c"], [("gold", "ADD")])
    for name, users in (("Name of gold", 2), ("New", 1)):
        named = [{"name": "Segment Name", "operator": "equals", "value": name}]
        assert answer(client, "events", event_properties=named) == {"count": users}
        assert answer(client, "profiles", event_properties=named) == {"count": users}
    found = top(client, "event_properties", "Segment Name")
    assert found == {"STR": {"Name of gold": 2, "New": 1}}


@pytest.mark.usefixtures("ids")
def test_top_counts_the_fields_of_profiles(client: "Client") -> None:
    for name, fields in (("a", {"Plan": "pro"}), ("b", {"Plan": "free", "Score": 5})):
        record = {"identity": name, "type": "profile", "profileData": fields}
        client.call("POST", "/1/upload", json={"d": [record]})
    assert top(client, "profile_fields", "Plan") == {"STR": {"pro": 3, "free": 1}}
    assert top(client, "profile_fields", "Score") == {"NUMBER": {"5": 1}}


def test_top_may_count_ranges_of_numbers(client: "Client", ids: dict[str, int]) -> None:
    client.settings(top_numbers="ranges")
    found = top(client, "event_properties", "Segment ID")["NUMBER"]
    assert found == {
        f"{ids['gold']}-{ids['gold'] + 1}": 4,
        f"{ids['silver']}-{ids['silver'] + 1}": 1,
    }


def test_trends_count_by_day_week_and_month(client: "Client", clock: "Clock") -> None:
    client.create("gold")
    clock.now = 1_482_580_800.0  # 2016-12-24, the first day of the vendor's sample
    for number in range(11):
        client.update([f"u{number}"], [("gold", "ADD")])
        clock.now += 86_400
    kinds = {"foo": "daily", "bar": "weekly", "foobar": "monthly"}
    groups = {key: {"trend_type": kind} for key, kind in kinds.items()}
    days = {"from": 20161224, "to": 20170103, "groups": groups}
    found = answer(client, "trends", **days)
    assert found["foo"] == {f"201612{day}": 1 for day in range(24, 32)} | {
        f"2017010{day}": 1 for day in range(1, 4)
    }
    assert found["bar"] == {"201651": 1, "201652": 7, "201701": 3}
    assert found["foobar"] == {"201612": 8, "201701": 3}
    client.settings(trend_weeks="iso")
    assert answer(client, "trends", **days)["bar"] == {"201651": 2, "201652": 7, "201701": 2}


def test_trends_are_of_the_days_of_the_time_zone(client: "Client", clock: "Clock") -> None:
    clock.now = 1_799_965_800.0  # 2027-01-14 22:30 in UTC, the 15th in Delhi
    client.create("gold")
    client.update(["a"], [("gold", "ADD")])
    for zone, count in (("UTC", 0), ("Asia/Kolkata", 1)):
        client.settings(time_zone=zone)
        for unique in (True, False):
            assert answer(client, "trends", unique=unique)["foo"] == {"20270115": count}
        assert answer(client, "events") == answer(client, "profiles") == {"count": count}


def test_trends_count_users_once_or_sum_a_property(client: "Client", ids: dict[str, int]) -> None:
    assert answer(client, "trends", unique=True) == {"foo": {"20270115": 3}}
    total = 4 * ids["gold"] + ids["silver"]
    assert answer(client, "trends", sum_event_prop="Segment ID") == {"foo": {"20270115": total}}


@pytest.mark.parametrize(
    ("call", "changes", "text"),
    [
        ("top", {"groups": {}}, "groups must be an object"),
        ("top", {"groups": {"foo": 1}}, "Invalid group"),
        ("top", {"groups": {"status": GROUPS["top"]["foo"]}}, "status and req_id are keys"),
        ("top", {"groups": {"foo": {"property_type": "x", "name": "y"}}}, "property_type must be"),
        (
            "top",
            {"groups": {"foo": {"property_type": "geo_fields", "name": "y"}}},
            "geo_fields are not emulated",
        ),
        (
            "top",
            {"groups": {"foo": {"property_type": "event_properties", "name": "y"}}},
            "the event has only Action",
        ),
        ("top", {"groups": {"foo": {**GROUPS["top"]["foo"], "top_n": 101}}}, "top_n must be"),
        ("top", {"groups": {"foo": {**GROUPS["top"]["foo"], "order": "up"}}}, "order must be"),
        ("trends", {"groups": {"foo": {"trend_type": "hourly"}}}, "trend_type must be daily"),
        ("trends", {"groups": {str(n): {"trend_type": "daily"} for n in range(6)}}, "at most 5"),
        ("trends", {"from": 20250101}, "at most a year apart"),
        ("trends", {"unique": "yes"}, "unique must be true or false"),
        ("trends", {"sum_event_prop": "Action"}, "must be a property that is an integer"),
        ("events", {"event_name": None}, "event_name: must be a string"),
    ],
)
def test_a_wrong_count_is_told(client: "Client", call: str, changes: Any, text: str) -> None:
    reply = ask(client, call, **changes)
    assert reply.status_code == 400
    assert text in reply.json()["error"]


def test_nobody_is_active_in_an_app(client: "Client", clock: "Clock") -> None:
    found = client.call("POST", "/1/now.json", json={}).json()
    assert found == {"status": "success", "count": 0, "last_processed_ts": int(clock.now)}
    split = client.call("POST", "/1/now.json", json={"user_type": True}).json()
    assert split["user_type"] == dict.fromkeys(("new", "repeat", "addressable", "customer"), 0)
    assert client.call("POST", "/1/now.json", json=[]).status_code == 400
    assert client.call("POST", "/1/now.json", json={"user_type": 1}).status_code == 400


@pytest.mark.usefixtures("ids")
def test_the_schema_has_the_system_event_and_its_properties(client: "Client") -> None:
    (event,) = client.call("GET", "/getSchema?type=events").json()["events"]
    assert (event["name"], event["eventCount"]) == (NAME, 5)
    assert [each["name"] for each in event["properties"]] == [
        "Action",
        "Segment Name",
        "Segment ID",
        "Customer_Segment_ID",
    ]
    assert client.call("GET", "/getSchema?type=userProperties").status_code == 400
    client.headers = {}
    assert client.call("GET", "/getSchema?type=events").status_code == 401


def test_queries_use_the_name_of_an_events_time(client: "Client", ids: dict[str, int]) -> None:
    change = {"change": "rename", "segment": ids["gold"], "name": "Renamed"}
    client.call("POST", "/emulator/v1/other-writer?account=ACC-1", json=change)
    client.update(["d"], [("gold", "ADD")])
    for name, events, users in (
        ("Name of gold", 4, 3),
        ("Renamed", 1, 1),
        ("Name of silver", 1, 1),
    ):
        condition = {"name": "Segment Name", "operator": "equals", "value": name}
        query = {"event_properties": [condition]}
        assert answer(client, "events", **query) == {"count": events}
        assert answer(client, "profiles", **query) == {"count": users}
    names = {"Name of gold": 4, "Renamed": 1, "Name of silver": 1}
    assert top(client, "event_properties", "Segment Name")["STR"] == names


def test_another_account_neither_drops_nor_crowds_out_a_count(
    client: "Client", other: "Client"
) -> None:
    client.settings(search_answer="in_progress")
    number = ask(client, "events").json()["req_id"]
    path = f"/1/counts/events.json?req_id={number}"
    assert other.call("GET", path).status_code == 400
    for _ in range(101):
        ask(other, "events")
    assert client.call("GET", path).json() == {"status": "success", "count": 0}
