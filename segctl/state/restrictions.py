"""What the state knows of the sources that take members away: exclude, intersect and suppress.

If such a source loses rows, people who asked to be left alone become members. So an apply records
what it took away, and the next plan compares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from segctl.manifests.desired import Role


@dataclass(frozen=True, kw_only=True)
class RestrictionKey:
    """Which source it is.

    ``segments`` are the addresses that it restricts, none for ``suppress``, which restricts all.
    ``name`` is its path, table or command.
    """

    role: Role
    segments: tuple[str, ...]
    name: str


@dataclass(frozen=True, kw_only=True)
class Restriction:
    """A source that takes members away.

    ``rows`` counts its distinct valid rows, ``matched`` those of them that are in the sources of
    its segments, ``None`` if that is not known. ``sample`` has the hashes of the matched users,
    or of a random part of them if they are many. ``similar`` counts the members that differ from
    one of its values only in form.
    """

    key: RestrictionKey
    rows: int
    matched: int | None = None
    sample: tuple[str, ...] = field(default=(), repr=False)
    similar: int = 0


def pair_restrictions(
    recorded: Sequence[Restriction], current: Mapping[int, RestrictionKey]
) -> dict[int, Restriction]:
    """Return the recorded restriction that each of the current ones continues.

    That is the one with the same key, or else the next in order with the same role and segments:
    a path may hold a date.
    """
    rest = list(recorded)
    pairs: dict[int, Restriction] = {}
    for same_name in (True, False):
        for index, key in current.items():
            if index in pairs:
                continue
            for known in rest:
                if replace(known.key, name="") == replace(key, name="") and (
                    not same_name or known.key.name == key.name
                ):
                    pairs[index] = known
                    rest.remove(known)
                    break
    return pairs


def move_restrictions(
    restrictions: Sequence[Restriction], source: str, destination: str
) -> tuple[Restriction, ...]:
    """Return the restrictions after a segment moved to another address."""

    def moved(key: RestrictionKey) -> RestrictionKey:
        return replace(key, segments=tuple(destination if a == source else a for a in key.segments))

    return tuple(replace(r, key=moved(r.key)) for r in restrictions)
