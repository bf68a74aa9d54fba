"""Models of hold-outs, and of rules for the members of one or several segments."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from segctl.manifests.base_model import Section
from segctl.manifests.field_types import Count, Line, Omittable, Percent, Text, field_error

Names = Annotated[list[Text], Field(min_length=1)]


class HoldoutSettings(Section):
    """A stable share of users to leave out of a segment, to measure its effect."""

    percent: Percent = Field(description="The share of users to leave out.")
    salt: Omittable[Line] = Field(
        default=None,
        description="Text that selects the users: the same salt selects the same users in every "
        "segment. The default is the segment's customerSegmentId.",
    )


class SubsetRule(Section):
    """Another segment that contains all members of this one."""

    of: Text = Field(description="The name of the segment that must contain all members.")


class SubsetsRule(SubsetRule):
    """A segment that contains all members of other segments."""

    segments: Names = Field(description="The names of the segments to check.")


class SizeRule(Section):
    """The number of members that a segment may have."""

    min: Omittable[Count] = Field(default=None, description="The fewest members allowed.")
    max: Omittable[Count] = Field(default=None, description="The most members allowed.")

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if self.min is None and self.max is None:
            summary = "a size rule without min and max has no effect."
            raise field_error("no-effect", summary, "Add min or max.")
        if self.min is not None and self.max is not None and self.min > self.max:
            summary = f"min ({self.min:,}) is greater than max ({self.max:,})."
            raise field_error("wrong-value", summary, "Swap them, or correct one of them.")
        return self


class SizesRule(SizeRule):
    """The number of members that each of several segments may have."""

    segments: Names = Field(description="The names of the segments to check.")


_ONE_FORM: JsonDict = {
    "oneOf": [{"required": ["disjoint"]}, {"required": ["subset"]}, {"required": ["size"]}]
}


def _at_least_two(names: list[str]) -> list[str]:
    if len(names) < 2:
        raise field_error("too-few", "{name} needs at least two segments.", "Add another one.")
    return names


RuleSeverity = Annotated[
    Literal["error", "warning"],
    Field(
        description="What breaking the rule does: error refuses the plan, warning informs its "
        "reviewer."
    ),
]


class _Rule(Section):
    """Base class of a rule, which has exactly one form and a severity."""

    model_config = ConfigDict(json_schema_extra=_ONE_FORM)

    @model_validator(mode="after")
    def _check_one_form(self) -> Self:
        forms = self.model_fields_set - {"severity"}
        if len(forms) != 1:
            raise field_error(
                "rule-form",
                "a rule needs exactly one of disjoint, subset and size.",
                "Put each rule in its own list item." if forms else "Add one of them.",
            )
        return self


class SegmentRule(_Rule):
    """What must be true of a segment's members: one of disjoint, subset and size."""

    disjoint: Omittable[Names] = Field(
        default=None, description="The names of segments that may share no member with this one."
    )
    subset: Omittable[SubsetRule] = Field(
        default=None, description="The segment that must contain all members of this one."
    )
    size: Omittable[SizeRule] = Field(
        default=None, description="The number of members that this segment may have."
    )
    severity: RuleSeverity = "error"


class ProjectRule(_Rule):
    """What must be true of several segments: one of disjoint, subset and size."""

    disjoint: Omittable[Annotated[list[Text], AfterValidator(_at_least_two)]] = Field(
        default=None, description="The names of segments of which no two may share a member."
    )
    subset: Omittable[SubsetsRule] = Field(
        default=None, description="Segments whose members must all be in another one."
    )
    size: Omittable[SizesRule] = Field(
        default=None, description="The number of members that each segment may have."
    )
    severity: RuleSeverity = "error"
