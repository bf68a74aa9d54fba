"""Models of the kinds of document. The JSON Schemas are generated from them.

Field names are camelCase in YAML. Editors show the descriptions, and so does the diagnostic of a
missing field: "Add displayName: the segment's name in CleverTap."
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from segctl.manifests.base_model import Section
from segctl.manifests.block_models import RefactoringSpec
from segctl.manifests.field_types import (
    Boolean,
    Line,
    Name,
    Omittable,
    Text,
)
from segctl.manifests.guard_models import (
    GuardSettings,
    SegmentAllow,
)
from segctl.manifests.project_models import ProjectSpec
from segctl.manifests.rule_models import HoldoutSettings, SegmentRule
from segctl.manifests.source_models import MemberSource, TableSource

API_VERSION = "segctl/v1"


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
