"""The pages of users: a search, the newest profiles, and one user."""

from sqlite3 import Connection

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from segctl.emulator.control.parameters import MAX_NUMBER, number_of, service_of
from segctl.emulator.control.routing import PREFIX
from segctl.emulator.control.users import (
    KINDS,
    Profile,
    count_segments,
    errors_of,
    events_of,
    find_profiles,
    is_text,
    profiles_of,
    segments_of,
)
from segctl.emulator.pages.history import group_by_apply
from segctl.emulator.pages.rendering import ROWS, Pager, address, chosen_account, render
from segctl.emulator.pages.segments import list_pager
from segctl.emulator.service import Service
from segctl.emulator.storage.state import ADD, Account

SUGGESTED = 20
"""Users that a search shows whose keys start with the text."""


async def show_users(request: Request) -> Response:
    """Show one user, those that a search finds, or the newest profiles."""
    named = {kind: request.query_params[kind] for kind in KINDS if kind in request.query_params}
    if named:
        kind, text = next(iter(named.items()))
        return await show_user(request, kind, text)
    text = request.query_params.get("user", "")
    return await (find_users(request, text) if text else list_users(request))


async def find_users(request: Request, text: str) -> Response:
    """Lead to the user with exactly this key, or show those whose key starts with it."""
    service, account = service_of(request), chosen_account(request)
    exact = list(find_profiles(service, account, text))
    if len(exact) == 1:
        account_id = exact[0].account.id if len(service.store.accounts) > 1 else None
        user = exact[0].user
        parameters = {"account": account_id, user.kind: user.value}
        return RedirectResponse(address("/users", parameters), 303)
    found = exact or suggest(service, account, text)
    return render(
        "users.html",
        request,
        account=account,
        text=text,
        users=await count_segments(found),
        page=None,
    )


def suggest(service: Service, account: Account | None, text: str) -> list[Profile]:
    """Return the first profiles whose identity or object id starts with the text."""
    accounts = service.store.accounts.values() if account is None else [account]
    connection = service.store.database.connection
    return [
        profile
        for each in accounts
        for profile in profiles_of(each, _numbers_by_prefix(connection, each, text))
    ][:SUGGESTED]


def _numbers_by_prefix(connection: Connection, account: Account, prefix: str) -> list[int]:
    if not is_text(prefix):
        return []
    numbers: dict[int, None] = {}
    for column in KINDS:
        # A range of the index, which is ordered by code points.
        rows = connection.execute(
            f"SELECT number FROM profiles WHERE account = ? AND {column} >= ? AND {column} < ? "  # noqa: S608 - one of two columns
            f"ORDER BY {column} LIMIT ?",
            (account.number, prefix, prefix + chr(0x10FFFF), SUGGESTED),
        )
        numbers |= {number: None for (number,) in rows}
    return list(numbers)


async def list_users(request: Request) -> Response:
    """Show the profiles of an account, newest first."""
    service, account = service_of(request), chosen_account(request)
    shown = account or next(iter(service.store.accounts.values()))
    total = len(shown.profiles)
    before = min(number_of(request, "before", MAX_NUMBER), total)
    first = max(before - ROWS, 0)
    found = profiles_of(shown, range(before - 1, first - 1, -1))

    def link(number: int) -> str:
        return address("/users", {**request.query_params, "before": number})

    page = Pager(
        first=total - before + 1,
        last=total - first,
        total=total,
        previous=link(min(before + ROWS, total)) if before < total else None,
        next=link(first) if first else None,
    )
    return render(
        "users.html", request, account=shown, text="", users=await count_segments(found), page=page
    )


async def show_user(request: Request, kind: str, text: str) -> Response:
    """Show one user, or that there is none, with what was skipped about it all the same."""
    service, account = service_of(request), chosen_account(request)
    found = list(find_profiles(service, account, text, (kind,)))
    errors = await errors_of(service, account, {text})
    if not found:
        return render(
            "user_not_found.html", request, account=account, text=text, errors=errors, status=404
        )
    profile = found[0]
    errors = await errors_of(service, profile.account, {text, profile.object_id})
    events = await events_of(service, profile, limit=ROWS + 1)
    segments = segments_of(service, profile)
    start = number_of(request, "start", 0)
    shown = segments[start : start + ROWS]
    since: dict[int, float] = {}
    for event in events:
        if event.action == ADD:
            since.setdefault(event.segment.id, event.ts)
    return render(
        "user.html",
        request,
        account=profile.account,
        profile=profile,
        json_link=address(
            f"{PREFIX}/users",
            {"account": profile.account.id, profile.user.kind: profile.user.value},
        ),
        reachable=profile.reachable(),
        segments=shown,
        page=list_pager(request, start=start, shown=len(shown), total=len(segments)),
        since=since,
        groups=group_by_apply(request, events[:ROWS], lambda event: event.apply),
        has_more=len(events) > ROWS,
        errors=errors,
        other_accounts=[each.account.id for each in found[1:]],
    )


def routes() -> list[Route]:
    """Return the route."""
    return [Route("/users", show_users)]
