"""Sets of members as values: how large, how many users two share, and where one user is."""

from dataclasses import field
from typing import Literal

from segctl.core.dataclass import dataclass
from segctl.core.identity import Kind

Which = Literal["recorded", "desired"]


@dataclass(frozen=True, kw_only=True)
class SegmentSet:
    """One set of members: the recorded or the desired ones of a segment."""

    address: str
    which: Which
    target_index: int
    count: int
    uncertain: int = 0
    refused: int = 0


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """How many users two sets share."""

    left: SegmentSet
    right: SegmentSet
    shared: int


@dataclass(frozen=True, kw_only=True)
class SourceOfUser:
    """A source that has a user: its name, its place in the manifests, and its role there."""

    name: str
    place: str
    role: str


@dataclass(frozen=True, kw_only=True)
class SegmentOfUser:
    """What is known of one user in one segment.

    ``recorded`` and ``desired`` are ``None`` if that was not asked. ``left_out`` is why the user is
    not desired although a source has the user: ``held_out`` or ``suppressed``. ``status`` is
    that of the last request, ``uncertain`` or ``refused``, with its ``action``.
    """

    address: str
    kind: Kind
    recorded: bool | None
    desired: bool | None
    left_out: str = ""
    status: str = ""
    action: str = ""
    sources: tuple[SourceOfUser, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FoundMember:
    """A user who has a hash, and the segments in which the user was found."""

    hash: str
    kind: Kind
    value: str = field(repr=False)
    segments: tuple[SegmentOfUser, ...]


@dataclass(frozen=True, kw_only=True)
class SetDifference:
    """The recorded and the desired members of one segment: how many, and how many in both.

    ``uncertain`` and ``refused`` count the recorded pairs of that status.
    """

    address: str
    recorded: int
    desired: int
    shared: int
    uncertain: int = 0
    refused: int = 0

    @property
    def only_recorded(self) -> int:
        """How many recorded members are not desired."""
        return self.recorded - self.shared

    @property
    def only_desired(self) -> int:
        """How many desired members are not recorded."""
        return self.desired - self.shared
