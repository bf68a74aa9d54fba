"""The JSON objects that ``apply --json`` prints, one per line, with Terraform's keys."""

from collections.abc import Iterator, Mapping
from typing import Any

from segctl.core.approval import ApprovalCheck
from segctl.core.diagnostics import Location
from segctl.core.events import (
    ApplyEnded,
    ApplyEvent,
    ApplyStarted,
    ApprovalChecked,
    CreateDone,
    RateLimited,
    Recovered,
    RequestDone,
    Settling,
)
from segctl.core.outcomes import Outcome
from segctl.plan.model import Change, Finding, Plan
from segctl.render import approval_view, json_document, phrases, report
from segctl.render.phrases import format_count, format_duration

UI_VERSION = "1.0"
"""The version of the format. A minor version adds types and keys, a major one breaks readers."""

Line = dict[str, Any]


def version_line(segctl_version: str) -> Line:
    """Return the first line of every stream."""
    return _line(
        "info", f"segctl {segctl_version}", "version", segctl=segctl_version, ui=UI_VERSION
    )


def plan_lines(plan: Plan) -> Iterator[Line]:
    """Yield the findings, the changes and the summary of a plan, without identities."""
    yield from map(finding_line, plan.findings)
    for change in phrases.shown_changes(plan):
        yield _change_line(change)
    summary = json_document.summary_object(plan)
    message = phrases.NO_CHANGES if plan.is_empty else phrases.plan_line(plan)
    message = f"{phrases.held_line(plan)} {message}".lstrip()
    yield _line(
        "info",
        message,
        "change_summary",
        changes=summary,
        digest=plan.digest,
        members_to_send=plan.members_to_send,
        held=json_document.held_objects(plan),
        made=json_document.made_object(plan),
    )


def _change_line(change: Change) -> Line:
    message = f"{change.address}: Plan to {change.action}"
    body = json_document.change_object(change)
    return _line("info", message, "planned_change", change=body)


def finding_line(finding: Finding) -> Line:
    """Return a finding of the plan as a diagnostic."""
    return diagnostic_line(json_document.finding_object(finding))


def diagnostic_line(diagnostic: Mapping[str, Any]) -> Line:
    """Return a finding, or an error that ended the run, as ``json_document`` describes it."""
    level = {"warning": "warn"}.get(diagnostic["severity"], diagnostic["severity"])
    message = f"{diagnostic['severity'].title()}: {diagnostic['summary']}"
    if place := diagnostic.get("range"):
        start = place["start"]
        where = Location(file=place["filename"], line=start["line"], column=start["column"])
        message = f"{where}: {message}"
    return _line(level, message, "diagnostic", diagnostic=dict(diagnostic))


def approval_line(check: ApprovalCheck) -> Line:
    """Return how today's plan compares with the approved one."""
    message = " ".join(line.strip() for line in approval_view.check_lines(check))
    level = "error" if check.is_beyond else "info"
    return _line(level, message, "approval_checked", approval=approval_view.check_object(check))


def progress_line(*, changes: int, of_changes: int, requests: int, of_requests: int) -> Line:
    """Return how many membership changes and requests have an outcome so far."""
    return _line(
        "info",
        f"{phrases.format_number(changes)} of {format_count(of_changes, 'membership change')} done",
        "apply_progress",
        changes=changes,
        of_changes=of_changes,
        requests=requests,
        of_requests=of_requests,
    )


def event_line(event: ApplyEvent) -> Line:
    """Return one event of the apply."""
    match event:
        case ApplyStarted():
            message = (
                f"Applying: {format_count(event.creates, 'segment')} to create, "
                f"{format_count(event.requests, 'request')}"
            )
            line = _line("info", message, "apply_start", **vars(event))
        case CreateDone():
            line = _batch_line(
                event.outcome,
                report.create_line(event),
                call="createSegment",
                addresses=list(event.addresses),
                detail=event.detail,
            )
        case RequestDone():
            line = _batch_line(
                event.outcome,
                f"Request {event.request} {event.outcome}: "
                f"{format_count(event.changes, 'membership change')}",
                call="updateSegment",
                request=event.request,
                changes=event.changes,
                attempts=event.attempts,
                parts=event.parts,
                throttled=event.throttled,
                detail=event.detail,
            )
        case RateLimited():
            message = f"429 from {event.call}; waiting {format_duration(event.seconds)}"
            line = _line("warn", message, "rate_limited", **vars(event))
        case Settling():
            message = (
                f"Waiting {format_duration(event.seconds)} before reversing unanswered changes"
            )
            line = _line("info", message, "settling", **vars(event))
        case ApprovalChecked():
            line = approval_line(event.check)
        case Recovered():
            message = report.recovered_line(event)
            line = _line("info", message, "recovered", **vars(event))
        case ApplyEnded():
            complete = report.is_complete(event)
            message = f"{'Apply complete' if complete else 'Apply incomplete'}: "
            message += report.outcome_counts(event)
            kind = "apply_complete" if complete else "apply_errored"
            line = _line("info" if complete else "error", message, kind, **vars(event))
    return line


def recorded_line() -> Line:
    """Return the last line of an apply that changed only the state and sent nothing."""
    return _line("info", "Apply complete: recorded, nothing had to be sent", "apply_complete")


def _batch_line(outcome: Outcome, message: str, **data: Any) -> Line:
    done = outcome is Outcome.ACKNOWLEDGED
    kind = "batch_complete" if done else "batch_errored"
    return _line("info" if done else "error", message, kind, outcome=str(outcome), **data)


def _line(level: str, message: str, kind: str, **data: Any) -> Line:
    return {"@level": level, "@message": message, "type": kind, **data}
