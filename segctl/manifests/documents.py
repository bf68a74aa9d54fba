"""The four kinds of document, as written: the one source of the JSON Schemas.

Field names are camelCase in YAML.  Descriptions are shown by editors and in the
diagnostics of missing fields, so each is a sentence that stands alone.
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from segctl.manifests.base_model import Section
from segctl.manifests.field_types import (
    Boolean,
    Concurrency,
    Count,
    Days,
    EnvironmentName,
    Given,
    Line,
    Name,
    Percent,
    Seconds,
    Text,
    TimeLimit,
    VariableName,
)
from segctl.manifests.rule_models import HoldoutSettings, ProjectRule, SegmentRule
from segctl.manifests.source_models import MemberSource, TableSource

API_VERSION = "segctl/v1"

Region = Literal["in1", "sg1", "us1", "aps3", "mec1", "eu1"]


class VariableDeclaration(Section):
    """A value that differs from run to run."""

    default: Given[Text] = Field(
        default=None, description="The value where neither --var nor the environment gives one."
    )
    description: Given[Text] = Field(
        default=None, description="What the variable is for; shown to people only."
    )


class Provider(Section):
    """Which CleverTap service is written to, and how fast."""

    region: Given[Region] = Field(
        default=None,
        description="The region of the CleverTap account; in1 where left out, eu1 for the "
        "default European host.",
    )
    base_url: Given[Line] = Field(
        default=None,
        description="The address of the service instead of a region, such as a local emulator's.",
    )
    concurrency: Concurrency = Field(
        default=3, description="Requests in flight per call; the service allows 3."
    )
    settle_seconds: Seconds = Field(
        default=30.0,
        description="Seconds to wait before turning round a pair whose last request got no answer.",
    )
    counting: Literal["strict", "distinct"] = Field(
        default="strict",
        description="How the limits of a request are counted, which the vendor leaves open: strict "
        "sums over its entries, distinct counts each user and each segment action once.",
    )
    max_refused_percent: Percent = Field(
        default=25.0,
        description="The share of requests refused for their content at which an apply stops.",
    )


class StateSettings(Section):
    """Where the record of what was made and sent is kept."""

    backend: Literal["local", "objectStore"] = Field(
        default="local", description="The place of the state; local is the workspace folder."
    )


class GuardSettings(Section):
    """Limits on how much one plan may change this segment; they outlive the manifest."""

    max_remove_percent: Given[Percent] = Field(
        default=None, description="The share of the recorded members that one plan may remove."
    )
    from_members: Given[Count] = Field(
        default=None, description="Segments with fewer recorded members may lose any share."
    )
    allow_empty: Given[Boolean] = Field(
        default=None, description="Whether a segment with recorded members may become empty."
    )


class ProjectGuards(Section):
    """Limits on how much one plan may change; a segment may set its own."""

    max_remove_percent: Percent = Field(
        default=30.0, description="The share of a segment's recorded members a plan may remove."
    )
    from_members: Count = Field(
        default=10, description="Segments with fewer recorded members may lose any share."
    )
    allow_empty: Boolean = Field(
        default=False, description="Whether a segment with recorded members may become empty."
    )
    max_destroys: Count = Field(default=5, description="How many segments one plan may destroy.")


class RejectSettings(Section):
    """What becomes of memberships that CleverTap refused."""

    retry_after_days: Given[Days] = Field(
        default=None,
        description="Days after which a refused membership is sent again; never where left out.",
    )


class Connection(Section):
    """A PostgreSQL database that sources may read."""

    env: EnvironmentName = Field(
        description="The environment variable that holds the URL, which stands nowhere else."
    )
    timeout_seconds: TimeLimit = Field(
        default=600.0, description="Seconds after which the server ends a query."
    )


class ProjectSpec(Section):
    """The settings of a workspace."""

    provider: Provider = Field(default=Provider(), description="The CleverTap service.")
    state: StateSettings = Field(default=StateSettings(), description="Where state is kept.")
    variables: dict[VariableName, VariableDeclaration] = Field(
        default={}, description="Values that ${var.NAME} and, in SQL, $NAME stand for."
    )
    guards: ProjectGuards = Field(default=ProjectGuards(), description="Limits on changes.")
    rejects: RejectSettings = Field(
        default=RejectSettings(), description="Memberships that CleverTap refused."
    )
    suppress: list[MemberSource] = Field(
        default=[], description="Sources of users who are in no managed segment at all."
    )
    rules: list[ProjectRule] = Field(
        default=[], description="What must be true across segments, checked in every plan."
    )
    connections: dict[Name, Connection] = Field(
        default={}, description="The databases that sources may read, by name."
    )
    allow_folders: list[Line] = Field(
        default=[], description="Folders outside of the workspace that sources may read."
    )
    allow_commands: list[Line] = Field(
        default=[], description="Programs that sources may run, as they are named there."
    )


class Metadata(Section):
    """What a document is called."""

    name: Name = Field(description="The name, unique in the workspace.")


class SegmentMetadata(Metadata):
    """What a segment is called."""

    labels: dict[Text, Text] = Field(
        default={}, description="Notes for people and reports; never sent to CleverTap."
    )


def _members_form(value: object) -> str:
    return "<word>" if isinstance(value, str) else "<sources>"


Members = Annotated[
    Annotated[list[MemberSource], Tag("<sources>")]
    | Annotated[Literal["unmanaged"], Tag("<word>")],
    Discriminator(_members_form),
]
"""A list of sources, or the word that leaves a segment's members alone."""


class LifecycleSettings(Section):
    """What becomes of a segment whose manifest goes away; kept in state."""

    prevent_destroy: Boolean = Field(
        default=False, description="Whether a plan that would destroy the segment is refused."
    )
    on_remove: Literal["empty", "forget"] = Field(
        default="empty",
        description="empty removes the members from CleverTap; forget only drops our record.",
    )


class TableSegment(Section):
    """One segment of a table."""

    display_name: Line = Field(
        description="The segment's name in CleverTap, unique in the workspace."
    )
    customer_segment_id: Given[Line] = Field(
        default=None, description="The segment's id on the wire; its name here where left out."
    )
    labels: dict[Text, Text] = Field(
        default={}, description="Notes for people and reports; never sent to CleverTap."
    )
    intersect: list[MemberSource] = Field(
        default=[], description="Sources that every member must be in, each of them."
    )
    exclude: list[MemberSource] = Field(
        default=[], description="Sources of users who are never in it, whatever else says so."
    )
    holdout: Given[HoldoutSettings] = Field(
        default=None, description="A stable share of users to leave out."
    )
    rules: list[SegmentRule] = Field(
        default=[], description="What must be true of its members, checked in every plan."
    )
    guards: GuardSettings = Field(default=GuardSettings(), description="The segment's own limits.")
    lifecycle: LifecycleSettings = Field(
        default=LifecycleSettings(), description="What becomes of it without its manifest."
    )


class SegmentSpec(Section):
    """What a segment is, and who is in it."""

    display_name: Line = Field(
        description="The segment's name in CleverTap, unique in the workspace."
    )
    customer_segment_id: Given[Line] = Field(
        default=None, description="The segment's id on the wire; metadata.name where left out."
    )
    members: Given[Members] = Field(
        default=None,
        description="The sources, whose union is the segment; or unmanaged, to leave "
        "whatever is in it alone.",
    )
    intersect: list[MemberSource] = Field(
        default=[], description="Sources that every member must be in, each of them."
    )
    exclude: list[MemberSource] = Field(
        default=[], description="Sources of users who are never in it, whatever else says so."
    )
    holdout: Given[HoldoutSettings] = Field(
        default=None, description="A stable share of users to leave out."
    )
    rules: list[SegmentRule] = Field(
        default=[], description="What must be true of its members, checked in every plan."
    )
    guards: GuardSettings = Field(default=GuardSettings(), description="The segment's own limits.")
    lifecycle: LifecycleSettings = Field(
        default=LifecycleSettings(), description="What becomes of it without its manifest."
    )


class MembershipSpec(Section):
    """Users times segments."""

    segments: Annotated[list[Text], Field(min_length=1)] = Field(
        description="The names of the segments that every member is in."
    )
    members: list[MemberSource] = Field(description="The sources of the members.")


class SegmentTableSpec(Section):
    """One table that says for each row which segment it fills."""

    source: TableSource = Field(description="The table: a file or a query.")
    segment_column: Line = Field(description="The column that says which segment a row fills.")
    segments: Annotated[dict[Name, TableSegment], Field(min_length=1)] = Field(
        description="The segments, by the column's values."
    )
    other_values: Literal["error", "ignore"] = Field(
        default="error", description="What to do with rows whose segment is not listed."
    )


class _Headed(Section):
    api_version: Literal["segctl/v1"] = Field(description="The version of this format.")


class ProjectDocument(_Headed):
    """The settings of a workspace; stands in segctl.yaml."""

    kind: Literal["Project"] = Field(description="The kind of the document.")
    metadata: Metadata = Field(description="What the workspace is called.")
    spec: ProjectSpec = Field(default=ProjectSpec(), description="The settings.")


class SegmentDocument(_Headed):
    """One segment."""

    kind: Literal["Segment"] = Field(description="The kind of the document.")
    metadata: SegmentMetadata = Field(description="What the segment is called.")
    spec: SegmentSpec = Field(description="What it is, and who is in it.")


class MembershipDocument(_Headed):
    """Users times segments, for teams that own users rather than segments."""

    kind: Literal["Membership"] = Field(description="The kind of the document.")
    metadata: Metadata = Field(description="What the membership is called.")
    spec: MembershipSpec = Field(description="Who is in which segments.")


class SegmentTableDocument(_Headed):
    """One table, many segments, read once."""

    kind: Literal["SegmentTable"] = Field(description="The kind of the document.")
    metadata: Metadata = Field(description="What the table is called.")
    spec: SegmentTableSpec = Field(description="The table and its segments.")


AnyDocument = ProjectDocument | SegmentDocument | MembershipDocument | SegmentTableDocument

KINDS: dict[str, type[AnyDocument]] = {
    "Project": ProjectDocument,
    "Segment": SegmentDocument,
    "Membership": MembershipDocument,
    "SegmentTable": SegmentTableDocument,
}
