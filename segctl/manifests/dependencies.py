"""Find the segments whose members a plan of other segments needs: its inputs and its rules."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from segctl.manifests.desired import (
    DesiredState,
    Disjoint,
    MemberLoad,
    Rule,
    SegmentSource,
    Subset,
)


def segment_inputs(desired: DesiredState) -> Mapping[str, frozenset[str]]:
    """Return for every segment the segments that its sources read, by address."""
    inputs: dict[str, frozenset[str]] = {s.address: frozenset() for s in desired.segments}
    for load in desired.loads:
        if isinstance(load, MemberLoad) and isinstance(load.source, SegmentSource):
            for address in load.addresses:
                inputs[address] |= {load.source.address}
    return inputs


def rule_addresses(rule: Rule) -> tuple[str, ...]:
    """Return the addresses of all segments that a rule is about."""
    match rule:
        case Disjoint(addresses=addresses, owner=owner):
            return (owner, *addresses) if owner else addresses
        case Subset(addresses=addresses, of=of):
            return (*addresses, of)
        case _:
            return rule.addresses


def relevant_rules(desired: DesiredState, planned: Collection[str]) -> tuple[Rule, ...]:
    """Return the rules about the planned segments and about all segments that these read."""
    involved = {*planned, *_all_inputs(segment_inputs(desired), planned)}
    return tuple(rule for rule in desired.rules if involved & set(rule_addresses(rule)))


def required_segments(
    desired: DesiredState,
    planned: Collection[str],
    rules: Sequence[Rule],
    *,
    held: Collection[str] = (),
) -> Mapping[str, str]:
    """Return the segments that are not planned but whose members the plan or a rule needs.

    The values are the reasons, as the end of a sentence: ``segment.vip reads it``. Rules need
    nothing of ``held`` segments.
    """
    inputs = segment_inputs(desired)
    in_rules = {
        address: f"the rule at {rule.location} names it"
        for rule in rules
        for address in rule_addresses(rule)
        if address not in held
    }
    reasons = _all_inputs(inputs, in_rules) | in_rules | _all_inputs(inputs, planned)
    return {address: reason for address, reason in reasons.items() if address not in planned}


def _all_inputs(inputs: Mapping[str, Collection[str]], start: Iterable[str]) -> dict[str, str]:
    """Return the direct and indirect inputs of the segments, with the reason for each."""
    reasons: dict[str, str] = {}
    pending = list(start)
    while pending:
        reader = pending.pop()
        for address in sorted(set(inputs[reader]) - reasons.keys()):
            reasons[address] = f"{reader} reads it"
            pending.append(address)
    return reasons
