"""One user: who it is, in which segments, how it came there, what was skipped.

A user is named by an identity or by an object id.  The vendor has no such call; it
shows what the dashboard shows about one profile.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pyroaring import BitMap
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from segctl.emulator.control.parameters import account_of, service_of
from segctl.emulator.control.responses import in_turns
from segctl.emulator.control.routing import PREFIX
from segctl.emulator.errors import RequestError, bad_request
from segctl.emulator.reading.events import Event, event_pieces, iso
from segctl.emulator.reading.skipped_entries import (
    SkippedEntry,
    SkippedFilter,
    skipped_pieces,
)
from segctl.emulator.service import Service
from segctl.emulator.storage.event_runs import RunFilter
from segctl.emulator.storage.state import REACH_CHANNELS, Account, Segment, User

LISTED = 100
"""Events and skipped entries of a user that are listed, the newest ones."""

SEGMENTS_PER_TURN = 250

KINDS = ("identity", "guid")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A profile of an account."""

    account: Account
    number: int
    user: User
    """The identity, or the object id of a profile without one."""

    @property
    def identity(self) -> str | None:
        """The identity, if the profile has one."""
        return self.user.value if self.user.kind == "identity" else None

    @property
    def object_id(self) -> str:
        """The CleverTap id."""
        return self.account.profiles.object_id(self.number)

    @property
    def fields(self) -> dict[str, Any]:
        """The uploaded fields."""
        return self.account.profiles.fields(self.number)

    def reachable(self) -> dict[str, bool]:
        """Return, for each channel, whether the user can be reached."""
        return {
            channel: self.number in self.account.profiles.reachable[channel]
            for channel in REACH_CHANNELS
        }


def find_profiles(
    service: Service, account: Account | None, text: str, kinds: tuple[str, ...] = KINDS
) -> Iterator[Profile]:
    """Yield the profiles whose identity or object id is the text, at most one an account."""
    accounts = service.store.accounts.values() if account is None else [account]
    for each in accounts:
        for kind in kinds:
            number = each.profiles.find(User(kind, text)) if is_text(text) else None
            if number is not None:
                yield from profiles_of(each, [number])
                break


def profiles_of(account: Account, numbers: Sequence[int]) -> list[Profile]:
    """Return the profiles with these numbers, in the same order."""
    users = account.profiles.users(numbers)
    return [
        Profile(account=account, number=number, user=user)
        for number, user in zip(numbers, users, strict=True)
    ]


def is_text(text: str) -> bool:
    """Whether the text can be stored: a lone surrogate, for example, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return bool(text)


def segments_of(service: Service, profile: Profile) -> list[Segment]:
    """Return the segments that the user is a member of, oldest first."""
    until = service.visible_until()
    account, number = profile.account, profile.number
    if until is None:
        return [each for each in account.segments.values() if number in each.members]
    return [
        each
        for each in account.segments.values()
        if number in service.store.members_at(account, each, until)[0]
    ]


async def count_segments(profiles: Sequence[Profile]) -> list[tuple[Profile, int]]:
    """Return each profile with the number of segments that it is a member of.

    Other requests get their turn in between.
    """
    counts: Counter[tuple[int, int]] = Counter()
    for account in {profile.account.number: profile.account for profile in profiles}.values():
        numbers = BitMap([each.number for each in profiles if each.account is account])
        for position, segment in enumerate(list(account.segments.values())):
            counts.update((account.number, number) for number in segment.members & numbers)
            if position % SEGMENTS_PER_TURN == 0:
                await asyncio.sleep(0)
    return [(each, counts[each.account.number, each.number]) for each in profiles]


async def events_of(
    service: Service, profile: Profile, *, start: int | None = None, limit: int = LISTED
) -> list[Event]:
    """Return the events of the user, newest first, from event ``start`` back."""
    chosen = RunFilter(account=profile.account.number, user=profile.number)
    found: list[Event] = []
    pieces = event_pieces(
        service, account=profile.account, filter=chosen, start=start, newest_first=True
    )
    async for piece in in_turns(pieces):
        found += piece
        if len(found) >= limit:
            break
    return found[:limit]


async def errors_of(
    service: Service, account: Account | None, texts: set[str]
) -> list[SkippedEntry]:
    """Return the newest skipped entries that name a user by one of the texts, newest first."""
    found: list[SkippedEntry] = []
    for text in texts:
        chosen = SkippedFilter(account=account.number if account else None, user=text)
        own: list[SkippedEntry] = []
        async for piece in in_turns(skipped_pieces(service, chosen, newest_first=True)):
            own += piece
            if len(own) >= LISTED:
                break
        found += own[:LISTED]
    return sorted(found, key=lambda entry: -entry.number)[:LISTED]


async def describe_user(service: Service, profile: Profile) -> dict[str, Any]:
    """Return what is known about a user."""
    account = profile.account
    events = await events_of(service, profile)
    since = {event.segment.id: event.ts for event in reversed(events) if event.action == "ADD"}
    names = {text for text in (profile.identity, profile.object_id) if text is not None}
    return {
        "account": account.id,
        "identity": profile.identity,
        "guid": profile.object_id,
        "reachable": profile.reachable(),
        "profile": profile.fields,
        "segments": [
            {
                "ct_segment_id": each.id,
                "customer_segment_id": each.customer_id,
                "segment_name": each.name,
                "category": each.category,
                "since": iso(since[each.id]) if each.id in since else None,
            }
            for each in segments_of(service, profile)
        ],
        "events": [event.line() for event in events],
        "errors": [entry.line() for entry in await errors_of(service, account, names)],
    }


async def show_user(request: Request) -> Response:
    """Show the user of the path, named by identity or object id."""
    return await answer_user(request, request.path_params["user"], KINDS)


async def show_user_of_query(request: Request) -> Response:
    """Show the user of ``?identity=`` or ``?guid=``, for keys that a path cannot have."""
    named = [kind for kind in KINDS if kind in request.query_params]
    if len(named) != 1:
        raise bad_request("one of identity, guid is required")
    return await answer_user(request, request.query_params[named[0]], (named[0],))


async def answer_user(request: Request, text: str, kinds: tuple[str, ...]) -> Response:
    """Return the answer with one user; raises RequestError 400 or 404."""
    service = service_of(request)
    found = list(find_profiles(service, account_of(request), text, kinds))
    if not found:
        raise RequestError(404, "no such user")
    if len(found) > 1:
        raise bad_request("several accounts have this user: name one with ?account=")
    return JSONResponse(await describe_user(service, found[0]))


def routes() -> list[Route]:
    """Return the routes. A user's key may contain slashes."""
    return [
        Route(f"{PREFIX}/users", show_user_of_query, methods=["GET"]),
        Route(f"{PREFIX}/users/{{user:path}}", show_user, methods=["GET"]),
    ]
