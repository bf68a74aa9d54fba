"""The vendor's messages: what the two segment calls take and answer.

Parsing stops at what concerns the whole request (a missing array, a wrong type,
too many users).  What concerns one entry is kept as it came, for the rules in
``membership.py`` to judge, since such entries are skipped and never refuse a
request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segctl.emulator.bodies import incorrect
from segctl.emulator.errors import RequestError
from segctl.emulator.settings import Settings, whole_number
from segctl.emulator.state import Segment, User

SUCCESS = {"success": True}

TOO_MANY_UPDATES = "Maximum number of profile updates reached: {limit} in one request"
NO_PROFILES = "No user profiles are provided"
TOO_MANY_SEGMENTS = "Segment limit exceeded: more than {limit} segments in the request"
TOO_MANY_USERS = "Profile limit exceeded: more than {limit} user ids for one or more segments"

NOBODY = User("identity", "")
"""A user entry whose identity or guid is missing or empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentLine:
    """One item of ``segments``: ids as given (None where absent) and the action."""

    ct_segment_id: int | str | None
    customer_segment_id: str | None
    action: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One item of ``bulk_profiles``: every user goes with every line."""

    users: tuple[User, ...]
    lines: tuple[SegmentLine, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CreateEntry:
    """One segment that a create asks for, as it was sent."""

    name: Any
    customer_id: Any


def fail(error: RequestError) -> dict[str, Any]:
    """Return the error body of the older vendor calls; the segment calls' is not published."""
    return {"status": "fail", "error": error.text, "code": error.code}


# -- updateSegment ------------------------------------------------------------


def parse_update(document: Any, *, settings: Settings) -> list[Entry]:
    """Read an updateSegment body.

    Raises RequestError: code 400 for a wrong shape, code 100 for the four cases
    of the vendor's table.
    """
    if not isinstance(document, dict):
        raise incorrect("the body is no object")
    bulk = document.get("bulk_profiles")
    if not isinstance(bulk, list):
        raise incorrect("bulk_profiles must be an array")
    if len(bulk) > settings.max_entries:
        raise _code_100(TOO_MANY_UPDATES.format(limit=settings.max_entries), settings)
    entries = [_entry(each, settings=settings) for each in bulk]
    _check_limits(entries, settings=settings)
    return entries


def _entry(document: Any, *, settings: Settings) -> Entry:
    if not isinstance(document, dict):
        raise incorrect("an entry of bulk_profiles is no object")
    users = document.get("user_profiles")
    if users is None:
        users = []
    if not isinstance(users, list):
        raise incorrect("user_profiles must be an array")
    lines = document.get("segments")
    if not isinstance(lines, list) or not lines:
        raise incorrect("segments must be an array with at least one segment")
    return Entry(
        users=tuple([_user(each, settings=settings) for each in users]),
        lines=tuple([_line(each) for each in lines]),
    )


def _user(document: Any, *, settings: Settings) -> User:
    if not isinstance(document, dict):
        raise incorrect("an item of user_profiles is no object")
    found = {}
    for kind in ("identity", "guid"):
        value = document.get(kind)
        if value is None:
            continue
        if isinstance(value, int) and not isinstance(value, bool):
            if settings.numeric_identity == "refuse":
                raise incorrect(f"{kind} must be a string")
            value = str(value)
        if not isinstance(value, str):
            raise incorrect(f"{kind} must be a string")
        if value and not value.isspace():
            found[kind] = value
    first, second = (
        ("identity", "guid") if settings.both_ids == "identity" else ("guid", "identity")
    )
    for kind in (first, second):
        if kind in found:
            return User(kind, found[kind])
    return NOBODY


def _line(document: Any) -> SegmentLine:
    if not isinstance(document, dict):
        raise incorrect("an item of segments is no object")
    ct_segment_id = whole_number(document.get("ct_segment_id"))
    if isinstance(ct_segment_id, bool) or not isinstance(ct_segment_id, int | str | None):
        raise incorrect("ct_segment_id must be an integer")
    customer_segment_id = document.get("customer_segment_id")
    if not isinstance(customer_segment_id, str | None):
        raise incorrect("customer_segment_id must be a string")
    return SegmentLine(
        ct_segment_id=None if ct_segment_id == "" else ct_segment_id,
        customer_segment_id=customer_segment_id or None,
        action=document.get("action"),
    )


def _check_limits(entries: Sequence[Entry], *, settings: Settings) -> None:
    whole = settings.limit_scope == "request"
    groups = [entries] if whole else [[entry] for entry in entries]
    if not any(entry.users for entry in entries):
        raise _code_100(NO_PROFILES, settings)
    for group in groups:
        users: Sequence[Any] = [user for entry in group for user in entry.users]
        lines: Sequence[Any] = [line for entry in group for line in entry.lines]
        if settings.limit_counts == "distinct":
            users = list(set(users))
            lines = list({(line.ct_segment_id, line.customer_segment_id) for line in lines})
        if len(lines) > settings.max_lines:
            raise _code_100(TOO_MANY_SEGMENTS.format(limit=settings.max_lines), settings)
        if len(users) > settings.max_users:
            raise _code_100(TOO_MANY_USERS.format(limit=settings.max_users), settings)


def _code_100(text: str, settings: Settings) -> RequestError:
    return RequestError(status=settings.code_100_status, code=100, text=text)


# -- createSegment ------------------------------------------------------------


def parse_create(document: Any, *, settings: Settings) -> list[CreateEntry]:
    """Read a createSegment body; raises RequestError for what concerns all of it."""
    if isinstance(document, dict) and settings.create_body != "array":
        document = document.get("segments")
    elif settings.create_body == "wrapped":
        raise incorrect("the body must be an object with a segments array")
    if not isinstance(document, list):
        raise incorrect("the body must be an array of segments")
    if not document:
        raise incorrect("no segments are provided")
    if len(document) > settings.max_create_entries:
        raise _code_100(TOO_MANY_SEGMENTS.format(limit=settings.max_create_entries), settings)
    for each in document:
        if not isinstance(each, dict):
            raise incorrect("an item of the segments array is no object")
    return [
        CreateEntry(name=each.get("segment_name"), customer_id=each.get("customer_segment_id"))
        for each in document
    ]


def created(
    answers: Sequence[Segment | tuple[CreateEntry, RequestError]], *, settings: Settings
) -> Any:
    """Return the body of a create's answer.

    The vendor's page does not show one; this shape is ours, and a switch.
    """
    if settings.create_answer == "success_only":
        return SUCCESS
    lines = [_created_line(each, settings=settings) for each in answers]
    return lines if settings.create_answer == "array" else {**SUCCESS, "segments": lines}


def _created_line(
    answer: Segment | tuple[CreateEntry, RequestError], *, settings: Settings
) -> Mapping[str, Any]:
    if isinstance(answer, Segment):
        number = str(answer.id) if settings.create_id_type == "string" else answer.id
        return {
            settings.create_id_field: number,
            "segment_name": answer.name,
            "customer_segment_id": answer.customer_id,
        }
    entry, error = answer
    return {
        "segment_name": entry.name,
        "customer_segment_id": entry.customer_id,
        **fail(error),
    }
