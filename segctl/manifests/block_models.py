"""Models of the blocks of a Refactoring: segments to adopt, to move, to remove."""

from typing import Annotated, Literal

from pydantic import Field

from segctl.manifests.base_model import Section
from segctl.manifests.field_types import Address, Line, Omittable, Positive
from segctl.manifests.source_models import MemberSource


class ImportBlock(Section):
    """A segment that exists in CleverTap and is not recorded yet. Nothing is created."""

    address: Address = Field(description="The address of a declared segment.")
    customer_segment_id: Omittable[Line] = Field(
        default=None,
        description="The segment's id in requests. The default is the one that its manifest has.",
    )
    ct_segment_id: Omittable[Positive] = Field(
        default=None,
        description="CleverTap's own id of the segment, if it has no customerSegmentId.",
    )
    members: Omittable[Annotated[list[MemberSource], Field(min_length=1)]] = Field(
        default=None,
        description="The sources of the users who are in it today. Without them, the segment is "
        "recorded as empty, and users who are in it and not declared stay in it.",
    )


class MovedBlock(Section):
    """A segment that is recorded at another address than its manifest has now."""

    from_: Address = Field(alias="from", description="The address at which it is recorded.")
    to: Address = Field(description="The address of its manifest.")


class RemovedBlock(Section):
    """A recorded segment without a manifest."""

    address: Address = Field(description="The address of the recorded segment.")
    on_remove: Literal["empty", "forget"] = Field(
        description="What happens, in place of the recorded lifecycle.onRemove: empty removes the "
        "members from CleverTap, forget only deletes the record."
    )


class RefactoringSpec(Section):
    """What the next apply does to the record, once."""

    import_: list[ImportBlock] = Field(
        default=[], alias="import", description="Segments to adopt from CleverTap."
    )
    moved: list[MovedBlock] = Field(default=[], description="Segments with a new address.")
    removed: list[RemovedBlock] = Field(
        default=[], description="What becomes of segments whose manifests are gone."
    )
