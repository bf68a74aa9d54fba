"""What the store is asked to change, as values."""

from dataclasses import dataclass
from typing import Any

from pyroaring import BitMap

from segctl.emulator.storage.state import API_SEGMENTS, Segment, User


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Users to add to, or remove from, one segment."""

    segment: Segment
    action: str
    users: tuple[User, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSegment:
    """A segment to create."""

    name: str
    customer_id: str | None
    category: str = API_SEGMENTS
    members: BitMap | None = None
    """Profile numbers of a segment of another category, whose members no event tells of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileRecord:
    """A profile to create or change: its keys and the fields to set."""

    identity: str | None
    guid: str | None
    fields: dict[str, Any]
