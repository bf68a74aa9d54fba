"""The pages' endpoints: each collects the values that its template shows."""

import json
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from segctl.emulator.control.endpoints import (
    PREFIX,
    account_of,
    describe,
    describe_all,
    number_of,
    segment_of,
    service_of,
    visible_accounts,
)
from segctl.emulator.errors import ERROR_TYPES
from segctl.emulator.faults import FAULTS, Rule
from segctl.emulator.settings import LIMITS, QUESTIONS, SWITCHES, Settings
from segctl.emulator.storage.error_stream import read_error_stream
from segctl.emulator.storage.events import iso, newest_events

ASSETS = Path(__file__).parent / "assets"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
ROWS = 100
"""Rows of a table on one page."""
CHANNELS = {"email": "E-mail", "sms": "SMS", "push": "Push"}
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


@cache
def environment() -> Environment:
    """Return the environment of the templates, which escapes every value."""
    environment = Environment(
        loader=PackageLoader("segctl.emulator.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=lambda value: f"{value:,}",
        json=lambda value: json.dumps(value, indent=2),
        iso=iso,
        zip=zip,
    )
    return environment


def render(template: str, request: Request, **values: Any) -> Response:
    """Return a page as a response."""
    values = {"account": None, "path": request.url.path, "prefix": PREFIX, "rows": ROWS, **values}
    return HTMLResponse(environment().get_template(template).render(values))


async def overview(request: Request) -> Response:
    """Show all segments."""
    service = service_of(request)
    # The choice "All accounts" sends an empty name.
    account = account_of(request) if request.query_params.get("account") else None
    stats = service.stats(account)
    return render(
        "overview.html",
        request,
        account=account,
        account_names=visible_accounts(request),
        segments=describe_all(service, account),
        tiles=[
            ("segments", "segments", stats["segments"]),
            ("profiles", "profiles", stats["profiles"]),
            ("membership_changes", "membership changes", stats["membership_changes"]),
            ("events", "events", stats["events"]),
            ("data_points", "data points", stats["data_points"]),
            ("updates", "update requests", sum(stats["requests"]["updateSegment"].values())),
        ],
    )


async def segment(request: Request) -> Response:
    """Show one segment and a part of its members."""
    service = service_of(request)
    account, segment = segment_of(request)
    start = number_of(request, "start", 0)
    query = request.query_params.get("q", "")
    members, _ = service.store.members_at(account, segment, service.visible_until())
    users = (account.profiles.user(number) for number in members)
    matching = (user for user in users if query in user.value)
    found = list(islice(matching, start, start + ROWS + 1))
    return render(
        "segment.html",
        request,
        account=account,
        segment=describe(service, account, segment),
        channels=CHANNELS,
        start=start,
        query=query,
        users=found[:ROWS],
        has_more=len(found) > ROWS,
    )


async def events(request: Request) -> Response:
    """Show the newest events. The page adds new ones itself."""
    account = account_of(request)
    events = newest_events(service_of(request), account=account, limit=ROWS)
    return render("events.html", request, account=account, events=events)


async def errors(request: Request) -> Response:
    """Show the newest skipped entries, filtered by type and user."""
    account = account_of(request)
    error_type = request.query_params.get("type", "")
    user = request.query_params.get("user", "")
    entries = read_error_stream(
        service_of(request),
        account=account,
        error_type=error_type or None,
        user=user or None,
        newest_first=True,
    )
    return render(
        "errors.html",
        request,
        account=account,
        error_types=ERROR_TYPES,
        error_type=error_type,
        user=user,
        entries=list(islice(entries, ROWS)),
    )


async def settings(request: Request) -> Response:
    """Show switches and limits."""
    return render(
        "settings.html",
        request,
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
        plan={"seed": seed, "rules": rules},
        presets={label: {"seed": seed, "rules": rules} for label, rules in PRESETS.items()},
        effects=FAULTS,
        injected=injector.injected,
    )


async def asset(request: Request) -> Response:
    """Serve a style sheet, a script or an image."""
    name = request.path_params["name"]
    if name not in assets():
        return Response(status_code=404)
    return Response(assets()[name], media_type=MEDIA_TYPES[Path(name).suffix])


@cache
def assets() -> dict[str, bytes]:
    """Return all assets by name, so that a path can only select one of them."""
    return {each.name: each.read_bytes() for each in ASSETS.iterdir() if each.suffix in MEDIA_TYPES}


def routes() -> list[Route]:
    """Return the routes of the pages and their assets."""
    return [
        Route("/", overview),
        Route("/segments/{ct_segment_id:segment_id}", segment),
        Route("/events", events),
        Route("/errors", errors),
        Route("/settings", settings),
        Route("/faults", faults),
        Route("/assets/{name}", asset),
    ]
