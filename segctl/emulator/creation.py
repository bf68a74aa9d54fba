"""The rules of createSegment: which segments may be made.

Documented: name and customer id are required (the overview page calls the id
optional), the name is unique within a request, the customer id across all
requests, 100 segments a request, 2,500 an account.  What breaking a rule
answers is nowhere shown; the switches of ``settings.py`` say what we assume.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segctl.emulator.bodies import incorrect
from segctl.emulator.errors import RequestError
from segctl.emulator.messages import CreateEntry
from segctl.emulator.settings import Settings
from segctl.emulator.state import Account, Segment
from segctl.emulator.store import NewSegment

Decision = NewSegment | Segment | RequestError
"""Make it, return the one there is, or refuse."""


def decide(
    account: Account, entries: Sequence[CreateEntry], *, settings: Settings
) -> list[Decision]:
    """Judge each entry of a create, in order."""
    names: set[str] = set()
    ids: set[str] = set()
    account_names = (
        {segment.name for segment in account.segments.values() if not segment.deleted}
        if settings.duplicate_name_in_account == "refuse"
        else set()
    )
    room = settings.max_segments - (
        account.live_segments() if settings.segment_cap_counts == "live" else len(account.segments)
    )
    taken = Taken(names=names, account_names=account_names, ids=ids)
    decisions: list[Decision] = []
    for entry in entries:
        try:
            decision: Decision = _decide(account, entry, taken=taken, settings=settings)
            if isinstance(decision, NewSegment) and room <= 0:
                raise incorrect(f"an account has at most {settings.max_segments} segments")
        except RequestError as error:
            decision = error
        if isinstance(decision, NewSegment):
            room -= 1
            if settings.duplicate_name_in_request == "refuse":
                names.add(decision.name)
            if decision.customer_id is not None:
                ids.add(decision.customer_id)
        decisions.append(decision)
    return decisions


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """Names and ids that an entry may not use: its request's, and the account's names."""

    names: set[str]
    account_names: set[str]
    ids: set[str]


def _decide(
    account: Account, entry: CreateEntry, *, taken: Taken, settings: Settings
) -> NewSegment | Segment:
    _check_name(entry.name, taken=taken, settings=settings)
    new = NewSegment(name=entry.name, customer_id=entry.customer_id)
    if entry.customer_id is None and settings.missing_customer_id == "accept":
        return new
    if not _is_text(entry.customer_id):
        raise incorrect("customer_segment_id is required, a string that is not blank")
    known = account.by_customer_id.get(entry.customer_id)
    if entry.customer_id in taken.ids:
        raise _conflict("customer_segment_id", settings)
    if known is None or (known.deleted and settings.reuse_deleted_customer_id == "accept"):
        return new
    if not known.deleted and settings.duplicate_customer_id == "return_existing":
        return known
    raise _conflict("customer_segment_id", settings)


def _check_name(name: Any, *, taken: Taken, settings: Settings) -> None:
    if not _is_text(name):
        raise incorrect("segment_name is required, a string that is not blank")
    if name in taken.names:
        raise incorrect("segment_name must be unique within the request")
    if name in taken.account_names:
        raise _conflict("segment_name", settings)


def _conflict(field: str, settings: Settings) -> RequestError:
    status = settings.duplicate_status
    return RequestError(status=status, code=status, text=f"{field} already exists")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and not value.isspace()
