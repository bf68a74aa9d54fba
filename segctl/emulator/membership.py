"""The rules of updateSegment: which entries are processed, which are skipped.

The vendor processes a request in part: what is valid is done, what is not is
logged to the Error Stream under one of five types.  An entry, here, is one user
on one segment line; it is logged once, for the line's fault if it has one, else
for the user's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from segctl.emulator.database import Refusal
from segctl.emulator.messages import NOBODY, Entry, SegmentLine
from segctl.emulator.settings import Settings
from segctl.emulator.state import ADD, REMOVE, Account, Segment, User
from segctl.emulator.store import Change

NOT_FOUND_OR_DELETED = "API_SEGMENT_NOT_FOUND_OR_DELETED"
ID_MISMATCH = "API_SEGMENT_ID_MISMATCH"
INVALID_ACTION = "API_SEGMENT_INVALID_ACTION"
EMPTY_IDENTITY = "API_SEGMENT_EMPTY_IDENTITY"
NO_SEGMENT_ID = "API_SEGMENT_NO_SEGMENT_ID"

ERROR_TYPES = (
    NOT_FOUND_OR_DELETED,
    ID_MISMATCH,
    INVALID_ACTION,
    EMPTY_IDENTITY,
    NO_SEGMENT_ID,
)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What to do with one request: the changes in order, and the refused entries."""

    changes: tuple[Change, ...]
    refusals: tuple[Refusal, ...]


def judge(
    account: Account,
    entries: Sequence[Entry],
    *,
    settings: Settings,
    now: float,
    refuse: Callable[[], str | None] | None = None,
) -> Verdict:
    """Split a request into changes and refusals.

    ``refuse`` is asked for each valid pair and may name an error type under which
    a fault refuses it.
    """
    changes: list[Change] = []
    refusals: list[Refusal] = []
    for entry in entries:
        valid = tuple([user for user in entry.users if user is not NOBODY])
        empty = tuple([user.value for user in entry.users if user is NOBODY])
        for line in entry.lines:
            found = _resolve(account, line, settings=settings)
            if isinstance(found, str):
                refusals.append(
                    _refusal(account, line, found, tuple([u.value for u in entry.users]), now)
                )
                continue
            if empty:
                refusals.append(_refusal(account, line, EMPTY_IDENTITY, empty, now))
            users = valid
            if refuse is not None:
                users, refused = _refused_by_fault(valid, refuse)
                refusals.extend(
                    _refusal(account, line, kind, (value,), now) for kind, value in refused
                )
            if users:
                changes.append(Change(segment=found, action=line.action, users=users))
    if settings.conflict_order != "as_sent":
        first = ADD if settings.conflict_order == "adds_first" else REMOVE
        changes.sort(key=lambda change: change.action != first)
    return Verdict(changes=tuple(changes), refusals=tuple(refusals))


def _resolve(account: Account, line: SegmentLine, *, settings: Settings) -> Segment | str:
    """Return the line's segment, or the error type that keeps it from being processed."""
    if line.ct_segment_id is None and line.customer_segment_id is None:
        return NO_SEGMENT_ID
    if not isinstance(line.action, str) or line.action not in {ADD, REMOVE}:
        return INVALID_ACTION
    by_id = _by_id(account, line.ct_segment_id, settings=settings)
    by_customer_id = (
        account.by_customer_id.get(line.customer_segment_id)
        if line.customer_segment_id is not None
        else None
    )
    if line.ct_segment_id is not None and line.customer_segment_id is not None:
        if by_id is not by_customer_id:
            return ID_MISMATCH
        found = by_id
    else:
        found = by_id or by_customer_id
    if found is None or found.deleted:
        return NOT_FOUND_OR_DELETED
    return found


def _by_id(account: Account, given: int | str | None, *, settings: Settings) -> Segment | None:
    if isinstance(given, str):
        plain = given.isascii() and given.isdecimal() and len(given) <= len(str(2**63))
        if not plain or settings.numeric_string_id == "not_found":
            return None
        given = int(given)
    return None if given is None else account.segments.get(given)


def _refused_by_fault(
    users: tuple[User, ...], refuse: Callable[[], str | None]
) -> tuple[tuple[User, ...], list[tuple[str, str]]]:
    kept = []
    refused = []
    for user in users:
        kind = refuse()
        if kind is None:
            kept.append(user)
        else:
            refused.append((kind, user.value))
    return tuple(kept), refused


def _refusal(
    account: Account, line: SegmentLine, kind: str, users: tuple[str, ...], now: float
) -> Refusal:
    given = line.ct_segment_id
    return Refusal(
        account=account.number,
        ts=now,
        type=kind,
        segment=None if given is None else str(given),
        customer_id=line.customer_segment_id,
        users=users,
    )
