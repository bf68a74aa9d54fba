"""The entries of a request, and how a refused request is split. Values only."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from segctl.core.identity import Kind
from segctl.core.outcomes import Answer
from segctl.plan.model import Target
from segctl.provider.wire import Entry, SegmentAction


@dataclass(frozen=True, kw_only=True)
class RequestEntry:
    """An entry as it is sent, and its actions by target index."""

    wire: Entry
    users: tuple[tuple[Kind, str], ...] = field(repr=False)
    actions: tuple[tuple[int, str], ...]

    @classmethod
    def build(
        cls,
        users: tuple[tuple[Kind, str], ...],
        actions: tuple[tuple[int, str], ...],
        targets: Sequence[Target],
    ) -> "RequestEntry":
        """Build the entry of these users and actions; ``targets`` are the plan's."""
        wire = Entry(
            users=users,
            actions=tuple(_segment_action(targets[index], action) for index, action in actions),
        )
        return cls(wire=wire, users=users, actions=actions)

    def with_users(self, users: tuple[tuple[Kind, str], ...]) -> "RequestEntry":
        """Return the entry with only these users."""
        wire = Entry(users=users, actions=self.wire.actions)
        return RequestEntry(wire=wire, users=users, actions=self.actions)

    def with_actions(self, part: slice) -> "RequestEntry":
        """Return the entry with only this part of its actions."""
        wire = Entry(users=self.users, actions=self.wire.actions[part])
        return RequestEntry(wire=wire, users=self.users, actions=self.actions[part])


def _segment_action(target: Target, action: str) -> SegmentAction:
    return SegmentAction(
        action="ADD" if action == "ADD" else "REMOVE",
        customer_segment_id=target.customer_segment_id,
        ct_segment_id=None if target.customer_segment_id else target.ct_segment_id,
    )


def count_changes(entries: Sequence[RequestEntry]) -> int:
    """Return how many memberships the entries change."""
    return sum(len(entry.users) * len(entry.actions) for entry in entries)


def split_in_half(entries: Sequence[RequestEntry]) -> tuple[list[RequestEntry], list[RequestEntry]]:
    """Split entries in two: between entries, else between users, else between actions."""
    if len(entries) > 1:
        middle = len(entries) // 2
        return list(entries[:middle]), list(entries[middle:])
    [entry] = entries
    if len(entry.users) > 1:
        middle = len(entry.users) // 2
        first, second = entry.users[:middle], entry.users[middle:]
        return [entry.with_users(first)], [entry.with_users(second)]
    middle = len(entry.actions) // 2
    return [entry.with_actions(slice(middle))], [entry.with_actions(slice(middle, None))]


def entry_pairs(entries: Sequence[RequestEntry], answer: Answer) -> list[dict[str, Any]]:
    """Return each pair of the entries with the answer's outcome, as journal records."""
    return [
        {
            "target": index,
            "kind": str(kind),
            "value": value,
            "outcome": str(answer.outcome),
            "detail": answer.detail,
        }
        for entry in entries
        for kind, value in entry.users
        for index, _ in entry.actions
    ]
