"""What an approved plan allows, and how a later plan compares with it."""

import re
from collections.abc import Mapping
from dataclasses import field

from segctl.core.dataclass import dataclass

PLAN_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
"""A plan's digest, under which it is kept and approved."""

APPROVAL_DAYS = 30
"""How long a plan is kept, and an approval counts."""

APPROVAL_SECONDS = APPROVAL_DAYS * 86_400.0

MAX_APPROVALS = 1_000
"""How many used approvals a state remembers, the latest ones."""


@dataclass(frozen=True, kw_only=True)
class ApprovalTolerance:
    """How much data may change between approval and apply, in one segment and direction.

    ``percent`` is a share of the members that the segment has before or after the approved plan,
    whichever are more. Where both limits are set, both hold. Without any, nothing may go beyond.
    """

    percent: float | None = None
    members: int | None = None

    def limit(self, size: int) -> int:
        """Return how many membership changes may go beyond, for a segment of ``size`` members."""
        limits = [] if self.percent is None else [int(size * self.percent / 100)]
        limits += [] if self.members is None else [self.members]
        return min(limits, default=0)


NO_TOLERANCE = ApprovalTolerance()


@dataclass(frozen=True, kw_only=True)
class PairCounts:
    """Membership changes of one segment in one direction: ADD or REMOVE.

    ``approved`` counts those of the approved plan, ``sent`` those of today's. ``beyond`` of them
    are not among the approved ones. ``earlier`` counts those beyond that earlier runs sent on the
    same approval.
    """

    approved: int = 0
    sent: int = 0
    beyond: int = 0
    earlier: int = 0

    @property
    def dropped(self) -> int:
        """The number of approved changes that are not sent today."""
        return self.approved - (self.sent - self.beyond)


@dataclass(frozen=True, kw_only=True)
class BeyondChanges:
    """``count`` changes of one request that are not among the approved ones.

    ``key`` is the id of the segment in requests, ``action`` is ADD or REMOVE.
    """

    key: str
    action: str
    request: int
    count: int

    @property
    def name(self) -> str:
        """The name under which ``ApprovalUse`` counts them."""
        return f"{self.action} {self.key}"


@dataclass(frozen=True, kw_only=True)
class ApprovalUse:
    """What was sent on an approval: ``at`` is the last time, in seconds since 1970.

    ``beyond`` counts the changes that were sent beyond the approved plan, by action and segment,
    such as ``ADD gold``. A ``finished`` one cannot be used again.
    """

    at: float
    finished: bool = False
    beyond: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SegmentApproval:
    """How one segment of today's plan differs from the approved plan.

    ``tolerance`` is how many changes may go beyond in each direction; ``intolerance`` says why
    there is none although the approved plan has a tolerance. ``problems`` are other things that
    were not approved, each as the rest of a sentence about the segment.
    """

    address: str
    add: PairCounts = PairCounts()
    remove: PairCounts = PairCounts()
    tolerance: int = 0
    intolerance: str = ""
    problems: tuple[str, ...] = ()

    @property
    def is_beyond(self) -> bool:
        """Whether the segment changes more than was approved and is tolerated."""
        return bool(self.problems) or any(
            counts.beyond and counts.beyond + counts.earlier > self.tolerance
            for counts in (self.add, self.remove)
        )


@dataclass(frozen=True, kw_only=True)
class ApprovalCheck:
    """Today's plan compared with the approved plan ``digest``.

    ``segments`` are those that differ. ``problems`` are about the whole plan.
    """

    digest: str
    segments: tuple[SegmentApproval, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def beyond(self) -> tuple[SegmentApproval, ...]:
        """The segments that change more than was approved and is tolerated."""
        return tuple(segment for segment in self.segments if segment.is_beyond)

    @property
    def is_beyond(self) -> bool:
        """Whether today's plan must not be applied on this approval."""
        return bool(self.problems or self.beyond)
