"""The entries of a request, and how a refused one is taken apart.

Pure values: who travels, with which actions, to which of the plan's targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from segctl.core.identity import Kind
from segctl.core.outcomes import Answer
from segctl.plan.model import Target
from segctl.provider.wire import Entry, SegmentAction


@dataclass(frozen=True, kw_only=True)
class RequestEntry:
    """An entry as it travels, and its targets by index."""

    wire: Entry
    users: tuple[tuple[Kind, str], ...] = field(repr=False)
    actions: tuple[tuple[int, str], ...]

    @classmethod
    def of(
        cls,
        users: tuple[tuple[Kind, str], ...],
        actions: tuple[tuple[int, str], ...],
        targets: Sequence[Target],
    ) -> "RequestEntry":
        """Give the entry of these users and actions, on the wire and by index."""
        wire = Entry(
            users=users,
            actions=tuple(_segment_action(targets[place], action) for place, action in actions),
        )
        return cls(wire=wire, users=users, actions=actions)


def _segment_action(target: Target, action: str) -> SegmentAction:
    return SegmentAction(
        action="ADD" if action == "ADD" else "REMOVE",
        customer_segment_id=target.customer_segment_id,
        ct_segment_id=None if target.customer_segment_id else target.ct_segment_id,
    )


def size(entries: Sequence[RequestEntry]) -> int:
    """Give how many memberships some entries change."""
    return sum(len(entry.users) * len(entry.actions) for entry in entries)


def split_in_half(entries: Sequence[RequestEntry]) -> tuple[list[RequestEntry], list[RequestEntry]]:
    """Split entries in two: between entries, else between users, else between actions."""
    if len(entries) > 1:
        middle = len(entries) // 2
        return list(entries[:middle]), list(entries[middle:])
    [entry] = entries
    if len(entry.users) > 1:
        middle = len(entry.users) // 2
        return [_part(entry, users=entry.users[:middle])], [
            _part(entry, users=entry.users[middle:])
        ]
    middle = len(entry.actions) // 2
    return [_cut(entry, 0, middle)], [_cut(entry, middle, len(entry.actions))]


def _part(entry: RequestEntry, *, users: tuple[tuple[Kind, str], ...]) -> RequestEntry:
    wire = Entry(users=users, actions=entry.wire.actions)
    return RequestEntry(wire=wire, users=users, actions=entry.actions)


def _cut(entry: RequestEntry, start: int, end: int) -> RequestEntry:
    wire = Entry(users=entry.users, actions=entry.wire.actions[start:end])
    return RequestEntry(wire=wire, users=entry.users, actions=entry.actions[start:end])


def entry_pairs(entries: Sequence[RequestEntry], answer: Answer) -> list[dict[str, Any]]:
    """Name each pair of some entries, with what became of it, for the journal."""
    return [
        {
            "target": place,
            "kind": str(kind),
            "value": value,
            "outcome": str(answer.outcome),
            "detail": answer.detail,
        }
        for entry in entries
        for kind, value in entry.users
        for place, _ in entry.actions
    ]
