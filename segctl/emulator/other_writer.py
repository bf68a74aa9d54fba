"""Another writer: somebody changes segments in the dashboard, behind the client's back.

What they change is like any other change: it raises events, which belong to an apply of
their own.  The users and segments that nobody named are chosen at random.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from segctl.emulator.errors import RequestError
from segctl.emulator.service import Service
from segctl.emulator.storage.changes import Change
from segctl.emulator.storage.state import ADD, API_SEGMENTS, REMOVE, Account, Segment, User

AGENT = "dashboard"
TRIES = 20
KNOWN_SHARE = 0.5
"""Users chosen to be added who have a profile already, if there are enough of them."""


@dataclass(frozen=True, kw_only=True)
class MemberChange:
    """The number of users who were added to a segment, and who were removed from it."""

    added: int
    removed: int


def choose_segment(account: Account, random: Random) -> Segment | None:
    """Return one of the API Segments that are not deleted, or None if there is none."""
    segments = [
        segment
        for segment in account.segments.values()
        if not segment.is_deleted and segment.category == API_SEGMENTS
    ]
    return random.choice(segments) if segments else None


def choose_members(account: Account, segment: Segment, count: int, random: Random) -> list[User]:
    """Return ``count`` members of a segment, or all if it has fewer."""
    size = len(segment.members)
    numbers = [segment.members[index] for index in random.sample(range(size), min(count, size))]
    return account.profiles.users(numbers)


def choose_others(account: Account, segment: Segment, count: int, random: Random) -> list[User]:
    """Return ``count`` users who are not members: some with a profile, the others new."""
    profiles = len(account.profiles)
    numbers: dict[int, None] = {}
    for _ in range(TRIES * count if profiles else 0):
        number = random.randrange(profiles)
        if len(numbers) < count * KNOWN_SHARE and number not in segment.members:
            numbers[number] = None
    new = [
        User("identity", f"other-writer-{random.getrandbits(40):010x}@example.com")
        for _ in range(count - len(numbers))
    ]
    return [*account.profiles.users(list(numbers)), *new]


def change_members(
    service: Service,
    account: Account,
    segment: Segment,
    *,
    add: Iterable[User],
    remove: Iterable[User],
) -> MemberChange:
    """Add users to a segment and remove others; return how many memberships changed."""
    before = len(segment.members)
    changes = [
        Change(segment=segment, action=action, users=tuple(users))
        for action, users in ((ADD, add), (REMOVE, remove))
    ]
    added = _update(service, account, changes[:1], segment) - before
    removed = before + added - _update(service, account, changes[1:], segment)
    return MemberChange(added=added, removed=removed)


def _update(service: Service, account: Account, changes: Sequence[Change], segment: Segment) -> int:
    """Apply the changes; return the number of members afterwards."""
    changes = [change for change in changes if change.users]
    if changes:
        service.store.update(account, changes, [], settings=service.settings, agent=AGENT)
    return len(segment.members)


def change_by_fault(
    service: Service,
    account: Account,
    *,
    fault: str,
    named: int | str | None,
    add: int,
    remove: int,
    random: Random,
) -> bool:
    """Make the change of a fault; return whether anything changed.

    Nothing changes if there is no such segment, if it may not be deleted, or if members of
    a segment of another category should change: its changes raise no event.
    """
    segment = choose_segment(account, random) if named is None else account.find_segment(named)
    if segment is None or segment.is_deleted:
        return False
    match fault:
        case "change_members" if segment.category != API_SEGMENTS:
            return False
        case "change_members":
            removed = choose_members(account, segment, remove, random)
            added = choose_others(account, segment, add, random)
            change = change_members(service, account, segment, add=added, remove=removed)
            return change.added + change.removed > 0
        case "rename_segment":
            name = (
                f"{segment.name.partition(' (renamed')[0]} (renamed {random.getrandbits(24):06x})"
            )
            service.store.rename(account, segment, name)
        case _:
            try:
                service.delete_segments([(account, segment)])
            except RequestError:
                return False
    return True
