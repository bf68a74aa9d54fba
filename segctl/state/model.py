"""State: our record of what we made and sent.

The service has no read call, so this is the only record there is.  The head
(``State``) is small and readable; member sets and pairs are immutable files
named by their content, which the head refers to.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from segctl.core.codec import OPTIONAL
from segctl.core.fingerprints import Basis, SourceCounts
from segctl.core.identity import SetDigest
from segctl.manifests.desired import Guards, Lifecycle


@dataclass(frozen=True, kw_only=True)
class FileRef:
    """An immutable file of the state, named by the SHA-256 of its bytes."""

    name: str
    rows: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class MemberSet:
    """The members of one segment: a base file and the changes since, oldest first.

    A base has the columns ``kind`` and ``value``; a change file has ``action``
    (ADD or REMOVE) before them.  A change file never adds a member that is there
    nor removes one that is not.
    """

    digest: SetDigest = SetDigest()
    base: FileRef | None = None
    changes: tuple[FileRef, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The pairs of a segment whose last request has no acknowledgement.

    The file has the columns ``kind``, ``value``, ``status`` (uncertain or
    refused), ``action``, ``asked_at`` (seconds since 1970) and ``detail``.
    """

    file: FileRef | None = None
    uncertain: int = 0
    refused: int = 0


@dataclass(frozen=True, kw_only=True)
class SegmentRecord:
    """One segment of the service, as we know it.

    ``created`` is false while a create was sent and no answer trusted.
    ``remote_name`` is the name the service was told at creation; the service has
    no rename, so ``declared_name`` may move away from it.  ``missing`` is true once the
    Error Stream said that the service has no such segment; nothing is sent to it then.
    ``basis`` is a set that the segment's sources came to, not always the one recorded.
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

    @property
    def key(self) -> str:
        """The segment's name on the wire, unique in the account."""
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
    """What is kept of a destroyed segment, whose shell the service still has.

    Members left in ``record`` are still to be removed.
    """

    address: str
    record: SegmentRecord
    destroyed_at: float


@dataclass(frozen=True, kw_only=True)
class State:
    """The head: which history (``lineage``), how far along (``serial``), what is in it.

    ``account`` and ``host`` are bound by the first apply.  ``folded`` names the
    last journal taken in, ``unfinished`` the digest of a plan that was applied in
    part and may be applied again.  ``sources`` holds what sources were found to hold, by
    their fingerprints, ``rules`` the fingerprints of those that were found to hold.
    """

    lineage: str
    serial: int
    account: str | None = None
    host: str | None = None
    segments: Mapping[str, SegmentRecord] = field(default_factory=dict)
    tombstones: tuple[Tombstone, ...] = ()
    folded: str | None = None
    unfinished: str | None = None
    sources: Mapping[str, SourceCounts] = field(default_factory=dict, metadata=OPTIONAL)
    rules: tuple[str, ...] = field(default=(), metadata=OPTIONAL)

    def next(self, **changes: object) -> "State":
        """Give the following state: the same with ``changes``, one serial further."""
        return replace(self, serial=self.serial + 1, **changes)  # type: ignore[arg-type]  # fields by name

    def find_tombstone(self, key: str) -> Tombstone | None:
        """Give the tombstone whose shell goes by this name on the wire."""
        return next((t for t in self.tombstones if t.record.key == key), None)

    def records(self) -> Iterator[tuple[str, SegmentRecord]]:
        """Yield every record with its address: of the segments, then of the tombstones."""
        yield from self.segments.items()
        yield from ((tombstone.address, tombstone.record) for tombstone in self.tombstones)

    def file_names(self) -> frozenset[str]:
        """Return the names of all files that this head refers to."""
        return frozenset(ref.name for _, record in self.records() for ref in record.files())


EMPTY_STATE = State(lineage="", serial=0)
"""What an absent state is taken for; no lineage, so that no plan of it fits another."""
