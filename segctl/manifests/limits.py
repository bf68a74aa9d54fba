"""Limits on what plans may change, as values: guards, overrides of guards, and change freezes."""

from dataclasses import field
from typing import Literal

from segctl.core.codec import OPTIONAL
from segctl.core.dataclass import dataclass


@dataclass(frozen=True, kw_only=True)
class Guards:
    """Limits on how much one plan may change a segment.

    One plan may remove ``max_remove_percent`` of the recorded members of a segment with at least
    ``from_members`` of them. With ``allow_empty`` it may remove all of them. It may add
    ``max_add_percent`` of their number to such a segment, and ``max_add`` members to any recorded
    one. Of the added members of such a segment, ``max_new_shapes_percent`` may have a shape that no
    recorded member has. ``None`` is no limit.
    """

    max_remove_percent: float = 30.0
    from_members: int = 10
    allow_empty: bool = False
    max_add_percent: float | None = field(default=None, metadata=OPTIONAL)
    max_add: int | None = field(default=None, metadata=OPTIONAL)
    max_new_shapes_percent: float | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, kw_only=True)
class PlanGuards:
    """Limits on one plan, and on what all plans of a calendar month send. ``None`` is no limit.

    ``max_destroys`` is not here, as saved plans have it in a field of its own.
    """

    max_creates: int | None = field(default=None, metadata=OPTIONAL)
    max_billable_events: int | None = field(default=None, metadata=OPTIONAL)
    max_requests: int | None = field(default=None, metadata=OPTIONAL)
    max_billable_events_per_month: int | None = field(default=None, metadata=OPTIONAL)
    max_requests_per_month: int | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, kw_only=True)
class Override:
    """What a plan may do beyond a guard, for a time.

    ``until`` is the end as it is written, ``expires_at`` the same in seconds since 1970. With
    ``shrink_percent``, sources that take members away may lose that share.
    """

    until: str
    expires_at: float
    reason: str
    shrink_percent: float | None = field(default=None, metadata=OPTIONAL)

    def has_expired(self, now: float) -> bool:
        """Whether it allows nothing any more; ``now`` is in seconds since 1970."""
        return now >= self.expires_at


@dataclass(frozen=True, kw_only=True)
class SegmentOverride(Override):
    """How many members one plan may remove from a segment and add to it; ``empty``: all of them.

    ``new_shapes`` is how many members with a shape that no recorded member has may be added.
    """

    removals: int | None = field(default=None, metadata=OPTIONAL)
    additions: int | None = field(default=None, metadata=OPTIONAL)
    new_shapes: int | None = field(default=None, metadata=OPTIONAL)
    empty: bool = field(default=False, metadata=OPTIONAL)


@dataclass(frozen=True, kw_only=True)
class PlanOverride(Override):
    """What one plan may do beyond ``PlanGuards``, and with ``freeze`` during a change freeze."""

    destroys: int | None = field(default=None, metadata=OPTIONAL)
    creates: int | None = field(default=None, metadata=OPTIONAL)
    billable_events: int | None = field(default=None, metadata=OPTIONAL)
    requests: int | None = field(default=None, metadata=OPTIONAL)
    billable_events_per_month: int | None = field(default=None, metadata=OPTIONAL)
    requests_per_month: int | None = field(default=None, metadata=OPTIONAL)
    freeze: bool = field(default=False, metadata=OPTIONAL)


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


@dataclass(frozen=True, kw_only=True)
class Freeze:
    """A time in which nothing is sent: from ``begins_at`` to ``ends_at``, or one that repeats.

    The latter begins on each of the ``days``, all if empty, and lasts for these ``hours``, such as
    ``18:00-08:00``, or for the whole day if there are none.
    """

    begins_at: float | None = None
    ends_at: float | None = None
    days: tuple[Weekday, ...] = ()
    hours: str = ""
    reason: str = ""
