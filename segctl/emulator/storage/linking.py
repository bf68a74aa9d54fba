"""Links the two ids of a user: the guid and the identity are of one profile from then on.

If each id has a profile, the guid's is merged into the identity's, which gets its
memberships, its fields and its events.  The vendor documents that profiles merge if one
identity appears on two devices, but not whether updateSegment merges them, nor what
becomes of the memberships: a switch, and our reading.
"""

from collections.abc import Sequence

from segctl.emulator.storage.event_log import EventLog
from segctl.emulator.storage.merges import Merge
from segctl.emulator.storage.profiles import Profiles
from segctl.emulator.storage.state import ADD, REMOVE, Account, LinkedUser, Segment, User


def link_users(
    account: Account, sent: Sequence[tuple[tuple[User, ...], bool]], *, log: EventLog, now: float
) -> tuple[dict[int, tuple[User, ...]], dict[int, int]]:
    """Link the ids of all users, in the caller's transaction.

    ``sent`` has the users of each change, and whether it adds them: then those without a
    profile get one.  Return the users with one id each, by the ``id()`` of the tuple sent, and
    the profiles whose reach changes, with the new one.
    """
    adding = {id(users) for users, is_add in sent if is_add}
    single: dict[int, tuple[User, ...]] = {}
    new_reach: dict[int, int] = {}
    for users, _ in sent:
        if id(users) in single:
            continue
        for user in users:
            if isinstance(user, LinkedUser):
                new_reach |= _link_ids(account, user, creates=id(users) in adding, log=log, now=now)
        single[id(users)] = tuple([User(user.kind, user.value) for user in users])
    return single, new_reach


def _link_ids(
    account: Account, user: LinkedUser, *, creates: bool, log: EventLog, now: float
) -> dict[int, int]:
    """Link the ids of ``user``; return the profiles whose reach changes, with the new one."""
    profiles = account.profiles
    identity, guid = User("identity", user.value), User("guid", user.guid)
    found = profiles.find_many((identity, guid))
    if not found and not creates:
        return {}
    if not found:
        profiles.add(identity=identity.value, guid=guid.value)
        return {}
    if len(found) == 1:
        (number,) = found.values()
        profiles.set_missing_keys(number, identity=identity.value, guid=guid.value)
        found = profiles.find_many((identity, guid))
    # A profile has one identity and one guid: another id gets a profile that is merged at once.
    if guid not in found:
        found[guid] = profiles.add(identity=None, guid=guid.value)
    if identity not in found:
        other = profiles.add(identity=identity.value, guid=None)
        return _merge(account, other, into=found[guid], log=log, now=now)
    if found[guid] == found[identity]:
        return {}
    return _merge(account, found[guid], into=found[identity], log=log, now=now)


def _merge(account: Account, other: int, *, into: int, log: EventLog, now: float) -> dict[int, int]:
    """Merge the profile ``other`` into another; return the new reach of both, if it changes."""
    profiles = account.profiles
    for segment in account.segments.values():
        if other in segment.members and into in segment.members:
            log.merges.add_loss(segment.id, ts=now)
        replace_member(account, segment, other, by=into)
    fields = profiles.fields(other) | profiles.fields(into)
    profiles.move_keys(other, into)
    merge = Merge(account=account.number, profile=other, survivor=into, event=log.next_event)
    log.merges.add(merge, ts=now)
    if not fields:
        return {}
    new_reach = {
        number: profiles.set_fields(number, data) for number, data in ((into, fields), (other, {}))
    }
    account.set_reach(new_reach)
    return new_reach


def replace_member(account: Account, segment: Segment, other: int, *, by: int) -> None:
    """Replace a member by another, which may be one already."""
    if other in segment.members:
        segment.change(REMOVE, (other,), account.profiles)
        segment.change(ADD, (by,), account.profiles)


def find_or_add_profile(profiles: Profiles, *, identity: str | None, guid: str | None) -> int:
    """Return the number of the profile with one of these keys, which gets the other if free."""
    for user in (User("identity", identity or ""), User("guid", guid or "")):
        number = profiles.find(user) if user.value else None
        if number is not None:
            profiles.set_missing_keys(number, identity=identity, guid=guid)
            return number
    return profiles.add(identity=identity, guid=guid)
