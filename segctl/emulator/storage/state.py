"""The state in memory: accounts, profiles and segments.

Counts are updated with every change, never computed on request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pyroaring import BitMap

if TYPE_CHECKING:
    from segctl.emulator.storage.profiles import Profiles

ADD = "ADD"
REMOVE = "REMOVE"

API_SEGMENTS = "API Segments"
"""The category of the segments that are created by the API, as the dashboard calls it."""

REACH_BITS = {"email": 1, "sms": 2, "push": 4}
"""The bit of each channel in a profile's reach."""

CHANNEL_FIELDS = {"email": "Email", "sms": "Phone", "push": "tokens"}
"""The field of a profile that each channel needs."""

ANY_CHANNEL = sum(REACH_BITS.values())

REACH_CHANNELS = ("any", *REACH_BITS)
"""The channels that a segment counts its reachable users by."""


def reach_of(fields: Mapping[str, Any]) -> int:
    """Return the channels, as bits, on which a profile with these fields can be reached."""
    return sum(
        bit
        for channel, bit in REACH_BITS.items()
        if fields.get(CHANNEL_FIELDS[channel]) and fields.get(f"MSG-{channel}") is not False
    )


class User(NamedTuple):
    """A user of a request: ``kind`` is ``identity`` or ``guid``."""

    kind: str
    value: str


class LinkedUser(User):
    """A user whose identity came with a guid, if both are to be linked."""

    guid: str

    def __new__(cls, identity: str, guid: str) -> Self:
        """Return the user with this identity; it equals the user without the guid."""
        user = super().__new__(cls, "identity", identity)
        user.guid = guid
        return user


@dataclass(kw_only=True, slots=True, eq=False)
class Segment:
    """A segment with its members and their counts."""

    id: int
    customer_id: str | None
    name: str
    created_at: float
    deleted_at: float | None = None
    category: str = API_SEGMENTS
    """The dashboard's kind of segment."""
    members: BitMap = field(default_factory=BitMap)
    """Profile numbers."""
    reachable: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("any", *REACH_BITS), 0)
    )
    """Members that can be reached, by channel."""
    former_names: list[tuple[int, str]] = field(default_factory=list)
    """Each with the number of the first event that has the next name, oldest first."""

    @property
    def is_deleted(self) -> bool:
        """Whether the segment was deleted in the dashboard."""
        return self.deleted_at is not None

    def name_at(self, event: int) -> str:
        """Return the name that the segment had when the event with this number happened."""
        for until, name in self.former_names:
            if event < until:
                return name
        return self.name

    def change(self, action: str, numbers: Sequence[int], profiles: "Profiles") -> Sequence[int]:
        """Add or remove profiles; return those whose membership changed, in order."""
        requested = BitMap(numbers)
        moved = requested - self.members if action == ADD else requested & self.members
        self.members ^= moved
        self.count_reachable(moved, profiles.reachable, 1 if action == ADD else -1)
        if len(moved) == len(numbers):
            return numbers
        return [number for number in dict.fromkeys(numbers) if number in moved]

    def count_reachable(self, numbers: BitMap, by_channel: Mapping[str, BitMap], sign: int) -> None:
        """Add those of ``numbers`` that can be reached to the counts, or subtract them."""
        for channel, reachable in by_channel.items():
            if reachable:
                self.reachable[channel] += sign * numbers.intersection_cardinality(reachable)

    def clear(self) -> None:
        """Remove all members."""
        self.members = BitMap()
        self.reachable = dict.fromkeys(self.reachable, 0)


@dataclass(kw_only=True, eq=False)
class Account:
    """A CleverTap account. The dashboard calls it a project."""

    number: int
    id: str
    passcode: str | None
    profiles: "Profiles"
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

    def count_towards_limit(self, *, all_categories: bool, with_deleted: bool) -> int:
        """Return the number of segments that count towards the account's limit."""
        return sum(
            (all_categories or segment.category == API_SEGMENTS)
            and (with_deleted or not segment.is_deleted)
            for segment in self.segments.values()
        )

    def find_segment(self, named: int | str) -> Segment | None:
        """Return the segment with this CleverTap id (a number) or customer id (a string)."""
        if isinstance(named, str):
            return self.by_customer_id.get(named)
        return self.segments.get(named)

    def add_segment(self, segment: Segment) -> None:
        """Add a segment under both its ids. It replaces a deleted one with its customer id."""
        self.segments[segment.id] = segment
        if segment.customer_id is not None:
            self.by_customer_id[segment.customer_id] = segment

    def set_reach(self, reach_by_number: Mapping[int, int]) -> None:
        """Set the channels, as bits, of profiles and update the counts of the segments."""
        profiles = BitMap(reach_by_number)
        gained: dict[str, BitMap] = {}
        lost: dict[str, BitMap] = {}
        for channel, reachable in list(self.profiles.reachable.items()):
            bits = REACH_BITS.get(channel, ANY_CHANNEL)
            wanted = BitMap([number for number, reach in reach_by_number.items() if reach & bits])
            before = profiles & reachable
            gained[channel], lost[channel] = wanted - before, before - wanted
            self.profiles.reachable[channel] = reachable ^ (gained[channel] | lost[channel])
        for segment in self.segments.values():
            if segment.members:
                segment.count_reachable(segment.members, gained, 1)
                segment.count_reachable(segment.members, lost, -1)
