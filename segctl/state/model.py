"""State: the record of what was created and sent.

The service cannot be read back, so there is no other record. The head (``State``) is small and
readable. It refers to immutable files, named by their content, that hold members and pairs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import field, replace

from segctl.core.approval import ApprovalUse
from segctl.core.codec import OPTIONAL
from segctl.core.dataclass import dataclass
from segctl.core.fingerprints import Basis, SourceCounts
from segctl.core.identity import SetDigest
from segctl.manifests.desired import Lifecycle
from segctl.manifests.limits import Guards
from segctl.state.restrictions import Restriction
from segctl.state.shapes import Shapes
from segctl.state.usage import MonthUsage


@dataclass(frozen=True, kw_only=True)
class FileRef:
    """An immutable file of the state, named by the SHA-256 of its bytes."""

    name: str
    rows: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class MemberSet:
    """The members of one segment: a base file, and change files in the order they apply.

    A base file has the columns ``kind`` and ``value``. A change file has the column ``action``
    (ADD or REMOVE) before them. It never adds a user who is a member or removes one who is not.
    """

    digest: SetDigest = SetDigest()
    base: FileRef | None = None
    changes: tuple[FileRef, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The uncertain and refused pairs of a segment.

    The file has the columns ``kind``, ``value``, ``status`` (uncertain or refused), ``action``,
    ``asked_at`` (seconds since 1970) and ``detail``.
    """

    file: FileRef | None = None
    uncertain: int = 0
    refused: int = 0


@dataclass(frozen=True, kw_only=True)
class SegmentRecord:
    """What is known of one segment of the service.

    ``created`` is false if a create was sent and got no trustworthy answer. ``remote_name`` is
    the name the segment was created with. The service cannot rename, so ``declared_name`` may
    differ from it. ``missing`` is true once the Error Stream says that the service does not find
    the segment; nothing is sent to it then. ``basis`` is a set of members that the segment's
    sources produced. ``shapes`` are counted only if the segment has a guard on them. The recorded
    members may have changed since ``basis`` and ``shapes`` were computed.
    """

    customer_segment_id: str | None
    ct_segment_id: int | None = None
    declared_name: str
    remote_name: str
    created: bool = True
    missing: bool = False
    managed: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    guards: Guards = Guards()
    lifecycle: Lifecycle = Lifecycle()
    members: MemberSet = MemberSet()
    pairs: Pairs = Pairs()
    basis: Basis | None = field(default=None, metadata=OPTIONAL)
    shapes: Shapes | None = field(default=None, metadata=OPTIONAL)

    @property
    def key(self) -> str:
        """The id by which requests name the segment, unique in the account."""
        return self.customer_segment_id or f"ct:{self.ct_segment_id}"

    def files(self) -> Iterator[FileRef]:
        """Yield the files of this record."""
        refs = (self.members.base, *self.members.changes, self.pairs.file)
        return (ref for ref in refs if ref)

    @property
    def is_empty(self) -> bool:
        """Whether no member is recorded, and no uncertain request may have added one."""
        return not (self.members.digest.count or self.pairs.uncertain)


@dataclass(frozen=True, kw_only=True)
class Tombstone:
    """The record of a destroyed segment, whose shell the service still has.

    Members that are left in ``record`` were not removed yet.
    """

    address: str
    record: SegmentRecord
    destroyed_at: float


@dataclass(frozen=True, kw_only=True)
class State:
    """The head of a state.

    ``lineage`` identifies the history, ``serial`` counts its versions. ``revision`` counts every
    head that was written, also those that only record facts. ``account`` and ``host`` are
    set by the first apply. ``folded`` is the id of the last journal that was merged. ``unfinished``
    is the digest of a plan that was applied in part and may be applied again. ``sources`` holds
    the row counts of sources by their fingerprints; ``rules`` the fingerprints of rules that are
    known to hold; ``restrictions`` the sources that take members away, as of the last apply.
    ``applied`` is the digest of the last plan that was applied completely. ``sealed_with`` is the
    id of the key that all files of this head are encrypted with, empty if some may not be.
    ``approvals`` say what was sent on the approval of a plan, by its digest.
    ``usage`` is how much was sent in each calendar month, oldest first. ``member_key`` is the
    secret key of ``core.member_hash``; every head that is written has one.
    """

    lineage: str
    serial: int
    revision: int = field(default=0, metadata=OPTIONAL)
    account: str | None = None
    host: str | None = None
    segments: Mapping[str, SegmentRecord] = field(default_factory=dict)
    tombstones: tuple[Tombstone, ...] = ()
    folded: str | None = None
    unfinished: str | None = None
    sources: Mapping[str, SourceCounts] = field(default_factory=dict, metadata=OPTIONAL)
    rules: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    restrictions: tuple[Restriction, ...] = field(default=(), metadata=OPTIONAL)
    applied: str = field(default="", metadata=OPTIONAL)
    sealed_with: str = field(default="", metadata=OPTIONAL)
    approvals: Mapping[str, ApprovalUse] = field(default_factory=dict, metadata=OPTIONAL)
    usage: tuple[MonthUsage, ...] = field(default=(), metadata=OPTIONAL)
    member_key: str = field(default="", repr=False, metadata=OPTIONAL)

    def next(self, **changes: object) -> "State":
        """Return the state with ``changes`` and the next serial."""
        return replace(self, serial=self.serial + 1, **changes)  # type: ignore[arg-type]  # fields by name

    @property
    def age(self) -> tuple[int, int]:
        """A value that is larger for later heads."""
        return self.serial, self.revision

    def find_tombstone(self, key: str) -> Tombstone | None:
        """Return the tombstone of the segment with this ``SegmentRecord.key``, or ``None``."""
        return next((t for t in self.tombstones if t.record.key == key), None)

    def records(self) -> Iterator[tuple[str, SegmentRecord]]:
        """Yield every record with its address: of the segments, then of the tombstones."""
        yield from self.segments.items()
        yield from ((tombstone.address, tombstone.record) for tombstone in self.tombstones)

    def file_names(self) -> frozenset[str]:
        """Return the names of all files that this head refers to."""
        return frozenset(ref.name for _, record in self.records() for ref in record.files())


EMPTY_STATE = State(lineage="", serial=0)
"""The state of a workspace without a head. It has no lineage, so no other state fits its plans."""
