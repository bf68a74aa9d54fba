"""The values that go into an engine and come out of it.

Members are columns in files and tables. The only ones that are Python objects are the samples
for reviewers and the entries of the requests in flight.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path

from segctl.core.approval import BeyondChanges, PairCounts
from segctl.core.certificate import Certificate
from segctl.core.dataclass import dataclass
from segctl.core.identity import IdentityProblem, Kind, SetDigest
from segctl.core.outcomes import Ledger
from segctl.core.request_limits import Counting
from segctl.manifests.desired import DEFAULT_TIME_ZONE, QueryLimits
from segctl.manifests.file_formats import Encoding, Format
from segctl.plan.model import Sample, Users

LEFT_OUT = -1
"""The segment number of a target whose users count for no flow."""


@dataclass(frozen=True, kw_only=True)
class InlineRows:
    """Values written in a manifest."""

    kind: Kind
    values: Sequence[str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class FileScan:
    """One column of one or more files of the same format, read as text in file order.

    ``paths`` are absolute and already checked against the path policy. Every file has its own
    header, if its format has headers. ``partitions`` holds, by column and by file, the values of
    columns that come from folder names; such a column is not read from the files.
    ``comments``, ``encoding`` and ``delimiter`` are those of a ``FileSource``.
    """

    paths: tuple[Path, ...]
    format: Format
    column: str
    kind: Kind
    comments: str | None = None
    encoding: Encoding = "utf-8"
    delimiter: str | None = None
    segment_column: str | None = None
    partitions: Mapping[str, Mapping[Path, str | None]] = field(default_factory=dict)

    @property
    def separator(self) -> str:
        """The character between two values of a CSV or TSV file."""
        return self.delimiter or ("\t" if self.format == "tsv" else ",")

    @property
    def file_columns(self) -> tuple[str, ...]:
        """The columns that are read from the files themselves."""
        wanted = (self.column, self.segment_column)
        return tuple(column for column in wanted if column and column not in self.partitions)


@dataclass(frozen=True, kw_only=True)
class CheckedQuery:
    """A SELECT that is checked, with its file names resolved. It may read only ``files``.

    Its result has a column ``identity`` or ``guid``, or both with at most one of them set in each
    row, and ``segment_column`` if given. ``headers`` are the CSV files whose first line names
    columns, each with its delimiter; ``lists`` are the txt files. The query runs in
    ``time_zone``, within ``limits``. ``repeatable`` is true if the same files always give the same
    rows. A column of the result has none of the ``uncertain_types``: DuckDB may have read another
    text as a value of one of them.
    """

    sql: str
    parameters: Mapping[str, str]
    files: tuple[Path, ...]
    headers: tuple[tuple[Path, str], ...] = ()
    lists: tuple[Path, ...] = ()
    time_zone: str = DEFAULT_TIME_ZONE
    limits: QueryLimits = QueryLimits()
    segment_column: str | None = None
    repeatable: bool = False
    uncertain_types: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class TargetMembers:
    """The final members of another target, after its exclusions and its hold-out."""

    target_index: int


@dataclass(frozen=True, kw_only=True)
class CopiedRows:
    """Rows of a database in the text format of PostgreSQL's COPY.

    Below a header each row has an identity, a guid and a segment value; at most one of identity
    and guid is set. ``rows`` is their number as counted by the database. The engine removes the
    file after reading it.
    """

    path: Path
    rows: int


Rows = InlineRows | FileScan | CheckedQuery | CopiedRows | TargetMembers

LoadTargets = Sequence[int] | Mapping[str, int]
"""The targets that a load fills: their indexes, or for a table the index of each segment value.

A negative index means a declared segment that is not part of the plan.
"""

NO_PATTERNS: Mapping[Kind, str] = {}
"""The patterns of a source whose keys may have any form."""


@dataclass(frozen=True, kw_only=True)
class EarlierList:
    """What the last apply knew of a source that takes members away, as hashes.

    ``left_out`` are users whom it took away, ``listed`` its own values, joined.
    """

    left_out: tuple[str, ...] = field(default=(), repr=False)
    listed: str = field(default="", repr=False)


NO_EARLIER_LIST = EarlierList()


class SourceError(Exception):
    """A source cannot be read. ``summary`` and ``detail`` are for the user.

    ``line`` counts from 1; 0 means unknown. ``file`` is the file with the problem, if the source
    has several. ``query_position`` are line and column in the text of a query, counted from 1; the
    column is 0 if it is not known. ``load_number`` identifies the load, if the error appears only
    in the comparison.
    ``service`` is the database or bucket, if every source of it fails for this reason.
    """

    def __init__(self, code: str, summary: str, detail: str = "", *, line: int = 0) -> None:
        super().__init__(summary)
        self.code = code
        self.summary = summary
        self.detail = detail
        self.line = line
        self.file: Path | None = None
        self.query_position: tuple[int, int] | None = None
        self.load_number: int | None = None
        self.service = ""


@dataclass(frozen=True, kw_only=True)
class Anomalies:
    """What looks wrong in a list, and may be right.

    ``case_variants`` counts its valid identities that differ from another one only in case. If
    only one in ``case_share`` of them was looked at, it is estimated. ``header_lines`` counts txt
    files whose first line looks like a header.
    """

    case_variants: int = 0
    case_share: int = 1
    header_lines: int = 0


NO_ANOMALIES = Anomalies()


@dataclass(frozen=True, kw_only=True)
class LoadStats:
    """The rows of a load: how many, how many duplicates, and how many invalid by problem.

    ``first_rows`` holds the row number, from 1, of the first row with each problem, if the source
    has an order, and ``first_files`` its file, if there are several. ``undeclared`` counts the
    segment values of a table that no manifest declares, ``undeclared_rows`` their rows, and
    ``undeclared_nulls`` those of them without a value. An invalid row is no duplicate.

    For a load that excludes, suppresses or intersects, ``matched`` counts its users who are in the
    sources of its targets; it is ``None`` for others. For one that excludes or suppresses,
    ``similar`` are the members that differ from one of its values only in form: see
    ``normalize_sql.folded``. ``sample`` has hashes of the matched users, all of them or a random
    part, and ``released`` counts the users of the last sample who are added now. ``listed`` has
    hashes of its own values, joined, all of them or a random part; ``dropped`` counts those of the
    last apply that it no longer has.
    """

    rows: int
    duplicates: int
    invalid: Mapping[IdentityProblem, int] = field(default_factory=dict)
    first_rows: Mapping[IdentityProblem, int] = field(default_factory=dict)
    first_files: Mapping[IdentityProblem, Path] = field(default_factory=dict)
    undeclared: int = 0
    undeclared_rows: int = 0
    undeclared_nulls: int = 0
    matched: int | None = None
    sample: tuple[str, ...] = field(default=(), repr=False)
    released: int = 0
    similar: Users = Users()
    listed: str = field(default="", repr=False)
    dropped: int = 0
    anomalies: Anomalies = NO_ANOMALIES

    @property
    def users(self) -> int:
        """The number of distinct valid rows, those for undeclared segments included."""
        return self.rows - self.duplicates - sum(self.invalid.values())


@dataclass(frozen=True, kw_only=True)
class RecordedFiles:
    """The local files with the recorded members and pairs of one target.

    ``digest`` is the digest of the members. ``base_rows`` and ``change_rows`` are the numbers of
    rows in the base file and in all change files. ``changes`` are the change files, oldest first.
    ``pairs`` holds the uncertain and the refused pairs.
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

    ``declared`` counts the members that the sources declare; ``desired`` the members after an
    apply, which differ by the quarantined ones. ``leaving`` counts all recorded members that are
    removed, including reasserted ones. ``held_out`` and ``suppressed`` count users who would be
    declared otherwise; a user who is both counts as held out.
    """

    declared: int = 0
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

    @property
    def joining(self) -> int:
        """The number of users who become members, including reasserted ones."""
        return self.desired - self.recorded + self.leaving


@dataclass(frozen=True, kw_only=True)
class Diff:
    """The changes of every target by its index, and the rows of every load by its number."""

    targets: Mapping[int, TargetDiff]
    loads: Mapping[int, LoadStats]


@dataclass(frozen=True, kw_only=True)
class PackingSummary:
    """The number of requests after packing, next to the naive number and the lower bound.

    Requests from ``settle_from`` on reverse pairs whose last request got no answer. They wait
    until ``settled_at``, in seconds since 1970. ``certificates`` has that of the changes sent at
    once and that of the waiting ones, each only if there are such changes.
    """

    requests: int
    naive: int
    settle_from: int
    certificates: tuple[Certificate, ...] = ()
    settled_at: float = 0.0

    @property
    def floor(self) -> int:
        """The proven lower bound: waiting changes share no request with others."""
        return sum(certificate.floor for certificate in self.certificates)


@dataclass(frozen=True, kw_only=True)
class PackedEntry:
    """One entry of a request: each of its users with each of its actions.

    An action is a target index with ADD or REMOVE.
    """

    request: int
    users: tuple[tuple[Kind, str], ...] = field(repr=False)
    actions: tuple[tuple[int, str], ...]


@dataclass(frozen=True, kw_only=True)
class FoldedTarget:
    """One target after outcomes are folded in. The files are in the scratch folder.

    ``digest`` is the digest of the whole set. If ``has_changed``, either ``change`` holds the
    changes or ``base`` the whole set; both are ``None`` if the set is empty now. ``pairs`` is
    ``None`` if no uncertain or refused pair remains. ``is_complete`` is true if every change of
    the delta was acknowledged.
    """

    digest: SetDigest
    has_changed: bool = False
    change: Path | None = None
    change_rows: int = 0
    base: Path | None = None
    pairs: Path | None = None
    uncertain: int = 0
    refused: int = 0
    is_complete: bool = False


@dataclass(frozen=True, kw_only=True)
class SentApply:
    """What a finished apply sent: its delta and its outcomes.

    ``target_indexes`` maps the indexes of its plan to those of the caller. ``started_at`` is in
    seconds since 1970.
    """

    delta: Path
    ledger: Ledger
    target_indexes: Mapping[int, int]
    started_at: float


@dataclass(frozen=True, kw_only=True)
class MatchedRejects:
    """How the rows of an Error Stream matched the requests that were sent.

    ``adds`` and ``removes`` count rows that match the last request for their pair; ``known`` of
    them had been loaded before. ``older`` rows are from before that request, and ``unmatched``
    rows name a pair that was never sent. ``matched_details`` are the indexes into
    ``Rejects.details`` of the matched rows. ``folded`` holds the targets that change.
    """

    adds: int
    removes: int
    known: int
    older: int
    unmatched: int
    matched_details: frozenset[int]
    folded: Mapping[int, FoldedTarget]


@dataclass(frozen=True, kw_only=True)
class QuarantinedPair:
    """A pair in quarantine: what was refused, when (seconds since 1970), and the error type."""

    target_index: int
    kind: Kind
    value: str = field(repr=False)
    action: str
    refused_at: float
    error_type: str


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What the files of one recorded set contain, counted in rows.

    ``digest`` is the digest of the set that the files add up to. ``duplicates`` counts rows of
    the base file that repeat another. ``change_rows`` and ``contradictions`` are by change file,
    oldest first; a contradiction adds a user who is a member already or removes one who is not.
    ``invalid_rows`` counts rows without a valid member or change, and ``invalid_pairs`` rows of the
    pairs file without a valid pair or with a repeated one.
    """

    digest: SetDigest
    base_rows: int = 0
    duplicates: int = 0
    change_rows: tuple[int, ...] = ()
    contradictions: tuple[int, ...] = ()
    invalid_rows: int = 0
    uncertain: int = 0
    refused: int = 0
    invalid_pairs: int = 0


@dataclass(frozen=True, kw_only=True)
class MemberList:
    """How to list the members of a set as lines.

    With ``hash_key``, each is a hash under this key, and they are in the order of the hashes.
    ``with_kind`` adds a tab and the kind to each. ``sample`` is the number of members to choose,
    the same ones every time; ``None`` lists all.
    """

    hash_key: str = field(default="", repr=False)
    with_kind: bool = False
    sample: int | None = None


@dataclass(frozen=True, kw_only=True)
class AskedUsers:
    """The users that questions are about: one by ``value``, or those who have ``hashes``."""

    value: str = field(default="", repr=False)
    hashes: tuple[str, ...] = ()
    hash_key: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class FoundUser:
    """What is known of one user in one target.

    ``what`` is ``recorded``, ``desired``, why the user is not desired (``held_out``,
    ``suppressed`` or ``invalid``), or the status of a pair (``uncertain`` or ``refused``) with the
    ``action`` of its last request.
    """

    target_index: int
    kind: Kind
    value: str = field(repr=False)
    what: str
    action: str = ""


@dataclass(frozen=True, kw_only=True)
class SavedChanges:
    """The number of changes of one target in a saved delta.

    ``growth`` is how many members the target gains, less the ``leaving`` ones that it loses.
    """

    add: int = 0
    remove: int = 0
    reasserted: int = 0
    growth: int = 0
    leaving: int = 0


@dataclass(frozen=True, kw_only=True)
class ComparedChanges:
    """The membership changes of two plans, by the key of the segment and the action.

    ``beyond`` are those of the second plan that the first does not have, by request.
    """

    counts: Mapping[tuple[str, str], PairCounts]
    beyond: tuple[BeyondChanges, ...]


@dataclass(frozen=True, kw_only=True)
class SavedPlanFacts:
    """What the files of a saved plan contain: changes by target index, and their digest.

    ``last_asked`` is the latest time (seconds since 1970) from which a change has to wait, and
    ``named`` are the changes of the users that were asked for. ``flows`` are those of
    ``RequestPacker.count_flows``. ``added_shapes`` counts the added members by target index and
    shape.
    """

    changes: Mapping[int, SavedChanges]
    digest: SetDigest
    last_asked: float | None
    named: frozenset[tuple[int, str, str, str]]
    flows: Mapping[tuple[int, int], int] | None
    added_shapes: Mapping[int, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SavedPlanFiles:
    """The files of a saved plan, and what its document says of them.

    ``keys`` are the ids of the targets, ``requests`` the number of requests, of which those from
    ``settle_from`` on wait. ``values`` are the users whose changes the caller wants to know, and
    ``segments`` the segment numbers of the targets, see ``RequestPacker.count_flows``. ``shaped``
    are the targets whose added shapes it wants to know. ``imported`` holds the digest and the base
    file of each target that is imported, ``None`` without members.
    """

    delta: Path
    keys: tuple[str, ...]
    requests: int
    settle_from: int
    counting: Counting
    values: tuple[str, ...] = field(repr=False)
    segments: tuple[int, ...]
    shaped: tuple[int, ...] = ()
    imported: Mapping[int, tuple[SetDigest, Path | None]] = field(default_factory=dict)


class SavedPlanError(Exception):
    """The files of a saved plan do not fit each other. The message names no user."""
