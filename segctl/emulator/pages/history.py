"""What the pages of events and of the Error Stream have in common: filters, pages, applies.

Both are lists that grow at one end.  A page of them starts before or after a row's
number, so it shows the same rows when new ones arrive.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Generic, TypeVar

from starlette.requests import Request

from segctl.emulator.control.parameters import MAX_NUMBER, number_of, parse_number, service_of
from segctl.emulator.control.users import Profile, find_profiles
from segctl.emulator.errors import bad_request
from segctl.emulator.pages.rendering import ROWS, Pager, address, chosen_account
from segctl.emulator.storage.applies import Apply, read_applies
from segctl.emulator.storage.state import Account, Segment

PAGING = ("before", "after", "older")

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True)
class HistoryQuery:
    """What the address of a page asks for. None is no filter."""

    account: Account | None
    segment: str
    """The text of the filter by segment: a name or an id, or a part of one."""
    segments: frozenset[int] | None
    """The CleverTap ids of the segments that the text finds."""
    user: str
    profile: Profile | None
    """The profile that the text of the filter by user names, if there is one."""
    since: float | None
    until: float | None
    apply: Apply | None

    @property
    def is_timed(self) -> bool:
        """Whether a time is chosen."""
        return self.since is not None or self.until is not None

    @property
    def is_filtered(self) -> bool:
        """Whether anything but the account is chosen."""
        return bool(self.segment or self.user or self.apply) or self.is_timed


def read_query(request: Request) -> HistoryQuery:
    """Return the filters of the address; raises RequestError 400 or 404."""
    account = chosen_account(request)
    segment = request.query_params.get("segment", "").strip()
    user = request.query_params.get("user", "")
    profiles = list(find_profiles(service_of(request), account, user)) if user else []
    if len(profiles) > 1:
        raise bad_request(f"several accounts have the user {user!r}: choose an account")
    since, until = (_parse_minute(request, name) for name in ("from", "to"))
    return HistoryQuery(
        account=account,
        segment=segment,
        segments=_find_segments(request, account, segment) if segment else None,
        user=user,
        profile=profiles[0] if profiles else None,
        since=since,
        # The whole minute.
        until=None if until is None else until + 59.999_999,
        apply=_find_apply(request, account),
    )


def _find_segments(request: Request, account: Account | None, text: str) -> frozenset[int]:
    """Return the segments with this id or name, or, if there is none, with a part of it."""
    accounts = service_of(request).store.accounts.values() if account is None else [account]
    segments = [each for owner in accounts for each in owner.segments.values()]
    exact = [each for each in segments if text in (str(each.id), each.customer_id, each.name)]
    found = exact or [each for each in segments if matches(each, text.casefold())]
    return frozenset(each.id for each in found)


def matches(segment: Segment, text: str) -> bool:
    """Whether the name or one of the ids contains the text, which is in lower case."""
    names = (segment.name, segment.customer_id or "", str(segment.id))
    return not text or any(text in each.casefold() for each in names)


def _parse_minute(request: Request, name: str) -> float | None:
    """Return a time of the query, in the project's zone, as seconds since 1970."""
    text = request.query_params.get(name, "")
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
        return parsed.replace(tzinfo=parsed.tzinfo or service_of(request).zone).timestamp()
    except (ValueError, OverflowError):
        raise bad_request(f"{name} must be a time such as 2026-01-31T12:00") from None


def _find_apply(request: Request, account: Account | None) -> Apply | None:
    text = request.query_params.get("apply", "")
    if not text:
        return None
    number = parse_number(text)
    found = read_apply(request, number) if number is not None else None
    if found is None or (account is not None and found.account != account.number):
        raise bad_request("apply must be the number of an apply")
    return found


def read_apply(request: Request, number: int) -> Apply | None:
    """Return the apply with this number, if there is one."""
    connection = service_of(request).store.database.connection
    found = read_applies(connection, before=number + 1, limit=1)
    return found[0] if found and found[0].number == number else None


@dataclass(frozen=True, kw_only=True)
class Page(Generic[Row]):
    """Rows of a list, newest first, and where they are in it."""

    rows: list[Row]
    pager: Pager


async def read_page(
    request: Request,
    read: Callable[[int | None, bool], AsyncIterator[Sequence[Row]]],
    *,
    number: Callable[[Row], int],
    total: int | None,
) -> Page[Row]:
    """Return the page that the address asks for.

    ``read(start, newest_first)`` returns the rows in pieces, ``number`` the number of a
    row.  ``total`` is the count of all rows, None if it is unknown.  Raises RequestError 400.
    """
    before = number_of(request, "before", MAX_NUMBER)
    after = number_of(request, "after", 0)
    is_first = before == MAX_NUMBER and not after
    pieces = read(after + 1, False) if after else read(None if is_first else before - 1, True)
    rows: list[Row] = []
    has_more = False
    async for piece in pieces:
        # The rows of one number stay together.
        for row in piece:
            if len(rows) >= ROWS and number(row) != number(rows[-1]):
                has_more = True
                break
            rows.append(row)
        if has_more:
            break
    if after:
        rows.reverse()
    rest = _rows_from_here(request, is_first=is_first, total=total)
    if after and rest is not None:
        rest += len(rows)
    if total is None or rest is None or not len(rows) <= rest <= total:
        total = rest = None

    def link(name: str, row: Row, count: int | None) -> str:
        query = {key: value for key, value in request.query_params.items() if key not in PAGING}
        return address(request.url.path, {**query, name: number(row), "older": count})

    has_older = bool(rows) and (has_more or bool(after))
    has_newer = bool(rows) and (has_more if after else not is_first)
    first = 1 if total is None or rest is None else total - rest + 1
    return Page(
        rows=rows,
        pager=Pager(
            first=first,
            last=first + len(rows) - 1,
            total=total,
            previous=link("after", rows[0], rest) if has_newer else None,
            next=link("before", rows[-1], None if rest is None else rest - len(rows))
            if has_older
            else None,
        ),
    )


def _rows_from_here(request: Request, *, is_first: bool, total: int | None) -> int | None:
    """Return how many rows are on this page or older; the link to the page counted them.

    For a page after a row, the rows of the page are not in the count.
    """
    return total if is_first else parse_number(request.query_params.get("older", ""))


@dataclass(frozen=True, kw_only=True)
class ApplyGroup(Generic[Row]):
    """Rows that follow each other and belong to one apply; ``apply`` is None for no apply."""

    key: str
    apply: Apply | None
    rows: list[Row]


def group_by_apply(
    request: Request, rows: Sequence[Row], number: Callable[[Row], int]
) -> list[ApplyGroup[Row]]:
    """Return the rows in groups, in the same order. ``number`` is the apply's number."""
    groups: list[ApplyGroup[Row]] = []
    for apply, found in groupby(rows, number):
        times = sum(group.apply is not None and group.apply.number == apply for group in groups)
        groups.append(
            ApplyGroup(
                key=f"apply-{apply}-{times}", apply=read_apply(request, apply), rows=list(found)
            )
        )
    return groups
