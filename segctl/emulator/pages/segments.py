"""The pages of the segments: all of them, and one."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pyroaring import BitMap
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segctl.emulator.control.parameters import number_of, service_of
from segctl.emulator.control.responses import in_turns
from segctl.emulator.control.segments import describe, segment_of
from segctl.emulator.control.users import Profile, count_segments, profiles_of
from segctl.emulator.pages.charts import Chart, draw_chart
from segctl.emulator.pages.history import group_by_apply, matches
from segctl.emulator.pages.rendering import ROWS, Pager, address, chosen_account, render
from segctl.emulator.reading.events import Event, event_pieces
from segctl.emulator.reading.skipped_entries import SkippedEntry, SkippedFilter, skipped_pieces
from segctl.emulator.service import Service
from segctl.emulator.storage.event_runs import RunFilter
from segctl.emulator.storage.history import segment_history
from segctl.emulator.storage.state import Account, Segment

ROWS_PER_TURN = 10
"""Rows that are described before other requests get their turn."""

CHART_POINTS = 200
SPARK_POINTS = 30
RECENT = 10
"""Events and skipped entries on the page of a segment."""

SEARCHED = 200_000
"""Members that one search looks at; the page offers to search on."""
MEMBERS_PER_TURN = 1000


async def list_segments(request: Request) -> Response:
    """Show the segments that match the search, in pages."""
    service = service_of(request)
    account = chosen_account(request)
    accounts = list(service.store.accounts.values()) if account is None else [account]
    everything = [(owner, each) for owner in accounts for each in owner.segments.values()]
    text = request.query_params.get("q", "")
    kind = request.query_params.get("kind", "")
    sort = request.query_params.get("sort", "created")
    matching = [
        (owner, each)
        for owner, each in everything
        if matches(each, text.strip().casefold()) and kind in {"", each.category}
    ]
    matching.sort(key=lambda pair: sort_key(pair[1], sort))
    start = number_of(request, "start", 0)
    found = matching[start : start + ROWS]
    rows = []
    for position, (owner, each) in enumerate(found):
        rows.append(
            (describe_row(service, owner, each), segment_chart(service, each, SPARK_POINTS))
        )
        if position % ROWS_PER_TURN == 0:
            await asyncio.sleep(0)
    stats = service.stats(account)
    return render(
        "segments.html",
        request,
        topics="data campaigns",
        account=account,
        text=text,
        kind=kind,
        kinds=sorted({each.category for _, each in everything}),
        sort=sort,
        sort_link=lambda name: address("/", {**request.query_params, "sort": name, "start": None}),
        has_segments=bool(everything),
        segments=rows,
        page=list_pager(request, start=start, shown=len(found), total=len(matching)),
        stats=stats,
        memberships=sum(len(each.members) for _, each in everything),
        reachable=sum(len(each.profiles.reachable["any"]) for each in accounts),
        max_segments=service.settings.max_segments,
    )


def describe_row(service: Service, account: Account, segment: Segment) -> dict[str, Any]:
    """Return a segment as the pages show it: with its category, and the campaigns that use it."""
    return {
        "category": segment.category,
        "used_by": [],
        **describe(service, account, segment),
    }


def sort_key(segment: Segment, sort: str) -> tuple[Any, ...]:
    """Return the key that sorts segments; deleted ones come last, and newer ones first."""
    chosen: Any = 0
    if sort == "name":
        chosen = segment.name.casefold()
    elif sort == "members":
        chosen = -len(segment.members)
    return segment.is_deleted, chosen, -segment.created_at, -segment.id


def segment_chart(service: Service, segment: Segment, points: int) -> Chart:
    """Return the chart of a segment's size up to now."""
    now = service.clock()
    history = segment_history(service.store.log, segment, points)
    # The history has whole minutes; what happened in this one is in the members.
    return draw_chart([*history, (max(now, history[-1][0]), len(segment.members))], until=now)


def list_pager(request: Request, *, start: int, shown: int, total: int) -> Pager:
    """Return the pager of a table whose pages start at a row, counted from 0."""

    def link(row: int) -> str:
        return address(request.url.path, {**request.query_params, "start": row or None})

    return Pager(
        first=start + 1,
        last=start + shown,
        total=total,
        previous=link(max(min(start, total) - ROWS, 0)) if start else None,
        next=link(start + ROWS) if start + shown < total else None,
    )


# -- one segment --------------------------------------------------------------


async def show_segment(request: Request) -> Response:
    """Show one segment, a part of its members, and what happened to it lately."""
    service = service_of(request)
    account, segment = segment_of(request)
    members, _ = service.store.members_at(account, segment, service.visible_until())
    text = request.query_params.get("q", "")
    found = await find_members(account, members, text, start=number_of(request, "start", 0))
    events = await recent_events(service, account, segment)
    return render(
        "segment.html",
        request,
        topics="data campaigns",
        account=account,
        segment=describe_row(service, account, segment),
        created_at=segment.created_at,
        chart=segment_chart(service, segment, CHART_POINTS),
        text=text,
        found=found,
        page=list_pager(request, start=found.start, shown=len(found.users), total=len(members)),
        search_on=address(request.url.path, {**request.query_params, "start": found.end}),
        groups=group_by_apply(request, events, lambda event: event.apply),
        errors=await recent_errors(service, account, segment),
    )


@dataclass(frozen=True, kw_only=True)
class FoundMembers:
    """Members that a search found between two positions of the list of members."""

    users: list[tuple[Profile, int]]
    """Profiles, each with the number of its segments."""
    start: int
    end: int
    total: int


async def find_members(account: Account, members: BitMap, text: str, *, start: int) -> FoundMembers:
    """Return the members from a position on whose key contains the text, at most a page.

    Members are in the order in which the account got their profiles.  At most ``SEARCHED``
    are looked at.
    """
    total = len(members)
    found: list[Profile] = []
    end = min(start + (SEARCHED if text else ROWS), total)
    async for position, profile in each_member(account, members, start=start, end=end):
        if text in profile.user.value:
            found.append(profile)
            if len(found) == ROWS:
                end = position + 1
                break
    return FoundMembers(users=await count_segments(found), start=start, end=end, total=total)


async def each_member(
    account: Account, members: BitMap, *, start: int, end: int
) -> AsyncIterator[tuple[int, Profile]]:
    """Yield members with their positions, and give other requests their turn in between."""
    for first in range(start, end, MEMBERS_PER_TURN):
        numbers = members[first : min(first + MEMBERS_PER_TURN, end)]
        for pair in enumerate(profiles_of(account, list(numbers)), start=first):
            yield pair
        await asyncio.sleep(0)


async def recent_events(service: Service, account: Account, segment: Segment) -> Sequence[Event]:
    """Return the newest events of a segment, newest first."""
    chosen = RunFilter(account=account.number, segments=frozenset({segment.id}))
    found: list[Event] = []
    async for piece in in_turns(event_pieces(service, filter=chosen, newest_first=True)):
        found += piece
        if len(found) >= RECENT:
            break
    return found[:RECENT]


async def recent_errors(
    service: Service, account: Account, segment: Segment
) -> Sequence[SkippedEntry]:
    """Return the newest skipped entries that name a segment by one of its ids, newest first."""
    chosen = SkippedFilter(account=account.number, segments=frozenset({segment.id}))
    found: list[SkippedEntry] = []
    async for piece in in_turns(skipped_pieces(service, chosen, newest_first=True)):
        found += piece
        if len(found) >= RECENT:
            break
    return found[:RECENT]


def routes() -> Iterator[Route]:
    """Yield the routes of both."""
    yield Route("/", list_segments)
    yield Route("/segments/{ct_segment_id:segment_id}", show_segment)
