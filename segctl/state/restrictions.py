"""What the state knows of the sources that take members away: exclude, intersect and suppress.

If such a source shrinks, people who asked to be left alone become members. So an apply records
its size, and the next plan compares.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from segctl.manifests.desired import Role


@dataclass(frozen=True, kw_only=True)
class Restriction:
    """A source that takes members away.

    ``segments`` are the addresses that it restricts, none for ``suppress``, which restricts all.
    ``name`` is its path, table or command. ``rows`` counts its distinct valid rows, ``matched``
    those of them that are in the sources of its segments, ``None`` if that is not known.
    ``similar`` counts the members that differ from one of its values only in form.
    """

    role: Role
    segments: tuple[str, ...]
    name: str
    rows: int
    matched: int | None = None
    similar: int = 0

    @property
    def group(self) -> tuple[str, tuple[str, ...]]:
        """What identifies it among all sources, apart from its name."""
        return self.role, self.segments


Pair = tuple[Restriction | None, int | None]
"""A recorded restriction and the index of the current one; either may be missing."""


def pair_restrictions(
    recorded: Sequence[Restriction], current: Sequence[Restriction]
) -> Iterator[Pair]:
    """Yield each current restriction with the recorded one that it continues.

    That is the one with the same segments and name, or else the next in order with the same
    segments: a path may hold a date. Recorded restrictions without a current one follow.
    """
    rest = list(recorded)
    found: dict[int, Restriction] = {}
    for same_name in (True, False):
        for index, restriction in enumerate(current):
            if index in found:
                continue
            for known in rest:
                if known.group == restriction.group and (
                    not same_name or known.name == restriction.name
                ):
                    found[index] = known
                    rest.remove(known)
                    break
    yield from ((found.get(index), index) for index in range(len(current)))
    yield from ((known, None) for known in rest)


def move_restrictions(
    restrictions: Sequence[Restriction], addresses: Mapping[str, str]
) -> tuple[Restriction, ...]:
    """Return the restrictions with the addresses of moved segments replaced."""
    return tuple(
        replace(r, segments=tuple(addresses.get(a, a) for a in r.segments)) for r in restrictions
    )
