"""The page of the faults: a form of rules, examples, and the plan as JSON for experts."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segctl.emulator.control.parameters import service_of
from segctl.emulator.errors import ERROR_TYPES
from segctl.emulator.faults import BODIES, CALLS, FAULT_FIELDS, FAULTS, STATUSES, Rule
from segctl.emulator.pages.rendering import chosen_account, render

RULE_DEFAULTS = {each.name: each.default for each in fields(Rule)}

PRESETS: Mapping[str, list[dict[str, Any]]] = {
    "Bad network": [
        {"fault": "latency", "ms": 150, "jitter_ms": 300},
        {"fault": "cut_before", "share": 0.03},
        {"fault": "cut_after", "share": 0.03},
    ],
    "Busy service": [
        {"fault": "too_many_requests", "share": 0.25},
        {"fault": "server_error", "share": 0.05, "status": 503},
    ],
    "Untrustworthy answers": [
        {"fault": "empty_body", "share": 0.05},
        {"fault": "wrong_body", "share": 0.05},
        {"fault": "server_error", "share": 0.05, "committed": True},
    ],
    "Another writer": [
        {"fault": "change_members", "call": "updateSegment", "share": 0.1, "add": 2},
        {"fault": "rename_segment", "call": "updateSegment", "share": 0.01},
    ],
    "Picky about entries": [{"fault": "refuse_entries", "share": 0.02}],
}


def without_defaults(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule without the fields that have their defaults."""
    return {name: value for name, value in rule.items() if value != RULE_DEFAULTS[name]}


def segment_text(segment: int | str | None) -> str:
    """Return a rule's segment as the form shows it: in quotes if it would look like a number."""
    if isinstance(segment, str):
        try:
            json.loads(segment)
        except ValueError:
            return segment
        return json.dumps(segment, ensure_ascii=False)
    return "" if segment is None else str(segment)


async def show_faults(request: Request) -> Response:
    """Show the fault plan, and how often each fault was injected."""
    injector = service_of(request).faults
    plan = injector.plan.document()
    rules = plan["rules"]
    return render(
        "faults.html",
        request,
        account=chosen_account(request),
        topics="faults requests",
        seed=plan["seed"],
        segment_text=segment_text,
        rules=rules,
        blank={**RULE_DEFAULTS, "fault": next(iter(FAULTS))},
        plan={**plan, "rules": [without_defaults(rule) for rule in rules]},
        presets={
            label: [{**RULE_DEFAULTS, **rule} for rule in preset]
            for label, preset in PRESETS.items()
        },
        effects=FAULTS,
        fault_fields=FAULT_FIELDS,
        injected=injector.injected,
        calls=CALLS,
        statuses=STATUSES,
        bodies=BODIES,
        error_types=ERROR_TYPES,
    )


def routes() -> Iterator[Route]:
    """Yield the route of the page."""
    yield Route("/faults", show_faults)
