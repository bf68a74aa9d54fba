"""Which segments a plan of some must know besides: those that they read, and that rules name."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from segctl.manifests.desired import Desired, Disjoint, MemberLoad, Rule, SegmentSource, Subset


def readings(desired: Desired) -> Mapping[str, frozenset[str]]:
    """Give for every segment those whose members its own sources are, by address."""
    found: dict[str, frozenset[str]] = {s.address: frozenset() for s in desired.segments}
    for load in desired.loads:
        if isinstance(load, MemberLoad) and isinstance(load.source, SegmentSource):
            for address in load.addresses:
                found[address] |= {load.source.address}
    return found


def named(rule: Rule) -> tuple[str, ...]:
    """Give every segment that a rule is about, by address."""
    match rule:
        case Disjoint(addresses=addresses, owner=owner):
            return (owner, *addresses) if owner else addresses
        case Subset(addresses=addresses, of=of):
            return (*addresses, of)
        case _:
            return rule.addresses


def rules_about(desired: Desired, planned: Collection[str]) -> tuple[Rule, ...]:
    """Give the rules about one of the planned segments at least; a plan can break no other."""
    return tuple(rule for rule in desired.rules if set(planned) & set(named(rule)))


def needed(desired: Desired, planned: Collection[str], rules: Sequence[Rule]) -> Mapping[str, str]:
    """Give the segments whose members must be known although they are not planned.

    Each with the reason, as a sentence's end: ``segment.vip reads it``.
    """
    reading = readings(desired)
    reasons: dict[str, str] = {}
    todo = list(_wanted(planned, rules))
    while todo:
        address, reason = todo.pop()
        if address in reasons:
            continue
        if address not in planned:
            reasons[address] = reason
        todo += [
            (read, f"{address} reads it")
            for read in sorted(reading[address])
            if read not in planned and read not in reasons
        ]
    return reasons


def _wanted(planned: Collection[str], rules: Sequence[Rule]) -> Iterator[tuple[str, str]]:
    """Give who starts the search; those with a shorter reason come last, and are taken first."""
    for rule in rules:
        for address in named(rule):
            yield address, f"the rule at {rule.location} names it"
    for address in planned:
        yield address, ""
