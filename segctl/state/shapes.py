"""The shapes of a segment's members: ``digits:8``, ``email``, ``uuid``. No user key is in them."""

from collections.abc import Mapping
from dataclasses import field

from segctl.core.dataclass import dataclass
from segctl.core.identity import SetDigest

MAX_SHAPES = 64
"""How many shapes of a segment are recorded, the most frequent ones."""

RARE_SHARE = 1_000
"""A shape of fewer than one in this many recorded members counts as new."""


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """How many members have each shape. ``members`` is the digest of the set that was counted."""

    members: SetDigest = SetDigest()
    counts: Mapping[str, int] = field(default_factory=dict)


def find_new_shapes(known: Shapes, added: Mapping[str, int]) -> Mapping[str, int]:
    """Return the shapes of added members that no recorded member has, or hardly any."""
    total = known.members.count
    return {
        shape: count
        for shape, count in added.items()
        if known.counts.get(shape, 0) * RARE_SHARE < max(total, 1)
    }


def advance_shapes(known: Shapes, changes: Mapping[str, int], members: SetDigest) -> Shapes:
    """Return the shapes of ``members``, from those of an earlier set and the net changes."""
    counts = {
        shape: count
        for shape in known.counts.keys() | changes.keys()
        if (count := known.counts.get(shape, 0) + changes.get(shape, 0)) > 0
    }
    return Shapes(members=members, counts=most_frequent(counts))


def most_frequent(counts: Mapping[str, int]) -> Mapping[str, int]:
    """Return the shapes to record, the most frequent first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_SHAPES])
