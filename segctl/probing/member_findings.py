"""Turn the events of a probe's changes into findings."""

from collections.abc import Mapping
from dataclasses import dataclass

from segctl.probing.event_watcher import find_profile
from segctl.probing.member_questions import EVENT_KEYS, MembershipEvents, SentChanges
from segctl.probing.probe_run import (
    Acceptance,
    CreatedSegment,
    ProbeRun,
    Reply,
    cannot_tell,
    observed,
)
from segctl.probing.report import ProbeFinding

_ORDERS: Mapping[tuple[tuple[int, int], tuple[int, int]], str] = {
    ((1, 1), (1, 0)): "as_sent",
    ((1, 1), (1, 1)): "adds_first",
    ((1, 0), (1, 0)): "removes_first",
}
"""The processing order, by event counts (ADD, REMOVE): of a pair sent as ADD, REMOVE, and of
one sent as REMOVE, ADD. Valid if a change without effect raises no event."""


@dataclass(frozen=True, kw_only=True)
class MemberFindings:
    """The findings about memberships. ``why`` says why there are no events, if so."""

    probe: ProbeRun
    sent: SentChanges
    events: MembershipEvents | None
    first: CreatedSegment
    second: CreatedSegment
    why: str = ""

    def findings(self) -> list[ProbeFinding]:
        """Return one finding for each question about memberships."""
        found = [self._unknown_user(), self._numeric()]
        if self.events is None:
            return [*found, *(cannot_tell(key, self.why) for key in EVENT_KEYS)]
        return [
            *found,
            self._no_op(self.events),
            self._both_ids(self.events),
            self._unusual_add("numeric_string_id", self.events, user=4, no="not_found"),
            self._unusual_add("lower_case_action", self.events, user=5, no=""),
            self._conflict_order(self.events),
        ]

    def _name(self, number: int) -> str:
        return self.probe.user(number)["identity"]

    def _unanswered(self, key: str) -> ProbeFinding | None:
        """Return the finding for a question without a clear answer, or ``None``."""
        replies = self.sent.replies.get(key)
        if replies is None:
            return cannot_tell(key, "not asked")
        unclear = next((each for each in replies if each.acceptance is Acceptance.UNCLEAR), None)
        if unclear:
            return cannot_tell(key, f"no clear answer: {unclear.summary}", unclear.number)
        return None

    def _numeric(self) -> ProbeFinding:
        key = "numeric_identity"
        if unsent := self._unanswered(key):
            return unsent
        (reply,) = self.sent.replies[key]
        if reply.acceptance is Acceptance.REFUSED:
            summary = f"refused: {reply.summary}"
            return observed(key, summary, reply.number, settings={key: "refuse"})
        if self.events is None:
            return cannot_tell(key, f"accepted, but {self.why}", reply.number)
        evidence = (reply.number, self.events.evidence)
        if self.events.of(str(self.sent.number), self.first):
            return observed(key, "taken as its text", *evidence, settings={key: "accept"})
        return observed(key, "the request is accepted, the user skipped", *evidence)

    def _unknown_user(self) -> ProbeFinding:
        """Decide by an event, otherwise by Get Profile, calibrated on known and unknown users."""
        key = "remove_unknown_user"
        if unsent := self._unanswered(key):
            return unsent
        (reply,) = self.sent.replies[key]
        if reply.acceptance is Acceptance.REFUSED:
            return observed(key, f"the request is refused: {reply.summary}", reply.number)
        events = self.events
        if events and events.of(self._name(2), self.first):
            evidence = (reply.number, events.evidence)
            settings = {key: "create_profile"}
            return observed(key, "yes, and an event is raised", *evidence, settings=settings)
        if events and events.of(self._name(1), self.second)["REMOVE"]:
            summary = (
                "no: removing a known user who is no member raises an event, this one does not"
            )
            evidence = (reply.number, events.evidence)
            return observed(key, summary, *evidence, settings={key: "ignore"})
        return self._by_profile(key, reply)

    def _by_profile(self, key: str, reply: Reply) -> ProbeFinding:
        known, one = find_profile(
            self.probe, self.probe.user(1), purpose="get the profile of a known user"
        )
        unknown, other = find_profile(
            self.probe, self.probe.user(9), purpose="get a profile that never was"
        )
        if not known or unknown:
            why = "Get Profile does not tell known users from unknown"
            return cannot_tell(
                key, f"{why}; {self.why}" if self.why else why, reply.number, one, other
            )
        made, third = find_profile(
            self.probe, self.probe.user(2), purpose="get the profile of the removed user"
        )
        settings = {key: "create_profile" if made else "ignore"}
        evidence = (reply.number, one, other, third)
        return observed(key, "yes" if made else "no", *evidence, settings=settings)

    def _no_op(self, events: MembershipEvents) -> ProbeFinding:
        key = "noop_changes"
        if unsent := self._unanswered(key):
            return unsent
        evidence = (*(each.number for each in self.sent.replies[key]), events.evidence)
        added = events.of(self._name(1), self.first)["ADD"] > 1
        removed = events.of(self._name(1), self.second)["REMOVE"] > 0
        if added != removed:
            summary = f"adding a member {_raises(added)}, removing a stranger {_raises(removed)}"
            return observed(key, summary, *evidence)
        summary = "yes" if added else "no"
        return observed(key, summary, *evidence, settings={key: "event" if added else "silent"})

    def _both_ids(self, events: MembershipEvents) -> ProbeFinding:
        key = "both_ids"
        if unsent := self._unanswered(key):
            return unsent
        (reply,) = self.sent.replies[key]
        evidence = (reply.number, events.evidence)
        by = {
            "identity": bool(events.of(self._name(3), self.first)),
            "guid": bool(events.of(self.probe.guid(3), self.first)),
        }
        used = [name for name, exists in by.items() if exists]
        if len(used) == 1:
            return observed(key, used[0], *evidence, settings={key: used[0]})
        if used:
            summary = "both: the event's profile has the two"
            return observed(key, summary, *evidence, settings={key: "link"})
        accepted = reply.acceptance is Acceptance.ACCEPTED
        summary = "neither: " + ("there is no event" if accepted else f"refused, {reply.summary}")
        return observed(key, summary, *evidence)

    def _unusual_add(
        self, key: str, events: MembershipEvents, *, user: int, no: str
    ) -> ProbeFinding:
        """Decide whether an ADD in an unusual form raised an event.

        ``no`` is the emulator's setting if it raised none; empty if there is no switch.
        """
        if unsent := self._unanswered(key):
            return unsent
        (reply,) = self.sent.replies[key]
        evidence = (reply.number, events.evidence)
        if reply.acceptance is Acceptance.REFUSED:
            return observed(key, f"the request is refused: {reply.summary}", *evidence)
        if events.of(self._name(user), self.first):
            return observed(key, "yes", *evidence, settings={key: "accept"} if no else {})
        summary = "no: the request is accepted, the line skipped"
        return observed(key, summary, *evidence, settings={key: no} if no else {})

    def _conflict_order(self, events: MembershipEvents) -> ProbeFinding:
        key = "conflict_order"
        if unsent := self._unanswered(key):
            return unsent
        replies = self.sent.replies[key]
        evidence = (*(each.number for each in replies), events.evidence)
        refused = next((each for each in replies if each.acceptance is Acceptance.REFUSED), None)
        if refused:
            return observed(key, f"such a request is refused: {refused.summary}", *evidence)
        unasked = "noop_changes" not in self.sent.replies
        if unasked or events.of(self._name(1), self.second)["REMOVE"]:
            why = "it shows only where a REMOVE that changes nothing raises no event"
            return cannot_tell(key, why, *evidence)
        one = events.of(self._name(6), self.first)
        other = events.of(self._name(7), self.second)
        order = _ORDERS.get(((one["ADD"], one["REMOVE"]), (other["ADD"], other["REMOVE"])))
        if order is None:
            return observed(key, "in none that the emulator knows", *evidence)
        return observed(key, order.replace("_", " "), *evidence, settings={key: order})


def _raises(event: bool) -> str:
    return "raises an event" if event else "raises none"
