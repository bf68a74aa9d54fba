"""The JSON document of ``--report``: how an apply ended. It contains no identities.

``schemas/report.schema.json`` describes it, and ``docs/formats.md`` says what may change when.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from segctl import __version__
from segctl.core.approval import ApprovalCheck
from segctl.core.dataclass import dataclass
from segctl.core.outcomes import Outcome
from segctl.plan.model import Plan
from segctl.render import approval_view, json_document
from segctl.render.phrases import format_utc

OUTCOMES = (
    "running",
    "complete",
    "no_changes",
    "cancelled",
    "refused",
    "held",
    "incomplete",
    "interrupted",
    "failed",
)
"""How an apply can end; ``running`` if it has not ended, or was killed.

``held`` if everything was applied but the segments that are held back.
"""

SEGMENTS_HELD = "segments-held"
"""The code of the error with which an apply ends that held segments back."""

_BY_CODE = {3: "incomplete", 4: "refused", 6: "refused", 130: "interrupted"}


@dataclass(frozen=True, kw_only=True)
class ApplyReport:
    """What is known of an apply, at its end or before it.

    Times are in seconds since 1970. ``plan`` is ``None`` until it is known, ``exit_code`` until
    the end. ``creates`` has the outcome by address, ``changes`` the membership changes by address
    and outcome; ``create_requests`` and ``update_requests`` count requests, ``parts`` those that
    were sent because another was refused as a whole. ``throttled`` counts answers with status 429.
    ``approval`` is how the plan compares with the approved one.
    """

    command: str
    started_at: float
    ended_at: float | None = None
    exit_code: int | None = None
    plan: Plan | None = None
    creates: Mapping[str, Outcome] = field(default_factory=dict)
    changes: Mapping[str, Mapping[Outcome, int]] = field(default_factory=dict)
    create_requests: Mapping[Outcome, int] = field(default_factory=dict)
    update_requests: Mapping[Outcome, int] = field(default_factory=dict)
    throttled: int = 0
    parts: int = 0
    sending_seconds: float | None = None
    approval: ApprovalCheck | None = None
    diagnostics: Sequence[Mapping[str, Any]] = ()

    @property
    def outcome(self) -> str:
        """One of ``OUTCOMES``."""
        if self.exit_code is None:
            return "running"
        if self.exit_code == 0:
            return "no_changes" if self.plan and self.plan.is_empty else "complete"
        if not self.diagnostics:
            return "cancelled"
        if any(diagnostic["code"] == SEGMENTS_HELD for diagnostic in self.diagnostics):
            return "held"
        # A run can fail after it sent something: if the state cannot be written, for one.
        done = self.update_requests.get(Outcome.ACKNOWLEDGED) or any(
            outcome is Outcome.ACKNOWLEDGED for outcome in self.creates.values()
        )
        return _BY_CODE.get(self.exit_code, "incomplete" if done else "failed")


def render(report: ApplyReport) -> str:
    """Return the document as indented ASCII text, ending in a line break."""
    plan = report.plan
    seconds = None if report.ended_at is None else max(report.ended_at - report.started_at, 0)
    return json_document.facts(
        segctl_version=__version__,
        command=report.command,
        outcome=report.outcome,
        exit_code=report.exit_code,
        started_at=format_utc(report.started_at),
        ended_at=None if report.ended_at is None else format_utc(report.ended_at),
        seconds=None if seconds is None else round(seconds, 3),
        sending_seconds=report.sending_seconds,
        plan=plan and _plan_object(plan),
        approval=report.approval and approval_view.check_object(report.approval),
        requests=plan and _requests_object(plan, report),
        changes=plan and _totals_object(plan, report),
        segments=_segment_objects(plan, report) if plan else [],
        diagnostics=list(report.diagnostics),
    )


def _plan_object(plan: Plan) -> dict[str, Any]:
    return {
        "digest": plan.digest,
        "lineage": plan.lineage,
        "serial": plan.serial,
        "made": json_document.made_object(plan),
        "summary": json_document.summary_object(plan),
        "held": json_document.held_objects(plan),
    }


def _requests_object(plan: Plan, report: ApplyReport) -> dict[str, Any]:
    create, update = (
        # A refused create is sent again in parts, so there can be more than planned.
        _by_outcome(counts, not_tried=max(planned - sum(counts.values()), 0))
        for planned, counts in (
            (plan.requests.create, report.create_requests),
            (plan.requests.update, report.update_requests),
        )
    )
    return {
        "create": create,
        "update": update,
        "parts": report.parts,
        "throttled": report.throttled,
    }


def _totals_object(plan: Plan, report: ApplyReport) -> dict[str, int]:
    total: dict[Outcome, int] = {}
    for counts in report.changes.values():
        for outcome, count in counts.items():
            total[outcome] = total.get(outcome, 0) + count
    return _changes(plan.members_to_send, total)


def _segment_objects(plan: Plan, report: ApplyReport) -> list[dict[str, Any]]:
    created = {target.address for target in plan.targets if target.create}
    return [
        {
            "address": change.address,
            "action": str(change.action),
            "created": _name(report.creates.get(change.address, Outcome.NOT_TRIED))
            if change.address in created
            else None,
            # The rest of a plan does not say how much of it is left for each segment.
            "changes": _changes(
                None if plan.remaining is not None else change.members.sent,
                report.changes.get(change.address, {}),
            ),
        }
        for change in plan.changes
        if change.action != "no-op" or change.members.sent
    ]


def _changes(planned: int | None, counts: Mapping[Outcome, int]) -> dict[str, Any]:
    """Return membership changes by outcome; what was refused is not left: it is quarantined."""
    tried = sum(counts.values())
    not_tried = None if planned is None else max(planned - tried, 0)
    done = counts.get(Outcome.ACKNOWLEDGED, 0) + counts.get(Outcome.REFUSED, 0)
    return {
        "planned": planned,
        **_by_outcome(counts, not_tried=not_tried),
        "left": None if planned is None else max(planned - done, 0),
    }


def _by_outcome(counts: Mapping[Outcome, int], *, not_tried: int | None) -> dict[str, Any]:
    found = {_name(o): counts.get(o, 0) for o in Outcome if o is not Outcome.NOT_TRIED}
    return {**found, _name(Outcome.NOT_TRIED): not_tried}


def _name(outcome: Outcome) -> str:
    return str(outcome).replace(" ", "_")
