"""The bodies of requests."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.identity import Kind
from segctl.provider.wire import Entry, NewSegment, SegmentAction, create_body, update_body


def test_a_create_is_a_json_array() -> None:
    segments = [NewSegment(segment_name="Größe", customer_segment_id="SEG-1")]
    assert json.loads(create_body(segments, "wrapped")) == {
        "segments": json.loads(create_body(segments))
    }
    assert json.loads(create_body(segments)) == [
        {"segment_name": "Größe", "customer_segment_id": "SEG-1"}
    ]


def test_an_update_names_each_user_by_its_kind() -> None:
    entry = Entry(
        users=((Kind.IDENTITY, "00004"), (Kind.GUID, "g-1")),
        actions=(SegmentAction(action="REMOVE", customer_segment_id="SEG-1"),),
    )
    assert json.loads(update_body([entry])) == {
        "bulk_profiles": [
            {
                "user_profiles": [{"identity": "00004"}, {"guid": "g-1"}],
                "segments": [{"customer_segment_id": "SEG-1", "action": "REMOVE"}],
            }
        ]
    }


@pytest.mark.parametrize(
    ("customer", "clevertap", "sent"),
    [
        ("SEG-1", None, {"customer_segment_id": "SEG-1", "action": "ADD"}),
        ("SEG-1", 17, {"customer_segment_id": "SEG-1", "action": "ADD"}),
        (None, 17, {"ct_segment_id": 17, "action": "ADD"}),
        ("", 17, {"ct_segment_id": 17, "action": "ADD"}),
    ],
)
def test_one_segment_id_is_sent_and_the_customers_is_preferred(
    customer: str | None, clevertap: int | None, sent: dict[str, object]
) -> None:
    action = SegmentAction(action="ADD", customer_segment_id=customer, ct_segment_id=clevertap)
    entry = Entry(users=((Kind.IDENTITY, "u"),), actions=(action,))
    assert json.loads(update_body([entry]))["bulk_profiles"][0]["segments"] == [sent]


def test_an_action_without_an_id_is_an_error() -> None:
    with pytest.raises(ValueError, match="a segment action needs an id"):
        SegmentAction(action="ADD", customer_segment_id=None)


@given(st.lists(st.tuples(st.sampled_from(Kind), st.text()), min_size=1))
def test_user_keys_are_sent_unchanged(users: list[tuple[Kind, str]]) -> None:
    action = SegmentAction(action="ADD", customer_segment_id="x")
    body = update_body([Entry(users=tuple(users), actions=(action,))])
    profiles = json.loads(body)["bulk_profiles"][0]["user_profiles"]
    assert [next(iter(p.items())) for p in profiles] == [(str(k), v) for k, v in users]
