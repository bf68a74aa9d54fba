"""What is said of segments as sets, as written: hold-outs, and rules across segments."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from segctl.manifests.base_model import Section
from segctl.manifests.field_types import Count, Given, Line, Percent, Text, problem

Names = Annotated[list[Text], Field(min_length=1)]


class HoldoutSettings(Section):
    """A stable share of users that a segment leaves out, to measure what it does."""

    percent: Percent = Field(description="The share of users that are left out.")
    salt: Given[Line] = Field(
        default=None,
        description="Picks the users; the same salt picks the same ones in every segment. "
        "The segment's customerSegmentId where left out.",
    )


class SubsetRule(Section):
    """Whose members this segment's members must be too."""

    of: Text = Field(description="The name of the segment that has all of them.")


class SubsetsRule(SubsetRule):
    """Whose members the members of some segments must be too."""

    segments: Names = Field(description="The names of the segments that lie within it.")


class SizeRule(Section):
    """How many members a segment may have."""

    min: Given[Count] = Field(default=None, description="The fewest members that are fine.")
    max: Given[Count] = Field(default=None, description="The most members that are fine.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.min is None and self.max is None:
            raise problem("no-effect", "a size without min and max has no effect.", "Add one.")
        if self.min is not None and self.max is not None and self.min > self.max:
            summary = f"min is {self.min:,}, which is more than max ({self.max:,})."
            raise problem("wrong-value", summary, "No segment has such a size; swap them?")
        return self


class SizesRule(SizeRule):
    """How many members each of some segments may have."""

    segments: Names = Field(description="The names of the segments that are counted.")


_ONE_FORM: JsonDict = {
    "oneOf": [{"required": ["disjoint"]}, {"required": ["subset"]}, {"required": ["size"]}]
}


def _several(names: list[str]) -> list[str]:
    if len(names) < 2:
        raise problem("too-few", "{name} needs two segments at least.", "Add another one.")
    return names


RuleSeverity = Annotated[
    Literal["error", "warning"],
    Field(description="error refuses a plan that breaks the rule; warning tells its reviewer."),
]


class _Rule(Section):
    """Exactly one form, and how grave it is to break it."""

    model_config = ConfigDict(json_schema_extra=_ONE_FORM)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set - {"severity"}) != 1:
            raise problem(
                "rule-form",
                "a rule has exactly one of disjoint, subset and size.",
                "Give each its own list item.",
            )
        return self


class SegmentRule(_Rule):
    """What must be true of a segment's members: one of disjoint, subset and size."""

    disjoint: Given[Names] = Field(
        default=None, description="The names of segments that share no member with this one."
    )
    subset: Given[SubsetRule] = Field(
        default=None, description="The segment that has all of these members too."
    )
    size: Given[SizeRule] = Field(default=None, description="How many members it may have.")
    severity: RuleSeverity = "error"


class ProjectRule(_Rule):
    """What must be true across segments: one of disjoint, subset and size."""

    disjoint: Given[Annotated[list[Text], AfterValidator(_several)]] = Field(
        default=None, description="The names of segments of which no two share a member."
    )
    subset: Given[SubsetsRule] = Field(
        default=None, description="Segments that lie within another one."
    )
    size: Given[SizesRule] = Field(default=None, description="How many members they may have.")
    severity: RuleSeverity = "error"
