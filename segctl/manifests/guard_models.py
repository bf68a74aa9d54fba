"""Models of guards, of overrides, which allow more for a time, and of change freezes."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from segctl.core.local_time import begin_of, end_of, is_moment, parse_hours
from segctl.manifests.base_model import Section
from segctl.manifests.field_types import (
    Boolean,
    Count,
    GrowthPercent,
    Line,
    Omittable,
    Percent,
    Text,
    field_error,
)

_MOMENT_PATTERN = r"^2\d{3}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?$"


def _moment(value: str) -> str:
    if not is_moment(value):
        raise field_error(
            "wrong-value",
            "{name} is neither a date nor a time.",
            "Write a date such as 2026-12-01, or a time such as 2026-12-01T18:00.",
        )
    return value


def _reason(value: str) -> str:
    if not any(character.isalnum() for character in value):
        summary = "{name} does not say why."
        raise field_error("blank", summary, "Write for the reviewers why this is right.")
    return value


def _hours(value: str) -> str:
    try:
        begin, end = parse_hours(value)
    except ValueError:
        raise field_error(
            "wrong-value", "{name} is not a range of hours.", "Write them as 18:00-08:00."
        ) from None
    if begin == end:
        summary = "{name} begins and ends at the same time."
        raise field_error("wrong-value", summary, "Write days, or hours such as 18:00-08:00.")
    return value


Moment = Annotated[
    Text,
    AfterValidator(_moment),
    WithJsonSchema({"type": "string", "pattern": _MOMENT_PATTERN}),
]
"""A date, or a date and a time, in the time zone of the workspace unless it has an offset."""

Until = Annotated[
    Moment,
    Field(
        description="The last day of the override, or a time such as 2026-12-01T18:00, in "
        "spec.timeZone. At most 90 days from now."
    ),
]
Reason = Annotated[
    Line,
    AfterValidator(_reason),
    Field(description="Why it is right. Every plan that uses the override shows it."),
]
Hours = Annotated[
    Text,
    AfterValidator(_hours),
    WithJsonSchema({"type": "string", "pattern": r"^\d{2}:\d{2}-\d{2}:\d{2}$"}),
]
ShrinkPercent = Annotated[
    Omittable[Percent],
    Field(description="The share that a source that takes members away may lose, in percent."),
]


class GuardSettings(Section):
    """Limits on how much one plan may change this segment.

    The state keeps them after the manifest is removed.
    """

    max_remove_percent: Omittable[Percent] = Field(
        default=None, description="The share of the recorded members that one plan may remove."
    )
    from_members: Omittable[Count] = Field(
        default=None,
        description="The recorded members from which limits in percent apply. A smaller segment "
        "may lose or gain any share.",
    )
    allow_empty: Omittable[Boolean] = Field(
        default=None, description="Whether a segment with recorded members may become empty."
    )
    max_add_percent: Omittable[GrowthPercent] = Field(
        default=None,
        description="How many members one plan may add, in percent of the recorded ones, from "
        "fromMembers on.",
    )
    max_add: Omittable[Count] = Field(
        default=None, description="How many members one plan may add to a recorded segment."
    )
    max_new_shapes_percent: Omittable[Percent] = Field(
        default=None,
        description="The share of the added members whose shape, such as digits:8 or email, no "
        "recorded member has, from fromMembers on.",
    )


class ProjectGuards(Section):
    """Limits on how much one plan may change. A segment may set its own."""

    max_remove_percent: Percent = Field(
        default=30.0,
        description="The share of a segment's recorded members that one plan may remove.",
    )
    from_members: Count = Field(
        default=10,
        description="The recorded members from which limits in percent apply. A smaller segment "
        "may lose or gain any share.",
    )
    allow_empty: Boolean = Field(
        default=False, description="Whether a segment with recorded members may become empty."
    )
    max_add_percent: Omittable[GrowthPercent] = Field(
        default=None,
        description="How many members one plan may add to a segment, in percent of the recorded "
        "ones, from fromMembers on.",
    )
    max_add: Omittable[Count] = Field(
        default=None, description="How many members one plan may add to a recorded segment."
    )
    max_new_shapes_percent: Omittable[Percent] = Field(
        default=None,
        description="The share of a segment's added members whose shape, such as digits:8 or "
        "email, no recorded member has, from fromMembers on.",
    )
    max_destroys: Count = Field(
        default=5, description="The number of segments that one plan may destroy."
    )
    max_creates: Omittable[Count] = Field(
        default=None, description="The number of segments that one plan may create."
    )
    max_billable_events: Omittable[Count] = Field(
        default=None, description="The number of billable events that one plan may have."
    )
    max_requests: Omittable[Count] = Field(
        default=None, description="The number of requests that one plan may need."
    )
    max_billable_events_per_month: Omittable[Count] = Field(
        default=None,
        description="The number of billable events that the plans of a calendar month may have.",
    )
    max_requests_per_month: Omittable[Count] = Field(
        default=None,
        description="The number of requests that the plans of a calendar month may need.",
    )


class _Override(Section):
    """Base class of overrides: they allow something, until a time, for a reason."""

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        fields = {n: f for n, f in type(self).model_fields.items() if f.default is None}
        if all(getattr(self, name) in (None, False) for name in fields):
            things = [str(field.alias) for field in fields.values()]
            summary = "this override allows nothing."
            raise field_error("no-effect", summary, f"Add one of {', '.join(things)}.")
        return self


class SegmentAllow(_Override):
    """What one plan may do to this segment beyond its guards, for a time."""

    removals: Omittable[Count] = Field(
        default=None, description="How many recorded members one plan may remove."
    )
    empty: Omittable[Boolean] = Field(
        default=None, description="Whether one plan may remove all of them."
    )
    additions: Omittable[Count] = Field(
        default=None, description="How many members one plan may add."
    )
    new_shapes: Omittable[Count] = Field(
        default=None,
        description="How many members with a shape that no recorded member has one plan may add.",
    )
    shrink_percent: ShrinkPercent = None
    until: Until
    reason: Reason


class ProjectAllow(_Override):
    """What one plan may do beyond the limits of spec.guards, for a time."""

    destroys: Omittable[Count] = Field(
        default=None, description="How many segments one plan may destroy or replace."
    )
    creates: Omittable[Count] = Field(
        default=None, description="How many segments one plan may create."
    )
    billable_events: Omittable[Count] = Field(
        default=None, description="How many billable events one plan may have."
    )
    requests: Omittable[Count] = Field(
        default=None, description="How many requests one plan may need."
    )
    billable_events_per_month: Omittable[Count] = Field(
        default=None, description="How many billable events a calendar month may have."
    )
    requests_per_month: Omittable[Count] = Field(
        default=None, description="How many requests a calendar month may have."
    )
    shrink_percent: ShrinkPercent = None
    freeze: Omittable[Boolean] = Field(
        default=None, description="Whether to apply during a change freeze."
    )
    until: Until
    reason: Reason


class ChangeFreeze(Section):
    """A time in which nothing is applied: from and to, or days and hours that repeat."""

    from_: Omittable[Moment] = Field(
        default=None,
        alias="from",
        title="From",
        description="The first day, or a time, in spec.timeZone.",
    )
    to: Omittable[Moment] = Field(default=None, description="The last day, or a time.")
    days: Omittable[
        Annotated[
            list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]], Field(min_length=1)
        ]
    ] = Field(default=None, description="The days of each week on which it begins.")
    daily: Omittable[Hours] = Field(
        default=None,
        description="Its hours on these days, or on every day, such as 18:00-08:00.",
    )
    reason: Omittable[Line] = Field(default=None, description="Why, for those who are refused.")

    @model_validator(mode="after")
    def _check_form(self) -> Self:
        dated, repeated = {"from_", "to"}, {"days", "daily"}
        given = self.model_fields_set - {"reason"}
        if not (given == dated or (given and given <= repeated)):
            raise field_error(
                "freeze-form",
                "a change freeze has from and to, or days, or daily, or days and daily.",
                "Write it as {from: 2026-12-20, to: 2027-01-02} or {days: [sat, sun]}.",
            )
        if self.from_ and self.to and begin_of(self.from_, "UTC") >= end_of(self.to, "UTC"):
            raise field_error("wrong-value", "the freeze ends before it begins.", "Swap them.")
        if self.days and len(set(self.days)) == 7 and not self.daily:
            raise field_error("wrong-value", "the freeze never ends.", "Leave out a day.")
        return self
