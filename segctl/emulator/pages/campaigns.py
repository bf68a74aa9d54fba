"""The pages of the campaigns: all of them, a new one, and one with its triggers and audience."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segctl.emulator.control.campaigns import campaign_of, describe_campaign, trigger_pieces
from segctl.emulator.control.parameters import MAX_NUMBER, number_of, service_of
from segctl.emulator.engagement.campaign import CHANNELS, IN_USE, OFFLINE
from segctl.emulator.pages.rendering import ROWS, address, chosen_account, render
from segctl.emulator.pages.segments import list_pager
from segctl.emulator.query_language import (
    EVENT_PROPERTIES,
    OPERATORS,
    PRESENCE_OPERATORS,
)
from segctl.emulator.storage.state import Account, Segment

FOUND_SEGMENTS = 12
"""Segments that the search of the builder shows."""

KIND_LABELS = {
    "offline": "One-time campaign",
    "online": "On a membership change",
    "journey": "Journey",
}
CHANNEL_LABELS = {"email": "E-mail", "sms": "SMS", "push": "Push", "webhook": "Webhook"}
ACTION_LABELS = {"ADD": "joins", "REMOVE": "leaves", "ANY": "joins or leaves"}
STATUS_KINDS = {
    "draft": "",
    "scheduled": "info",
    "running": "good",
    "completed": "",
    "stopped": "warn",
    "pending": "info",
    "sent": "good",
    "unreachable": "warn",
    "failed": "bad",
    "cancelled": "warn",
}
"""The class of the badge of each status, of campaigns and of triggers."""

LABELS: Mapping[str, Any] = {
    "kinds": KIND_LABELS,
    "channel_labels": CHANNEL_LABELS,
    "actions": ACTION_LABELS,
    "status_kinds": STATUS_KINDS,
}


async def list_campaigns(request: Request) -> Response:
    """Show the campaigns, newest first."""
    service, account = service_of(request), chosen_account(request)
    found = [
        each
        for each in reversed(service.engagement.store.campaigns.values())
        if account is None or each.account == account.number
    ]
    start = number_of(request, "start", 0)
    shown = found[start : start + ROWS]

    return render(
        "campaigns.html",
        request,
        account=account,
        topics="data campaigns",
        campaigns=[(each, describe_campaign(service, each)) for each in shown],
        segments=lambda campaign: service.engagement.account_of(campaign).segments,
        page=list_pager(request, start=start, shown=len(shown), total=len(found)),
        **LABELS,
    )


def matching_segments(account: Account, text: str) -> list[Segment]:
    """Return the newest live segments whose name or id contains the text."""
    text = text.strip().casefold()
    live = (each for each in reversed(account.segments.values()) if not each.is_deleted)
    matching = (
        each
        for each in live
        if text in each.name.casefold()
        or text in (each.customer_id or "").casefold()
        or text in str(each.id)
    )
    return list(islice(matching, FOUND_SEGMENTS + 1))


async def new_campaign(request: Request) -> Response:
    """Show the form of a new campaign; ``?q=`` finds segments for it."""
    service, account = service_of(request), chosen_account(request)
    if account is None and len(service.store.accounts) == 1:
        account = next(iter(service.store.accounts.values()))
    text = request.query_params.get("q", "")
    found = [] if account is None else matching_segments(account, text)
    return render(
        "campaign_new.html",
        request,
        account=account,
        text=text,
        found=found[:FOUND_SEGMENTS],
        has_more=len(found) > FOUND_SEGMENTS,
        channel_names=CHANNELS,
        properties=list(EVENT_PROPERTIES),
        operators=OPERATORS,
        without_value=PRESENCE_OPERATORS,
        **LABELS,
    )


async def show_campaign(request: Request) -> Response:
    """Show one campaign with its newest triggers, or the users of its audience."""
    service, campaign = service_of(request), campaign_of(request)
    account = service.engagement.account_of(campaign)
    before = number_of(request, "before", MAX_NUMBER)
    pieces = trigger_pieces(service, campaign, before=before, newest_first=True)
    triggers = list(islice((each for piece in pieces for each in piece), ROWS + 1))
    audience = []
    if campaign.definition.kind == OFFLINE and campaign.audience:
        numbers = service.engagement.audience_now(campaign)[:ROWS]
        audience = account.profiles.users(list(numbers))
    query: dict[str, Any] = {**request.query_params, "before": None}
    path = request.url.path
    return render(
        "campaign.html",
        request,
        account=account,
        topics="data campaigns",
        campaign=campaign,
        document=describe_campaign(service, campaign),
        segments=account.segments,
        is_in_use=campaign.status in IN_USE,
        audience=audience,
        triggers=triggers[:ROWS],
        newest=address(path, query) if before < MAX_NUMBER else None,
        older=address(path, {**query, "before": triggers[ROWS - 1]["id"]})
        if len(triggers) > ROWS
        else None,
        **LABELS,
    )


def routes() -> Iterator[Route]:
    """Yield the routes of the three."""
    yield Route("/campaigns", list_campaigns)
    yield Route("/campaigns/new", new_campaign)
    yield Route("/campaigns/{campaign:segment_id}", show_campaign)
