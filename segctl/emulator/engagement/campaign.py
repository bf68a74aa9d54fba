"""Campaigns as values: what a user defines, and what became of it.

The vendor's pages document two kinds: *offline* campaigns, which go to the users of some
segments at one time, and *online* campaigns, which a Segment Membership Change event
triggers.  A *journey* is entered on the event.  The emulator's own API creates them; the
vendor creates them in the dashboard.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from segctl.emulator.query_language import Condition

OFFLINE = "offline"
ONLINE = "online"
JOURNEY = "journey"
KINDS = (OFFLINE, ONLINE, JOURNEY)
CHANNELS = ("email", "sms", "push", "webhook")
ANY = "ANY"

DRAFT = "draft"
SCHEDULED = "scheduled"
RUNNING = "running"
COMPLETED = "completed"
STOPPED = "stopped"
STATUSES = (DRAFT, SCHEDULED, RUNNING, COMPLETED, STOPPED)
PENDING = "pending"
SENT = "sent"
UNREACHABLE = "unreachable"
FAILED = "failed"
CANCELLED = "cancelled"
"""A pending trigger of a stopped campaign."""

IN_USE = frozenset({SCHEDULED, RUNNING})
"""A segment that a campaign in one of these uses cannot be deleted, say the vendor's pages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TriggerRule:
    """Which events trigger a campaign. ``segment`` None: those of every segment."""

    action: str
    segment: int | None
    where: tuple[Condition, ...] = ()
    delay_seconds: float = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhook:
    """Where a campaign posts to. ``secret`` signs the requests and is never shown."""

    url: str
    secret: str | None = field(default=None, repr=False)
    key_values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """What a user defines. Segments are named by their CleverTap ids."""

    name: str
    kind: str
    channel: str
    include: tuple[int, ...] = ()
    exclude: tuple[int, ...] = ()
    when: str | None = None
    """``now``, a time in ISO 8601, or None for a draft."""
    trigger: TriggerRule | None = None
    webhook: Webhook | None = None
    exit_on_leave: bool = False
    """Whether a user leaves the journey on leaving the segment."""

    @property
    def segments(self) -> frozenset[int]:
        """The segments that the campaign uses."""
        of_trigger = (
            () if self.trigger is None or self.trigger.segment is None else (self.trigger.segment,)
        )
        return frozenset({*self.include, *self.exclude, *of_trigger})

    def stored(self) -> dict[str, Any]:
        """Return the definition as it is stored, with its secret."""
        return asdict(self)

    @staticmethod
    def from_stored(document: dict[str, Any]) -> "Definition":
        """Return the definition that ``stored`` returned."""
        trigger, webhook = document["trigger"], document["webhook"]
        if trigger is not None:
            where = [
                Condition(**{**each, "values": tuple(each["values"])}) for each in trigger["where"]
            ]
            trigger = TriggerRule(**{**trigger, "where": tuple(where)})
        return Definition(
            **{
                **document,
                "include": tuple(document["include"]),
                "exclude": tuple(document["exclude"]),
                "trigger": trigger,
                "webhook": None if webhook is None else Webhook(**webhook),
            }
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Campaign:
    """A campaign and its figures."""

    id: int
    account: int
    """The account's number."""
    definition: Definition
    status: str
    created_at: float
    starts_at: float | None = None
    """Seconds since 1970; None for a draft."""
    position: int = 0
    """The next event to look at; of an offline campaign, the next user of its audience."""
    audience: int | None = None
    """Users at the time of an offline campaign; None before."""
    reachable: int | None = None
    triggers: int = 0
    failed: int = 0
    """Triggers whose last attempt failed."""
    entries: int = 0
    """Entries into a journey."""
    exits: int = 0

    @property
    def is_in_use(self) -> bool:
        """Whether the campaign is scheduled or running."""
        return self.status in IN_USE

    @property
    def waits_for_events(self) -> bool:
        """Whether membership events trigger the campaign now."""
        return self.status == RUNNING and self.definition.kind != OFFLINE


@dataclass(frozen=True, kw_only=True, slots=True)
class Trigger:
    """One message to send: to the user of an event, or to a part of an audience."""

    id: int
    campaign: int
    event: int | None
    """The number of the event; None for a part of an audience."""
    action: str | None
    segment: int | None
    ts: float
    """The time of the event, or of the campaign."""
    due: float
    status: str
    """Pending, sent, unreachable or failed."""
    attempts: int
    """Attempts so far."""
    users: tuple[int, ...]
    """Profile numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One attempt to deliver: an HTTP status, or the kind of error."""

    number: int
    started: float
    ms: float
    status: int | None
    error: str | None
