"""Which segments a plan of some must know besides: those that they read, and that rules name."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from segctl.manifests.desired import DesiredState, Disjoint, MemberLoad, Rule, SegmentSource, Subset


def segment_inputs(desired: DesiredState) -> Mapping[str, frozenset[str]]:
    """Give for every segment those whose members its own sources are, by address."""
    found: dict[str, frozenset[str]] = {s.address: frozenset() for s in desired.segments}
    for load in desired.loads:
        if isinstance(load, MemberLoad) and isinstance(load.source, SegmentSource):
            for address in load.addresses:
                found[address] |= {load.source.address}
    return found


def rule_addresses(rule: Rule) -> tuple[str, ...]:
    """Give every segment that a rule is about, by address."""
    match rule:
        case Disjoint(addresses=addresses, owner=owner):
            return (owner, *addresses) if owner else addresses
        case Subset(addresses=addresses, of=of):
            return (*addresses, of)
        case _:
            return rule.addresses


def relevant_rules(desired: DesiredState, planned: Collection[str]) -> tuple[Rule, ...]:
    """Give the rules about a segment that is planned, or that one of those is made of."""
    made_of = {*planned, *_read_by(segment_inputs(desired), planned)}
    return tuple(rule for rule in desired.rules if made_of & set(rule_addresses(rule)))


def required_segments(
    desired: DesiredState, planned: Collection[str], rules: Sequence[Rule]
) -> Mapping[str, str]:
    """Give the segments whose members must be known although they are not planned.

    Each with the reason, as a sentence's end: ``segment.vip reads it``.
    """
    reading = segment_inputs(desired)
    asked = {
        a: f"the rule at {rule.location} names it" for rule in rules for a in rule_addresses(rule)
    }
    found = _read_by(reading, asked) | asked | _read_by(reading, planned)
    return {address: reason for address, reason in found.items() if address not in planned}


def _read_by(reading: Mapping[str, Collection[str]], start: Iterable[str]) -> dict[str, str]:
    """Give all that these segments are made of, by way of others too, with who reads it."""
    found: dict[str, str] = {}
    todo = list(start)
    while todo:
        reader = todo.pop()
        for address in sorted(set(reading[reader]) - found.keys()):
            found[address] = f"{reader} reads it"
            todo.append(address)
    return found
