"""The desired state: everything the manifests ask for, before any source is read.

``compile.py`` builds it from documents. Planning and the engine read it.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from segctl.core.approval import ApprovalTolerance
from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Location, Severity
from segctl.core.holdout import Holdout
from segctl.core.identity import Kind
from segctl.core.normalize import Normalization
from segctl.core.request_limits import Counting
from segctl.manifests.file_formats import Encoding, Format
from segctl.manifests.limits import Freeze, Guards, PlanGuards, PlanOverride, SegmentOverride

DEFAULT_TIME_ZONE = "UTC"
"""The time zone of queries, so that they do not depend on the machine."""

DEFAULT_MAX_SHRINK_PERCENT = 30.0

Role = Literal["include", "intersect", "exclude", "suppress"]


@dataclass(frozen=True, kw_only=True)
class QueryLimits:
    """What one query may take: seconds, bytes of memory, bytes of scratch files."""

    timeout_seconds: float = 600.0
    memory: int = 4_000_000_000
    scratch: int = 20_000_000_000


DEFAULT_QUERY_LIMITS = QueryLimits()


@dataclass(frozen=True, kw_only=True)
class IgnoredPath:
    """A file or folder that is not read, and the pattern that hides it. A folder ends in ``/``."""

    path: str
    pattern: str


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """What to do with invalid rows of a source.

    Without ``skip``, the first one is an error. With it, they are left out, up to
    ``max_invalid_percent`` of all rows.
    """

    skip: bool = False
    max_invalid_percent: float = 100.0


@dataclass(frozen=True, kw_only=True)
class SizeLimits:
    """How small a source may be, in distinct valid rows.

    It has at least ``min_rows``. One that excludes, intersects or suppresses may lose
    ``max_shrink_percent`` of its rows between two applies.
    """

    min_rows: int = 0
    max_shrink_percent: float = DEFAULT_MAX_SHRINK_PERCENT


@dataclass(frozen=True, kw_only=True)
class InlineSource:
    """Members written in the manifest: valid values, in their order, possibly repeated.

    ``patterns`` are regular expressions of RE2 for whole values, by kind, as for all sources.
    """

    kind: Kind
    values: tuple[str, ...] = field(repr=False)
    patterns: Mapping[Kind, str] = field(default_factory=dict)
    location: Location


@dataclass(frozen=True, kw_only=True)
class FileSource:
    """One column of files.

    ``path`` is a file, a folder or a pattern, as written, relative to the workspace root. If
    ``format`` is ``None``, the name of each file shows its format. ``where`` has values of
    partition columns, exactly as they are in the path. ``comments`` is ``"#"`` if a txt file has
    comments, empty if it has none, and ``None`` if lines that look like one are errors.
    ``delimiter`` separates the values of a csv file; ``None`` is a comma.
    """

    path: str
    format: Format | None
    column: str
    kind: Kind
    comments: str | None = None
    encoding: Encoding = "utf-8"
    delimiter: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    tolerance: Tolerance = Tolerance()
    limits: SizeLimits = SizeLimits()
    patterns: Mapping[Kind, str] = field(default_factory=dict)
    normalize: tuple[Normalization, ...] = ()
    location: Location


@dataclass(frozen=True, kw_only=True)
class QuerySource:
    """A SELECT over files of the workspace, with bound ``parameters``.

    ``sql_file`` is the file with its text, empty if that is in the manifest.
    """

    sql: str
    parameters: Mapping[str, str]
    sql_file: str = ""
    tolerance: Tolerance = Tolerance()
    limits: SizeLimits = SizeLimits()
    patterns: Mapping[Kind, str] = field(default_factory=dict)
    normalize: tuple[Normalization, ...] = ()
    location: Location


@dataclass(frozen=True, kw_only=True)
class SegmentSource:
    """The desired members of another segment, after all its exclusions."""

    address: str
    location: Location


@dataclass(frozen=True, kw_only=True)
class _DatabaseSource:
    """Rows of a database: the result of ``sql``, or ``column`` of ``table`` if that is set.

    ``sql_file`` is as in a ``QuerySource``.
    """

    sql: str = ""
    sql_file: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    table: str = ""
    column: str = "identity"
    kind: Kind = Kind.IDENTITY
    tolerance: Tolerance = Tolerance()
    limits: SizeLimits = SizeLimits()
    patterns: Mapping[Kind, str] = field(default_factory=dict)
    normalize: tuple[Normalization, ...] = ()
    location: Location


@dataclass(frozen=True, kw_only=True)
class SqliteSource(_DatabaseSource):
    """Rows of a SQLite file. ``path`` is as written, relative to the workspace root."""

    path: str


@dataclass(frozen=True, kw_only=True)
class PostgresSource(_DatabaseSource):
    """Rows of a PostgreSQL database. ``connection`` is its name in ``segctl.yaml``.

    ``table`` may include its schema. ``parameters`` become SQL literals.
    """

    connection: str


@dataclass(frozen=True, kw_only=True)
class CommandSource:
    """The standard output of the program ``run[0]``, called with the other items of ``run``."""

    run: tuple[str, ...]
    format: Format = "csv"
    column: str = "identity"
    kind: Kind = Kind.IDENTITY
    comments: str | None = None
    encoding: Encoding = "utf-8"
    delimiter: str | None = None
    timeout_seconds: float = 600.0
    tolerance: Tolerance = Tolerance()
    limits: SizeLimits = SizeLimits()
    patterns: Mapping[Kind, str] = field(default_factory=dict)
    normalize: tuple[Normalization, ...] = ()
    location: Location


SqlSource = QuerySource | SqliteSource | PostgresSource
ExternalSource = FileSource | QuerySource | SqliteSource | PostgresSource | CommandSource
Source = InlineSource | ExternalSource | SegmentSource


@dataclass(frozen=True, kw_only=True)
class MemberLoad:
    """A source whose rows all apply to the same segments, in the same ``role``.

    ``include`` adds the rows to the segments, ``intersect`` keeps only members among the rows,
    ``exclude`` removes the rows, and ``suppress`` removes them from every managed segment.
    """

    source: Source
    addresses: tuple[str, ...]
    role: Role = "include"


@dataclass(frozen=True, kw_only=True)
class TableLoad:
    """A source whose ``segment_column`` names the segment of each row.

    ``segments`` maps the values of that column to addresses. A row with another value is an
    error, or with ``ignore_other_values`` left out and counted.
    """

    name: str
    source: ExternalSource
    segment_column: str
    segments: Mapping[str, str]
    ignore_other_values: bool = False


Load = MemberLoad | TableLoad


@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """What happens to a segment when its manifest is removed."""

    prevent_destroy: bool = False
    on_remove: Literal["empty", "forget"] = "empty"


@dataclass(frozen=True, kw_only=True)
class DesiredSegment:
    """One declared segment. ``managed`` is false for ``members: unmanaged``.

    Its members are the union of its included loads, reduced to users in every intersected load,
    without users in an excluded load, the hold-out or a suppression list. ``path`` leads to its
    fields in its document, and ``allow_location`` is where its override is or can be added.
    """

    address: str
    display_name: str
    customer_segment_id: str
    labels: Mapping[str, str]
    managed: bool
    guards: Guards
    lifecycle: Lifecycle
    allow: SegmentOverride | None = None
    holdout: Holdout | None = None
    location: Location
    path: str = "spec"
    allow_location: Location | None = None


@dataclass(frozen=True, kw_only=True)
class Disjoint:
    """No two of the segments share a member. With ``owner``, none shares a member with it."""

    addresses: tuple[str, ...]
    owner: str | None = None
    severity: Severity = Severity.ERROR
    location: Location


@dataclass(frozen=True, kw_only=True)
class Subset:
    """All members of the segments are members of the segment ``of``."""

    addresses: tuple[str, ...]
    of: str
    severity: Severity = Severity.ERROR
    location: Location


@dataclass(frozen=True, kw_only=True)
class Size:
    """Each of the segments has ``minimum`` to ``maximum`` members. ``None`` is no limit."""

    addresses: tuple[str, ...]
    minimum: int | None = None
    maximum: int | None = None
    severity: Severity = Severity.ERROR
    location: Location


Rule = Disjoint | Subset | Size


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A PostgreSQL database that sources may read.

    ``variable`` is the environment variable with its URL.
    """

    variable: str
    timeout_seconds: float = 600.0


@dataclass(frozen=True, kw_only=True)
class ProjectSettings:
    """The settings in ``segctl.yaml``, with defaults for those left out.

    ``is_trusted`` says that they were compared with a trusted copy. ``env_name`` is the chosen
    environment, empty if there is none. ``place`` is where the settings are, or the override if
    there is one.
    """

    name: str
    base_url: str
    allow_plain_http: bool = False
    create_body: Literal["array", "wrapped"] = "array"
    concurrency: int = 3
    settle_seconds: float = 30.0
    counting: Counting = "strict"
    max_refused_percent: float = 25.0
    max_destroys: int = 5
    approval: ApprovalTolerance = ApprovalTolerance()
    guards: PlanGuards = PlanGuards()
    allow: PlanOverride | None = None
    freezes: tuple[Freeze, ...] = ()
    place: str = "segctl.yaml"
    retry_after_days: float | None = None
    allowed_folders: tuple[str, ...] = ()
    connections: Mapping[str, Connection] = field(default_factory=dict)
    time_zone: str = DEFAULT_TIME_ZONE
    query_limits: QueryLimits = QueryLimits()
    patterns: Mapping[Kind, str] = field(default_factory=dict)
    is_trusted: bool = False
    env_name: str = ""


@dataclass(frozen=True, kw_only=True)
class ImportBlock:
    """A segment of the service to record.

    ``ct_segment_id`` names it in requests if it is set, else ``customer_segment_id``.
    ``sources`` list its members of today, ``None`` if they are not known.
    """

    address: str
    customer_segment_id: str
    ct_segment_id: int | None = None
    sources: tuple[Source, ...] | None = None
    location: Location


@dataclass(frozen=True, kw_only=True)
class MovedBlock:
    """A segment that is recorded at the address ``source`` and declared at ``destination``."""

    source: str
    destination: str
    location: Location


@dataclass(frozen=True, kw_only=True)
class RemovedBlock:
    """What becomes of a recorded segment without a manifest."""

    address: str
    on_remove: Literal["empty", "forget"]
    location: Location


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """The blocks of all Refactoring documents, in their order."""

    imports: tuple[ImportBlock, ...] = ()
    moves: tuple[MovedBlock, ...] = ()
    removals: tuple[RemovedBlock, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DesiredState:
    """A compiled workspace.

    ``segments`` are sorted by address. ``rules`` and ``blocks`` are those of all documents.
    ``digest`` (``sha256:`` and 64 hexadecimal digits) identifies the content of the manifests and
    of ``segctl.yaml``, without their formatting and before variables are filled in. ``variables``
    are the values that were filled in. ``passed_over`` are the YAML documents of other tools, as
    ``file:line``, and ``ignored`` the files and folders that ``spec.ignore`` hides.
    """

    project: ProjectSettings
    segments: tuple[DesiredSegment, ...]
    loads: tuple[Load, ...]
    rules: tuple[Rule, ...] = ()
    blocks: Blocks = Blocks()
    digest: str
    variables: Mapping[str, str] = field(default_factory=dict)
    passed_over: tuple[str, ...] = ()
    ignored: tuple[IgnoredPath, ...] = ()
