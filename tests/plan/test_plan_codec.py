import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core import codec as value_codec
from segctl.core.diagnostics import Severity
from segctl.core.errors import OperationError, StalePlan
from segctl.core.identity import Kind
from segctl.manifests.desired import Lifecycle
from segctl.manifests.limits import Guards
from segctl.plan.codec import VERSION, decode, encode
from segctl.plan.model import (
    Action,
    AttributeChange,
    Attributes,
    Change,
    Estimate,
    Figures,
    Finding,
    MemberCounts,
    Plan,
    Requests,
    Sample,
    Target,
)

whole = st.integers(min_value=0, max_value=10**12)
number = st.floats(min_value=0, max_value=1e12)
text = st.text(max_size=10)
maybe_text = st.none() | text
labels = st.dictionaries(text, text, max_size=2)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1, 1) | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)


def tuples_of(values: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(values, max_size=3).map(tuple)


attributes = st.builds(
    Attributes,
    display_name=text,
    customer_segment_id=maybe_text,
    labels=labels,
    managed=st.booleans(),
    guards=st.builds(
        Guards, max_remove_percent=number, from_members=whole, allow_empty=st.booleans()
    ),
    lifecycle=st.builds(Lifecycle, on_remove=st.sampled_from(["empty", "forget"])),
)
members = st.tuples(st.sampled_from(Kind), text)
changes = st.builds(
    Change,
    address=text,
    action=st.sampled_from(Action),
    reason=text,
    before=st.none() | attributes,
    after=st.none() | attributes,
    attributes=tuples_of(
        st.builds(AttributeChange, path=text, before=json_values, after=json_values)
    ),
    members=st.builds(MemberCounts, before=whole, after=whole, add=whole, remove=whole),
    sample=st.builds(Sample, add=tuples_of(members), remove=tuples_of(members)),
    target=st.none() | whole,
    old_target=st.none() | whole,
)
targets = st.builds(
    Target,
    address=text,
    customer_segment_id=maybe_text,
    ct_segment_id=st.none() | whole,
    display_name=text,
    create=st.booleans(),
)
findings = st.builds(
    Finding,
    severity=st.sampled_from(Severity),
    code=text,
    summary=text,
    detail=text,
    address=maybe_text,
    sample=st.sampled_from([(), ((Kind.GUID, "abcde12345"), (Kind.IDENTITY, "é"))]),
    figures=st.none()
    | st.builds(
        Figures,
        count=whole,
        of=st.none() | whole,
        limit=st.none() | whole,
        segments=st.sampled_from([(), ("segment.a", "segment.b")]),
        place=maybe_text,
    ),
)
plans = st.builds(
    Plan,
    lineage=text,
    serial=whole,
    account=maybe_text,
    host=text,
    workspace_digest=text,
    digest=text,
    segctl_version=text,
    variables=labels,
    destroy=st.booleans(),
    targeted=tuples_of(text),
    changes=tuples_of(changes),
    targets=tuples_of(targets),
    findings=tuples_of(findings),
    requests=st.builds(Requests, create=whole, update=whole, naive=whole, floor=whole),
    estimate=st.builds(Estimate, seconds=number, billable_events=whole),
    max_destroys=whole,
    settle_seconds=number,
    concurrency=whole,
    settle_from=st.none() | whole,
    settled_at=number,
)

EXAMPLE = Plan(
    lineage="5f0c",
    serial=7,
    account="TEST",
    host="in1.api.clevertap.com",
    workspace_digest="sha256:00",
    digest="sha256:11",
    segctl_version="0.1.0",
    changes=(
        Change(
            address="segment.gold",
            action=Action.UPDATE,
            reason="members changed",
            sample=Sample(add=((Kind.GUID, "abcde12345"),)),
        ),
    ),
)


@given(plans)
def test_decoding_an_encoded_plan_returns_the_same_plan(plan: Plan) -> None:
    assert decode(encode(plan)) == plan


@given(plans)
def test_an_encoded_plan_round_trips_through_json(plan: Plan) -> None:
    assert decode(value_codec.load_json(value_codec.dump_json(encode(plan)))) == plan
    assert decode(json.loads(json.dumps(encode(plan)))) == plan


def test_a_newer_plan_is_an_error_that_names_its_segctl_version() -> None:
    with pytest.raises(OperationError) as caught:
        decode({**encode(EXAMPLE), "version": VERSION + 1, "segctl_version": "3.4.0"})
    expected = f"the plan was saved by segctl 3.4.0 in format {VERSION + 1}; "
    assert caught.value.message.startswith(expected)
    assert caught.value.hint == "Upgrade segctl to 3.4.0 or newer, or make a new plan."


def test_an_older_plan_is_stale() -> None:
    with pytest.raises(StalePlan, match=r"^the plan was saved by an older segctl \(0.0.1\)$"):
        decode({**encode(EXAMPLE), "version": 0, "segctl_version": "0.0.1"})


@pytest.mark.parametrize("document", [{}, {"version": "1"}, {"version": True}])
def test_a_document_without_a_version_is_not_a_plan(document: dict[str, object]) -> None:
    with pytest.raises(OperationError, match="not a saved plan of segctl: it has no version"):
        decode(document)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"update"', '"upend"', "changes[0].action: expected one of create, adopt, "),
        ('"serial": 7', '"serial": 7.5', "serial: expected a whole number, found a decimal number"),
        ('"targets": []', '"targets": {}', "targets: expected an array, found an object"),
        ('"destroy": false', '"destroy": 0', "destroy: expected true or false, found a whole"),
        ('["guid", "abcde12345"]', '["guid"]', "changes[0].sample.add[0]: expected 2 values, "),
        ('["guid", "abcde12345"]', '["guid", 3]', "changes[0].sample.add[0][1]: expected text, "),
        ('"host": ', '"hots": ', '"host" is missing'),
    ],
)
def test_a_wrong_value_is_an_error_with_its_path_and_without_the_value(
    old: str, new: str, problem: str
) -> None:
    document = json.dumps(encode(EXAMPLE))
    assert old in document
    with pytest.raises(OperationError) as caught:
        decode(json.loads(document.replace(old, new)))
    assert caught.value.message.startswith(f"the saved plan cannot be read: {problem}")
    assert "abcde12345" not in caught.value.message
