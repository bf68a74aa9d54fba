"""An apply as a reader sees it: lines while it runs, the final report, the JSON stream."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from segctl.core.diagnostics import Diagnostic, Location
from segctl.core.errors import GuardRefused, InvalidInput, StateLocked
from segctl.core.events import (
    ApplyEnded,
    ApplyEvent,
    ApplyStarted,
    CreateDone,
    RateLimited,
    Recovered,
    RequestDone,
    Settling,
)
from segctl.core.outcomes import Outcome
from segctl.plan.model import Plan
from segctl.render import json_document, report, stream

ExamplePlan = Callable[[str], Plan]

DONE = ApplyEnded(
    acknowledged=7, refused=0, failed=0, uncertain=0, not_tried=0, changes=616, seconds=2.1
)
PART = replace(DONE, acknowledged=3, refused=1, failed=1, uncertain=1, not_tried=1, changes=12)


def test_a_complete_apply_is_reported_with_all_five_outcomes() -> None:
    assert report.end_report(DONE) == (
        "Apply complete. 616 membership changes acknowledged in 2 s.\n"
        "  Requests: 7 acknowledged, 0 refused, 0 failed, 0 uncertain, 0 not tried.\n"
    )


def test_an_incomplete_apply_says_what_happens_to_the_rest() -> None:
    assert report.end_report(PART) == (
        "Apply incomplete. 12 membership changes acknowledged in 2 s.\n"
        "  Requests: 3 acknowledged, 1 refused, 1 failed, 1 uncertain, 1 not tried.\n"
        "  Uncertain: sent, but without a trustworthy answer. The next apply sends them again.\n"
        "  Refused: none of their parts was accepted. They are part of the next plan.\n"
        "  Failed or not tried: they are part of the next plan.\n"
    )


def test_an_apply_with_single_refused_memberships_is_incomplete() -> None:
    lines = report.end_report(replace(DONE, quarantined=2)).splitlines()
    assert lines[0].startswith("Apply incomplete.")
    assert lines[-1] == (
        "  Quarantined: 2 memberships that CleverTap refused one by one. They are not sent again."
    )


def test_an_apply_that_could_not_create_a_segment_is_not_complete() -> None:
    assert report.end_report(replace(DONE, not_created=2)).splitlines() == [
        "Apply incomplete. 616 membership changes acknowledged in 2 s.",
        "  Requests: 7 acknowledged, 0 refused, 0 failed, 0 uncertain, 0 not tried.",
        "  Not created: 2 segments. Their members were not sent.",
    ]


def test_an_interrupted_apply_says_so() -> None:
    assert report.end_report(replace(PART, interrupted=True)).startswith("Apply interrupted. ")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            CreateDone(addresses=("segment.a", "segment.b"), outcome=Outcome.ACKNOWLEDGED),
            "Created segment.a, segment.b",
        ),
        (
            CreateDone(
                addresses=tuple(f"segment.{n}" for n in range(100)),
                outcome=Outcome.FAILED,
                detail="500\x1b[2J",
            ),
            "Creating segment.0, segment.1, segment.2 and 97 more failed: 500\\x1b[2J",
        ),
    ],
)
def test_a_create_request_is_one_line(event: CreateDone, line: str) -> None:
    assert report.create_line(event) == line


def test_a_recovery_counts_the_requests_in_the_journal() -> None:
    event = Recovered(acknowledged=1, uncertain=2)
    assert report.unfinished_line(event, running="") == (
        "An apply was interrupted: its journal contains 1 acknowledged request and 2 without an "
        "answer. The next apply records them."
    )
    assert report.unfinished_line(event, running="process 7, ci@runner") == (
        "An apply is at work (process 7, ci@runner): its journal contains 1 acknowledged request "
        "and 2 without an answer. It records them when it ends; if it died, the next apply does."
    )
    assert report.recovered_line(event) == (
        "An earlier apply was interrupted: its journal contained 1 acknowledged request and "
        "2 without an answer. They are now recorded in the state."
    )


def test_the_planned_stream_has_each_change_and_the_summary(example_plan: ExamplePlan) -> None:
    lines = list(stream.plan_lines(example_plan("everyday")))
    assert [line["type"] for line in lines] == [
        "diagnostic",
        "planned_change",
        "planned_change",
        "change_summary",
    ]
    assert lines[1]["change"]["address"] == "segment.council"
    assert lines[1]["change"]["members"]["add"] == 2
    assert lines[3]["changes"]["members_remove"] == 600


def test_the_stream_contains_no_identity(example_plan: ExamplePlan) -> None:
    assert "example.com" not in str(list(stream.plan_lines(example_plan("everyday"))))


EVENTS: tuple[tuple[ApplyEvent, str, str], ...] = (
    (ApplyStarted(creates=1, requests=7, changes=616), "apply_start", "info"),
    (CreateDone(addresses=("segment.a",), outcome=Outcome.ACKNOWLEDGED), "batch_complete", "info"),
    (RequestDone(request=0, outcome=Outcome.ACKNOWLEDGED, changes=9), "batch_complete", "info"),
    (RequestDone(request=1, outcome=Outcome.UNCERTAIN, changes=9), "batch_errored", "error"),
    (RateLimited(call="updateSegment", seconds=0.5), "rate_limited", "warn"),
    (Settling(seconds=30.0), "settling", "info"),
    (Recovered(acknowledged=1, uncertain=0), "recovered", "info"),
    (DONE, "apply_complete", "info"),
    (PART, "apply_errored", "error"),
)


@pytest.mark.parametrize(("event", "kind", "level"), EVENTS)
def test_every_event_has_the_keys_of_terraform(event: ApplyEvent, kind: str, level: str) -> None:
    line = stream.event_line(event)
    assert (line["type"], line["@level"]) == (kind, level)
    assert line["@message"]


def test_each_problem_of_invalid_input_is_one_diagnostic() -> None:
    location = Location(file="a.yaml", line=2, column=3)
    problem = Diagnostic(code="unknown-field", summary="no such field.", location=location)
    (found,) = json_document.error_objects(InvalidInput([problem]))
    assert found == {
        "severity": "error",
        "code": "unknown-field",
        "summary": "no such field.",
        "detail": "",
        "range": {"filename": "a.yaml", "start": {"line": 2, "column": 3}},
    }


def test_an_error_is_a_diagnostic_with_its_code_and_hint() -> None:
    (found,) = json_document.error_objects(StateLocked("the state is locked", hint="Wait."))
    assert found == {
        "severity": "error",
        "code": "state-locked",
        "summary": "the state is locked",
        "detail": "Wait.",
    }


def test_the_findings_of_a_refused_plan_come_before_the_error(example_plan: ExamplePlan) -> None:
    refusals = example_plan("refused").error_findings
    error = GuardRefused("1 guard refused the plan", findings=refusals)
    assert [found["code"] for found in json_document.error_objects(error)] == [
        "max-remove-percent",
        "guard-refused",
    ]
