"""The campaigns under ``/emulator/v1/campaigns``: create, estimate, start, stop, read.

The vendor has campaigns in its dashboard; these paths are our own.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pyroaring import BitMap
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from segctl.emulator.bodies import read_json
from segctl.emulator.control.parameters import (
    MAX_NUMBER,
    account_of,
    number_of,
    only_account_of,
    service_of,
)
from segctl.emulator.control.responses import limited, stream_lines
from segctl.emulator.control.routing import Endpoint, routes_of
from segctl.emulator.engagement.audience import count_reachable
from segctl.emulator.engagement.campaign import (
    CANCELLED,
    JOURNEY,
    PENDING,
    STOPPED,
    Attempt,
    Campaign,
    Definition,
    Trigger,
)
from segctl.emulator.engagement.delivery import check_url
from segctl.emulator.engagement.engine import delivery_id
from segctl.emulator.engagement.parse_campaign import parse_campaign, parse_estimate
from segctl.emulator.errors import RequestError, bad_request
from segctl.emulator.query_language import Condition
from segctl.emulator.reading.events import iso
from segctl.emulator.service import Service
from segctl.emulator.storage.state import REACH_CHANNELS, Account, User

USERS_PER_PIECE = 1000


# -- documents ----------------------------------------------------------------


def describe_campaign(service: Service, campaign: Campaign) -> dict[str, Any]:
    """Return a campaign as the list shows it. Its secret is never shown."""
    definition = campaign.definition
    return {
        "id": campaign.id,
        "account": service.engagement.account_of(campaign).id,
        "name": definition.name,
        "kind": definition.kind,
        "channel": definition.channel,
        "status": campaign.status,
        "include": list(definition.include),
        "exclude": list(definition.exclude),
        "when": definition.when,
        "started_at": None if campaign.starts_at is None else iso(campaign.starts_at),
        "trigger": _describe_rule(definition),
        "webhook": _describe_webhook(definition),
        "audience": campaign.audience,
        "reachable": campaign.reachable,
        "triggers": campaign.triggers,
        "failed": campaign.failed,
        **_describe_journey(campaign),
        "created_at": iso(campaign.created_at),
    }


def _describe_rule(definition: Definition) -> dict[str, Any] | None:
    rule = definition.trigger
    if rule is None:
        return None
    return {
        "action": rule.action,
        "segment": rule.segment,
        "where": [_describe_condition(each) for each in rule.where],
        "delay_seconds": rule.delay_seconds,
    }


def _describe_condition(condition: Condition) -> dict[str, Any]:
    document: dict[str, Any] = {"name": condition.name, "operator": condition.operator}
    if condition.values:
        values = list(condition.values)
        document["value"] = values[0] if len(values) == 1 else values
    return document


def _describe_webhook(definition: Definition) -> dict[str, Any] | None:
    webhook = definition.webhook
    if webhook is None:
        return None
    return {
        "url": webhook.url,
        "signed": webhook.secret is not None,
        "key_values": dict(webhook.key_values),
    }


def _describe_journey(campaign: Campaign) -> dict[str, Any]:
    if campaign.definition.kind != JOURNEY:
        return {}
    return {
        "exit_on_leave": campaign.definition.exit_on_leave,
        "entries": campaign.entries,
        "exits": campaign.exits,
    }


def describe_trigger(
    campaign: Campaign, trigger: Trigger, attempts: Iterable[Attempt], user: User | None
) -> dict[str, Any]:
    """Return a trigger with all its attempts as the trigger log shows it."""
    is_cancelled = trigger.status == PENDING and campaign.status == STOPPED
    return {
        "id": trigger.id,
        "delivery_id": delivery_id(trigger),
        "event": trigger.event,
        "action": trigger.action,
        "ct_segment_id": trigger.segment,
        "profile": None if user is None else {user.kind: user.value},
        "profiles": len(trigger.users),
        "ts": iso(trigger.ts),
        "due": iso(trigger.due),
        "status": CANCELLED if is_cancelled else trigger.status,
        "attempts": [
            {
                "number": each.number,
                "started": iso(each.started),
                "ms": each.ms,
                "status": each.status,
                "error": each.error,
            }
            for each in attempts
        ],
    }


def trigger_pieces(
    service: Service,
    campaign: Campaign,
    *,
    start: int = 0,
    before: int = MAX_NUMBER,
    newest_first: bool = False,
) -> Iterator[list[dict[str, Any]]]:
    """Yield the trigger log in pieces, from trigger ``start`` to below ``before``."""
    profiles = service.engagement.account_of(campaign).profiles
    pieces = service.engagement.store.read_triggers(
        campaign, start=start, before=before, newest_first=newest_first
    )
    for piece in pieces:
        # A trigger of an event has one user; a part of an audience is shown by its size.
        numbers = [trigger.users[0] for trigger, _ in piece]
        users = profiles.users(numbers)
        yield [
            describe_trigger(campaign, trigger, attempts, user if trigger.event else None)
            for (trigger, attempts), user in zip(piece, users, strict=True)
        ]


def describe_estimate(account: Account, audience: BitMap) -> dict[str, Any]:
    """Return the size of an audience, and its reachable users by channel."""
    return {
        "audience": len(audience),
        "reachable": {
            channel: count_reachable(account.profiles, audience, channel)
            for channel in REACH_CHANNELS
        },
    }


# -- requests -----------------------------------------------------------------


def campaign_of(request: Request) -> Campaign:
    """Return the campaign of the path; raises RequestError 404."""
    engagement = service_of(request).engagement
    campaign = engagement.store.campaigns.get(request.path_params["campaign"])
    account = account_of(request)
    if campaign is None or (account is not None and campaign.account != account.number):
        raise RequestError(404, "no such campaign")
    return campaign


# -- endpoints ----------------------------------------------------------------


async def list_campaigns(request: Request) -> Response:
    """List the campaigns, oldest first."""
    service, account = service_of(request), account_of(request)
    return JSONResponse(
        [
            describe_campaign(service, each)
            for each in service.engagement.store.campaigns.values()
            if account is None or each.account == account.number
        ]
    )


async def create_campaign(request: Request) -> Response:
    """Create a campaign: a draft, a scheduled or a running one."""
    service = service_of(request)
    document = await read_json(request, settings=service.settings)
    definition, starts_at = parse_campaign(
        document,
        account=only_account_of(request),
        now=service.clock(),
        zone=service.zone,
        settings=service.settings,
        check_url=lambda url: check_url(
            url, settings=service.settings, is_exposed=service.requires_passcode
        ),
    )
    campaign = service.engagement.create(only_account_of(request), definition, starts_at=starts_at)
    return JSONResponse(describe_campaign(service, campaign))


async def estimate_audience(request: Request) -> Response:
    """Show how many users include and exclude rules select now. Nothing is created."""
    service = service_of(request)
    document = await read_json(request, settings=service.settings)
    account = only_account_of(request)
    include, exclude = parse_estimate(document, account=account)
    audience = service.engagement.estimate(account, include=include, exclude=exclude)
    return JSONResponse(describe_estimate(account, audience))


async def show_campaign(request: Request) -> Response:
    """Show one campaign."""
    return JSONResponse(describe_campaign(service_of(request), campaign_of(request)))


async def start_campaign(request: Request) -> Response:
    """Start a draft, or a scheduled campaign before its time."""
    service = service_of(request)
    campaign = service.engagement.start(campaign_of(request))
    return JSONResponse(describe_campaign(service, campaign))


async def stop_campaign(request: Request) -> Response:
    """Stop a scheduled or running campaign for good."""
    service = service_of(request)
    campaign = service.engagement.stop(campaign_of(request))
    return JSONResponse(describe_campaign(service, campaign))


async def delete_campaign(request: Request) -> Response:
    """Delete a campaign that is not in use, with its trigger log."""
    service, campaign = service_of(request), campaign_of(request)
    document = describe_campaign(service, campaign)
    for _ in service.engagement.delete(campaign):
        await asyncio.sleep(0)
    return JSONResponse(document)


async def list_triggers(request: Request) -> Response:
    """List the triggers of a campaign with every attempt, from trigger ``start`` on."""
    order = request.query_params.get("order", "oldest")
    if order not in {"oldest", "newest"}:
        raise bad_request("order must be oldest or newest")
    pieces = trigger_pieces(
        service_of(request),
        campaign_of(request),
        start=number_of(request, "start", 0),
        newest_first=order == "newest",
    )
    limit = number_of(request, "limit", MAX_NUMBER)
    return stream_lines(request, limited(pieces, limit=limit))


async def list_audience(request: Request) -> Response:
    """List the users of an offline campaign, as they were at its time."""
    service, campaign = service_of(request), campaign_of(request)
    profiles = service.engagement.account_of(campaign).profiles
    audience = service.engagement.audience_now(campaign)
    pieces = (
        [{user.kind: user.value} for user in profiles.users(numbers)]
        for numbers in _pieces_of(audience)
    )
    return stream_lines(request, pieces)


def _pieces_of(audience: BitMap) -> Iterator[list[int]]:
    """Yield profile numbers in pieces, without a list of all of them."""
    for start in range(0, len(audience), USERS_PER_PIECE):
        yield list(audience[start : start + USERS_PER_PIECE])


ENDPOINTS: Mapping[str, Mapping[str, Endpoint]] = {
    "/campaigns": {"GET": list_campaigns, "POST": create_campaign},
    "/campaigns/estimate": {"POST": estimate_audience},
    "/campaigns/{campaign:segment_id}": {"GET": show_campaign, "DELETE": delete_campaign},
    "/campaigns/{campaign:segment_id}/start": {"POST": start_campaign},
    "/campaigns/{campaign:segment_id}/stop": {"POST": stop_campaign},
    "/campaigns/{campaign:segment_id}/triggers": {"GET": list_triggers},
    "/campaigns/{campaign:segment_id}/audience": {"GET": list_audience},
}


def routes() -> list[Route]:
    """Return the routes of the campaigns."""
    return routes_of(ENDPOINTS)
