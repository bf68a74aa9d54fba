"""The plan as a value: changes, request counts and findings.

The member changes themselves are columns in a Parquet file next to the plan, ``delta.parquet``.
There is no object per member anywhere.
Field names are the keys of a saved plan: see ``plan.codec``.
"""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from segctl.core.approval import ApprovalTolerance, BeyondChanges
from segctl.core.certificate import Certificate
from segctl.core.codec import OPTIONAL
from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Severity
from segctl.core.fingerprints import SourceCounts
from segctl.core.identity import Kind, SetDigest
from segctl.core.request_limits import Counting
from segctl.manifests.desired import DEFAULT_TIME_ZONE, Lifecycle
from segctl.manifests.limits import Freeze, Guards, PlanGuards, PlanOverride, SegmentOverride
from segctl.state.restrictions import Restriction
from segctl.state.shapes import Shapes
from segctl.state.usage import MonthUsage


class Action(StrEnum):
    """What a plan does with a segment."""

    CREATE = "create"
    ADOPT = "adopt"
    UPDATE = "update"
    REPLACE = "replace"
    DESTROY = "destroy"
    FORGET = "forget"
    NO_OP = "no-op"


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """The attributes of a segment that a plan compares: everything but its members.

    ``allow`` is its override. It is declared only: the state does not record it, and a difference
    is no change.
    """

    display_name: str
    customer_segment_id: str | None
    labels: Mapping[str, str] = field(default_factory=dict)
    managed: bool = True
    guards: Guards = Guards()
    lifecycle: Lifecycle = Lifecycle()
    allow: SegmentOverride | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, kw_only=True)
class MemberCounts:
    """How many members a segment has, gains and loses.

    ``before`` counts the recorded members, ``after`` the members once the plan is applied.
    ``add`` and ``remove`` leave out the ``reasserted`` changes, which repeat a request that
    got no trustworthy answer. ``quarantined`` changes were refused by the service and are
    not sent. ``held_out`` and ``suppressed`` count users who would otherwise be members; a
    user who is both counts as held out only.
    """

    before: int = 0
    after: int = 0
    add: int = 0
    remove: int = 0
    reasserted: int = 0
    quarantined: int = 0
    held_out: int = 0
    suppressed: int = 0

    @property
    def sent(self) -> int:
        """The number of membership changes that are sent."""
        return self.add + self.remove + self.reasserted


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A few of the added and removed members, sorted, as examples for the reviewer."""

    add: tuple[tuple[Kind, str], ...] = field(default=(), repr=False)
    remove: tuple[tuple[Kind, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Users:
    """A number of users, and the first few of them, sorted."""

    count: int = 0
    sample: tuple[tuple[Kind, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class AttributeChange:
    """One attribute that differs: its dotted path and both values, ``None`` if absent."""

    path: str
    before: object
    after: object


@dataclass(frozen=True, kw_only=True)
class Change:
    """What the plan does with one segment, and why.

    ``before`` and ``after`` are the recorded and the declared attributes, ``None`` if the
    segment is not recorded or not declared. ``target`` is the index in ``Plan.targets`` of
    the segment that gets the members, and ``old_target``, for a replace, the index of the
    segment that is emptied. A segment that is only forgotten has no target. ``definition`` is the
    digest of how its members are computed, empty if it is not declared. ``moved_from`` is the
    address at which the segment is recorded, if that is another one. For a segment that a block
    imports, ``imported`` identifies the members that are recorded of it before anything is sent.
    """

    address: str
    action: Action
    reason: str
    before: Attributes | None = None
    after: Attributes | None = None
    attributes: tuple[AttributeChange, ...] = ()
    members: MemberCounts = MemberCounts()
    sample: Sample = Sample()
    target: int | None = None
    old_target: int | None = None
    definition: str = field(default="", metadata=OPTIONAL)
    moved_from: str | None = field(default=None, metadata=OPTIONAL)
    imported: SetDigest | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A segment in CleverTap that the plan creates or sends members to.

    Requests name it by exactly one of the two ids: ``customer_segment_id`` if it is known,
    else ``ct_segment_id``. ``sources`` is the fingerprint of everything its members were
    computed from, ``None`` if a source cannot be fingerprinted.
    """

    address: str
    customer_segment_id: str | None
    ct_segment_id: int | None = None
    display_name: str
    create: bool = False
    sources: str | None = field(default=None, metadata=OPTIONAL)

    @property
    def key(self) -> str:
        """The segment's id in requests, unique in the account."""
        return self.customer_segment_id or f"ct:{self.ct_segment_id}"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The numbers of a finding, for programs and for views that group findings.

    ``count`` is a number of users, rows, segments or segment pairs, out of ``of`` if the
    total is known. ``limit`` is the number that the rule or guard allows or requires.
    ``segments`` are addresses, and ``place`` is the location of the rule or source in the
    manifests, as ``file:line:column``.
    """

    count: int
    of: int | None = None
    limit: int | None = None
    segments: tuple[str, ...] = ()
    place: str | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that a reviewer should see. A plan with an error finding is not applied.

    ``sample`` holds a few of the users it is about. ``summary`` and ``detail`` never contain
    user keys, so they are safe to log.
    """

    severity: Severity
    code: str
    summary: str
    detail: str = ""
    address: str | None = None
    sample: tuple[tuple[Kind, str], ...] = field(default=(), repr=False)
    figures: Figures | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, kw_only=True)
class HeldBack:
    """Segments for which nothing is sent, and why: what a guard, a rule or a source refuses.

    ``code`` is that of the refusal. ``place`` is its location as ``file:line:column``.
    """

    code: str
    reason: str
    segments: tuple[str, ...]
    place: str | None = None


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Users who leave one segment and join another in the same plan, by address.

    A user who leaves or joins several segments is counted in each pair.
    """

    leaves: str
    joins: str
    users: int


@dataclass(frozen=True, kw_only=True)
class Requests:
    """How many requests the plan needs.

    ``create`` and ``update`` count the requests to send. ``naive`` is the number of update
    requests without packing, at 100 users of one (segment, action) each, and ``floor`` the
    best proven lower bound.
    """

    create: int = 0
    update: int = 0
    naive: int = 0
    floor: int = 0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What the plan costs: the seconds it takes to send, and the events CleverTap bills."""

    seconds: float = 0.0
    billable_events: int = 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that is reviewed and applied, except the member columns.

    ``lineage``, ``serial``, ``account``, ``host`` and ``workspace_digest`` identify what the
    plan was made from. ``digest`` identifies its content and is the same on every machine.
    ``targeted`` holds the ``--target`` patterns, ``excluded`` those of ``--exclude``, and ``held``
    the segments that ``--hold`` leaves out. Requests from index ``settle_from`` on
    reverse a change whose last request got no answer; they are sent no earlier than
    ``settled_at`` (seconds since 1970). ``sources`` holds the row counts of the sources by
    fingerprint, ``rules`` the fingerprints of the rules that hold, and ``restrictions`` what the
    next plan compares the sources that take members away with. ``made_at`` (seconds since 1970)
    and ``commit`` say when and from what it was made; they do not count in a comparison of plans.
    For the rest of a plan that was applied in part, ``remaining`` counts the membership changes to
    send; ``changes`` are those of the whole plan. ``env_name`` is the environment, empty for none.
    ``flows`` are the moves between segments, largest first, ``None`` if they were not counted.
    ``tolerance`` is how far a later plan may go beyond this one if it is approved, and
    ``rules_digest`` the digest of all rules. ``approved`` is the digest of the approved plan that
    this one is applied for, empty if there is none, and ``beyond`` the changes of this one that
    the approved plan does not have.
    ``guards`` and ``allow`` are the limits on the whole plan and what it may do beyond them;
    ``freezes`` are times in ``time_zone`` in which it is not applied. ``month`` is what was sent in
    the calendar month before it was made. ``shapes`` are those of the recorded members of segments
    that guard them, by address. ``certificates`` prove the lower bound on the update requests:
    one for the changes that are sent at once and one for those that wait, each if there are any.
    """

    lineage: str
    serial: int
    account: str | None
    host: str
    workspace_digest: str
    digest: str
    segctl_version: str
    variables: Mapping[str, str] = field(default_factory=dict)
    destroy: bool = False
    targeted: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    targets: tuple[Target, ...] = ()
    findings: tuple[Finding, ...] = ()
    requests: Requests = Requests()
    estimate: Estimate = Estimate()
    max_destroys: int = 5
    settle_seconds: float = 30.0
    max_refused_percent: float = 25.0
    counting: Counting = "strict"
    concurrency: int = 3
    settle_from: int | None = None
    settled_at: float = 0.0
    sources: Mapping[str, SourceCounts] = field(default_factory=dict, metadata=OPTIONAL)
    rules: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    restrictions: tuple[Restriction, ...] = field(default=(), metadata=OPTIONAL)
    made_at: float = field(default=0.0, compare=False, metadata=OPTIONAL)
    commit: str = field(default="", compare=False, metadata=OPTIONAL)
    remaining: int | None = field(default=None, metadata=OPTIONAL)
    env_name: str = field(default="", metadata=OPTIONAL)
    flows: tuple[Flow, ...] | None = field(default=(), metadata=OPTIONAL)
    tolerance: ApprovalTolerance = field(default=ApprovalTolerance(), metadata=OPTIONAL)
    rules_digest: str = field(default="", metadata=OPTIONAL)
    approved: str = field(default="", compare=False, metadata=OPTIONAL)
    beyond: tuple[BeyondChanges, ...] = field(default=(), compare=False, metadata=OPTIONAL)
    guards: PlanGuards = field(default=PlanGuards(), metadata=OPTIONAL)
    allow: PlanOverride | None = field(default=None, metadata=OPTIONAL)
    freezes: tuple[Freeze, ...] = field(default=(), metadata=OPTIONAL)
    time_zone: str = field(default=DEFAULT_TIME_ZONE, metadata=OPTIONAL)
    month: MonthUsage | None = field(default=None, metadata=OPTIONAL)
    shapes: Mapping[str, Shapes] = field(default_factory=dict, metadata=OPTIONAL)
    excluded: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    held: tuple[HeldBack, ...] = field(default=(), metadata=OPTIONAL)
    certificates: tuple[Certificate, ...] = field(default=(), metadata=OPTIONAL)

    def count(self, *actions: Action) -> int:
        """Count the changes that have one of these actions."""
        return sum(change.action in actions for change in self.changes)

    @property
    def members_add(self) -> int:
        """The number of added members, summed over all segments."""
        return sum(change.members.add for change in self.changes)

    @property
    def members_remove(self) -> int:
        """The number of removed members, summed over all segments."""
        return sum(change.members.remove for change in self.changes)

    @property
    def reasserted(self) -> int:
        """The number of membership changes that repeat an unanswered request."""
        return sum(change.members.reasserted for change in self.changes)

    @property
    def members_changed(self) -> int:
        """The number of membership changes of the whole plan."""
        return sum(change.members.sent for change in self.changes)

    @property
    def members_to_send(self) -> int:
        """The number of membership changes to send."""
        return self.members_changed if self.remaining is None else self.remaining

    @property
    def is_empty(self) -> bool:
        """Whether every change is a no-op."""
        return all(change.action is Action.NO_OP for change in self.changes)

    @property
    def is_partial(self) -> bool:
        """Whether segments are left out: only some are targeted, or some are excluded or held."""
        return bool(self.targeted or self.excluded or self.held)

    @property
    def held_segments(self) -> tuple[str, ...]:
        """The addresses of the segments that are held back, sorted."""
        return tuple(sorted({address for held in self.held for address in held.segments}))

    @property
    def error_findings(self) -> tuple[Finding, ...]:
        """The error findings. They keep the plan from being applied."""
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)
