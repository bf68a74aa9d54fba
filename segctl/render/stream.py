"""The objects that ``apply --json`` streams, one a line, with Terraform's keys; pure."""

from collections.abc import Iterator
from typing import Any

from segctl.core.errors import GuardRefused, InvalidInput, SegctlError
from segctl.core.events import (
    ApplyEnded,
    ApplyStarted,
    CreateDone,
    Event,
    RateLimited,
    Recovered,
    RequestDone,
    Settling,
)
from segctl.core.outcomes import Outcome
from segctl.plan.model import Change, Finding, Plan
from segctl.render import json_document, phrases, report
from segctl.render.phrases import counted, duration

UI_VERSION = "1.0"
"""The schema of the stream; a minor step adds types and keys, a major one breaks."""

Line = dict[str, Any]


def version(segctl_version: str) -> Line:
    """Give the first line of every stream."""
    return _line(
        "info", f"segctl {segctl_version}", "version", segctl=segctl_version, ui=UI_VERSION
    )


def planned(plan: Plan) -> Iterator[Line]:
    """Give the plan: its findings, each change, the summary; no identities."""
    for found in plan.findings:
        yield finding(found)
    for change in phrases.shown_changes(plan):
        yield _planned_change(change)
    summary = json_document.summary_object(plan)
    message = phrases.NO_CHANGES if plan.is_empty else phrases.plan_line(plan)
    yield _line("info", message, "change_summary", changes=summary, digest=plan.digest)


def _planned_change(change: Change) -> Line:
    message = f"{change.address}: Plan to {change.action}"
    body = json_document.change_object(change)
    return _line("info", message, "planned_change", change=body)


def finding(found: Finding) -> Line:
    """Give a finding of the plan as a diagnostic."""
    level = {"warning": "warn"}.get(found.severity, str(found.severity))
    message = f"{found.severity.title()}: {found.summary}"
    return _line(level, message, "diagnostic", diagnostic=json_document.finding_object(found))


def error(raised: SegctlError) -> Iterator[Line]:
    """Give what ended the run as diagnostics; a refused plan has told its findings before."""
    if isinstance(raised, InvalidInput):
        for problem in raised.diagnostics:
            body = json_document.diagnostic_object(problem)
            yield _line("error", str(problem), "diagnostic", diagnostic=body)
        return
    if isinstance(raised, GuardRefused):
        yield from (finding(found) for found in raised.findings)
    body = {
        "severity": "error",
        "code": json_document.error_code(raised),
        "summary": raised.message,
        "detail": raised.hint,
    }
    yield _line("error", f"Error: {raised.message}", "diagnostic", diagnostic=body)


def progress(*, changes: int, of_changes: int, requests: int, of_requests: int) -> Line:
    """Give how far the apply has come: memberships and requests that have an outcome."""
    return _line(
        "info",
        f"{phrases.number(changes)} of {counted(of_changes, 'membership change')} done",
        "apply_progress",
        changes=changes,
        of_changes=of_changes,
        requests=requests,
        of_requests=of_requests,
    )


def event(happened: Event) -> Line:
    """Give one event of the apply."""
    match happened:
        case ApplyStarted():
            message = (
                f"Applying: {counted(happened.creates, 'segment')} to create, "
                f"{counted(happened.requests, 'request')}"
            )
            line = _line("info", message, "apply_start", **vars(happened))
        case CreateDone():
            line = _batch(
                happened.outcome,
                report.create_line(happened),
                call="createSegment",
                addresses=list(happened.addresses),
                detail=happened.detail,
            )
        case RequestDone():
            line = _batch(
                happened.outcome,
                f"Request {happened.request} {happened.outcome}: "
                f"{counted(happened.changes, 'membership change')}",
                call="updateSegment",
                request=happened.request,
                changes=happened.changes,
                attempts=happened.attempts,
                throttled=happened.throttled,
                detail=happened.detail,
            )
        case RateLimited():
            message = f"429 from {happened.call}; waiting {duration(happened.seconds)}"
            line = _line("warn", message, "rate_limited", **vars(happened))
        case Settling():
            message = f"Waiting {duration(happened.seconds)} before reversing unanswered changes"
            line = _line("info", message, "settling", **vars(happened))
        case Recovered():
            message = report.recovered_line(happened, planning=False)
            line = _line("info", message, "recovered", **vars(happened))
        case ApplyEnded():
            complete = report.is_complete(happened)
            message = f"{'Apply complete' if complete else 'Apply incomplete'}: "
            message += report.outcome_counts(happened)
            kind = "apply_complete" if complete else "apply_errored"
            line = _line("info" if complete else "error", message, kind, **vars(happened))
    return line


def recorded() -> Line:
    """Give the end of an apply that had nothing to send."""
    return _line("info", "Apply complete: recorded, nothing had to be sent", "apply_complete")


def _batch(outcome: Outcome, message: str, **data: Any) -> Line:
    done = outcome is Outcome.ACKNOWLEDGED
    kind = "batch_complete" if done else "batch_errored"
    return _line("info" if done else "error", message, kind, outcome=str(outcome), **data)


def _line(level: str, message: str, kind: str, **data: Any) -> Line:
    return {"@level": level, "@message": message, "type": kind, **data}
