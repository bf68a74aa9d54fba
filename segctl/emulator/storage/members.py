"""The members of a segment as users in order, however many there are."""

import heapq
from collections.abc import Iterator

from pyroaring import BitMap

from segctl.emulator.storage.profiles import Profiles
from segctl.emulator.storage.state import User

FEW_MEMBERS = 100_000
"""Up to so many are sorted in memory."""

SHARE = 8
"""If fewer than one in so many profiles is a member, sorting is faster than the index."""

USERS_PER_PIECE = 400


def sorted_users(profiles: Profiles, members: BitMap) -> Iterator[list[User]]:
    """Yield the users of the members by kind and value, in pieces of a few milliseconds.

    A piece may be empty.  Few members are sorted; many are read from the index of all
    profiles, which is in order.
    """
    if len(members) <= FEW_MEMBERS and len(members) * SHARE <= len(profiles):
        yield from _sort(profiles, members)
    else:
        for kind in ("guid", "identity"):
            for piece in profiles.users_in_order(kind, size=USERS_PER_PIECE):
                yield [user for number, user in piece if number in members]


def _sort(profiles: Profiles, members: BitMap) -> Iterator[list[User]]:
    parts: list[list[User]] = []
    for start in range(0, len(members), USERS_PER_PIECE):
        parts.append(sorted(profiles.users(list(members[start : start + USERS_PER_PIECE]))))
        yield []
    piece: list[User] = []
    for user in heapq.merge(*parts):
        piece.append(user)
        if len(piece) == USERS_PER_PIECE:
            yield piece
            piece = []
    yield piece
