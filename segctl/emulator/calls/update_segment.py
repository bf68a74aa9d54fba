"""updateSegment: parse the request, apply its valid entries, skip and log the others.

A request whose shape is wrong, or that is over a limit, is refused as a whole.
Otherwise the vendor answers 200 and processes the request in part: entries that are
invalid are skipped and logged to the Error Stream under one of five types.  An entry,
here, is one user on one segment line.  It is logged once: for what is wrong with the
line, else for what is wrong with the user.  Where an item of ``bulk_profiles`` has no
users or no segments, an empty user or an empty line stands for them, so that it is logged
too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from segctl.emulator.calls.vendor_call import (
    SUCCESS,
    VendorRequest,
    code_100,
    json_response,
)
from segctl.emulator.errors import (
    EMPTY_IDENTITY,
    ID_MISMATCH,
    INVALID_ACTION,
    NO_PROFILES,
    NO_SEGMENT_ID,
    NOT_FOUND_OR_DELETED,
    TOO_MANY_SEGMENTS,
    TOO_MANY_UPDATES,
    TOO_MANY_USERS,
    bad_request,
)
from segctl.emulator.service import Service
from segctl.emulator.settings import Settings, whole_number
from segctl.emulator.storage.changes import Change
from segctl.emulator.storage.database import SkippedLine
from segctl.emulator.storage.state import (
    ADD,
    API_SEGMENTS,
    REMOVE,
    Account,
    LinkedUser,
    Segment,
    User,
)

OTHER_CATEGORY_ERRORS = {"not_found": NOT_FOUND_OR_DELETED, "invalid_action": INVALID_ACTION}
"""The page: the call does not apply to dashboard and partner segments. It names no type."""

EMPTY_USER = User("identity", "")
"""A user whose identity and guid are missing or blank."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentLine:
    """An item of ``segments``: the ids as sent, None if absent, and the action."""

    ct_segment_id: int | str | None
    customer_segment_id: str | None
    action: Any


EMPTY_LINE = SegmentLine(ct_segment_id=None, customer_segment_id=None, action=None)
"""A line that names no segment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An item of ``bulk_profiles``: every line applies to every user."""

    users: tuple[User, ...]
    lines: tuple[SegmentLine, ...]


def update_segment(service: Service, request: VendorRequest) -> Response:
    """Handle an updateSegment request."""
    settings = service.settings
    entries = parse_update(request.document, settings=settings)
    changes, skipped = split_entries(
        request.account,
        entries,
        settings=settings,
        now=service.clock(),
        refuse_entry=request.faults.refuse_entry if request.faults.refusers else None,
    )
    service.store.update(request.account, changes, skipped, settings=settings, agent=request.agent)
    return json_response(SUCCESS)


# -- the request as a whole ---------------------------------------------------


def parse_update(document: Any, *, settings: Settings) -> list[Entry]:
    """Read an updateSegment body.

    Raises RequestError: code 400 for a wrong shape, code 100 for the four cases of the
    vendor's table.
    """
    if not isinstance(document, dict):
        raise bad_request("the body is not an object")
    bulk = document.get("bulk_profiles")
    if not isinstance(bulk, list):
        raise bad_request("bulk_profiles must be an array")
    entries = [_parse_entry(each, settings=settings) for each in bulk]
    _check_content(bulk, entries, settings=settings)
    _check_limits(entries, settings=settings)
    return entries


def _parse_entry(document: Any, *, settings: Settings) -> Entry:
    if not isinstance(document, dict | None):
        raise bad_request("an entry of bulk_profiles is not an object")
    return Entry(
        users=tuple(
            [_parse_user(each, settings=settings) for each in _array(document, "user_profiles")]
        ),
        lines=tuple([_parse_line(each) for each in _array(document, "segments")]),
    )


def _array(document: dict[str, Any] | None, name: str) -> list[Any]:
    """Return the array of an entry; an absent or null one is empty."""
    value = (document or {}).get(name)
    if not isinstance(value, list | None):
        raise bad_request(f"{name} must be an array")
    return value or []


def _parse_user(document: Any, *, settings: Settings) -> User:
    if not isinstance(document, dict | None):
        raise bad_request("an item of user_profiles is not an object")
    if document is None:
        return EMPTY_USER
    identity = _parse_id(document, "identity", settings=settings)
    guid = _parse_id(document, "guid", settings=settings)
    if guid is None or (identity is not None and settings.both_ids == "identity"):
        return EMPTY_USER if identity is None else User("identity", identity)
    if identity is None or settings.both_ids == "guid":
        return User("guid", guid)
    return LinkedUser(identity, guid)


def _parse_id(document: dict[str, Any], kind: str, *, settings: Settings) -> str | None:
    """Return an id of a user, None if it is absent or blank."""
    value = document.get(kind)
    if value is None:
        return None
    if not isinstance(value, str):
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        if not is_integer or settings.numeric_identity != "accept":
            raise bad_request(f"{kind} must be a string")
        value = str(value)
    return None if not value or value.isspace() else value


def _parse_line(document: Any) -> SegmentLine:
    if not isinstance(document, dict | None):
        raise bad_request("an item of segments is not an object")
    if document is None:
        return EMPTY_LINE
    ct_segment_id = whole_number(document.get("ct_segment_id"))
    if isinstance(ct_segment_id, bool) or not isinstance(ct_segment_id, int | str | None):
        raise bad_request("ct_segment_id must be an integer")
    customer_segment_id = document.get("customer_segment_id")
    if not isinstance(customer_segment_id, str | None):
        raise bad_request("customer_segment_id must be a string")
    return SegmentLine(
        ct_segment_id=None if ct_segment_id == "" else ct_segment_id,
        customer_segment_id=customer_segment_id or None,
        action=document.get("action"),
    )


def _check_content(bulk: Sequence[Any], entries: Sequence[Entry], *, settings: Settings) -> None:
    """Refuse a request without users or without segments, or with one empty item, by setting.

    An object that only lacks its ids is not empty: the page lists it among the errors that
    are logged.
    """
    if not any(entry.users for entry in entries):
        raise code_100(NO_PROFILES, settings)
    if not any(entry.lines for entry in entries):
        raise bad_request("segments must be an array with at least one segment")
    if settings.empty_entry == "error_stream":
        return
    for number, (document, entry) in enumerate(zip(bulk, entries, strict=True)):
        for name, items in (("user_profiles", entry.users), ("segments", entry.lines)):
            if not items:
                raise bad_request(f"bulk_profiles[{number}] has no {name}")
            if None in document[name]:
                raise bad_request(f"an item of {name} of bulk_profiles[{number}] is null")


def _check_limits(entries: Sequence[Entry], *, settings: Settings) -> None:
    if _has_too_many_updates(entries, settings=settings):
        raise code_100(TOO_MANY_UPDATES.format(limit=settings.max_entries), settings)
    groups = [entries] if settings.limit_scope == "request" else [[entry] for entry in entries]
    for group in groups:
        users: Sequence[Any] = [user for entry in group for user in entry.users]
        lines: Sequence[Any] = [line for entry in group for line in entry.lines]
        if settings.limit_counts == "distinct":
            users = list(set(users))
            lines = list({(line.ct_segment_id, line.customer_segment_id) for line in lines})
        if len(lines) > settings.max_lines:
            raise code_100(TOO_MANY_SEGMENTS.format(limit=settings.max_lines), settings)
        if len(users) > settings.max_users:
            raise code_100(TOO_MANY_USERS.format(limit=settings.max_users), settings)


def _has_too_many_updates(entries: Sequence[Entry], *, settings: Settings) -> bool:
    """Whether the request has more profile updates than allowed, in the setting's sense."""
    limit = settings.max_entries
    if settings.profile_updates == "entries":
        return len(entries) > limit
    if settings.limit_counts == "all":
        is_pairs = settings.profile_updates == "pairs"
        return sum(len(e.users) * (len(e.lines) if is_pairs else 1) for e in entries) > limit
    updates: set[Any] = set()
    for entry in entries:
        users = set(entry.users)
        lines = {(line.ct_segment_id, line.customer_segment_id) for line in entry.lines}
        if settings.profile_updates == "users":
            updates |= users
        elif len(users) * len(lines) > limit:
            # Checked first: the product of two long lists does not fit in memory.
            return True
        else:
            updates.update((user, line) for user in users for line in lines)
        if len(updates) > limit:
            return True
    return False


# -- its entries --------------------------------------------------------------


def split_entries(
    account: Account,
    entries: Sequence[Entry],
    *,
    settings: Settings,
    now: float,
    refuse_entry: Callable[[], str | None] | None = None,
) -> tuple[list[Change], list[SkippedLine]]:
    """Return the changes of the valid entries, in order, and the entries to skip.

    ``refuse_entry`` is called for each valid entry and may return an error type, under
    which the entry is skipped as well.
    """
    changes: list[Change] = []
    skipped: list[SkippedLine] = []
    for entry in entries:
        # One tuple for all lines, so that the store looks its users up only once.
        valid_users = tuple([user for user in entry.users if user is not EMPTY_USER])
        entry_users = entry.users or (EMPTY_USER,)
        empty_users = [user for user in entry_users if user is EMPTY_USER]
        for line in entry.lines or (EMPTY_LINE,):
            segment = _find_segment(account, line, settings=settings)
            if isinstance(segment, str):
                skipped.append(_skip(account, line, segment, entry_users, now))
                continue
            if empty_users:
                skipped.append(_skip(account, line, EMPTY_IDENTITY, empty_users, now))
            users = valid_users
            if refuse_entry is not None:
                refusals = [(user, refuse_entry()) for user in valid_users]
                users = tuple([user for user, error_type in refusals if error_type is None])
                skipped += [
                    _skip(account, line, error_type, [user], now)
                    for user, error_type in refusals
                    if error_type is not None
                ]
            if users:
                changes.append(Change(segment=segment, action=line.action, users=users))
    if settings.conflict_order != "as_sent":
        first = ADD if settings.conflict_order == "adds_first" else REMOVE
        changes.sort(key=lambda change: change.action != first)
    return changes, skipped


def _skip(
    account: Account, line: SegmentLine, error_type: str, users: Sequence[User], now: float
) -> SkippedLine:
    return SkippedLine(
        account=account.number,
        ts=now,
        type=error_type,
        segment=None if line.ct_segment_id is None else str(line.ct_segment_id),
        customer_id=line.customer_segment_id,
        users=tuple([user.value for user in users]),
    )


def _find_segment(account: Account, line: SegmentLine, *, settings: Settings) -> Segment | str:
    """Return the segment of the line, or the error type of an invalid line."""
    if line.ct_segment_id is None and line.customer_segment_id is None:
        return NO_SEGMENT_ID
    if not isinstance(line.action, str) or line.action not in {ADD, REMOVE}:
        return INVALID_ACTION
    by_id = _find_by_id(account, line.ct_segment_id, settings=settings)
    by_customer_id = account.by_customer_id.get(line.customer_segment_id or "")
    if line.ct_segment_id is None:
        segment = by_customer_id
    elif line.customer_segment_id is None or by_id is by_customer_id:
        segment = by_id
    else:
        return ID_MISMATCH
    if segment is None or segment.is_deleted:
        return NOT_FOUND_OR_DELETED
    if segment.category != API_SEGMENTS:
        return OTHER_CATEGORY_ERRORS[settings.other_category_error]
    return segment


def _find_by_id(
    account: Account, ct_segment_id: int | str | None, *, settings: Settings
) -> Segment | None:
    if isinstance(ct_segment_id, str):
        is_number = ct_segment_id.isascii() and ct_segment_id.isdecimal()
        is_small = len(ct_segment_id) <= len(str(2**63))
        if not is_number or not is_small or settings.numeric_string_id == "not_found":
            return None
        ct_segment_id = int(ct_segment_id)
    return None if ct_segment_id is None else account.segments.get(ct_segment_id)
