"""Models of the settings of a workspace: ``spec`` of ``segctl.yaml``, a document of kind Project.

Editors show the descriptions, and so does the diagnostic of a missing field.
"""

from typing import Annotated, Literal

from pydantic import Field

from segctl.core.request_limits import Counting
from segctl.manifests.base_model import Section
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
    ProjectAllow,
    ProjectGuards,
)
from segctl.manifests.rule_models import ProjectRule
from segctl.manifests.source_models import MemberSource
from segctl.manifests.state_place import (
    DEFAULT_LEASE_SECONDS,
    MAX_LEASE_SECONDS,
    MIN_LEASE_SECONDS,
)

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
    counting: Counting = Field(
        default="strict",
        description="How to count the limits of a request, which CleverTap does not document: "
        "strict adds up its entries, distinct counts each user and each segment action once, "
        "pairs counts users × segment actions.",
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
