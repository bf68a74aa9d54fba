"""The desired state: everything the manifests ask for, sources not yet read.

``compile.py`` makes it from documents; the engine and the planner read it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from segctl.core.diagnostics import Location, Severity
from segctl.core.holdout import Holdout
from segctl.core.identity import Kind
from segctl.manifests.file_formats import Format

Role = Literal["include", "intersect", "exclude", "suppress"]


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """What to do with invalid rows of a source: stop, or set them aside up to a share."""

    skip: bool = False
    max_invalid_percent: float = 100.0


@dataclass(frozen=True, kw_only=True)
class InlineSource:
    """Members written in the manifest, already checked; in order, may repeat."""

    kind: Kind
    values: tuple[str, ...] = field(repr=False)
    location: Location


@dataclass(frozen=True, kw_only=True)
class FileSource:
    """One column of files; ``path`` is relative to the workspace root as written.

    It names a file, a folder or a pattern.  Without ``format`` each file's name tells
    it.  ``where`` gives values of partitions, exactly as they stand in the path.
    """

    path: str
    format: Format | None
    column: str
    kind: Kind
    where: Mapping[str, str] = field(default_factory=dict)
    tolerance: Tolerance = Tolerance()
    location: Location


@dataclass(frozen=True, kw_only=True)
class QuerySource:
    """A SELECT over the workspace's files; ``parameters`` are bound, never pasted."""

    sql: str
    parameters: Mapping[str, str]
    tolerance: Tolerance = Tolerance()
    location: Location


@dataclass(frozen=True, kw_only=True)
class SegmentSource:
    """The members that another segment is to have, after all that is said of it."""

    address: str
    location: Location


@dataclass(frozen=True, kw_only=True)
class SqliteSource:
    """Rows of a SQLite file: those of ``sql``, or ``column`` of ``table`` where that is not empty.

    ``path`` is relative to the workspace root as written; ``parameters`` are bound.
    """

    path: str
    sql: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    table: str = ""
    column: str = "identity"
    kind: Kind = Kind.IDENTITY
    tolerance: Tolerance = Tolerance()
    location: Location


@dataclass(frozen=True, kw_only=True)
class PostgresSource:
    """Rows of a database: those of ``sql``, or ``column`` of ``table`` where that is not empty.

    ``connection`` is the database's name in ``segctl.yaml``; ``table`` may have its schema
    in front; ``parameters`` are literals in the query, never pasted as they are.
    """

    connection: str
    sql: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    table: str = ""
    column: str = "identity"
    kind: Kind = Kind.IDENTITY
    tolerance: Tolerance = Tolerance()
    location: Location


@dataclass(frozen=True, kw_only=True)
class CommandSource:
    """What the program ``run[0]`` with its arguments writes to its standard output."""

    run: tuple[str, ...]
    format: Format = "csv"
    column: str = "identity"
    kind: Kind = Kind.IDENTITY
    timeout_seconds: float = 600.0
    tolerance: Tolerance = Tolerance()
    location: Location


ExternalSource = FileSource | QuerySource | SqliteSource | PostgresSource | CommandSource
Source = InlineSource | ExternalSource | SegmentSource


@dataclass(frozen=True, kw_only=True)
class MemberLoad:
    """One source that says the same of the same segments for every row.

    It fills them, narrows them to its own rows, or takes its rows away from them; what
    is to ``suppress`` is taken from every managed segment.
    """

    source: Source
    addresses: tuple[str, ...]
    role: Role = "include"


@dataclass(frozen=True, kw_only=True)
class TableLoad:
    """One source whose ``segment_column`` says for each row which segment it fills.

    ``segments`` maps the column's values to addresses.  Rows with another value
    are an error, or passed over and counted where ``ignore_other_values``.
    """

    name: str
    source: ExternalSource
    segment_column: str
    segments: Mapping[str, str]
    ignore_other_values: bool = False


Load = MemberLoad | TableLoad


@dataclass(frozen=True, kw_only=True)
class Guards:
    """Limits on how much one plan may change a segment.

    ``max_remove_percent`` of the recorded members, from ``from_members``
    recorded members up; ``allow_empty`` lets a segment lose all of them.
    """

    max_remove_percent: float = 30.0
    from_members: int = 10
    allow_empty: bool = False


@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """What becomes of a segment whose manifest goes away."""

    prevent_destroy: bool = False
    on_remove: Literal["empty", "forget"] = "empty"


@dataclass(frozen=True, kw_only=True)
class DesiredSegment:
    """One segment as declared; ``managed`` is false for ``members: unmanaged``.

    Its members are the union of the loads that include them, less those who are not in
    every one that intersects, those that one excludes, the held out, the suppressed.
    """

    address: str
    display_name: str
    customer_segment_id: str
    labels: Mapping[str, str]
    managed: bool
    guards: Guards
    lifecycle: Lifecycle
    holdout: Holdout | None = None
    location: Location


@dataclass(frozen=True, kw_only=True)
class Disjoint:
    """No two of these segments share a member; with an ``owner``, none shares one with it."""

    addresses: tuple[str, ...]
    owner: str | None = None
    severity: Severity = Severity.ERROR
    location: Location


@dataclass(frozen=True, kw_only=True)
class Subset:
    """The members of these segments are all in another one."""

    addresses: tuple[str, ...]
    of: str
    severity: Severity = Severity.ERROR
    location: Location


@dataclass(frozen=True, kw_only=True)
class Size:
    """Each of these segments has no fewer and no more members than this, where given."""

    addresses: tuple[str, ...]
    minimum: int | None = None
    maximum: int | None = None
    severity: Severity = Severity.ERROR
    location: Location


Rule = Disjoint | Subset | Size


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A database that sources may read: the environment's ``variable`` holds its URL."""

    variable: str
    timeout_seconds: float = 600.0


@dataclass(frozen=True, kw_only=True)
class ProjectSettings:
    """What ``segctl.yaml`` says, defaults filled in."""

    name: str
    base_url: str
    concurrency: int = 3
    settle_seconds: float = 30.0
    counting: Literal["strict", "distinct"] = "strict"
    max_refused_percent: float = 25.0
    max_destroys: int = 5
    retry_after_days: float | None = None
    allowed_folders: tuple[str, ...] = ()
    connections: Mapping[str, Connection] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DesiredState:
    """The whole workspace, compiled.

    ``segments`` are sorted by address; ``rules`` are those of all documents.
    ``digest`` identifies the manifests and ``segctl.yaml`` by their content before
    variables are filled in, whatever their formatting: ``sha256:`` and 64 hexadecimal
    digits.  ``variables`` are the values that were filled in.
    """

    project: ProjectSettings
    segments: tuple[DesiredSegment, ...]
    loads: tuple[Load, ...]
    rules: tuple[Rule, ...] = ()
    digest: str
    variables: Mapping[str, str] = field(default_factory=dict)
