"""Any input gets an answer that the vendor could give."""

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from tests.emulator.conftest import Client

# All examples share one emulator and see the data of those before.
examples = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

PATHS = ("/api/createSegment", "/api/updateSegment", "/1/events.json", "/1/upload")
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


def has_proper_answer(client: "Client", path: str, **options: Any) -> bool:
    answer = client.call("POST", path, **options)
    if answer.status_code in {200, 400, 409}:
        return isinstance(answer.json(), dict | list)
    return False


@examples
@given(path=st.sampled_from(PATHS), document=documents | updates)
def test_any_json_gets_a_proper_answer(client: "Client", path: str, document: Any) -> None:
    assert has_proper_answer(client, path, json=document)


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
