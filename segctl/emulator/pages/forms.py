"""The pages of settings and faults."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segctl.emulator.control.endpoints import service_of
from segctl.emulator.faults import FAULTS, Rule
from segctl.emulator.pages.rendering import chosen_account, render
from segctl.emulator.settings import LIMITS, QUESTIONS, SWITCHES, Settings

RULE_DEFAULTS = {each.name: each.default for each in fields(Rule)}

PRESETS: Mapping[str, list[dict[str, Any]]] = {
    "No faults": [],
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
    "Picky about entries": [{"fault": "refuse_entries", "share": 0.02}],
}


async def settings(request: Request) -> Response:
    """Show switches and limits."""
    return render(
        "settings.html",
        request,
        account=chosen_account(request),
        topics="settings",
        settings=service_of(request).settings.document(),
        defaults=Settings().document(),
        questions=QUESTIONS,
        switches=SWITCHES,
        limits=LIMITS,
    )


async def faults(request: Request) -> Response:
    """Show the fault plan, without the fields that have their defaults."""
    injector = service_of(request).faults
    seed = injector.plan.seed
    rules = [
        {name: value for name, value in rule.items() if value != RULE_DEFAULTS[name]}
        for rule in injector.plan.document()["rules"]
    ]
    return render(
        "faults.html",
        request,
        account=chosen_account(request),
        topics="faults requests",
        plan={"seed": seed, "rules": rules},
        presets={label: {"seed": seed, "rules": rules} for label, rules in PRESETS.items()},
        effects=FAULTS,
        injected=injector.injected,
    )


def routes() -> list[Route]:
    """Return the routes of both."""
    return [Route("/settings", settings), Route("/faults", faults)]
