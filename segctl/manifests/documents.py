"""Models of the kinds of document. The JSON Schemas are generated from them.

Field names are camelCase in YAML. Editors show the descriptions, and so does the diagnostic of a
missing field: "Add displayName: the segment's name in CleverTap."
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from segctl.manifests.base_model import Section
from segctl.manifests.block_models import RefactoringSpec
from segctl.manifests.desired import DEFAULT_QUERY_LIMITS, DEFAULT_TIME_ZONE
from segctl.manifests.field_types import (
    Boolean,
    Concurrency,
    Count,
    Days,
    EnvironmentName,
    Line,
    Name,
    Omittable,
    Percent,
    RegularExpression,
    Seconds,
    Size,
    Text,
    TimeLimit,
    TimeZone,
    VariableName,
)
from segctl.manifests.guard_models import (
    ChangeFreeze,
    GuardSettings,
    ProjectAllow,
    ProjectGuards,
    SegmentAllow,
)
from segctl.manifests.rule_models import HoldoutSettings, ProjectRule, SegmentRule
from segctl.manifests.source_models import MemberSource, TableSource
from segctl.manifests.state_place import (
    DEFAULT_LEASE_SECONDS,
    MAX_LEASE_SECONDS,
    MIN_LEASE_SECONDS,
)

API_VERSION = "segctl/v1"

Region = Literal["in1", "sg1", "us1", "aps3", "mec1", "eu1"]


class VariableDeclaration(Section):
    """A value that can differ from run to run."""

    default: Omittable[Text] = Field(
        default=None,
        description="The value if neither the command line nor the environment sets one.",
    )
    description: Omittable[Text] = Field(
        default=None, description="A note for people. segctl does not use it."
    )


class Provider(Section):
    """The CleverTap service to write to, and how fast."""

    region: Omittable[Region] = Field(
        default=None,
        description="The region of the CleverTap account. The default is in1; eu1 is the default "
        "European host.",
    )
    base_url: Omittable[Line] = Field(
        default=None,
        description="The URL of the service instead of a region, such as a local emulator's.",
    )
    allow_plain_http: Boolean = Field(
        default=False,
        description="Allow a URL with http:// that is not this machine. The passcode and all user "
        "keys are sent unencrypted.",
    )
    create_body: Literal["array", "wrapped"] = Field(
        default="array",
        description="The body of createSegment, as `segctl probe` finds it: array is the bare "
        "array of CleverTap's sample, wrapped an object with a segments array.",
    )
    concurrency: Concurrency = Field(
        default=3, description="Requests in flight per call. CleverTap allows 3."
    )
    settle_seconds: Seconds = Field(
        default=30.0,
        description="Seconds to wait before reversing a change whose request got no answer.",
    )
    counting: Literal["strict", "distinct"] = Field(
        default="strict",
        description="How to count the limits of a request, which CleverTap does not document: "
        "strict adds up its entries, distinct counts each user and each segment action once.",
    )
    max_refused_percent: Percent = Field(
        default=25.0,
        description="The share of requests refused for their content at which an apply stops.",
    )


class KeySource(Section):
    """Where a key comes from: exactly one of the two."""

    env: Omittable[EnvironmentName] = Field(
        default=None, description="The environment variable with the key, 32 bytes in base64."
    )
    command: Omittable[Annotated[list[Line], Field(min_length=1)]] = Field(
        default=None,
        description="A program and its arguments that print the key, such as a client of a KMS.",
    )


class EncryptionSettings(Section):
    """How the state and saved plans are encrypted."""

    key: Omittable[KeySource] = Field(
        default=None,
        description="The key to encrypt with. Without it, what is written is not encrypted.",
    )
    old_keys: list[KeySource] = Field(
        default_factory=list, description="Keys that only decrypt what was written with them."
    )
    enforced: Boolean = Field(
        default=False, description="Refuse a state and plans that are not encrypted."
    )


class StateSettings(Section):
    """Where to keep the state, the record of what was created and sent."""

    backend: Literal["local", "objectStore"] = Field(
        default="local",
        description="Where the state is: local is a folder of this machine, objectStore a folder "
        "of a bucket.",
    )
    path: Omittable[Line] = Field(
        default=None,
        description="The folder of a local state, absolute or relative to the workspace root. "
        "Without it, the workspace root.",
    )
    url: Omittable[Line] = Field(
        default=None,
        description="The folder of a state in a bucket: s3://BUCKET/FOLDER, gs:// or az://.",
    )
    lease_seconds: Annotated[Seconds, Field(ge=MIN_LEASE_SECONDS, le=MAX_LEASE_SECONDS)] = Field(
        default=DEFAULT_LEASE_SECONDS,
        description="How long the lock of a state in a bucket outlives its holder. A run that "
        "cannot renew the lock stops sending after half of it.",
    )
    encryption: Omittable[EncryptionSettings] = Field(
        default=None, description="How the state and saved plans are encrypted."
    )


class ApprovalSettings(Section):
    """How much data may change after a plan was approved, in each segment and direction.

    Where both limits are set, both hold. Those of the approved plan count.
    """

    tolerance_percent: Omittable[Percent] = Field(
        default=None,
        description="Membership changes beyond the approved ones, as a share of the segment's "
        "members before or after the approved plan, whichever are more.",
    )
    tolerance_members: Omittable[Count] = Field(
        default=None, description="The number of membership changes beyond the approved ones."
    )


class RejectSettings(Section):
    """What to do with memberships that CleverTap refused."""

    retry_after_days: Omittable[Days] = Field(
        default=None,
        description="Days after which a refused membership is sent again. Without it, never.",
    )


class Connection(Section):
    """A PostgreSQL database that sources may read."""

    env: EnvironmentName = Field(
        description="The environment variable that holds the URL of the database. The URL itself "
        "belongs nowhere else."
    )
    timeout_seconds: TimeLimit = Field(
        default=600.0, description="Seconds after which the server cancels a query."
    )


class QuerySettings(Section):
    """What one query over files may take. It runs in a process that is ended at these limits."""

    timeout_seconds: TimeLimit = Field(
        default=DEFAULT_QUERY_LIMITS.timeout_seconds,
        description="Seconds after which a query is stopped.",
    )
    memory: Size = Field(
        default=f"{DEFAULT_QUERY_LIMITS.memory // 10**9}GB",
        description="Memory of a query, such as 512MB or 4GB.",
    )
    scratch: Size = Field(
        default=f"{DEFAULT_QUERY_LIMITS.scratch // 10**9}GB",
        description="Scratch files of a query, such as 20GB.",
    )


class EnvironmentSpec(Section):
    """What differs in one environment."""

    provider: Provider = Field(
        default=Provider(), description="Fields of spec.provider for this environment."
    )
    state: StateSettings = Field(
        default=StateSettings(), description="Where this environment keeps its state."
    )
    variables: dict[VariableName, Text] = Field(
        default={}, description="Values of variables that spec.variables declares."
    )
    guards: ProjectGuards = Field(
        default=ProjectGuards(), description="Fields of spec.guards for this environment."
    )
    approval: ApprovalSettings = Field(
        default=ApprovalSettings(), description="Fields of spec.approval for this environment."
    )
    allow: Omittable[ProjectAllow] = Field(
        default=None, description="The override of this environment, instead of spec.allow."
    )
    change_freeze: list[ChangeFreeze] = Field(
        default=[],
        description="The change freezes of this environment, instead of spec.changeFreeze.",
    )


class ProjectSpec(Section):
    """The settings of a workspace."""

    provider: Provider = Field(default=Provider(), description="The CleverTap service.")
    state: StateSettings = Field(default=StateSettings(), description="Where to keep the state.")
    variables: dict[VariableName, VariableDeclaration] = Field(
        default={}, description="Values to use as ${var.NAME} or, in SQL, as $NAME."
    )
    guards: ProjectGuards = Field(
        default=ProjectGuards(), description="Limits on how much one plan may change."
    )
    approval: ApprovalSettings = Field(
        default=ApprovalSettings(),
        description="What `segctl apply --approved` sends beyond the approved plan.",
    )
    allow: Omittable[ProjectAllow] = Field(
        default=None, description="What one plan may do beyond these limits, for a time."
    )
    change_freeze: list[ChangeFreeze] = Field(
        default=[], description="Times in which nothing is applied."
    )
    rejects: RejectSettings = Field(
        default=RejectSettings(), description="Memberships that CleverTap refused."
    )
    environments: dict[Name, EnvironmentSpec] = Field(
        default={},
        description="Environments such as staging and production, by name. A command chooses one "
        "with -e or SEGCTL_ENV.",
    )
    suppress: list[MemberSource] = Field(
        default=[], description="Sources of users to leave out of every managed segment."
    )
    patterns: dict[Literal["identity", "guid"], RegularExpression] = Field(
        default={},
        description="Regular expressions for whole values, in the syntax of RE2, by kind. Sources "
        "with a pattern of their own are not affected.",
    )
    rules: list[ProjectRule] = Field(
        default=[], description="What must be true of several segments. Every plan checks it."
    )
    connections: dict[Name, Connection] = Field(
        default={}, description="The databases that sources may read, by name."
    )
    queries: QuerySettings = Field(
        default=QuerySettings(), description="What one query over files may take."
    )
    time_zone: TimeZone = Field(
        default=DEFAULT_TIME_ZONE,
        description="The time zone of queries, and of the dates and months of guards, such as "
        "Asia/Kolkata.",
    )
    ignore: list[Line] = Field(
        default=[],
        description="Files and folders of other tools that are not read, as in .gitignore.",
    )
    allow_folders: list[Line] = Field(
        default=[], description="Folders outside the workspace that sources may read."
    )
    allow_commands: list[Line] = Field(
        default=[], description="Programs that sources may run, exactly as the sources name them."
    )


class Metadata(Section):
    """The name of a document."""

    name: Name = Field(description="The name, unique in the workspace.")


Labels = Annotated[
    dict[Text, Text],
    Field(description="Notes for people and reports. CleverTap never receives them."),
]


class SegmentMetadata(Metadata):
    """The name and labels of a segment."""

    labels: Labels = Field(default={})


def _members_form(value: object) -> str:
    return "<word>" if isinstance(value, str) else "<sources>"


Members = Annotated[
    Annotated[list[MemberSource], Tag("<sources>")]
    | Annotated[Literal["unmanaged"], Tag("<word>")],
    Discriminator(_members_form),
]
"""A list of sources, or the word for a segment whose members segctl does not manage."""


class LifecycleSettings(Section):
    """What happens when the manifest of the segment is removed. The state keeps this."""

    prevent_destroy: Boolean = Field(
        default=False, description="Whether to refuse a plan that would destroy the segment."
    )
    on_remove: Literal["empty", "forget"] = Field(
        default="empty",
        description="empty removes the members from CleverTap, forget only deletes the record.",
    )


# Fields of segments, whether declared in a Segment or in a SegmentTable. They are types and not a
# base class, since ``fmt`` writes fields in the order of their declaration.
DisplayName = Annotated[
    Line, Field(description="The segment's name in CleverTap, unique in the workspace.")
]
Intersect = Annotated[
    list[MemberSource],
    Field(description="Sources to narrow the segment: a member must be in each of them."),
]
Exclude = Annotated[
    list[MemberSource],
    Field(description="Sources of users to leave out, even if other sources include them."),
]
Holdout = Annotated[
    Omittable[HoldoutSettings], Field(description="A stable share of users to leave out.")
]
Rules = Annotated[
    list[SegmentRule],
    Field(description="What must be true of the segment's members. Every plan checks it."),
]
Guards = Annotated[GuardSettings, Field(description="The segment's own limits.")]
Allow = Annotated[
    Omittable[SegmentAllow],
    Field(description="What one plan may do beyond the segment's limits, for a time."),
]
Lifecycle = Annotated[
    LifecycleSettings, Field(description="What happens when the manifest is removed.")
]


class TableSegment(Section):
    """One segment of a table."""

    display_name: DisplayName
    customer_segment_id: Omittable[Line] = Field(
        default=None,
        description="The segment's id in requests to CleverTap. The default is its name here.",
    )
    labels: Labels = Field(default={})
    intersect: Intersect = Field(default=[])
    exclude: Exclude = Field(default=[])
    holdout: Holdout = None
    rules: Rules = Field(default=[])
    guards: Guards = GuardSettings()
    allow: Allow = None
    lifecycle: Lifecycle = LifecycleSettings()


class SegmentSpec(Section):
    """The segment and its members."""

    display_name: DisplayName
    customer_segment_id: Omittable[Line] = Field(
        default=None,
        description="The segment's id in requests to CleverTap. The default is metadata.name.",
    )
    members: Omittable[Members] = Field(
        default=None,
        description="The sources whose union is the segment, or unmanaged: segctl then creates "
        "the segment and leaves its members alone.",
    )
    intersect: Intersect = Field(default=[])
    exclude: Exclude = Field(default=[])
    holdout: Holdout = None
    rules: Rules = Field(default=[])
    guards: Guards = GuardSettings()
    allow: Allow = None
    lifecycle: Lifecycle = LifecycleSettings()


class MembershipSpec(Section):
    """Segments and the members to add to each of them."""

    segments: Annotated[list[Text], Field(min_length=1)] = Field(
        description="The names of the segments that receive every member."
    )
    members: list[MemberSource] = Field(description="The sources of the members.")


class SegmentTableSpec(Section):
    """A table with a column that names the segment of each row."""

    source: TableSource = Field(description="The source of the table.")
    segment_column: Line = Field(description="The column that names the segment of each row.")
    segments: Annotated[dict[Name, TableSegment], Field(min_length=1)] = Field(
        description="The segments, by the values of the column."
    )
    other_values: Literal["error", "ignore"] = Field(
        default="error", description="What to do with rows whose segment is not listed."
    )


class _Document(Section):
    """Base class of the kinds of document."""

    api_version: Literal["segctl/v1"] = Field(description="The version of this format.")


class ProjectDocument(_Document):
    """The settings of a workspace, in segctl.yaml."""

    kind: Literal["Project"] = Field(description="The kind of the document.")
    metadata: Metadata = Field(description="The name of the workspace.")
    spec: ProjectSpec = Field(default=ProjectSpec(), description="The settings.")


class SegmentDocument(_Document):
    """One segment."""

    kind: Literal["Segment"] = Field(description="The kind of the document.")
    metadata: SegmentMetadata = Field(description="The name and labels of the segment.")
    spec: SegmentSpec = Field(description="The segment and its members.")


class MembershipDocument(_Document):
    """Members of several segments, for teams that manage users rather than segments."""

    kind: Literal["Membership"] = Field(description="The kind of the document.")
    metadata: Metadata = Field(description="The name of the membership.")
    spec: MembershipSpec = Field(description="The segments and their members.")


class SegmentTableDocument(_Document):
    """One table with the members of many segments, read once."""

    kind: Literal["SegmentTable"] = Field(description="The kind of the document.")
    metadata: Metadata = Field(description="The name of the table.")
    spec: SegmentTableSpec = Field(description="The table and its segments.")


class RefactoringDocument(_Document):
    """Changes to the record of segments: adopt, move or remove them. Each is applied once."""

    kind: Literal["Refactoring"] = Field(description="The kind of the document.")
    spec: RefactoringSpec = Field(description="The blocks.")


AnyDocument = (
    ProjectDocument
    | SegmentDocument
    | MembershipDocument
    | SegmentTableDocument
    | RefactoringDocument
)

KINDS: dict[str, type[AnyDocument]] = {
    "Project": ProjectDocument,
    "Segment": SegmentDocument,
    "Membership": MembershipDocument,
    "SegmentTable": SegmentTableDocument,
    "Refactoring": RefactoringDocument,
}
