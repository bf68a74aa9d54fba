"""What an approved plan allows, and how a later plan compares with it."""

import re
from dataclasses import dataclass

PLAN_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
"""A plan's digest, under which it is kept and approved."""

APPROVAL_DAYS = 30
"""How long a plan is kept, and an approval counts."""

APPROVAL_SECONDS = APPROVAL_DAYS * 86_400.0


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
    are not among the approved ones.
    """

    approved: int = 0
    sent: int = 0
    beyond: int = 0

    @property
    def dropped(self) -> int:
        """The number of approved changes that are not sent today."""
        return self.approved - (self.sent - self.beyond)


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
        most = max(self.add.beyond, self.remove.beyond)
        return bool(self.problems) or most > self.tolerance


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
