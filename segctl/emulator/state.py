"""The live half of the store: accounts, profiles and segments in memory.

Every figure a page shows is kept up to date as it changes, never counted.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from segctl.emulator.bitmap import Bitmap

ADD = "ADD"
REMOVE = "REMOVE"

CHANNELS = ("email", "sms", "push")
REACH_BITS = {"email": 1, "sms": 2, "push": 4}

GENERATED = "__ct"
"""How an object id begins that the emulator gave to a profile without one."""


class User(NamedTuple):
    """One user of a request: ``kind`` is ``identity`` or ``guid``."""

    kind: str
    value: str


class Profiles:
    """The profiles of one account, numbered from 0."""

    def __init__(self, *, account: str) -> None:
        self.identities: dict[str, int] = {}
        self.guids: dict[str, int] = {}
        self.names: list[tuple[str | None, str | None]] = []
        self.reach = bytearray()
        self._prefix = GENERATED + hashlib.sha256(account.encode()).hexdigest()[:24]

    def __len__(self) -> int:
        return len(self.names)

    def find(self, user: User) -> int | None:
        """Return the profile's number, if there is such a profile."""
        if user.kind == "identity":
            return self.identities.get(user.value)
        number = self.guids.get(user.value)
        if number is None and user.value.startswith(self._prefix):
            given = user.value.removeprefix(self._prefix)
            if given.isdecimal() and given.isascii() and len(given) == 8 and int(given) < len(self):
                return int(given)
        return number

    def add(self, *, identity: str | None, guid: str | None, reach: int = 0) -> int:
        """Make a profile and return its number."""
        number = len(self.names)
        self.names.append((identity, guid))
        self.reach.append(reach)
        if identity is not None:
            self.identities[identity] = number
        if guid is not None:
            self.guids[guid] = number
        return number

    def rename(self, number: int, *, identity: str | None, guid: str | None) -> None:
        """Give a profile the keys that it lacks."""
        had_identity, had_guid = self.names[number]
        if had_identity is None and identity is not None and identity not in self.identities:
            self.identities[identity] = number
            had_identity = identity
        if had_guid is None and guid is not None and guid not in self.guids:
            self.guids[guid] = number
            had_guid = guid
        self.names[number] = (had_identity, had_guid)

    def user(self, number: int) -> User:
        """Return how the profile is called: by its identity if it has one."""
        identity, guid = self.names[number]
        if identity is not None:
            return User("identity", identity)
        return User("guid", guid or self.object_id(number))

    def object_id(self, number: int) -> str:
        """Return the profile's CleverTap id, made up where none was given."""
        return self.names[number][1] or f"{self._prefix}{number:08d}"

    def bitmap(self, channel: str) -> Bitmap:
        """Return the numbers of the profiles that a channel reaches."""
        bit = REACH_BITS[channel]
        found = Bitmap()
        found.add(number for number, reach in enumerate(self.reach) if reach & bit)
        return found


@dataclass(kw_only=True, slots=True, eq=False)
class Segment:
    """An API Segment with its members and what they add up to."""

    id: int
    customer_id: str | None
    name: str
    created_at: float
    deleted_at: float | None = None
    members: Bitmap = field(default_factory=Bitmap)
    reachable: dict[str, int] = field(
        default_factory=lambda: {"any": 0, **dict.fromkeys(CHANNELS, 0)}
    )
    dirty: bool = False

    @property
    def deleted(self) -> bool:
        """Whether the dashboard deleted it."""
        return self.deleted_at is not None

    def change(self, action: str, users: Sequence[int], profiles: Profiles) -> list[int]:
        """Add or remove profiles; return those for which that changed something."""
        if action == ADD:
            changed = self.members.add(users)
            self.count_reach(changed, profiles, sign=1)
        else:
            changed = self.members.remove(users)
            self.count_reach(changed, profiles, sign=-1)
        self.dirty = True
        return changed

    def count_reach(self, users: Iterable[int], profiles: Profiles, *, sign: int) -> None:
        """Keep the reachable users true for profiles that came (1) or went (-1)."""
        reach = profiles.reach
        for number in users:
            if reach[number]:
                self.count_flags(reach[number], sign=sign)

    def count_flags(self, flags: int, *, sign: int) -> None:
        """Do the same for one profile with these channels."""
        if flags:
            self.reachable["any"] += sign
        for channel, bit in REACH_BITS.items():
            if flags & bit:
                self.reachable[channel] += sign


@dataclass(kw_only=True, eq=False)
class Account:
    """One CleverTap account (the dashboard says project)."""

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
        """What the account is billed for."""
        return self.event_points + self.profile_points

    def live_segments(self) -> int:
        """How many segments are not deleted; there are 2,500 at most."""
        return sum(not segment.deleted for segment in self.segments.values())

    def add_segment(self, segment: Segment) -> None:
        """Know the segment by both its ids; a deleted one gives way to its successor."""
        self.segments[segment.id] = segment
        if segment.customer_id is not None:
            self.by_customer_id[segment.customer_id] = segment

    def set_reach(self, number: int, flags: int) -> None:
        """Give a profile its channels, and count them in every segment it is in."""
        before = self.profiles.reach[number]
        if before == flags:
            return
        self.profiles.reach[number] = flags
        for segment in self.segments.values():
            if number in segment.members:
                segment.count_flags(before, sign=-1)
                segment.count_flags(flags, sign=1)

    def take_members(self, saved: Mapping[int, bytes]) -> None:
        """Give the segments the members that were saved, and count who is reachable."""
        reached = {name: self.profiles.bitmap(name) for name in CHANNELS}
        anyhow = Bitmap()
        for bitmap in reached.values():
            anyhow.add(bitmap)
        reached["any"] = anyhow
        for segment in self.segments.values():
            if not segment.deleted and segment.id in saved:
                segment.members = Bitmap(saved[segment.id])
                for name, those in reached.items():
                    segment.reachable[name] = segment.members.common(those)
