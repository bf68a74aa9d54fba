"""What an apply tells while it runs; the screen turns these into a bar, lines or JSON."""

from collections.abc import Callable
from dataclasses import dataclass

from segctl.core.outcomes import Outcome


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """The journal of an interrupted apply was taken into the state."""

    acknowledged: int
    uncertain: int


@dataclass(frozen=True, kw_only=True)
class ApplyStarted:
    """Everything was checked; the first request is about to leave."""

    creates: int
    requests: int
    changes: int


@dataclass(frozen=True, kw_only=True)
class Settling:
    """Waiting ``seconds`` before turning round pairs whose last request got no answer."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class CreateDone:
    """One createSegment request ended; ``addresses`` are the segments in it."""

    addresses: tuple[str, ...]
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class RequestDone:
    """One updateSegment request ended; ``changes`` memberships were in it."""

    request: int
    outcome: Outcome
    changes: int
    attempts: int = 1
    throttled: int = 0
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class RateLimited:
    """The service answered 429; the request waits ``seconds`` and goes again."""

    call: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ApplyEnded:
    """The apply is over.

    Counts of update requests by outcome; ``changes`` memberships were acknowledged and
    ``quarantined`` ones refused singly, out of requests that were otherwise accepted.
    ``not_created`` segments were to be created and have no acknowledgement; what was to
    go into them was left out of the requests.
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
    interrupted: bool = False


Event = Recovered | ApplyStarted | Settling | CreateDone | RequestDone | RateLimited | ApplyEnded
Observer = Callable[[Event], None]


def ignore_event(event: Event) -> None:
    """Observe nothing."""
    del event
