"""The schemas of the documents that segctl writes: they are generated, and describe everything."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.approval import ApprovalCheck, PairCounts, SegmentApproval
from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.core.events import ApprovalChecked
from segctl.core.outcomes import Outcome
from segctl.plan.model import Flow, Plan
from segctl.render import apply_report, diagnostics, json_document, schemas, stream
from segctl.render.apply_report import ApplyReport
from segctl.state import codec as state_codec
from segctl.state.model import State
from tests.documents import SCHEMAS, check_document, committed_schema, is_document
from tests.plan.test_plan_codec import plans
from tests.render.test_render_report import EVENTS
from tests.state.test_state_codec import states

ExamplePlan = Callable[[str], Plan]
CASES = ("everyday", "unchanged", "oddities", "refused", "hostile", "ruled")
STAMP = {"@timestamp": "2026-11-28T06:57:00.372Z"}
DIGEST = "sha256:" + "a" * 64
ROOT = Path(__file__).parents[2]


def check_line(line: dict[str, Any]) -> None:
    check_document("apply", json.loads(json.dumps(line | STAMP)))


@pytest.mark.parametrize("name", schemas.NAMES)
def test_the_committed_file_is_what_the_code_says(name: str) -> None:
    path = SCHEMAS / f"{name}.schema.json"
    if os.environ.get("SEGCTL_REGENERATE"):
        path.write_text(schemas.schema_text(name), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == schemas.schema_text(name)


def test_every_committed_schema_has_an_id_of_its_own_that_is_no_address() -> None:
    names = [path.name.removesuffix(".schema.json") for path in SCHEMAS.iterdir()]
    assert sorted(names) == sorted((*schemas.NAMES, "project", "manifest"))
    for name in names:
        schema = committed_schema(name)
        assert schema["$id"] == f"urn:segctl:schema:{name}:1"
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["title"].startswith("segctl ")


@pytest.mark.parametrize("name", schemas.NAMES)
def test_a_schema_is_valid(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas.build_schema(name))


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a schema that has named fields."""
    if isinstance(schema, dict):
        if "properties" in schema and "const" not in str(schema["properties"].get("type")):
            yield schema
        for child in schema.values():
            yield from objects(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from objects(child)


@pytest.mark.parametrize("name", schemas.NAMES)
def test_every_field_is_described(name: str) -> None:
    schema = schemas.build_schema(name)
    for described in objects(schema):
        for field in described["properties"].values():
            target = schema["$defs"].get(field.get("$ref", "").removeprefix("#/$defs/"), {})
            assert (target | field)["description"].endswith(".")


@pytest.mark.parametrize("name", schemas.NAMES)
def test_every_object_says_that_fields_may_be_added(name: str) -> None:
    assert all(each["additionalProperties"] is True for each in objects(schemas.build_schema(name)))


@pytest.mark.parametrize("case", CASES)
def test_an_example_plan_matches_in_every_form(case: str, example_plan: ExamplePlan) -> None:
    plan = example_plan(case)
    check_document("plan", json.loads(json_document.render(plan)))
    for line in stream.plan_lines(plan):
        check_line(line)


def proper(plan: Plan) -> Plan:
    """Return a random plan with a digest, addresses and codes, as every plan has."""
    return replace(
        plan,
        digest=DIGEST,
        changes=tuple(replace(c, address=f"segment.{c.address}") for c in plan.changes),
        findings=tuple(replace(found, code="a-code") for found in plan.findings),
    )


flows = st.none() | st.sampled_from([(), (Flow(leaves="segment.a", joins="segment.b", users=3),)])


@given(plan=plans, flows=flows)
def test_every_plan_matches(plan: Plan, flows: tuple[Flow, ...] | None) -> None:
    plan = replace(proper(plan), flows=flows)
    check_document("plan", json.loads(json_document.render(plan)))
    for line in stream.plan_lines(plan):
        check_line(line)


@given(state=states)
def test_every_state_matches(state: State) -> None:
    check_document("state", json.loads(state_codec.encode(state)))


def test_a_stored_state_of_the_current_format_matches() -> None:
    name = f"head-version-{state_codec.VERSION}.json"
    check_document("state", json.loads((ROOT / "tests/state/golden" / name).read_bytes()))


@pytest.mark.parametrize("event", [event for event, _, _ in EVENTS])
def test_every_event_matches(event: Any) -> None:
    check_line(stream.event_line(event))


def test_the_other_lines_of_the_stream_match() -> None:
    progress = stream.progress_line(changes=1, of_changes=2, requests=3, of_requests=4)
    for line in (stream.version_line("0.1.0"), stream.recorded_line(), progress):
        check_line(line)


def test_every_type_that_the_code_can_write_is_described(example_plan: ExamplePlan) -> None:
    lines = [stream.event_line(event) for event, _, _ in EVENTS]
    lines.append(stream.event_line(ApprovalChecked(check=CHECK)))
    lines += stream.plan_lines(example_plan("everyday"))
    lines += [stream.version_line(""), stream.recorded_line()]
    lines.append(stream.progress_line(changes=0, of_changes=0, requests=0, of_requests=0))
    assert {line["type"] for line in lines} == set(schemas.STREAM_TYPES)


def test_a_reader_of_the_stream_passes_over_new_types_and_fields() -> None:
    line = {"@level": "info", "@message": "New.", "type": "of_a_later_version", **STAMP}
    assert is_document("apply", line)
    assert is_document("apply", stream.version_line("9") | STAMP | {"new": 1})
    assert not is_document("apply", {"type": "version", **STAMP})


diagnostic_values = st.builds(
    Diagnostic,
    code=st.just("a-code"),
    summary=st.text(max_size=5),
    detail=st.text(max_size=5),
    location=st.none() | st.builds(Location, file=st.text(max_size=5), line=st.integers(0, 9)),
    severity=st.sampled_from(Severity),
)


@given(found=st.lists(diagnostic_values, max_size=3))
def test_every_validation_and_every_error_matches(found: list[Diagnostic]) -> None:
    check_document("validate", json.loads(diagnostics.render_validation(found, ["a.yaml:1"])))
    shown = map(json_document.diagnostic_object, found)
    check_document("error", json.loads(json_document.error_document(shown, exit_code=1)))


CHECK = ApprovalCheck(
    digest=DIGEST,
    segments=(SegmentApproval(address="segment.a", add=PairCounts(approved=2, sent=3, beyond=1)),),
    problems=("it is for another account",),
)


def test_a_checked_approval_matches() -> None:
    check_line(stream.event_line(ApprovalChecked(check=CHECK)))


counts = st.dictionaries(st.sampled_from(Outcome), st.integers(0, 10**9))
reports = st.builds(
    ApplyReport,
    command=st.sampled_from(["apply", "destroy"]),
    started_at=st.floats(0, 4e9),
    ended_at=st.none() | st.floats(0, 4e9),
    exit_code=st.none() | st.sampled_from([0, 1, 3, 4, 5, 6, 70, 130]),
    plan=st.none() | plans.map(proper),
    creates=st.dictionaries(st.text(max_size=3), st.sampled_from(Outcome), max_size=2),
    changes=st.dictionaries(st.text(max_size=3), counts, max_size=2),
    create_requests=counts,
    update_requests=counts,
    throttled=st.integers(0, 9),
    approval=st.none() | st.just(CHECK),
    sending_seconds=st.none() | st.floats(0, 1e6),
    diagnostics=st.sampled_from([(), (json_document.plain_error("a-code", "It failed."),)]),
)


@given(report=reports)
def test_every_report_matches(report: ApplyReport) -> None:
    check_document("report", json.loads(apply_report.render(report)))


def test_the_wheel_has_the_files() -> None:
    assert '"schemas" = "segctl/schemas"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
