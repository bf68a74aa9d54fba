"""Any input gets an answer that the vendor could give."""

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segctl.emulator.calls.cursors import FIELDS, decode_cursor, encode_cursor
from segctl.emulator.query_language import OPERATORS

if TYPE_CHECKING:
    from tests.emulator.conftest import Client

# All examples share one emulator and see the data of those before.
examples = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

PATHS = (
    "/api/createSegment",
    "/api/updateSegment",
    "/1/upload",
    "/1/events.json",
    "/1/profiles.json",
    "/1/counts/events.json",
    "/1/counts/profiles.json",
    "/1/counts/top.json",
    "/1/counts/trends.json",
    "/1/now.json",
    "/1/targets/create.json",
)
READS = PATHS[3:]
KEYS = (
    "bulk_profiles user_profiles segments identity guid ct_segment_id customer_segment_id action "
    "segment_name event_name from to d type profileData tokenData objectId Email Phone"
).split()

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["ADD", "REMOVE", "gold", "profile", "token", "20270115"])
)
documents = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=30,
)
updates = st.fixed_dictionaries(
    {
        "bulk_profiles": st.lists(
            st.fixed_dictionaries(
                {
                    "user_profiles": st.lists(
                        st.dictionaries(st.sampled_from(["identity", "guid"]), scalars), max_size=3
                    ),
                    "segments": st.lists(
                        st.dictionaries(
                            st.sampled_from(["ct_segment_id", "customer_segment_id", "action"]),
                            scalars,
                        ),
                        max_size=3,
                    ),
                }
            ),
            max_size=3,
        )
    }
)

conditions = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["Action", "Segment ID", "Customer_Segment_ID", "Plan"]),
            "operator": st.sampled_from([None, *OPERATORS, "like"]),
            "value": scalars | st.lists(scalars, max_size=3),
        }
    ),
    max_size=3,
)
base = {
    "event_name": st.sampled_from(["Segment Membership Change", "App Launched"]) | scalars,
    "from": st.sampled_from([20270115, "20270101"]) | scalars,
    "to": st.sampled_from([20270115, "20271231", 99991231]) | scalars,
}
behaviours = st.lists(
    st.fixed_dictionaries(base, optional={"operator": st.sampled_from(OPERATORS), "value": scalars})
    | documents,
    max_size=2,
)
groups = st.dictionaries(
    st.text(max_size=3),
    st.fixed_dictionaries(
        {},
        optional={
            "trend_type": st.sampled_from(["daily", "weekly", "monthly"]) | scalars,
            "property_type": st.sampled_from(["event_properties", "profile_fields"]) | scalars,
            "name": st.sampled_from(["Action", "Segment ID", "Plan"]) | scalars,
            "top_n": scalars,
            "order": st.sampled_from(["asc", "desc"]) | documents,
        },
    )
    | documents,
    max_size=3,
)
queries = st.fixed_dictionaries(
    base,
    optional={
        "event_properties": conditions | documents,
        "common_profile_properties": st.fixed_dictionaries({"profile_fields": conditions})
        | documents,
        "advanced_query": st.fixed_dictionaries(
            {}, optional={"did_all": behaviours, "did_none": behaviours, "did_any": documents}
        )
        | documents,
        "groups": groups | documents,
        "unique": st.booleans() | scalars,
        "sum_event_prop": st.sampled_from(["Segment ID"]) | documents,
        "segment": scalars | documents,
        "where": documents,
        "name": scalars,
        "estimate_only": st.just(True),
        "target_mode": st.sampled_from(["push", "email"]) | documents,
    },
)


def has_proper_answer(client: "Client", path: str, **options: Any) -> bool:
    answer = client.call(options.pop("method", "POST"), path, **options)
    if answer.status_code in {200, 400, 409}:
        return isinstance(answer.json(), dict | list)
    return False


@examples
@given(path=st.sampled_from(PATHS), document=documents | updates)
def test_any_json_gets_a_proper_answer(client: "Client", path: str, document: Any) -> None:
    assert has_proper_answer(client, path, json=document)


@pytest.fixture
def filled(client: "Client") -> "Client":
    """Return a client of an emulator with some events."""
    client.create("gold")
    client.update(["a", "b"], [("gold", "ADD")])
    client.settings(profile_segment_filter="accept")
    return client


@examples
@given(path=st.sampled_from(READS), document=queries)
def test_any_query_gets_a_proper_answer(filled: "Client", path: str, document: Any) -> None:
    assert has_proper_answer(filled, path, json=document)


@examples
@given(
    path=st.sampled_from(["/1/events.json", "/1/profiles.json", "/1/counts/top.json"]),
    text=st.text(max_size=40) | st.sampled_from(["e30=", "W10=", "bnVsbA==", "MQ=="]),
)
def test_any_cursor_and_request_id_get_a_proper_answer(
    client: "Client", path: str, text: str
) -> None:
    query = {"cursor": text, "req_id": text}
    assert has_proper_answer(client, path, method="GET", params=query)


@examples
@given(changes=st.dictionaries(st.sampled_from([*FIELDS]), documents, min_size=1, max_size=4))
def test_any_change_of_a_cursor_gets_a_proper_answer(client: "Client", changes: Any) -> None:
    query = {"event_name": "Segment Membership Change", "from": 20270115, "to": 20270115}
    for path in ("events", "profiles"):
        cursor = client.call("POST", f"/1/{path}.json", json=query).json()["cursor"]
        changed = {**(decode_cursor(unquote(cursor)) or {}), **changes}
        url = f"/1/{path}.json?cursor={encode_cursor(changed)}"
        assert has_proper_answer(client, url, method="GET")


@examples
@given(path=st.sampled_from(PATHS), content=st.binary(max_size=200))
def test_any_bytes_get_a_proper_answer(client: "Client", path: str, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert has_proper_answer(client, path, content=content, headers=headers)


@examples
@given(document=updates)
def test_after_any_update_figures_members_and_events_agree(client: "Client", document: Any) -> None:
    gold = {"segment_name": "Gold", "customer_segment_id": "gold"}
    client.call("POST", "/api/createSegment", json=[gold])
    client.call("POST", "/api/updateSegment", json=document)
    for segment in client.read("segments"):
        members = client.read(f"segments/{segment['ct_segment_id']}/members")
        expected: set[tuple[str, str]] = set()
        for event in client.read("events"):
            if event["event_props"]["Segment ID"] == segment["ct_segment_id"]:
                ((kind, value),) = event["profile"].items()
                if event["event_props"]["Action"] == "ADD":
                    expected.add((kind, value))
                else:
                    expected.remove((kind, value))
        assert len(members) == segment["members"] == len(expected)
        assert {item for each in members for item in each.items()} == expected
