"""Check rules across segments on the desired members."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Protocol

from segctl.manifests.desired import Disjoint, Rule, Size, Subset
from segctl.plan.model import Figures, Finding, Users

MAX_PAIRS_SHOWN = 10
"""The number of segment pairs that get a finding of their own per ``disjoint`` rule."""

RULE_CODES = frozenset(("disjoint", "subset", "size"))
"""The codes of findings about rules that are broken."""


class RuleMembers(Protocol):
    """Answers questions about the desired members of segments, by address."""

    def size(self, address: str) -> int:
        """Count the members of a segment."""

    def shared(
        self, addresses: Sequence[str], owner: str | None
    ) -> Mapping[tuple[str, str], Users]:
        """Return the users that each pair of segments shares, the largest overlap first.

        With ``owner``, these are the pairs of it and each other segment. Pairs that share no user
        are left out.
        """

    def outside(self, addresses: Sequence[str], of: str) -> Mapping[str, Users]:
        """Return the members of each segment that are not members of the segment ``of``.

        Segments without such members are left out.
        """


def check_rules(rules: Iterable[Rule], members: RuleMembers) -> Iterator[Finding]:
    """Yield a finding for each violation, with the severity of the rule."""
    for rule in rules:
        match rule:
            case Disjoint():
                yield from _check_disjoint(rule, members)
            case Subset():
                yield from _check_subset(rule, members)
            case Size():
                yield from _check_size(rule, members)


def _check_disjoint(rule: Disjoint, members: RuleMembers) -> Iterator[Finding]:
    pairs = list(members.shared(rule.addresses, rule.owner).items())
    for (first, second), users in islice(pairs, MAX_PAIRS_SHOWN):
        yield Finding(
            severity=rule.severity,
            code="disjoint",
            address=rule.owner,
            summary=f"{first} and {second} share {_count(users.count, 'user')}; the rule at "
            f"{rule.location} allows none",
            detail="Fix their sources, or exclude one from the other: "
            f"exclude: [{{segment: {_name(first)}}}] in {_name(second)}.",
            sample=users.sample,
            figures=Figures(
                count=users.count, limit=0, segments=(first, second), place=str(rule.location)
            ),
        )
    if len(pairs) > MAX_PAIRS_SHOWN:
        more = _count(len(pairs) - MAX_PAIRS_SHOWN, "more pair")
        yield Finding(
            severity=rule.severity,
            code="disjoint",
            address=rule.owner,
            summary=f"{more} of segments share users; the rule at {rule.location} allows none",
            figures=Figures(
                count=len(pairs) - MAX_PAIRS_SHOWN,
                limit=0,
                segments=tuple(
                    sorted({name for pair, _ in pairs[MAX_PAIRS_SHOWN:] for name in pair})
                ),
                place=str(rule.location),
            ),
        )


def _check_subset(rule: Subset, members: RuleMembers) -> Iterator[Finding]:
    outside = members.outside(rule.addresses, rule.of)
    for address in rule.addresses:
        if users := outside.get(address):
            yield Finding(
                severity=rule.severity,
                code="subset",
                address=address,
                summary=f"{address} has {_count(users.count, 'member')} outside of {rule.of}; "
                f"the rule at {rule.location} allows none",
                detail="Fix their sources, or intersect the two: "
                f"intersect: [{{segment: {_name(rule.of)}}}] in {_name(address)}.",
                sample=users.sample,
                figures=Figures(
                    count=users.count,
                    limit=0,
                    segments=(address, rule.of),
                    place=str(rule.location),
                ),
            )


def _check_size(rule: Size, members: RuleMembers) -> Iterator[Finding]:
    for address in rule.addresses:
        size = members.size(address)
        if rule.minimum is not None and size < rule.minimum:
            limit, requirement = rule.minimum, f"requires at least {rule.minimum:,}"
        elif rule.maximum is not None and size > rule.maximum:
            limit, requirement = rule.maximum, f"allows at most {rule.maximum:,}"
        else:
            continue
        yield Finding(
            severity=rule.severity,
            code="size",
            address=address,
            summary=f"{address} would have {_count(size, 'member')}; the rule at "
            f"{rule.location} {requirement}",
            detail="Check its sources. If the number is right, change the rule.",
            figures=Figures(count=size, limit=limit, segments=(address,), place=str(rule.location)),
        )


def _name(address: str) -> str:
    return address.removeprefix("segment.")


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
