"""What the state knows of the sources that take members away: exclude, intersect and suppress.

If such a source loses rows, people who asked to be left alone become members. So an apply records
what it took away, and the next plan compares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from difflib import SequenceMatcher

from segctl.core.codec import OPTIONAL
from segctl.core.dataclass import dataclass
from segctl.core.normalize import Normalization
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
    one of its values only in form. ``listed`` has the hashes of its own values in ``forms``,
    joined, or of a random part of them; it is empty if they are not known.
    """

    key: RestrictionKey
    rows: int
    matched: int | None = None
    sample: tuple[str, ...] = field(default=(), repr=False)
    similar: int = 0
    listed: str = field(default="", repr=False, metadata=OPTIONAL)
    forms: tuple[Normalization, ...] = field(default=(), metadata=OPTIONAL)

    @property
    def is_known(self) -> bool:
        """Whether a later plan can compare the source with it."""
        return bool(self.listed) or not self.rows


def pair_restrictions(
    recorded: Sequence[Restriction], current: Mapping[int, RestrictionKey]
) -> dict[int, Restriction]:
    """Return the recorded restriction that each of the current ones continues.

    That is the one with the same key, or else the one with the same role and segments whose name
    is most alike: a path may hold a date.
    """
    rest = list(recorded)
    pairs: dict[int, Restriction] = {}
    for index, key in current.items():
        if found := next((known for known in rest if known.key == key), None):
            pairs[index] = found
            rest = [known for known in rest if known is not found]
    candidates = [
        (1 - SequenceMatcher(None, known.key.name, key.name).ratio(), number, index)
        for number, known in enumerate(rest)
        for index, key in current.items()
        if index not in pairs and replace(known.key, name="") == replace(key, name="")
    ]
    taken: set[int] = set()
    for _, number, index in sorted(candidates):
        if index not in pairs and number not in taken:
            pairs[index] = rest[number]
            taken.add(number)
    return pairs


def move_restrictions(
    restrictions: Sequence[Restriction], moves: Mapping[str, str]
) -> tuple[Restriction, ...]:
    """Return the restrictions after segments moved to other addresses, by their old ones."""

    def moved(key: RestrictionKey) -> RestrictionKey:
        return replace(key, segments=tuple(moves.get(a, a) for a in key.segments))

    return tuple(replace(r, key=moved(r.key)) for r in restrictions)
