"""What the alternatives of every switch do; the defaults are tested with the rules."""

from typing import TYPE_CHECKING, Any

import pytest

from segctl.emulator.settings import QUESTIONS, SWITCHES, Settings

if TYPE_CHECKING:
    from tests.emulator.conftest import Client, Clock


def segment(number: int, **changes: Any) -> dict[str, Any]:
    return {"segment_name": f"S{number}", "customer_segment_id": f"C{number}", **changes}


def post(client: "Client", document: Any) -> Any:
    return client.call("POST", "/api/createSegment", json=document)


def test_the_defaults_are_what_an_emulator_starts_with(client: "Client") -> None:
    assert client.read("settings") == Settings().document()


def test_all_invalid_settings_are_named(client: "Client") -> None:
    wrong = {
        "nope": 1,
        "both_ids": "x",
        "latency_ms": -1,
        "code_100_status": True,
        "max_users": 1.5,
        "account_api_segments": {"ACC-1": "off"},
    }
    answer = client.call("PUT", "/emulator/v1/settings", json=wrong)
    assert answer.status_code == 400
    assert {each.split(":")[0] for each in answer.json()["problems"]} == set(wrong)
    assert client.read("settings") == Settings().document()


def test_settings_not_named_stay(client: "Client") -> None:
    client.settings(noop_changes="event")
    client.settings(both_ids="guid")
    assert client.read("settings")["noop_changes"] == "event"
    client.call("DELETE", "/emulator/v1/settings")
    assert client.read("settings") == Settings().document()


@pytest.mark.parametrize("switch", SWITCHES)
def test_every_choice_of_every_switch_can_be_set(client: "Client", switch: str) -> None:
    assert QUESTIONS[switch].endswith("?")
    assert SWITCHES[switch][0] == Settings().document()[switch]
    for choice in SWITCHES[switch]:
        client.settings(**{switch: choice})
        assert client.read("settings")[switch] == choice


# -- createSegment ------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepts", "body", "status"),
    [
        ("either", [segment(1)], 200),
        ("either", {"segments": [segment(1)]}, 200),
        ("array", {"segments": [segment(1)]}, 400),
        ("wrapped", [segment(1)], 400),
        ("wrapped", {"segments": [segment(1)]}, 200),
    ],
)
def test_create_body(client: "Client", accepts: str, body: Any, status: int) -> None:
    client.settings(create_body=accepts)
    assert post(client, body).status_code == status


def test_create_answer_shapes(client: "Client", clock: "Clock") -> None:
    client.settings(create_answer="wrapped", create_id_field="ct_segment_id", create_status=201)
    answer = post(client, [segment(1)])
    assert answer.status_code == 201
    assert answer.json()["success"] is True
    assert answer.json()["segments"][0]["ct_segment_id"] == int(clock.now)
    client.settings(create_answer="array", create_id_field="segment_id", create_id_type="string")
    assert post(client, [segment(2)]).json()[0]["segment_id"] == str(int(clock.now) + 1)
    client.settings(create_answer="success_only")
    assert post(client, [segment(3)]).json() == {"success": True}


def test_create_in_part(client: "Client") -> None:
    client.settings(create_processing="partial")
    post(client, [segment(1)])
    first, second = post(client, [segment(1), segment(2)]).json()
    assert first["code"] == 409
    assert second["customer_segment_id"] == "C2"
    assert post(client, [segment(1), segment(2)]).status_code == 409


def test_a_taken_customer_id_may_return_the_segment_there_is(client: "Client") -> None:
    first = post(client, [segment(1)]).json()
    client.settings(duplicate_customer_id="return_existing")
    assert post(client, [segment(1)]).json() == first
    assert len(client.read("segments")) == 1


def test_a_taken_customer_id_may_be_a_400(client: "Client") -> None:
    client.settings(duplicate_status=400)
    post(client, [segment(1)])
    assert post(client, [segment(1)]).status_code == 400


@pytest.mark.parametrize(
    "left_out", [{}, {"customer_segment_id": None}, {"customer_segment_id": ""}]
)
def test_the_customer_id_may_be_required(client: "Client", left_out: dict[str, Any]) -> None:
    client.settings(missing_customer_id="refuse")
    answer = post(client, [{"segment_name": "Gold", **left_out}])
    assert answer.status_code == 400
    assert "customer_segment_id is required" in answer.json()["error"]


def test_a_name_twice_in_a_request_may_pass(client: "Client") -> None:
    client.settings(duplicate_name_in_request="accept")
    same = [segment(1, segment_name="x"), segment(2, segment_name="x")]
    assert post(client, same).status_code == 200


def test_a_name_may_be_unique_in_the_account(client: "Client") -> None:
    client.settings(duplicate_name_in_account="refuse")
    post(client, [segment(1, segment_name="x")])
    assert post(client, [segment(2, segment_name="x")]).status_code == 409


@pytest.mark.parametrize(("switch", "status"), [("refuse", 409), ("accept", 200)])
def test_a_deleted_customer_id_again(client: "Client", switch: str, status: int) -> None:
    client.settings(reuse_deleted_customer_id=switch)
    number = client.create("C1")["C1"]
    client.call("DELETE", f"/emulator/v1/segments/{number}")
    assert post(client, [segment(1)]).status_code == status
    client.update(["a"], [("C1", "ADD")])
    assert client.error_types() == (["API_SEGMENT_NOT_FOUND_OR_DELETED"] if status == 409 else [])


def test_the_cap_may_count_deleted_segments(client: "Client") -> None:
    client.settings(max_segments=1, segment_cap_counts="ever_created")
    number = client.create("C1")["C1"]
    client.call("DELETE", f"/emulator/v1/segments/{number}")
    assert post(client, [segment(2)]).status_code == 400


# -- updateSegment ------------------------------------------------------------


def test_code_100_may_come_with_status_200(client: "Client") -> None:
    client.settings(code_100_status=200)
    answer = client.update([], [("gold", "ADD")])
    assert (answer.status_code, answer.json()["code"]) == (200, 100)


def test_limits_may_be_counted_per_entry(client: "Client") -> None:
    client.create("gold")
    entries = [([f"{half}{n}" for n in range(60)], [("gold", "ADD")]) for half in "ab"]
    assert client.update(*entries[0], entries[1]).json()["code"] == 100
    client.settings(limit_scope="entry")
    assert client.update(*entries[0], entries[1]).status_code == 200


TEN = [f"u{n}" for n in range(10)]


@pytest.mark.parametrize(
    ("switch", "counts", "entries", "is_allowed"),
    [
        ("entries", "all", [(["a"], [("gold", "ADD")])] * 100, True),
        ("entries", "all", [(["a"], [("gold", "ADD")])] * 101, False),
        ("users", "all", [(["a"], [("gold", "ADD")])] * 101, False),
        ("users", "distinct", [(["a"], [("gold", "ADD")])] * 101, True),
        ("pairs", "all", [(TEN, [("gold", "ADD")] * 10)], True),
        ("pairs", "all", [(TEN, [("gold", "ADD")] * 10), (["a"], [("gold", "ADD")])], False),
        ("pairs", "distinct", [(TEN, [("gold", "ADD")] * 11)], True),
        ("pairs", "distinct", [(TEN, [(f"s{n}", "ADD") for n in range(11)])], False),
        ("pairs", "distinct", [(TEN, [(f"s{n}", "ADD")]) for n in range(11)], False),
    ],
)
def test_what_the_100_profile_updates_are(
    client: "Client", switch: str, counts: str, entries: Any, is_allowed: bool
) -> None:
    client.settings(profile_updates=switch, limit_counts=counts, limit_scope="entry")
    answer = client.update(*entries[0], *entries[1:])
    assert answer.json().get("code") == (None if is_allowed else 100)
    assert is_allowed or "Maximum number of profile updates" in answer.json()["error"]


def test_limits_may_count_distinct_users_and_segments(client: "Client") -> None:
    client.create("gold")
    users, lines = ["a"] * 101, [("gold", "ADD")] * 101
    assert client.update(users, lines).json()["code"] == 100
    client.settings(limit_counts="distinct")
    assert client.update(users, lines).status_code == 200


def test_guid_may_win_over_identity(client: "Client") -> None:
    client.settings(both_ids="guid")
    client.create("gold")
    client.update([{"identity": "a", "guid": "g"}], [("gold", "ADD")])
    assert client.members("gold") == ["g"]


def test_a_number_may_pass_for_an_identity(client: "Client") -> None:
    client.settings(numeric_identity="accept")
    client.create("gold")
    client.update([{"identity": 7}], [("gold", "ADD")])
    assert client.members("gold") == ["7"]


@pytest.mark.parametrize(("switch", "members"), [("accept", ["a"]), ("not_found", [])])
def test_a_segment_id_in_quotes(client: "Client", switch: str, members: list[str]) -> None:
    client.settings(numeric_string_id=switch)
    number = client.create("gold")["gold"]
    client.update(["a"], [{"ct_segment_id": str(number), "action": "ADD"}])
    assert client.members("gold") == members


@pytest.mark.parametrize(("switch", "events"), [("silent", 1), ("event", 3)])
def test_changes_that_change_nothing(client: "Client", switch: str, events: int) -> None:
    client.settings(noop_changes=switch)
    client.create("gold", "silver")
    client.update(["a"], [("gold", "ADD")])
    client.update(["a"], [("gold", "ADD"), ("silver", "REMOVE")])
    stats = client.read("stats")
    assert (stats["events"], stats["data_points"]) == (events, 5 * events)
    assert stats["membership_changes"] == 1
    assert len(client.read("events")) == events


def test_a_user_twice_in_an_update_raises_one_event(client: "Client") -> None:
    client.settings(noop_changes="event")
    client.create("gold")
    client.update(["a", "a"], [("gold", "ADD")])
    client.update(["b"], [("gold", "ADD")])
    assert [each["seq"] for each in client.read("events")] == [1, 2]


@pytest.mark.parametrize(("switch", "profiles"), [("ignore", 0), ("create_profile", 1)])
def test_removing_an_unknown_user(client: "Client", switch: str, profiles: int) -> None:
    client.settings(remove_unknown_user=switch)
    client.create("gold")
    client.update(["a"], [("gold", "REMOVE")])
    assert client.read("stats")["profiles"] == profiles


@pytest.mark.parametrize(
    ("switch", "members"), [("as_sent", []), ("adds_first", []), ("removes_first", ["a"])]
)
def test_add_and_remove_of_one_pair(client: "Client", switch: str, members: list[str]) -> None:
    client.settings(conflict_order=switch)
    client.create("gold")
    client.update(["a"], [("gold", "ADD"), ("gold", "REMOVE")])
    assert client.members("gold") == members


def test_adds_first_turns_the_order_round(client: "Client") -> None:
    client.create("gold")
    client.update(["a"], [("gold", "REMOVE"), ("gold", "ADD")])
    assert client.members("gold") == ["a"]
    client.settings(conflict_order="adds_first")
    client.update(["a"], [("gold", "REMOVE"), ("gold", "ADD")])
    assert client.members("gold") == []


# -- Answers of the service as a whole -----------------------------------------


@pytest.mark.parametrize(
    ("switch", "start"), [("json", '{"status"'), ("empty", ""), ("html", "<html>")]
)
def test_the_body_of_a_429(client: "Client", switch: str, start: str) -> None:
    client.settings(rate_limit_body=switch, rate_limit_retry_after=7)
    client.faults({"fault": "too_many_requests"})
    answer = client.update(["a"], [("gold", "ADD")])
    assert answer.text.startswith(start)
    assert bool(answer.text) == bool(start)
    assert answer.headers["retry-after"] == "7"


def test_a_change_may_stay_out_of_sight_for_a_while(client: "Client", clock: "Clock") -> None:
    client.settings(visibility_lag_ms=1000)
    client.create("gold")
    client.update(["a", "b"], [("gold", "ADD"), ("nowhere", "ADD")])
    clock.now += 0.6
    client.update(["b"], [("gold", "REMOVE")])
    assert (client.members("gold"), client.read("events")) == ([], [])
    assert client.error_types() == []
    clock.now += 0.6
    assert client.members("gold") == ["a", "b"]
    assert client.read("segments")[0]["members"] == 2
    assert len(client.error_types()) == 2
    clock.now += 0.6
    assert client.members("gold") == ["a"]
