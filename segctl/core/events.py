"""Events that an apply reports while it runs; ``cli/`` and ``render/`` show them."""

from collections.abc import Callable, Mapping
from dataclasses import field

from segctl.core.approval import ApprovalCheck
from segctl.core.dataclass import dataclass
from segctl.core.outcomes import Outcome


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """An interrupted apply was merged into the state: its requests by outcome."""

    acknowledged: int
    uncertain: int


@dataclass(frozen=True, kw_only=True)
class StateNamed:
    """The state was named in ``file``, which is made to be committed."""

    file: str


@dataclass(frozen=True, kw_only=True)
class ApprovalChecked:
    """Today's plan was compared with the approved one, and may be applied."""

    check: ApprovalCheck


@dataclass(frozen=True, kw_only=True)
class ApplyStarted:
    """All checks passed; the first request is sent next."""

    creates: int
    requests: int
    changes: int


@dataclass(frozen=True, kw_only=True)
class Settling:
    """The apply waits ``seconds`` before it reverses pairs whose last request was not answered."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class CreateDone:
    """A createSegment request ended; ``addresses`` are its segments."""

    addresses: tuple[str, ...]
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class RequestDone:
    """An updateSegment request ended; it contained ``changes`` membership changes.

    After it was refused as a whole, it was sent again in ``parts`` requests. ``segments`` counts
    the changes by address and outcome; one can have another outcome than the rest of its request.
    """

    request: int
    outcome: Outcome
    changes: int
    attempts: int = 1
    parts: int = 0
    throttled: int = 0
    detail: str = ""
    segments: Mapping[str, Mapping[Outcome, int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RateLimited:
    """The service answered 429; the request is sent again after ``seconds``."""

    call: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ApplyEnded:
    """The apply ended; ``acknowledged`` to ``not_tried`` count update requests by outcome.

    ``changes`` counts acknowledged membership changes. ``quarantined`` counts changes that were
    refused one by one while the rest of their request was accepted. ``not_created`` counts
    segments whose creation was not acknowledged; their members were not sent. ``parts`` counts the
    requests, of either call, that were sent because another was refused as a whole.
    """

    acknowledged: int
    refused: int
    failed: int
    uncertain: int
    not_tried: int
    changes: int
    seconds: float
    quarantined: int = 0
    not_created: int = 0
    parts: int = 0
    interrupted: bool = False


ApplyEvent = (
    Recovered
    | ApprovalChecked
    | ApplyStarted
    | Settling
    | CreateDone
    | RequestDone
    | RateLimited
    | ApplyEnded
)
"""What an apply does."""

Event = ApplyEvent | StateNamed
Observer = Callable[[Event], None]


def ignore_event(event: Event) -> None:
    """Ignore an event; the default observer."""
    del event
