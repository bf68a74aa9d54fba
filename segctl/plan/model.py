"""The plan: changes, packed requests and findings, as a value that can be held.

The member changes themselves travel beside it, as columns in Parquet files
(``delta`` and ``batches``); there is no object per member anywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from segctl.core.codec import OPTIONAL
from segctl.core.diagnostics import Severity
from segctl.core.fingerprints import SourceCounts
from segctl.core.identity import Kind
from segctl.manifests.desired import Guards, Lifecycle


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
    """A segment without its members; compared with deepdiff."""

    display_name: str
    customer_segment_id: str | None
    labels: Mapping[str, str] = field(default_factory=dict)
    managed: bool = True
    guards: Guards = Guards()
    lifecycle: Lifecycle = Lifecycle()


@dataclass(frozen=True, kw_only=True)
class MemberCounts:
    """How many members a segment has, gains and loses.

    ``reasserted`` changes repeat a request that got no trustworthy answer; they
    are in neither ``add`` nor ``remove``.  ``quarantined`` ones were refused by
    the service and are not sent.  ``held_out`` and ``suppressed`` count users who would
    be members otherwise; one who is held out counts there alone.
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
        """How many membership changes travel."""
        return self.add + self.remove + self.reasserted


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Some of the members that come and go, sorted, for a reader to recognise."""

    add: tuple[tuple[Kind, str], ...] = field(default=(), repr=False)
    remove: tuple[tuple[Kind, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Users:
    """How many users something is true of, and the first few of them, sorted."""

    count: int = 0
    sample: tuple[tuple[Kind, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class AttributeChange:
    """One attribute that differs: a dotted path, both values, ``None`` where absent."""

    path: str
    before: object
    after: object


@dataclass(frozen=True, kw_only=True)
class Change:
    """What the plan does with one segment, and why.

    ``target`` and ``old_target`` index ``Plan.targets``: where members are sent
    for the segment, and, in a replace, for the one that it takes the place of.
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


@dataclass(frozen=True, kw_only=True)
class Target:
    """A segment of the service that the plan sends members to, or creates.

    Exactly one of the two ids goes on the wire (``customer_segment_id`` if known).
    ``sources`` is the fingerprint of what its members were computed from, where that can
    be recognised again.
    """

    address: str
    customer_segment_id: str | None
    ct_segment_id: int | None = None
    display_name: str
    create: bool = False
    sources: str | None = field(default=None, metadata=OPTIONAL)

    @property
    def key(self) -> str:
        """The segment's name on the wire, unique in the account."""
        return self.customer_segment_id or f"ct:{self.ct_segment_id}"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a finding says, in numbers: for programs, and to tell many findings as one.

    ``count`` users, rows, segments or pairs of them, out of ``of`` where that is known;
    ``limit`` of them a rule or guard allows, or asks for.  ``segments`` are the addresses
    it is about, and ``place`` is where the rule or the source stands in the manifests.
    """

    count: int
    of: int | None = None
    limit: int | None = None
    segments: tuple[str, ...] = ()
    place: str | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something the plan wants a reviewer to see; severity error refuses the plan.

    ``sample`` shows some of the users it is about; no text of a finding names any.
    """

    severity: Severity
    code: str
    summary: str
    detail: str = ""
    address: str | None = None
    sample: tuple[tuple[Kind, str], ...] = field(default=(), repr=False)
    figures: Figures | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, kw_only=True)
class Requests:
    """How many requests the plan needs, and what it would be without packing.

    ``naive`` sends 100 users of one (segment, action) at a time; ``floor`` is the
    best proven lower bound.
    """

    create: int = 0
    update: int = 0
    naive: int = 0
    floor: int = 0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What the plan costs: seconds of sending, and events that the service bills."""

    seconds: float = 0.0
    billable_events: int = 0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything a reader reviews and an apply needs, but for the member columns.

    ``lineage``, ``serial``, ``account``, ``host`` and ``workspace_digest`` say what
    the plan was made against; ``digest`` identifies its content whatever machine or
    engine made it.  ``targeted`` holds the ``--target`` patterns.  Requests from
    ``settle_from`` on turn round pairs whose last request got no answer, and leave
    no earlier than ``settled_at`` (seconds since 1970).  ``sources`` says what sources
    held, by their fingerprints, ``rules`` which rules hold, by theirs.
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
    counting: Literal["strict", "distinct"] = "strict"
    concurrency: int = 3
    settle_from: int | None = None
    settled_at: float = 0.0
    sources: Mapping[str, SourceCounts] = field(default_factory=dict, metadata=OPTIONAL)
    rules: tuple[str, ...] = field(default=(), metadata=OPTIONAL)

    def count(self, *actions: Action) -> int:
        """Give the number of changes with one of these actions."""
        return sum(change.action in actions for change in self.changes)

    @property
    def members_add(self) -> int:
        """Memberships gained, over all segments."""
        return sum(change.members.add for change in self.changes)

    @property
    def members_remove(self) -> int:
        """Memberships lost, over all segments."""
        return sum(change.members.remove for change in self.changes)

    @property
    def reasserted(self) -> int:
        """Membership changes that repeat an unanswered request."""
        return sum(change.members.reasserted for change in self.changes)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return all(change.action is Action.NO_OP for change in self.changes)

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """The findings that keep this plan from being applied."""
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)
