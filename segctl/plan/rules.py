"""Rules across segments, judged on the members that they are to have."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

from segctl.manifests.desired import Disjoint, Rule, Size, Subset
from segctl.plan.model import Figures, Finding, Users

MAX_PAIRS_SHOWN = 10
"""How many pairs of segments that share users are told apart for one rule."""


class RuleMembers(Protocol):
    """Answers questions about the members that segments are to have, by address."""

    def size(self, address: str) -> int:
        """Count the members of a segment."""

    def shared(self, addresses: Sequence[str]) -> Mapping[tuple[str, str], Users]:
        """Give the users whom each two of these segments share, the most first."""

    def outside(self, addresses: Sequence[str], of: str) -> Mapping[str, Users]:
        """Give the members of each of these segments that are not in another one, if any."""


def check_rules(rules: Iterable[Rule], members: RuleMembers) -> Iterator[Finding]:
    """Give a finding for each violation, of the rule's own severity."""
    for rule in rules:
        match rule:
            case Disjoint():
                yield from _disjoint(rule, members)
            case Subset():
                yield from _subset(rule, members)
            case Size():
                yield from _size(rule, members)


def _disjoint(rule: Disjoint, members: RuleMembers) -> Iterator[Finding]:
    named = (rule.owner, *rule.addresses) if rule.owner else rule.addresses
    pairs = [
        (pair, users)
        for pair, users in members.shared(named).items()
        if rule.owner is None or rule.owner in pair
    ]
    for (first, second), users in islice(pairs, MAX_PAIRS_SHOWN):
        yield Finding(
            severity=rule.severity,
            code="disjoint",
            address=rule.owner,
            summary=f"{first} and {second} share {_counted(users.count, 'user')}; the rule at "
            f"{rule.location} allows none",
            detail="Mend their sources, or exclude one from the other: "
            f"exclude: [{{segment: {_name(first)}}}] in {_name(second)}.",
            sample=users.sample,
            figures=Figures(
                count=users.count, limit=0, segments=(first, second), place=str(rule.location)
            ),
        )
    if len(pairs) > MAX_PAIRS_SHOWN:
        more = _counted(len(pairs) - MAX_PAIRS_SHOWN, "more pair")
        yield Finding(
            severity=rule.severity,
            code="disjoint",
            address=rule.owner,
            summary=f"{more} of segments that the rule at {rule.location} names share users",
            figures=Figures(
                count=len(pairs) - MAX_PAIRS_SHOWN,
                limit=0,
                segments=tuple(
                    sorted({name for pair, _ in pairs[MAX_PAIRS_SHOWN:] for name in pair})
                ),
                place=str(rule.location),
            ),
        )


def _subset(rule: Subset, members: RuleMembers) -> Iterator[Finding]:
    strays = members.outside(rule.addresses, rule.of)
    for address in rule.addresses:
        if users := strays.get(address):
            yield Finding(
                severity=rule.severity,
                code="subset",
                address=address,
                summary=f"{address} has {_counted(users.count, 'member')} outside of {rule.of}; "
                f"the rule at {rule.location} allows none",
                detail="Mend their sources, or narrow it: "
                f"intersect: [{{segment: {_name(rule.of)}}}] in {_name(address)}.",
                sample=users.sample,
                figures=Figures(
                    count=users.count,
                    limit=0,
                    segments=(address, rule.of),
                    place=str(rule.location),
                ),
            )


def _size(rule: Size, members: RuleMembers) -> Iterator[Finding]:
    for address in rule.addresses:
        size = members.size(address)
        if rule.least is not None and size < rule.least:
            limit, said = rule.least, f"asks for {rule.least:,} at least"
        elif rule.most is not None and size > rule.most:
            limit, said = rule.most, f"allows {rule.most:,} at most"
        else:
            continue
        yield Finding(
            severity=rule.severity,
            code="size",
            address=address,
            summary=f"{address} is to have {_counted(size, 'member')}; the rule at "
            f"{rule.location} {said}",
            detail="Look at its sources. If the number is right, change the rule.",
            figures=Figures(count=size, limit=limit, segments=(address,), place=str(rule.location)),
        )


def _name(address: str) -> str:
    return address.removeprefix("segment.")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
