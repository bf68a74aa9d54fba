"""The pages of the segments: all of them, and one."""

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segctl.emulator.control.endpoints import describe, number_of, segment_of, service_of
from segctl.emulator.pages.rendering import ROWS, Pager, address, chosen_account, render
from segctl.emulator.service import Service
from segctl.emulator.storage.state import Account, Segment

CHANNELS = {"email": "E-mail", "sms": "SMS", "push": "Push"}
SORTS = {"name": "Segment", "members": "Members", "created": "Created"}

OwnedSegment = tuple[Account, Segment]


async def list_segments(request: Request) -> Response:
    """Show the segments that match the search, in pages."""
    service = service_of(request)
    account = chosen_account(request)
    accounts = list(service.store.accounts.values()) if account is None else [account]
    everything = [(owner, each) for owner in accounts for each in owner.segments.values()]
    text = request.query_params.get("q", "").strip().casefold()
    matching = [(owner, each) for owner, each in everything if matches(each, text)]
    sort = request.query_params.get("sort", "created")
    matching.sort(key=lambda pair: sort_key(pair[1], sort))
    start = number_of(request, "start", 0)
    found = matching[start : start + ROWS]
    return render(
        "segments.html",
        request,
        account=account,
        text=request.query_params.get("q", ""),
        sort=sort,
        sorts=SORTS,
        everything=len(everything),
        segments=[describe(service, *each) for each in found],
        page=list_pager(request, start=start, shown=len(found), total=len(matching)),
        figures=figures(service, account, [each for _, each in everything]),
    )


def matches(segment: Segment, text: str) -> bool:
    """Whether the name or one of the ids contains the text, which is in lower case."""
    names = (segment.name, segment.customer_id or "", str(segment.id))
    return not text or any(text in each.casefold() for each in names)


def sort_key(segment: Segment, sort: str) -> tuple[Any, ...]:
    """Return the key that sorts segments; deleted ones come last, and newer ones first."""
    chosen: Any = 0
    if sort == "name":
        chosen = segment.name.casefold()
    elif sort == "members":
        chosen = -len(segment.members)
    return segment.is_deleted, chosen, -segment.created_at, -segment.id


def list_pager(request: Request, *, start: int, shown: int, total: int) -> Pager:
    """Return the pager of a table whose pages start at a row, counted from 0."""

    def link(row: int) -> str:
        return address(request.url.path, {**request.query_params, "start": row or None})

    return Pager(
        first=start + 1,
        last=start + shown,
        total=total,
        previous=link(max(start - ROWS, 0)) if start else None,
        next=link(start + ROWS) if start + shown < total else None,
    )


def figures(
    service: Service, account: Account | None, segments: list[Segment]
) -> dict[str, dict[str, Any]]:
    """Return the figures above the list."""
    stats = service.stats(account)
    return {
        "segments": {"value": stats["segments"]},
        "memberships": {"value": sum(len(each.members) for each in segments)},
        "profiles": {"value": stats["profiles"]},
        "membership changes": {
            "value": stats["membership_changes"],
            "note": f"{stats['data_points']:,} data points",
        },
    }


async def show_segment(request: Request) -> Response:
    """Show one segment and a part of its members."""
    service = service_of(request)
    account, segment = segment_of(request)
    start = number_of(request, "start", 0)
    members, _ = service.store.members_at(account, segment, service.visible_until())
    numbers = members[start : start + ROWS]
    return render(
        "segment.html",
        request,
        account=account,
        segment=describe(service, account, segment),
        created_at=segment.created_at,
        channels=CHANNELS,
        users=[account.profiles.user(number) for number in numbers],
        page=list_pager(request, start=start, shown=len(numbers), total=len(members)),
        found=request.query_params.get("q", ""),
    )


def routes() -> Iterator[Route]:
    """Yield the routes of both."""
    yield Route("/", list_segments)
    yield Route("/segments/{ct_segment_id:segment_id}", show_segment)
