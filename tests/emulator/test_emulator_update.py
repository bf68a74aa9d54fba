"""updateSegment: every rule of the vendor's page is the name of a test."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Client


UPDATE = "/api/updateSegment"
LINE = {"customer_segment_id": "gold", "action": "ADD"}


def fail(code: int, text: str) -> dict[str, Any]:
    return {"status": "fail", "error": text, "code": code}


# -- The request's parameters -------------------------------------------------


def test_users_are_added_to_and_removed_from_segments(client: "Client") -> None:
    client.create("gold")
    assert client.update(["a", "b"], [("gold", "ADD")]).json() == {"success": True}
    client.update(["a"], [("gold", "REMOVE")])
    assert client.members("gold") == ["b"]


def test_an_entry_puts_each_of_its_users_on_each_of_its_segments(client: "Client") -> None:
    client.create("gold", "silver")
    client.update(["a", "b"], [("gold", "ADD"), ("silver", "ADD")])
    assert client.members("gold") == client.members("silver") == ["a", "b"]


def test_a_request_takes_several_entries(client: "Client") -> None:
    client.create("gold", "silver")
    client.update(["a"], [("gold", "ADD")], (["b"], [("silver", "ADD")]))
    assert (client.members("gold"), client.members("silver")) == (["a"], ["b"])


def test_an_entry_may_add_to_one_segment_and_remove_from_another(client: "Client") -> None:
    client.create("gold", "silver")
    client.update(["a"], [("gold", "ADD")])
    client.update(["a"], [("gold", "REMOVE"), ("silver", "ADD")])
    assert (client.members("gold"), client.members("silver")) == ([], ["a"])


def test_a_segment_is_named_by_clevertaps_id_alone(client: "Client") -> None:
    number = client.create("gold")["gold"]
    client.update(["a"], [{"ct_segment_id": number, "action": "ADD"}])
    assert client.members("gold") == ["a"]


def test_a_segment_is_named_by_both_ids_if_they_match(client: "Client") -> None:
    number = client.create("gold")["gold"]
    line = {"ct_segment_id": number, "customer_segment_id": "gold", "action": "ADD"}
    client.update(["a"], [line])
    assert client.members("gold") == ["a"]


def test_a_user_is_named_by_identity_or_by_guid(client: "Client") -> None:
    number = client.create("gold")["gold"]
    client.update([{"identity": "a"}, {"guid": "g-1"}], [("gold", "ADD")])
    assert client.read(f"segments/{number}/members") == [{"guid": "g-1"}, {"identity": "a"}]


def test_guid_and_identity_of_the_same_text_are_two_users(client: "Client") -> None:
    client.create("gold")
    client.update([{"identity": "a"}, {"guid": "a"}], [("gold", "ADD")])
    assert client.members("gold") == ["a", "a"]


def test_guid_is_used_only_without_identity(client: "Client") -> None:
    number = client.create("gold")["gold"]
    client.update([{"identity": "a", "guid": "g-1"}], [("gold", "ADD")])
    assert client.read(f"segments/{number}/members") == [{"identity": "a"}]


def test_a_guid_replaces_an_empty_identity(client: "Client") -> None:
    number = client.create("gold")["gold"]
    client.update([{"identity": "", "guid": "g-1"}], [("gold", "ADD")])
    assert client.read(f"segments/{number}/members") == [{"guid": "g-1"}]


def test_an_unknown_user_gets_a_profile(client: "Client") -> None:
    client.create("gold")
    client.update(["a", "b"], [("gold", "ADD")])
    assert client.read("stats")["profiles"] == 2


def test_a_repeated_add_or_remove_changes_nothing(client: "Client") -> None:
    client.create("gold")
    for _ in range(2):
        client.update(["a", "a"], [("gold", "ADD")])
    client.update(["stranger"], [("gold", "REMOVE")])
    assert client.members("gold") == ["a"]
    assert client.read("stats")["membership_changes"] == 1


def test_the_vendors_own_sample_is_accepted(client: "Client") -> None:
    client.create("abc123", "customer_id_123")
    users = [
        {"guid": "abcde12345", "identity": "one@example.com"},
        {"guid": "fghij67890", "identity": "two@example.com"},
    ]
    lines = [
        {"ct_segment_id": 1234, "customer_segment_id": "abc123", "action": "ADD"},
        {"ct_segment_id": 5678, "action": "REMOVE"},
        {"customer_segment_id": "customer_id_123", "action": "ADD"},
    ]
    assert client.update(users, lines).json() == {"success": True}
    assert client.members("customer_id_123") == ["one@example.com", "two@example.com"]
    assert set(client.error_types()) == {
        "API_SEGMENT_ID_MISMATCH",
        "API_SEGMENT_NOT_FOUND_OR_DELETED",
    }


# -- Errors of the whole request ----------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        [],
        "text",
        {},
        {"bulk_profiles": {}},
        {"bulk_profiles": ["x"]},
        {"bulk_profiles": [{"user_profiles": "a", "segments": [{}]}]},
        {"bulk_profiles": [{"user_profiles": ["a"], "segments": [{}]}]},
        {"bulk_profiles": [{"user_profiles": [{"identity": ["a"]}], "segments": [{}]}]},
        {"bulk_profiles": [{"user_profiles": [{"identity": 1}], "segments": [{}]}]},
        {"bulk_profiles": [{"user_profiles": [{"identity": "a"}]}]},
        {"bulk_profiles": [{"user_profiles": [{"identity": "a"}], "segments": []}]},
        {"bulk_profiles": [{"user_profiles": [{"identity": "a"}], "segments": ""}]},
        {"bulk_profiles": [{"user_profiles": "", "segments": [{}]}]},
        {"bulk_profiles": [{"user_profiles": [{"identity": "a"}], "segments": ["x"]}]},
        {
            "bulk_profiles": [
                {"user_profiles": [{"identity": "a"}], "segments": [{"ct_segment_id": 1.5}]}
            ]
        },
        {
            "bulk_profiles": [
                {"user_profiles": [{"identity": "a"}], "segments": [{"customer_segment_id": 1}]}
            ]
        },
    ],
)
def test_wrong_parameters_are_a_400(client: "Client", body: Any) -> None:
    answer = client.call("POST", "/api/updateSegment", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    assert answer.json()["status"] == "fail"
    assert answer.json()["error"].startswith(
        "Incorrect Request Parameters: The request parameters are invalid. "
        "Verify the parameters and try again. "
    )


def test_more_than_100_profile_updates_are_code_100(client: "Client") -> None:
    client.create("gold")
    entries = [([f"u{n}"], [("gold", "ADD")]) for n in range(101)]
    answer = client.update(*entries[0], *entries[1:])
    assert answer.json() == fail(
        100,
        "Maximum number of profile updates reached: "
        "A maximum of 100 profile updates can be included in one request.",
    )


@pytest.mark.parametrize("bulk", [[], [{"user_profiles": [], "segments": [{}]}]])
def test_no_user_profiles_are_code_100(client: "Client", bulk: Any) -> None:
    answer = client.call("POST", "/api/updateSegment", json={"bulk_profiles": bulk})
    assert answer.json() == fail(
        100,
        "No user profiles are provided: No user profiles were provided in the request. "
        "Add profiles and try again.",
    )


def test_more_than_100_segments_are_code_100(client: "Client") -> None:
    answer = client.update(["a"], [(f"s{n}", "ADD") for n in range(101)])
    assert answer.json() == fail(
        100, "Segment limit exceeded: More than 100 segments were added in the request."
    )


def test_more_than_100_user_ids_are_code_100(client: "Client") -> None:
    client.create("gold")
    answer = client.update([f"u{n}" for n in range(101)], [("gold", "ADD")])
    assert answer.json() == fail(
        100, "Profile limit exceeded: More than 100 user IDs added for one or more segments."
    )
    assert answer.status_code == 400
    assert client.members("gold") == []


def test_100_users_and_100_segments_are_within_the_limits(client: "Client") -> None:
    client.create(*[f"s{n}" for n in range(100)])
    answer = client.update([f"u{n}" for n in range(100)], [(f"s{n}", "ADD") for n in range(100)])
    assert answer.status_code == 200
    assert client.read("stats")["membership_changes"] == 10_000


# -- Partial processing and the five error types ------------------------------


def test_valid_entries_are_processed_and_invalid_ones_skipped(client: "Client") -> None:
    client.create("gold")
    answer = client.update(["a", ""], [("gold", "ADD"), ("nowhere", "ADD"), ("gold", "DROP")])
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert client.members("gold") == ["a"]


def test_an_unknown_segment_is_logged_with_its_three_fields(client: "Client") -> None:
    client.update(["a"], [{"ct_segment_id": 77, "customer_segment_id": "x", "action": "ADD"}])
    client.update(["b"], [{"customer_segment_id": "y", "action": "ADD"}])
    first, second = client.read("error-stream")
    fields = ("Error Type", "Segment ID", "Customer Segment ID", "User Identity")
    assert [first[name] for name in fields] == ["API_SEGMENT_NOT_FOUND_OR_DELETED", 77, "x", "a"]
    assert [second[name] for name in fields] == ["API_SEGMENT_NOT_FOUND_OR_DELETED", None, "y", "b"]


def test_a_deleted_segment_is_logged_and_stays_empty(client: "Client") -> None:
    number = client.create("gold")["gold"]
    client.update(["a"], [("gold", "ADD")])
    assert client.call("DELETE", f"/emulator/v1/segments/{number}").status_code == 200
    client.update(["b"], [("gold", "ADD")])
    assert client.error_types() == ["API_SEGMENT_NOT_FOUND_OR_DELETED"]
    assert client.read("segments")[0]["deleted"] is True
    assert client.read(f"segments/{number}/members") == []


@pytest.mark.parametrize("second", ["silver", "nowhere"])
def test_two_ids_of_different_segments_are_a_mismatch(client: "Client", second: str) -> None:
    ids = client.create("gold", "silver")
    line = {"ct_segment_id": ids["gold"], "customer_segment_id": second, "action": "ADD"}
    client.update(["a"], [line, ("silver", "ADD")])
    assert client.error_types() == ["API_SEGMENT_ID_MISMATCH"]
    assert (client.members("gold"), client.members("silver")) == ([], ["a"])


@pytest.mark.parametrize("action", ["add", "UPSERT", "", None, 1, ["ADD"]])
def test_only_add_and_remove_are_actions(client: "Client", action: Any) -> None:
    client.create("gold")
    client.update(["a"], [{"customer_segment_id": "gold", "action": action}])
    assert client.error_types() == ["API_SEGMENT_INVALID_ACTION"]


@pytest.mark.parametrize("user", [{}, {"identity": ""}, {"guid": ""}, {"identity": None}])
def test_a_missing_or_empty_identity_is_logged(client: "Client", user: Any) -> None:
    client.create("gold")
    client.update([user, "a"], [("gold", "ADD")])
    assert client.error_types() == ["API_SEGMENT_EMPTY_IDENTITY"]
    assert client.members("gold") == ["a"]


@pytest.mark.parametrize("line", [{}, {"customer_segment_id": ""}, {"ct_segment_id": None}])
def test_a_line_without_any_segment_id_is_logged(client: "Client", line: Any) -> None:
    client.update(["a"], [{**line, "action": "ADD"}])
    assert client.error_types() == ["API_SEGMENT_NO_SEGMENT_ID"]


GUID = {"user_profiles": [{"guid": "g"}]}


@pytest.mark.parametrize(
    ("empty", "error", "user"),
    [
        ({"user_profiles": [], "segments": [LINE]}, "API_SEGMENT_EMPTY_IDENTITY", ""),
        ({"user_profiles": None, "segments": [LINE]}, "API_SEGMENT_EMPTY_IDENTITY", ""),
        ({"segments": [LINE]}, "API_SEGMENT_EMPTY_IDENTITY", ""),
        ({"user_profiles": [None], "segments": [LINE]}, "API_SEGMENT_EMPTY_IDENTITY", ""),
        (GUID, "API_SEGMENT_NO_SEGMENT_ID", "g"),
        ({**GUID, "segments": []}, "API_SEGMENT_NO_SEGMENT_ID", "g"),
        ({**GUID, "segments": [None]}, "API_SEGMENT_NO_SEGMENT_ID", "g"),
        ({}, "API_SEGMENT_NO_SEGMENT_ID", ""),
        (None, "API_SEGMENT_NO_SEGMENT_ID", ""),
    ],
)
def test_an_empty_entry_beside_a_good_one_is_logged_or_refused(
    client: "Client", empty: Any, error: str, user: str
) -> None:
    client.create("gold")
    bulk = [{"user_profiles": [{"identity": "a"}], "segments": [LINE]}, empty]
    assert client.call("POST", UPDATE, json={"bulk_profiles": bulk}).json() == {"success": True}
    (logged,) = client.read("error-stream")
    assert (logged["Error Type"], logged["User Identity"]) == (error, user)
    assert (logged["Customer Segment ID"] is None) == (error == "API_SEGMENT_NO_SEGMENT_ID")
    client.settings(empty_entry="refuse")
    assert client.call("POST", UPDATE, json={"bulk_profiles": bulk}).status_code == 400
    assert (client.members("gold"), len(client.read("error-stream"))) == (["a"], 1)


def test_a_refused_line_is_logged_for_every_user(client: "Client") -> None:
    client.update(["a", "b"], [("nowhere", "ADD")])
    assert [each["User Identity"] for each in client.read("error-stream")] == ["a", "b"]


def test_an_invalid_entry_makes_no_profile(client: "Client") -> None:
    client.update(["a"], [("nowhere", "ADD")])
    assert client.read("stats")["profiles"] == 0


# -- The system event ----------------------------------------------------------


def test_each_change_raises_an_event_with_the_four_properties(client: "Client") -> None:
    number = client.create("gold")["gold"]
    client.update(["a"], [("gold", "ADD")])
    client.update(["a"], [("gold", "REMOVE")])
    assert [each["event_props"] for each in client.read("events")] == [
        {
            "Action": action,
            "Segment Name": "Name of gold",
            "Segment ID": number,
            "Customer_Segment_ID": "gold",
        }
        for action in ("ADD", "REMOVE")
    ]


def test_events_are_billed_as_data_points(client: "Client") -> None:
    client.create("gold")
    client.update(["a", "b"], [("gold", "ADD")])
    assert client.read("stats")["data_points"] == 2 * 5
    client.settings(data_points_per_event=1)
    client.update(["c"], [("gold", "ADD")])
    assert client.read("stats")["data_points"] == 2 * 5 + 1
