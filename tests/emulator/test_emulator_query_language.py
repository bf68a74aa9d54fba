"""The query language: its filters, and what it says about a wrong query."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Client

NAME = "Segment Membership Change"
BASE: dict[str, Any] = {"event_name": NAME, "from": 20270115, "to": 20270115}


def count(client: "Client", *conditions: dict[str, Any], **more: Any) -> int:
    """Return how many events match."""
    query = {**BASE, "event_properties": list(conditions), **more}
    answer = client.call("POST", "/1/counts/events.json", json=query)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["count"])


def users(client: "Client", **query: Any) -> int:
    """Return how many users match."""
    answer = client.call("POST", "/1/counts/profiles.json", json=query)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["count"])


def problem(client: "Client", **query: Any) -> str:
    """Return the text that refuses a query."""
    answer = client.call("POST", "/1/counts/events.json", json={**BASE, **query})
    assert answer.status_code == 400, answer.text
    return str(answer.json()["error"])


@pytest.mark.parametrize(
    ("name", "operator", "value", "expected"),
    [
        ("Action", "equals", "ADD", 4),
        ("Action", None, "REMOVE", 1),
        ("Action", "not_equals", "ADD", 1),
        ("Action", "contains", "E", 1),
        ("Action", "does_not_contain", "E", 4),
        ("Action", "exists", None, 5),
        ("Action", "does_not_exist", None, 0),
        ("Action", "equals", ["ADD", "REMOVE"], 5),
        ("Action", "equals", "add", 0),
        ("Customer_Segment_ID", "equals", "silver", 1),
        ("Segment Name", "contains", "gol", 4),
        ("Segment ID", "greater_than", 5, 5),
        ("Segment ID", "greater_than_equals", 5.5, 5),
        ("Segment ID", "less_than", 5, 0),
        ("Segment ID", "less_than_equals", 1, 0),
    ],
)
@pytest.mark.usefixtures("ids")
def test_an_operator_compares_a_property(
    client: "Client", name: str, operator: str | None, value: Any, expected: int
) -> None:
    assert count(client, {"name": name, "operator": operator, "value": value}) == expected


def test_all_conditions_must_match(client: "Client", ids: dict[str, int]) -> None:
    gold = {"name": "Segment ID", "operator": "equals", "value": ids["gold"]}
    added = {"name": "Action", "operator": "equals", "value": "ADD"}
    assert (count(client, gold), count(client, gold, added)) == (4, 3)


def test_a_number_equals_the_same_number_as_text_by_switch(
    client: "Client", ids: dict[str, int]
) -> None:
    gold = {"name": "Segment ID", "operator": "equals", "value": str(ids["gold"])}
    assert count(client, gold) == 4
    client.settings(filter_number_text="no_match")
    assert count(client, gold) == 0
    assert count(client, {**gold, "value": ids["gold"]}) == 4


@pytest.mark.usefixtures("ids")
def test_filters_may_ignore_case(client: "Client") -> None:
    client.settings(filter_case="ignore")
    assert count(client, {"name": "Action", "operator": "contains", "value": "add"}) == 4


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ({"name": "Colour", "value": "x"}, "[0].name: is none of the event's: Action, Segment"),
        ({"name": "Action", "operator": "like", "value": "x"}, "[0].operator: must be one of eq"),
        ({"name": "Action", "operator": "greater_than", "value": "x"}, "must be a number for"),
        ({"name": "Action", "operator": "contains", "value": 1}, "must be a string for contains"),
        ({"name": "Action", "value": True}, '"True" and "False" are strings'),
        ({"name": "Action", "value": {}}, "[0].value: must be a number, a string, or an array"),
        ({"name": "Action", "value": []}, "[0].value: must be a number, a string, or an array"),
        ({"name": 1, "value": "x"}, "[0].name: must be a string that is not empty"),
        ({"name": "Action", "operator": "contains", "value": ["x"] * 101}, "too many values"),
        ({"name": "Action", "value": ["x"] * 10_001}, "too many values"),
    ],
)
def test_a_wrong_condition_is_told(client: "Client", condition: Any, text: str) -> None:
    assert text in problem(client, event_properties=[condition])


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"event_properties": {}}, "event_properties: must be an array of objects"),
        ({"event_name": " "}, "event_name: must be a string that is not blank"),
        ({"from": 20270116}, "from: is later than to"),
        ({"from": "2027-01-15"}, "from: must be a day, yyyymmdd"),
        ({"session_properties": [{"name": "x"}]}, "session_properties: sessions are not emulated"),
        ({"common_profile_properties": {"geo_fields": [["India"]]}}, "geo_fields: is not emulated"),
        ({"common_profile_properties": {"x": []}}, "has a key that is not documented"),
        ({"common_profile_properties": []}, "common_profile_properties: must be an object"),
        ({"common_profile_properties": {"reachability": [{"name": "x", "value": "y"}]}}, "has_tok"),
        ({"advanced_query": {"did": []}}, "must be an object of did_all, did_any and did_none"),
        ({"advanced_query": {"did_any": []}}, "did_any: must be an object with any_events"),
        ({"advanced_query": {"did_all": [BASE] * 21}}, "did_all: has more than 20 entries"),
        (
            {"advanced_query": {"did_all": [{**BASE, "operator": "equals", "value": "x"}]}},
            "advanced_query.did_all[0].value: must be a number",
        ),
        ({"advanced_query": {"did_none": [{}]}}, "advanced_query.did_none[0].event_name: must be"),
    ],
)
def test_a_wrong_query_is_told(client: "Client", query: Any, text: str) -> None:
    assert text in problem(client, **query)


def test_all_problems_are_told_and_no_value(client: "Client") -> None:
    wrong = {"name": "Colour", "operator": "greater_than", "value": "ada@example.com"}
    text = problem(client, event_properties=[{}, wrong], **{"from": "x"})
    for place in ("from:", "[0].name:", "[0].value:", "[1].name:", "[1].value:"):
        assert place in text
    assert "ada@" not in text


def test_a_query_has_at_most_100_filters(client: "Client") -> None:
    filters = [{"name": "Action", "value": "ADD"}] * 60
    assert count(client, *filters) == 0
    advanced = {"did_all": [{**BASE, "event_properties": filters}]}
    assert "more than 100 filters" in problem(
        client, event_properties=filters, advanced_query=advanced
    )


def test_an_event_that_the_account_does_not_have_may_be_refused(client: "Client") -> None:
    assert count(client, event_name="App Launched") == 0
    client.settings(unknown_event="refuse")
    assert "Invalid event" in problem(client, event_name="App Launched")


def upload(client: "Client", identity: str, **fields: Any) -> None:
    document = {"d": [{"identity": identity, "type": "profile", "profileData": fields}]}
    assert client.call("POST", "/1/upload", json=document).json()["processed"] == 1


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"name": "Plan", "operator": "equals", "value": "pro"}, 1),
        ({"name": "Plan", "operator": "not_equals", "value": "pro"}, 2),
        ({"name": "Plan", "operator": "does_not_exist"}, 1),
        ({"name": "Score", "operator": "greater_than", "value": 3}, 1),
        ({"name": "Tags", "operator": "equals", "value": "x"}, 1),
        ({"name": "Active", "operator": "equals", "value": "True"}, 1),
    ],
)
@pytest.mark.usefixtures("ids")
def test_users_are_filtered_by_the_fields_of_their_profiles(
    client: "Client", condition: Any, expected: int
) -> None:
    upload(client, "a", Plan="pro", Score=5, Active=True)
    upload(client, "b", Plan="free", Tags=["x", "y"])
    filters = {"common_profile_properties": {"profile_fields": [condition]}}
    assert users(client, **BASE, **filters) == expected


@pytest.mark.usefixtures("ids")
def test_users_are_filtered_by_their_tokens(client: "Client") -> None:
    token = {"identity": "a", "type": "token", "tokenData": {"id": "t", "type": "fcm"}}
    client.call("POST", "/1/upload", json={"d": [token]})
    for value, expected in (("True", 1), ("False", 2)):
        reachability = [{"name": "has_token", "value": value}]
        filters = {"common_profile_properties": {"reachability": reachability}}
        assert users(client, **BASE, **filters) == expected


REMOVED = {**BASE, "event_properties": [{"name": "Action", "value": "REMOVE"}]}


@pytest.mark.parametrize(
    ("advanced", "expected"),
    [
        ({"did_all": [REMOVED]}, 1),
        ({"did_none": [REMOVED]}, 2),
        ({"did_all": [{**BASE, "operator": "greater_than", "value": 1}]}, 1),
        ({"did_all": [{**BASE, "operator": "less_than", "value": 2}]}, 2),
        ({"did_any": {"any_events": [REMOVED, BASE]}}, 3),
        ({"did_any": {"any_events": [REMOVED, BASE], "operator": "equals", "value": 4}}, 1),
        ({"did_all": [REMOVED], "did_none": [REMOVED]}, 0),
        ({"did_all": [{**BASE, "event_name": "App Launched"}]}, 0),
    ],
)
@pytest.mark.usefixtures("ids")
def test_users_are_filtered_by_what_they_did_and_did_not(
    client: "Client", advanced: Any, expected: int
) -> None:
    assert users(client, **BASE, advanced_query=advanced) == expected
    assert users(client, advanced_query=advanced) == expected  # the past 365 days


@pytest.mark.usefixtures("ids")
def test_filters_on_users_select_events_too(client: "Client") -> None:
    assert count(client, advanced_query={"did_all": [REMOVED]}) == 3
    assert count(client, advanced_query={"did_none": [REMOVED]}) == 2
