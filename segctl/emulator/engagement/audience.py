"""Who a campaign would reach: the users of some segments without those of others."""

from collections.abc import Callable, Iterable
from operator import attrgetter

from pyroaring import BitMap

from segctl.emulator.storage.profiles import Profiles
from segctl.emulator.storage.state import Account, Segment

SERVER_CHANNELS = frozenset({"webhook"})
"""Channels that need no address of the user: a server receives the message."""


def audience_of(
    account: Account,
    *,
    include: Iterable[int],
    exclude: Iterable[int],
    members_of: Callable[[Segment], BitMap] = attrgetter("members"),
) -> BitMap:
    """Return the profile numbers of the included segments without the excluded ones.

    Segments are named by their CleverTap ids.  The vendor's page: API Segments are used
    only by include and exclude rules.
    """
    included, excluded = (
        BitMap.union(*[members_of(account.segments[each]) for each in ids]) if ids else BitMap()
        for ids in (list(include), list(exclude))
    )
    return included - excluded


def reachable_users(profiles: Profiles, channel: str) -> BitMap | None:
    """Return the profiles that the channel reaches, or None if it reaches every profile."""
    return None if channel in SERVER_CHANNELS else profiles.reachable[channel]


def count_reachable(profiles: Profiles, audience: BitMap, channel: str) -> int:
    """Return how many users of an audience the channel reaches."""
    reachable = reachable_users(profiles, channel)
    return len(audience) if reachable is None else audience.intersection_cardinality(reachable)
