"""What the events of a probe's changes say about its questions."""

from collections.abc import Mapping
from dataclasses import dataclass

from segctl.probing.changing import EVENT_KEYS, Events, Sent
from segctl.probing.probe_run import CreatedSegment, ProbeRun, Reply, Verdict, cannot_tell, observed
from segctl.probing.report import ProbeFinding
from segctl.probing.watching import profile_there

_ORDERS: Mapping[tuple[tuple[int, int], tuple[int, int]], str] = {
    ((1, 1), (1, 0)): "as_sent",
    ((1, 1), (1, 1)): "adds_first",
    ((1, 0), (1, 0)): "removes_first",
}
"""Orders by the events (ADD, REMOVE) of a pair sent as ADD, REMOVE and of one sent the other
way round, where what changes nothing raises none."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Gives the lessons of what was sent; ``why`` says what there are no events for."""

    lab: ProbeRun
    sent: Sent
    events: Events | None
    first: CreatedSegment
    second: CreatedSegment
    why: str = ""

    def lessons(self) -> list[ProbeFinding]:
        """Give one lesson for each question about memberships."""
        found = [self._stranger(), self._numeric()]
        if self.events is None:
            return [*found, *(cannot_tell(key, self.why) for key in EVENT_KEYS)]
        return [
            *found,
            self._noop(self.events),
            self._both(self.events),
            self._understood("numeric_string_id", self.events, user=4, no="not_found"),
            self._understood("lower_case_action", self.events, user=5, no=""),
            self._order(self.events),
        ]

    def _name(self, number: int) -> str:
        return self.lab.user(number)["identity"]

    def _unsent(self, key: str) -> ProbeFinding | None:
        """Give the lesson of a question that was not, or not clearly, asked."""
        replies = self.sent.replies.get(key)
        if replies is None:
            return cannot_tell(key, "not asked")
        unclear = next((each for each in replies if each.verdict is Verdict.UNCLEAR), None)
        if unclear:
            return cannot_tell(key, f"no clear answer: {unclear.said}", unclear.number)
        return None

    def _numeric(self) -> ProbeFinding:
        key = "numeric_identity"
        if unsent := self._unsent(key):
            return unsent
        (reply,) = self.sent.replies[key]
        if reply.verdict is Verdict.REFUSED:
            said = f"refused: {reply.said}"
            return observed(key, said, reply.number, settings={key: "refuse"})
        if self.events is None:
            return cannot_tell(key, f"accepted, but {self.why}", reply.number)
        evidence = (reply.number, self.events.evidence)
        if self.events.of(str(self.sent.number), self.first):
            return observed(key, "taken as its text", *evidence, settings={key: "accept"})
        return observed(key, "the request is accepted, the user skipped", *evidence)

    def _stranger(self) -> ProbeFinding:
        """Judge by an event, else by Get Profile, whose answers for others tell how to read it."""
        key = "remove_unknown_user"
        if unsent := self._unsent(key):
            return unsent
        (reply,) = self.sent.replies[key]
        if reply.verdict is Verdict.REFUSED:
            return observed(key, f"the request is refused: {reply.said}", reply.number)
        events = self.events
        if events and events.of(self._name(2), self.first):
            evidence = (reply.number, events.evidence)
            settings = {key: "create_profile"}
            return observed(key, "yes, and an event is raised", *evidence, settings=settings)
        if events and events.of(self._name(1), self.second)["REMOVE"]:
            said = "no: removing a known user who is no member raises an event, this one does not"
            evidence = (reply.number, events.evidence)
            return observed(key, said, *evidence, settings={key: "ignore"})
        return self._by_profile(key, reply)

    def _by_profile(self, key: str, reply: Reply) -> ProbeFinding:
        known, one = profile_there(
            self.lab, self.lab.user(1), purpose="get the profile of a known user"
        )
        unknown, other = profile_there(
            self.lab, self.lab.user(9), purpose="get a profile that never was"
        )
        if not known or unknown:
            why = "Get Profile does not tell known users from unknown"
            return cannot_tell(
                key, f"{why}; {self.why}" if self.why else why, reply.number, one, other
            )
        made, third = profile_there(
            self.lab, self.lab.user(2), purpose="get the profile of the removed user"
        )
        settings = {key: "create_profile" if made else "ignore"}
        evidence = (reply.number, one, other, third)
        return observed(key, "yes" if made else "no", *evidence, settings=settings)

    def _noop(self, events: Events) -> ProbeFinding:
        key = "noop_changes"
        if unsent := self._unsent(key):
            return unsent
        evidence = (*(each.number for each in self.sent.replies[key]), events.evidence)
        added = events.of(self._name(1), self.first)["ADD"] > 1
        removed = events.of(self._name(1), self.second)["REMOVE"] > 0
        if added != removed:
            said = f"adding a member {_raises(added)}, removing a stranger {_raises(removed)}"
            return observed(key, said, *evidence)
        said = "yes" if added else "no"
        return observed(key, said, *evidence, settings={key: "event" if added else "silent"})

    def _both(self, events: Events) -> ProbeFinding:
        key = "both_ids"
        if unsent := self._unsent(key):
            return unsent
        (reply,) = self.sent.replies[key]
        evidence = (reply.number, events.evidence)
        by = {
            "identity": bool(events.of(self._name(3), self.first)),
            "guid": bool(events.of(self.lab.guid(3), self.first)),
        }
        used = [name for name, there in by.items() if there]
        if len(used) == 1:
            return observed(key, used[0], *evidence, settings={key: used[0]})
        if used:
            return observed(key, "both: the event's profile has the two", *evidence)
        accepted = reply.verdict is Verdict.ACCEPTED
        said = "neither: " + ("there is no event" if accepted else f"refused, {reply.said}")
        return observed(key, said, *evidence)

    def _understood(self, key: str, events: Events, *, user: int, no: str) -> ProbeFinding:
        """Judge whether an ADD written in an unusual way had an event.

        ``no`` is the emulator's setting for one that had none, empty where it has no switch.
        """
        if unsent := self._unsent(key):
            return unsent
        (reply,) = self.sent.replies[key]
        evidence = (reply.number, events.evidence)
        if reply.verdict is Verdict.REFUSED:
            return observed(key, f"the request is refused: {reply.said}", *evidence)
        if events.of(self._name(user), self.first):
            return observed(key, "yes", *evidence, settings={key: "accept"} if no else {})
        said = "no: the request is accepted, the line skipped"
        return observed(key, said, *evidence, settings={key: no} if no else {})

    def _order(self, events: Events) -> ProbeFinding:
        key = "conflict_order"
        if unsent := self._unsent(key):
            return unsent
        replies = self.sent.replies[key]
        evidence = (*(each.number for each in replies), events.evidence)
        refused = next((each for each in replies if each.verdict is Verdict.REFUSED), None)
        if refused:
            return observed(key, f"such a request is refused: {refused.said}", *evidence)
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
