"""Find the segments to hold back, so that the rest of a plan can be applied.

A segment that is held back keeps its recorded members. Those that depend on it are held back too:
segments that read it, exchange an address with it, or may be the same one under another name.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from segctl.manifests.dependencies import rule_addresses, segment_inputs
from segctl.manifests.desired import DesiredState, Load
from segctl.plan.diff import Draft, with_exchanged
from segctl.plan.findings import POSSIBLE_RENAME, possible_renames
from segctl.plan.holding import HOLD_HINT, Refusal, refusal_of, refused_segments
from segctl.plan.model import Finding, HeldBack, Plan
from segctl.planning.restrictions import is_for_all
from segctl.planning.scope import segments_of
from segctl.planning.unreadable import UnreadableSources, merge_problems

if TYPE_CHECKING:
    from segctl.planning.planner import PlanBundle

BuildPlan = Callable[[Sequence[Draft], Sequence[Refusal]], "PlanBundle"]
"""Builds the plan of some drafts, without the segments that are held back."""


def build_with_held(
    build: BuildPlan,
    desired: DesiredState,
    drafts: Sequence[Draft],
    *,
    hold: bool,
    held: Sequence[Refusal],
) -> "PlanBundle":
    """Build the plan, with ``hold`` again until nothing that is left is refused on its own.

    Segments of ``held`` are left out from the start. Raises the errors of ``build``.
    """
    renames = segment_pairs(possible_renames(drafts, {}))
    known = {draft.address for draft in drafts}
    held = [refusal for refusal in held if known.intersection(refusal.held.segments)]
    held = with_dependent(held, desired, drafts, renames)
    while True:
        addresses = held_addresses(held)
        left = [draft for draft in drafts if draft.address not in addresses]
        try:
            bundle = build(left, sort_held(held))
        except UnreadableSources as error:
            refusals = refusals_of_sources(error, desired, {draft.address for draft in left})
            if not (hold and refusals):
                if not hold and _leaves_some(refusals, error, left):
                    error.hint = HOLD_HINT
                raise
        else:
            refusals = refusals_of_plan(bundle.plan)
            if not (hold and refusals):
                return bundle
            found = (f for f in bundle.plan.findings if f.code == POSSIBLE_RENAME)
            renames |= segment_pairs(found)
        held = with_dependent([*held, *refusals], desired, drafts, renames)


def segment_pairs(findings: Iterable[Finding]) -> set[tuple[str, ...]]:
    """Return the addresses that each finding is about."""
    return {finding.figures.segments for finding in findings if finding.figures}


def _leaves_some(
    refusals: Sequence[Refusal], error: UnreadableSources, drafts: Sequence[Draft]
) -> bool:
    """Return whether each problem holds something back, and not everything."""
    holds_each = len(refusals) == len(error.diagnostics)
    return holds_each and not held_addresses(refusals).issuperset(d.address for d in drafts)


def held_addresses(held: Sequence[Refusal]) -> frozenset[str]:
    """Return the addresses of the segments that are held back."""
    return frozenset(address for refusal in held for address in refusal.held.segments)


def refusals_of_plan(plan: Plan) -> list[Refusal]:
    """Return what the errors of a plan hold back; empty if they refuse the whole plan."""
    planned = {change.address for change in plan.changes}
    refused = [
        (finding, [a for a in refused_segments(finding) if a in planned])
        for finding in plan.error_findings
    ]
    return [refusal_of(finding, segments) for finding, segments in refused if segments]


def refusals_of_sources(
    error: UnreadableSources, desired: DesiredState, planned: Collection[str]
) -> list[Refusal]:
    """Return what unreadable sources hold back. A list for the whole workspace holds all back."""
    refusals = []
    for problem, loads in merge_problems(error.problems):
        needing = {a for load in loads for a in _segments_needing(load, desired, planned)}
        if needing:
            held = HeldBack(
                code=problem.code,
                reason=problem.summary,
                segments=tuple(sorted(needing)),
                place=str(problem.location),
            )
            refusals.append(Refusal(held=held, detail=problem.detail))
    return refusals


def _segments_needing(
    load: Load, desired: DesiredState, planned: Collection[str]
) -> Collection[str]:
    """Return the planned segments that need a source: for their members, or for a rule."""
    if is_for_all(load):
        return planned
    own = set(segments_of(load))
    if found := own.intersection(planned):
        return found
    needing = own | _readers(segment_inputs(desired), own)
    named = [set(rule_addresses(rule)) for rule in desired.rules]
    by_rules = set().union(*(addresses for addresses in named if addresses & needing))
    return (needing | by_rules).intersection(planned)


def _readers(inputs: Mapping[str, frozenset[str]], addresses: Collection[str]) -> set[str]:
    """Return the segments that read one of these, directly or indirectly."""
    found = set(addresses)
    while more := {a for a, read in inputs.items() if a not in found and read & found}:
        found |= more
    return found - set(addresses)


def with_dependent(
    refusals: Sequence[Refusal],
    desired: DesiredState,
    drafts: Sequence[Draft],
    renames: Collection[tuple[str, ...]],
) -> tuple[Refusal, ...]:
    """Add the segments that cannot be planned without those that are held back.

    ``renames`` are pairs of addresses that may be two names of one segment.
    """
    result = list(refusals)
    while result and (more := list(_dependent(held_addresses(result), desired, drafts, renames))):
        result += more
    return tuple(result)


def _dependent(
    held: frozenset[str],
    desired: DesiredState,
    drafts: Sequence[Draft],
    renames: Collection[tuple[str, ...]],
) -> Iterator[Refusal]:
    """Yield a refusal for each segment that depends on one that is held back, and is not."""
    seen = set(held)
    inputs = segment_inputs(desired)
    planned = {draft.address for draft in drafts if draft.segment}
    read = held.intersection(frozenset().union(*inputs.values()))
    moving = {a for d in drafts if d.moved_from for a in (d.address, d.moved_from)}
    reasons = [
        *(
            (reader, "reads-held", "reads {}" if one in inputs[reader] else "depends on {}", one)
            for one in sorted(read)
            for reader in sorted(planned & _readers(inputs, [one]))
        ),
        *(
            (draft.address, "exchanges-address", "exchanges its address with {}", one)
            for one in sorted(held & moving)
            for draft in with_exchanged(drafts, [one], left_out=True)
        ),
        *(
            (other, "may-be-renamed", "may be another name of {}", one)
            for pair in sorted(renames)
            for one, other in (pair, pair[::-1])
            if one in held
        ),
    ]
    for address, code, reason, one in reasons:
        if address not in seen:
            seen.add(address)
            text = f"{address} {reason.format(one)}, which is held back"
            yield Refusal(held=HeldBack(code=code, reason=text, segments=(address,)))


def sort_held(held: Sequence[Refusal]) -> tuple[Refusal, ...]:
    """Sort refusals, so that two plans of the same inputs have the same digest."""
    return tuple(sorted(held, key=lambda r: (r.held.segments, r.held.code, r.held.reason)))
