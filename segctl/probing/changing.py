"""Questions about memberships: a few changes, whose events ``judging.py`` looks at.

Everything is sent first and read once, behind a change whose event is sure to come, so
that an event that is missing is missing and not late.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from segctl.probing.probe_run import (
    CreatedSegment,
    Declined,
    ProbeRun,
    Reply,
    User,
    Verdict,
    observed,
)
from segctl.probing.report import Cost, ProbeFinding
from segctl.probing.watching import Seen, Unreadable, Watch

EVENT_KEYS = (
    "noop_changes",
    "both_ids",
    "numeric_string_id",
    "lower_case_action",
    "conflict_order",
)
"""Questions that events alone can answer."""

_ONE = Cost(profiles=1, events=1)
_AT_ONCE = 1.0
"""Seconds within which a change counts as shown at once."""


@dataclass(kw_only=True)
class Sent:
    """The changes that were sent, by question; a question that is absent was declined."""

    replies: dict[str, tuple[Reply, ...]] = field(default_factory=dict)
    number: int = 0


@dataclass(frozen=True, kw_only=True)
class Events:
    """The events of all that was sent, and the exchange that read them."""

    seen: Sequence[Seen]
    evidence: int

    def of(self, user: str, segment: CreatedSegment) -> Counter[str]:
        """Count the actions of one user's events in one segment."""
        return Counter(
            each.action
            for each in self.seen
            if each.customer_id == segment.customer_id
            and any(user.lower() in name for name in each.users)
        )


def first_change(
    lab: ProbeRun, watch: Watch, first: CreatedSegment, *, patience: float
) -> list[ProbeFinding]:
    """Add a user and wait until Get Events shows it.

    Raises ``Unreadable`` where it does not within ``patience`` seconds.
    """
    lab.update(([lab.user(1)], [_line(first, "ADD")]), purpose="add a user to the first", cost=_ONE)
    begun = lab.clock.monotonic()
    name = lab.user(1)["identity"]
    pause, before = 1.0, 0.0
    while True:
        waited = lab.clock.monotonic() - begun
        seen = watch.read()
        if any(name in each.users for each in seen):
            break
        if waited >= patience:
            raise Unreadable(f"Get Events did not show the change within {patience:g} seconds")
        before = waited
        lab.service.wait(pause)
        pause = min(pause * 1.5, 10.0)
    seen = watch.read(purpose="read events: the first change is there")
    _learn_id(lab, first, seen)
    if waited < _AT_ONCE:
        return [_lag("at once", 0, watch)]
    return [_lag(f"after {before:.0f} to {waited:.0f} seconds", round(waited * 1000), watch)]


def _lag(said: str, milliseconds: int, watch: Watch) -> ProbeFinding:
    settings = {"visibility_lag_ms": milliseconds}
    return observed("visibility_lag_ms", said, watch.evidence, settings=settings)


def _learn_id(lab: ProbeRun, first: CreatedSegment, seen: Sequence[Seen]) -> None:
    """Take the first segment's CleverTap id from an event where no answer told it."""
    told = {each.ct_id for each in seen if each.customer_id == first.customer_id}
    if first.ct_id is None and len(told) == 1:
        lab.first = CreatedSegment(name=first.name, customer_id=first.customer_id, ct_id=told.pop())


def send(lab: ProbeRun, first: CreatedSegment, second: CreatedSegment, *, watched: bool) -> Sent:
    """Send the changes; without events (``watched``) only those that tell something anyway."""
    sent = Sent(number=lab.clock_number())
    lab.mask.hide_number(sent.number)
    numeric: User = {"identity": sent.number}
    _try(
        sent,
        "numeric_identity",
        lambda: (_add(lab, numeric, first, "add a user whose identity is a number"),),
    )
    _try(sent, "remove_unknown_user", lambda: (_remove_stranger(lab, first),))
    if watched:
        _try(sent, "noop_changes", lambda: _noops(lab, first, second))
        both: User = {**lab.user(3), "guid": lab.guid(3)}
        cost = Cost(profiles=2, events=1)
        purpose = "add a user by identity and guid"
        _try(sent, "both_ids", lambda: (_add(lab, both, first, purpose, cost=cost),))
        _try(sent, "numeric_string_id", lambda: _string_id(lab))
        _try(sent, "lower_case_action", lambda: (_lower_case(lab, first),))
        _try(sent, "conflict_order", lambda: _conflicts(lab, first, second))
    return sent


def _try(sent: Sent, key: str, ask: Callable[[], tuple[Reply, ...]]) -> None:
    try:
        if replies := ask():
            sent.replies[key] = replies
    except Declined:
        return


def _line(segment: CreatedSegment, action: str) -> dict[str, str]:
    return {"customer_segment_id": segment.customer_id, "action": action}


def _add(
    lab: ProbeRun, user: User, segment: CreatedSegment, purpose: str, *, cost: Cost = _ONE
) -> Reply:
    return lab.update(([user], [_line(segment, "ADD")]), purpose=purpose, cost=cost)


def _remove_stranger(lab: ProbeRun, first: CreatedSegment) -> Reply:
    lines = [_line(first, "REMOVE")]
    return lab.update(([lab.user(2)], lines), purpose="remove an unknown user", cost=_ONE)


def _noops(lab: ProbeRun, first: CreatedSegment, second: CreatedSegment) -> tuple[Reply, ...]:
    cost = Cost(events=1)
    again = _add(lab, lab.user(1), first, "add a member once more", cost=cost)
    stranger = lab.update(
        ([lab.user(1)], [_line(second, "REMOVE")]),
        purpose="remove a known user who is no member",
        cost=cost,
    )
    return again, stranger


def _string_id(lab: ProbeRun) -> tuple[Reply, ...]:
    if lab.first is None or lab.first.ct_id is None:
        return ()
    line = {"ct_segment_id": str(lab.first.ct_id), "action": "ADD"}
    cost = Cost(profiles=1, events=1, errors=1)
    purpose = "add a user, with ct_segment_id as a string"
    return (lab.update(([lab.user(4)], [line]), purpose=purpose, cost=cost),)


def _lower_case(lab: ProbeRun, first: CreatedSegment) -> Reply:
    cost = Cost(profiles=1, events=1, errors=1)
    lines = [_line(first, "add")]
    return lab.update(([lab.user(5)], lines), purpose='add a user with the action "add"', cost=cost)


def _conflicts(lab: ProbeRun, first: CreatedSegment, second: CreatedSegment) -> tuple[Reply, ...]:
    cost = Cost(profiles=1, events=2)
    add_first = lab.update(
        ([lab.user(6)], [_line(first, "ADD"), _line(first, "REMOVE")]),
        purpose="ADD, then REMOVE, of one pair in one request",
        cost=cost,
    )
    remove_first = lab.update(
        ([lab.user(7)], [_line(second, "REMOVE"), _line(second, "ADD")]),
        purpose="REMOVE, then ADD, of one pair in one request",
        cost=cost,
    )
    return add_first, remove_first


def read_all(
    lab: ProbeRun, watch: Watch, first: CreatedSegment, *, lag: float, patience: float
) -> Events:
    """Take the first user out again, and read the events once that one is there.

    Raises ``Unreadable``.
    """
    user = lab.user(1)
    reply = lab.remove(user, first, purpose="clean up: remove the first user")
    if reply.verdict is not Verdict.ACCEPTED:
        raise Unreadable(f"the last change got no clear answer: {reply.said}")
    lab.forget(user, first)
    begun = lab.clock.monotonic()
    while not any(
        user["identity"] in e.users and e.action == "REMOVE" and e.customer_id == first.customer_id
        for e in watch.read()
    ):
        if lab.clock.monotonic() - begun >= patience:
            raise Unreadable("Get Events did not show the last change")
        lab.service.wait(2.0)
    lab.service.wait(max(3.0, 2 * lag))  # for stragglers
    seen = watch.read(purpose="read the events of all changes")
    return Events(seen=seen, evidence=watch.evidence)
