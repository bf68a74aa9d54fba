"""What an engine must do: read rows, compare member sets, hold the result as columns.

An engine moves members as columns and never as Python objects, but for the few
that a reader is shown and the ones in flight.  One engine serves one plan or one
apply; it keeps what it makes in a scratch folder of the caller's.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from segctl.core.holdout import Holdout
from segctl.core.identity import IdentityProblem, Kind, SetDigest
from segctl.core.outcomes import Ledger
from segctl.core.rejects import Rejects
from segctl.manifests.desired import Role
from segctl.manifests.file_formats import Format
from segctl.plan.model import Sample, Users


@dataclass(frozen=True, kw_only=True)
class InlineRows:
    """Values that stand in a manifest."""

    kind: Kind
    values: Sequence[str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class FileScan:
    """One column of files of one format, read as text in their order.

    ``paths`` are absolute, may be read, and are one at least.  Each file has a header
    of its own, where its format has one.  A column among ``partitions`` is not in the
    files: it gives one value for all rows of a file.
    """

    paths: tuple[Path, ...]
    format: Format
    column: str
    kind: Kind
    segment_column: str | None = None
    partitions: Mapping[str, Mapping[Path, str | None]] = field(default_factory=dict)

    @property
    def inside(self) -> tuple[str, ...]:
        """The columns that are read from the files themselves."""
        wanted = (self.column, self.segment_column)
        return tuple(column for column in wanted if column and column not in self.partitions)


@dataclass(frozen=True, kw_only=True)
class CheckedQuery:
    """A checked SELECT whose file names are resolved; it may read ``files`` alone.

    It gives a column ``identity`` or ``guid``, or both with one of them NULL in each
    row, and ``segment_column`` where given; the same rows each time where ``repeatable``.
    """

    sql: str
    parameters: Mapping[str, str]
    files: tuple[Path, ...]
    segment_column: str | None = None
    repeatable: bool = False


@dataclass(frozen=True, kw_only=True)
class Members:
    """The final members of another target, after everything that is said of it."""

    target: int


@dataclass(frozen=True, kw_only=True)
class CopiedRows:
    """Rows as PostgreSQL's COPY writes text: below a header, identity, guid and label.

    ``rows`` is their number by the server's count.  A row has one of identity and guid,
    or neither; the file is the engine's to remove.
    """

    path: Path
    rows: int


Rows = InlineRows | FileScan | CheckedQuery | CopiedRows | Members

Counting = Literal["strict", "distinct"]
"""How the limits of a request are counted; see ``packing.Limits``."""


class SourceError(Exception):
    """Rows could not be had: ``summary`` and ``detail`` are for the user to read.

    ``line`` counts from 1 in the file at fault, 0 where that is not known; ``file`` is
    that file where the source has several.  ``load`` is the number of the load at fault
    where it shows only when everything is compared.
    """

    def __init__(self, code: str, summary: str, detail: str = "", *, line: int = 0) -> None:
        super().__init__(summary)
        self.code = code
        self.summary = summary
        self.detail = detail
        self.line = line
        self.file: Path | None = None
        self.load: int | None = None


@dataclass(frozen=True, kw_only=True)
class LoadStats:
    """What a load held: all rows, those equal to another, and the invalid ones by kind.

    ``first`` gives for each problem the number of the first such row, from 1, where
    the source has an order, and ``files`` its file, where there are several.  ``others``
    counts the rows of a table whose segment is not declared, by value, the most frequent
    first, at most ten of them.
    """

    rows: int
    duplicates: int
    invalid: Mapping[IdentityProblem, int] = field(default_factory=dict)
    first: Mapping[IdentityProblem, int] = field(default_factory=dict)
    files: Mapping[IdentityProblem, Path] = field(default_factory=dict)
    others: tuple[tuple[str, int], ...] = ()
    others_rows: int = 0


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Where the recorded members and pairs of one target stand on this machine.

    ``digest`` is that of the members; ``base_rows`` and ``change_rows`` size the files.
    """

    digest: SetDigest = SetDigest()
    base: Path | None = None
    base_rows: int = 0
    change_rows: int = 0
    changes: tuple[Path, ...] = ()
    pairs: Path | None = None


@dataclass(frozen=True, kw_only=True)
class TargetDiff:
    """How one target changes, counted in memberships.

    ``asked`` counts the members that the sources ask for, ``desired`` those of them that
    are there after an apply, where some are in quarantine.  ``leaving`` counts recorded
    members that are removed, asserted again or not.  ``held_out`` and ``suppressed``
    count users who would be asked for otherwise; who is held out counts there alone.
    """

    asked: int = 0
    desired: int = 0
    recorded: int = 0
    add: int = 0
    remove: int = 0
    reasserted: int = 0
    quarantined: int = 0
    leaving: int = 0
    held_out: int = 0
    suppressed: int = 0
    sample: Sample = field(default_factory=Sample)


@dataclass(frozen=True, kw_only=True)
class Diff:
    """How every target changes, and what every load held, by their numbers."""

    targets: Mapping[int, TargetDiff]
    loads: Mapping[int, LoadStats]


@dataclass(frozen=True, kw_only=True)
class PackingSummary:
    """Requests after packing; ``settle_from`` is the first that must wait for a settle time.

    ``settled_at`` is when it may go, in seconds since 1970; requests from
    ``settle_from`` on turn round pairs whose last request got no answer.
    """

    requests: int
    naive: int
    floor: int
    settle_from: int
    settled_at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class EntryRows:
    """One entry of a request: users × (target, action)."""

    request: int
    users: tuple[tuple[Kind, str], ...] = field(repr=False)
    actions: tuple[tuple[int, str], ...]


@dataclass(frozen=True, kw_only=True)
class FoldedTarget:
    """What an apply leaves of one target, as files in the scratch folder.

    ``digest`` is that of the whole set afterwards.  Where the set ``moved``, either
    ``change`` holds what changed or ``base`` the whole set (``None``: it is empty now).
    ``pairs`` is ``None`` where no pair is left.  ``complete`` is true where all changes of
    the delta were acknowledged.
    """

    digest: SetDigest
    moved: bool = False
    change: Path | None = None
    change_rows: int = 0
    base: Path | None = None
    pairs: Path | None = None
    uncertain: int = 0
    refused: int = 0
    complete: bool = False


@dataclass(frozen=True, kw_only=True)
class SentApply:
    """What an ended apply sent: its delta, its outcomes, and which of today's targets its were.

    ``begun_at`` is in seconds since 1970.
    """

    delta: Path
    ledger: Ledger
    targets: Mapping[int, int]
    begun_at: float


@dataclass(frozen=True, kw_only=True)
class MatchedRejects:
    """What a stream of rejects came to, counted in its rows.

    ``adds`` and ``removes`` were matched to such a request, ``known`` of them loaded
    before; ``older`` ones are from before the last request for their pair, and
    ``unmatched`` ones were never sent.  ``labels`` holds the indexes of those with a
    match, ``folded`` the targets that change.
    """

    adds: int
    removes: int
    known: int
    older: int
    unmatched: int
    labels: frozenset[int]
    folded: Mapping[int, FoldedTarget]


@dataclass(frozen=True, kw_only=True)
class RefusedPair:
    """A pair in quarantine: what was refused, when (seconds since 1970), and why."""

    target: int
    kind: Kind
    value: str = field(repr=False)
    action: str
    at: float
    type: str


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What the files of one recorded set hold, counted in rows.

    ``digest`` is that of the set that they add up to.  ``repeated`` rows of the base
    repeat another; ``change_rows`` and ``against`` are by change file, oldest first, the
    latter those that add a member who is there or remove one who is not.  ``odd`` rows
    hold no member or no change, ``odd_pairs`` no pair, or one that another row holds.
    """

    digest: SetDigest
    base_rows: int = 0
    repeated: int = 0
    change_rows: tuple[int, ...] = ()
    against: tuple[int, ...] = ()
    odd: int = 0
    uncertain: int = 0
    refused: int = 0
    odd_pairs: int = 0


class Engine(Protocol):
    """Compares member sets; see the module for its life."""

    def syntax_tree(self, sql: str) -> Mapping[str, Any]:
        """Parse one SELECT into DuckDB's serialised tree; raises ``SourceError``."""

    def surroundings(self) -> Mapping[str, str]:
        """Tell what queries may depend on beside their files: version, time zone."""

    def load(
        self,
        rows: Rows,
        *,
        targets: Sequence[int] | Mapping[str, int],
        role: Role = "include",
    ) -> int:
        """Take a source in for its targets; give the number of this load.

        ``targets`` are indexes, or a mapping from values of the segment column, with
        negative ones for segments that nobody asks for.  Targets that are not recorded
        are there to be read or asked about.  What is to ``suppress`` is taken from all
        targets.  Raises ``SourceError``.
        """

    def hold_out(self, target: int, holdout: Holdout) -> None:
        """Leave a share of the users out of a target."""

    def keep(self, target: int) -> None:
        """Have the members that a target is to have at hand for questions, after ``diff``."""

    def record(self, target: int, recorded: Recorded, *, wanted: bool) -> None:
        """Name what is recorded of a target; not ``wanted`` means that it is to be emptied."""

    def diff(self, *, retry_before: float | None = None) -> Diff:
        """Compare everything loaded with everything recorded.

        Invalid rows are counted and left out.  Pairs refused before ``retry_before``
        (seconds since 1970) are sent again.  Raises ``SourceError``, and
        ``StateDamaged`` for a member file that cannot be read.
        """

    def size(self, target: int) -> int:
        """Count the members that a kept target is to have."""

    def shared(self, targets: Sequence[int]) -> Mapping[tuple[int, int], Users]:
        """Give the users whom each two of these kept targets are to share, the most first."""

    def outside(self, targets: Sequence[int], of: int) -> Mapping[int, Users]:
        """Give the members of each of these kept targets that are not in another one, if any."""

    def delta_digest(self, keys: Sequence[str]) -> SetDigest:
        """Digest the delta; ``keys`` are the wire names of the targets, by index."""

    def pack(
        self, keys: Sequence[str], *, counting: Counting, settle_seconds: float
    ) -> PackingSummary:
        """Pack the delta into requests, in an order that depends on its content alone."""

    def save(self, delta: Path, batches: Path) -> None:
        """Write the packed delta and the batches as Parquet."""

    def take_delta(self, delta: Path, recorded: Mapping[int, Recorded]) -> int:
        """Take a saved delta in place of a diff, less what is recorded as done since.

        Gives the number of changes that are left.
        """

    def entries(self, batches: Path, *, start: int = 0) -> Iterator[EntryRows]:
        """Stream the entries of saved batches in sending order, from request ``start``."""

    def fold(
        self,
        delta: Path,
        ledger: Ledger,
        recorded: Mapping[int, Recorded],
    ) -> Mapping[int, FoldedTarget]:
        """Give what outcomes make of each recorded target."""

    def reject(
        self,
        recorded: Mapping[int, Recorded],
        *,
        rejects: Rejects,
        targets: Sequence[int],
        applies: Iterable[SentApply],
        now: float,
    ) -> MatchedRejects:
        """Match rejects to the last request for each pair, and give what is left of that.

        ``targets`` says for each label which recorded target it names, -1 for none;
        ``applies`` are those that were kept, newest first.  A refused ADD leaves the
        set, a refused REMOVE puts the member back; both go to quarantine.
        """

    def retry(
        self, recorded: Mapping[int, Recorded], *, type_: str | None = None
    ) -> Mapping[int, FoldedTarget]:
        """Give the targets that change when refused pairs leave quarantine.

        All of them, or those refused for the reason ``type_``.
        """

    def refused(self, recorded: Mapping[int, Recorded]) -> Iterator[RefusedPair]:
        """Stream the pairs in quarantine, by target."""

    def keep_desired(self, target: int) -> FoldedTarget:
        """Give the desired members of a target as a new base, after ``diff``, as if sent."""

    def digest(self, recorded: Recorded) -> SetDigest:
        """Digest a recorded set in full; raises ``StateDamaged``."""

    def audit(self, recorded: Recorded) -> Audit:
        """Read the files of a recorded set in full; raises ``StateDamaged``.

        Takes memory for the changes, and spills.
        """

    def close(self) -> None:
        """Let go of everything held."""
