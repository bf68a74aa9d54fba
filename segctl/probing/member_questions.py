"""Questions about memberships: a few changes, whose events ``member_findings.py`` interprets.

All changes are sent first.  The events are read once, after a change whose event is certain
to appear, so that an absent event is absent and not late.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from segctl.probing.event_watcher import EventWatcher, SegmentEvent, Unreadable
from segctl.probing.probe_run import (
    Acceptance,
    CreatedSegment,
    ProbeRun,
    Reply,
    User,
    WriteDeclined,
    observed,
)
from segctl.probing.report import Cost, ProbeFinding

EVENT_KEYS = (
    "noop_changes",
    "both_ids",
    "numeric_string_id",
    "lower_case_action",
    "conflict_order",
)
"""Questions that only events can answer."""

_ONE = Cost(profiles=1, events=1)
_AT_ONCE = 1.0
"""A change that appears within these seconds counts as shown at once."""


@dataclass(kw_only=True)
class SentChanges:
    """The changes that were sent, by question. A missing question was declined."""

    replies: dict[str, tuple[Reply, ...]] = field(default_factory=dict)
    number: int = 0


@dataclass(frozen=True, kw_only=True)
class MembershipEvents:
    """The events of all changes, and the exchange that read them."""

    events: Sequence[SegmentEvent]
    evidence: int

    def of(self, user: str, segment: CreatedSegment) -> Counter[str]:
        """Count the actions of one user's events in one segment."""
        return Counter(
            each.action
            for each in self.events
            if each.customer_id == segment.customer_id
            and any(user.lower() in name for name in each.users)
        )


def first_change(
    probe: ProbeRun, watcher: EventWatcher, first: CreatedSegment, *, patience: float
) -> list[ProbeFinding]:
    """Add a user and wait until Get Events shows it.

    Raises ``Unreadable`` if it does not appear within ``patience`` seconds.
    """
    probe.update(
        ([probe.user(1)], [_line(first, "ADD")]), purpose="add a user to the first", cost=_ONE
    )
    begun = probe.clock.monotonic()
    name = probe.user(1)["identity"]
    pause, before = 1.0, 0.0
    while True:
        waited = probe.clock.monotonic() - begun
        events = watcher.read()
        if any(name in each.users for each in events):
            break
        if waited >= patience:
            raise Unreadable(f"Get Events did not show the change within {patience:g} seconds")
        before = waited
        probe.service.wait(pause)
        pause = min(pause * 1.5, 10.0)
    events = watcher.read(purpose="read events: the first change is there")
    _learn_id(probe, first, events)
    if waited < _AT_ONCE:
        return [_lag_finding("at once", 0, watcher)]
    return [
        _lag_finding(f"after {before:.0f} to {waited:.0f} seconds", round(waited * 1000), watcher)
    ]


def _lag_finding(summary: str, milliseconds: int, watcher: EventWatcher) -> ProbeFinding:
    settings = {"visibility_lag_ms": milliseconds}
    return observed("visibility_lag_ms", summary, watcher.evidence, settings=settings)


def _learn_id(probe: ProbeRun, first: CreatedSegment, events: Sequence[SegmentEvent]) -> None:
    """Set the first segment's CleverTap id from an event, if no answer contained it."""
    ids = {each.ct_id for each in events if each.customer_id == first.customer_id}
    if first.ct_id is None and len(ids) == 1:
        probe.first = CreatedSegment(
            name=first.name, customer_id=first.customer_id, ct_id=ids.pop()
        )


def send(
    probe: ProbeRun, first: CreatedSegment, second: CreatedSegment, *, watched: bool
) -> SentChanges:
    """Send the changes. Without events (``watched``), send only those that need none."""
    sent = SentChanges(number=probe.clock_number())
    probe.mask.hide_number(sent.number)
    numeric: User = {"identity": sent.number}
    _ask(
        sent,
        "numeric_identity",
        lambda: (_add(probe, numeric, first, "add a user whose identity is a number"),),
    )
    _ask(sent, "remove_unknown_user", lambda: (_remove_unknown_user(probe, first),))
    if watched:
        _ask(sent, "noop_changes", lambda: _no_op_changes(probe, first, second))
        both: User = {**probe.user(3), "guid": probe.guid(3)}
        cost = Cost(profiles=2, events=1)
        purpose = "add a user by identity and guid"
        _ask(sent, "both_ids", lambda: (_add(probe, both, first, purpose, cost=cost),))
        _ask(sent, "numeric_string_id", lambda: _string_id(probe))
        _ask(sent, "lower_case_action", lambda: (_lower_case(probe, first),))
        _ask(sent, "conflict_order", lambda: _conflicts(probe, first, second))
    return sent


def _ask(sent: SentChanges, key: str, ask: Callable[[], tuple[Reply, ...]]) -> None:
    try:
        if replies := ask():
            sent.replies[key] = replies
    except WriteDeclined:
        return


def _line(segment: CreatedSegment, action: str) -> dict[str, str]:
    return {"customer_segment_id": segment.customer_id, "action": action}


def _add(
    probe: ProbeRun, user: User, segment: CreatedSegment, purpose: str, *, cost: Cost = _ONE
) -> Reply:
    return probe.update(([user], [_line(segment, "ADD")]), purpose=purpose, cost=cost)


def _remove_unknown_user(probe: ProbeRun, first: CreatedSegment) -> Reply:
    lines = [_line(first, "REMOVE")]
    return probe.update(([probe.user(2)], lines), purpose="remove an unknown user", cost=_ONE)


def _no_op_changes(
    probe: ProbeRun, first: CreatedSegment, second: CreatedSegment
) -> tuple[Reply, ...]:
    cost = Cost(events=1)
    again = _add(probe, probe.user(1), first, "add a member once more", cost=cost)
    stranger = probe.update(
        ([probe.user(1)], [_line(second, "REMOVE")]),
        purpose="remove a known user who is no member",
        cost=cost,
    )
    return again, stranger


def _string_id(probe: ProbeRun) -> tuple[Reply, ...]:
    if probe.first is None or probe.first.ct_id is None:
        return ()
    line = {"ct_segment_id": str(probe.first.ct_id), "action": "ADD"}
    cost = Cost(profiles=1, events=1, errors=1)
    purpose = "add a user, with ct_segment_id as a string"
    return (probe.update(([probe.user(4)], [line]), purpose=purpose, cost=cost),)


def _lower_case(probe: ProbeRun, first: CreatedSegment) -> Reply:
    cost = Cost(profiles=1, events=1, errors=1)
    lines = [_line(first, "add")]
    return probe.update(
        ([probe.user(5)], lines), purpose='add a user with the action "add"', cost=cost
    )


def _conflicts(probe: ProbeRun, first: CreatedSegment, second: CreatedSegment) -> tuple[Reply, ...]:
    cost = Cost(profiles=1, events=2)
    add_first = probe.update(
        ([probe.user(6)], [_line(first, "ADD"), _line(first, "REMOVE")]),
        purpose="ADD, then REMOVE, of one pair in one request",
        cost=cost,
    )
    remove_first = probe.update(
        ([probe.user(7)], [_line(second, "REMOVE"), _line(second, "ADD")]),
        purpose="REMOVE, then ADD, of one pair in one request",
        cost=cost,
    )
    return add_first, remove_first


def read_all(
    probe: ProbeRun,
    watcher: EventWatcher,
    first: CreatedSegment,
    *,
    lag: float,
    patience: float,
) -> MembershipEvents:
    """Remove the first user, and read all events once that removal's event has appeared.

    Raises ``Unreadable``.
    """
    user = probe.user(1)
    reply = probe.remove(user, first, purpose="clean up: remove the first user")
    if reply.acceptance is not Acceptance.ACCEPTED:
        raise Unreadable(f"the last change got no clear answer: {reply.summary}")
    probe.forget(user, first)
    begun = probe.clock.monotonic()
    while not any(
        user["identity"] in e.users and e.action == "REMOVE" and e.customer_id == first.customer_id
        for e in watcher.read()
    ):
        if probe.clock.monotonic() - begun >= patience:
            raise Unreadable("Get Events did not show the last change")
        probe.service.wait(2.0)
    probe.service.wait(max(3.0, 2 * lag))  # for stragglers
    events = watcher.read(purpose="read the events of all changes")
    return MembershipEvents(events=events, evidence=watcher.evidence)
