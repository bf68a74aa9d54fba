"""The state in memory: accounts, profiles and segments.

Counts are updated with every change, never computed on request.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pyroaring import BitMap

ADD = "ADD"
REMOVE = "REMOVE"

REACH_BITS = {"email": 1, "sms": 2, "push": 4}
"""The bit of each channel in a profile's reach."""

REACH_CHANNELS = ("any", *REACH_BITS)
"""The channels that a segment counts its reachable users by."""

GENERATED_PREFIX = "__ct"
"""Start of the object id of a profile that came without one."""


class User(NamedTuple):
    """A user of a request: ``kind`` is ``identity`` or ``guid``."""

    kind: str
    value: str


class Profiles:
    """The profiles of one account, numbered from 0."""

    def __init__(self, *, account: str) -> None:
        self.by_identity: dict[str, int] = {}
        self.by_guid: dict[str, int] = {}
        self.keys: list[tuple[str | None, str | None]] = []
        """Identity and guid of each profile."""
        self.reach = bytearray()
        """The channels on which each profile can be reached, as ``REACH_BITS``."""
        self._prefix = GENERATED_PREFIX + hashlib.sha256(account.encode()).hexdigest()[:24]

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, user: User) -> int | None:
        """Return the number of the user's profile, if it exists."""
        if user.kind == "identity":
            return self.by_identity.get(user.value)
        number = self.by_guid.get(user.value)
        if number is None and user.value.startswith(self._prefix):
            digits = user.value.removeprefix(self._prefix)
            if digits.isdecimal() and digits.isascii() and len(digits) == 8:
                return int(digits) if int(digits) < len(self) else None
        return number

    def add(self, *, identity: str | None, guid: str | None, reach: int = 0) -> int:
        """Add a profile and return its number."""
        number = len(self.keys)
        self.keys.append((identity, guid))
        self.reach.append(reach)
        if identity is not None:
            self.by_identity[identity] = number
        if guid is not None:
            self.by_guid[guid] = number
        return number

    def set_missing_keys(self, number: int, *, identity: str | None, guid: str | None) -> None:
        """Set the keys the profile does not have yet, unless another profile has them."""
        own_identity, own_guid = self.keys[number]
        if own_identity is None and identity is not None and identity not in self.by_identity:
            self.by_identity[identity] = number
            own_identity = identity
        if own_guid is None and guid is not None and guid not in self.by_guid:
            self.by_guid[guid] = number
            own_guid = guid
        self.keys[number] = (own_identity, own_guid)

    def user(self, number: int) -> User:
        """Return the profile's identity, or its object id if it has no identity."""
        identity, _ = self.keys[number]
        if identity is not None:
            return User("identity", identity)
        return User("guid", self.object_id(number))

    def object_id(self, number: int) -> str:
        """Return the profile's CleverTap id, generated if none was given."""
        return self.keys[number][1] or f"{self._prefix}{number:08d}"

    def reachable(self, bits: int) -> BitMap:
        """Return the numbers of the profiles that any of these channels reaches."""
        return BitMap([number for number, reach in enumerate(self.reach) if reach & bits])


@dataclass(kw_only=True, slots=True, eq=False)
class Segment:
    """An API Segment with its members and their counts."""

    id: int
    customer_id: str | None
    name: str
    created_at: float
    deleted_at: float | None = None
    members: BitMap = field(default_factory=BitMap)
    """Profile numbers."""
    reachable: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("any", *REACH_BITS), 0)
    )
    """Members that can be reached, by channel."""
    is_dirty: bool = False
    """Whether the members differ from those saved last."""

    @property
    def is_deleted(self) -> bool:
        """Whether the segment was deleted in the dashboard."""
        return self.deleted_at is not None

    def change(self, action: str, numbers: Sequence[int], profiles: Profiles) -> Sequence[int]:
        """Add or remove profiles; return those whose membership changed, in order."""
        requested = BitMap(numbers)
        moved = requested - self.members if action == ADD else requested & self.members
        self.members ^= moved
        self.is_dirty = True
        if len(moved) == len(numbers):
            changed = numbers
        else:
            changed = [number for number in dict.fromkeys(numbers) if number in moved]
        count = 1 if action == ADD else -1
        for number in changed:
            if reach := profiles.reach[number]:
                self.count_reach(reach, count)
        return changed

    def count_reach(self, reach: int, count: int) -> None:
        """Add ``count`` members with this reach to the reachable users."""
        if reach:
            self.reachable["any"] += count
            for channel, bit in REACH_BITS.items():
                if reach & bit:
                    self.reachable[channel] += count


@dataclass(kw_only=True, eq=False)
class Account:
    """A CleverTap account. The dashboard calls it a project."""

    number: int
    id: str
    passcode: str | None
    profiles: Profiles
    segments: dict[int, Segment] = field(default_factory=dict)
    by_customer_id: dict[str, Segment] = field(default_factory=dict)
    membership_changes: int = 0
    events: int = 0
    event_points: int = 0
    profile_points: int = 0

    @property
    def data_points(self) -> int:
        """The data points the account is billed for."""
        return self.event_points + self.profile_points

    def count_live_segments(self) -> int:
        """Return the number of segments that are not deleted."""
        return sum(not segment.is_deleted for segment in self.segments.values())

    def add_segment(self, segment: Segment) -> None:
        """Add a segment under both its ids. It replaces a deleted one with its customer id."""
        self.segments[segment.id] = segment
        if segment.customer_id is not None:
            self.by_customer_id[segment.customer_id] = segment

    def set_reach(self, number: int, reach: int) -> None:
        """Set the channels of a profile and update the counts of its segments."""
        before = self.profiles.reach[number]
        if before == reach:
            return
        self.profiles.reach[number] = reach
        for segment in self.segments.values():
            if number in segment.members:
                segment.count_reach(before, -1)
                segment.count_reach(reach, 1)

    def restore_members(self, saved: Mapping[int, bytes]) -> None:
        """Set the members of the segments to those saved, and count the reachable users."""
        bits_by_channel = {"any": sum(REACH_BITS.values()), **REACH_BITS}
        reachable = {
            channel: self.profiles.reachable(bits) for channel, bits in bits_by_channel.items()
        }
        for segment in self.segments.values():
            if not segment.is_deleted and segment.id in saved:
                segment.members = BitMap.deserialize(saved[segment.id])
                for channel, numbers in reachable.items():
                    segment.reachable[channel] = segment.members.intersection_cardinality(numbers)
