"""The sizes of a plan's sources, and what sources that take members away did at the last apply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from segctl.engine.model import LoadStats
from segctl.manifests.desired import (
    DesiredState,
    Guards,
    InlineSource,
    Load,
    SegmentSource,
    SizeLimits,
    TableLoad,
)
from segctl.plan.model import Finding
from segctl.plan.source_guards import (
    RestrictionSize,
    SourceSize,
    check_restriction,
    check_sizes,
    removed_restriction,
)
from segctl.planning.load import SourceInput, source_name
from segctl.planning.scope import PlanScope
from segctl.state.restrictions import Restriction, RestrictionKey, pair_restrictions


@dataclass(frozen=True, kw_only=True)
class KnownRestrictions:
    """The restrictions of the last apply, next to the sources of a plan.

    ``keys`` are those of the plan's sources that take members away, and ``known`` what the last
    apply recorded of them, both by input index. ``removed`` have no source any more.
    ``out_of_scope`` belong to segments that the plan does not read.
    """

    keys: Mapping[int, RestrictionKey]
    known: Mapping[int, Restriction]
    removed: tuple[Restriction, ...]
    out_of_scope: tuple[Restriction, ...]

    def samples(self) -> Mapping[int, Sequence[str]]:
        """Return the hashes of users that each source took away, by input index."""
        return {index: restriction.sample for index, restriction in self.known.items()}


def find_known_restrictions(
    desired: DesiredState,
    scope: PlanScope,
    inputs: Sequence[SourceInput],
    recorded: Sequence[Restriction],
) -> KnownRestrictions:
    """Find what the last apply recorded of each source that takes members away."""
    keys = {index: key for index, i in enumerate(inputs) if (key := _restriction_key(i.load))}
    declared = {segment.address for segment in desired.segments if segment.managed}
    # A segment that is no longer declared has no restrictions.
    current = [r for r in recorded if declared.issuperset(r.key.segments)]
    compared = [r for r in current if _is_in_scope(r.key, scope)]
    known = pair_restrictions(compared, keys)
    return KnownRestrictions(
        keys=keys,
        known=known,
        removed=tuple(r for r in compared if r not in known.values()),
        out_of_scope=tuple(r for r in current if r not in compared),
    )


def report_sizes(
    desired: DesiredState,
    inputs: Sequence[SourceInput],
    stats: Mapping[int, LoadStats],
    read: Mapping[int, LoadStats],
    restrictions: KnownRestrictions,
    *,
    read_segments: frozenset[str],
) -> tuple[Sequence[Finding], tuple[Restriction, ...]]:
    """Return the findings about the sizes of sources, and the restrictions for the next state.

    ``stats`` are the row counts of sources by input index, ``read`` those of the sources that
    were read now, for ``read_segments``.
    """
    guards = {segment.address: segment.guards for segment in desired.segments}
    rows = {index: counts.users for index, counts in stats.items()}
    # Another segment has no counts if it is unchanged.
    rows |= {i: known.rows for i, known in restrictions.known.items() if i not in rows}
    sizes = {i: _size(inputs[i].load, rows[i], guards) for i in sorted(rows)}
    findings = list(check_sizes(list(sizes.values())))
    findings += map(removed_restriction, restrictions.removed)
    current = []
    for index, key in restrictions.keys.items():
        known = restrictions.known.get(index)
        if index not in sizes:
            continue  # another segment that is unchanged, and was not recorded yet
        item = RestrictionSize(size=sizes[index], key=key)
        if counts := read.get(index):
            item = replace(item, released=counts.released, similar=counts.similar)
        is_read_in_full = read_segments.issuperset(inputs[index].roles)
        restriction = _next_restriction(item, known, counts if is_read_in_full else None)
        findings += check_restriction(known, restriction, item)
        current.append(restriction)
    return findings, (*restrictions.out_of_scope, *current)


def _next_restriction(
    item: RestrictionSize, known: Restriction | None, read: LoadStats | None
) -> Restriction:
    """Return what to record; from the last apply, where not all segments were read."""
    restriction = Restriction(key=item.key, rows=item.size.rows, similar=item.similar.count)
    if read:
        return replace(restriction, matched=read.matched, sample=read.sample)
    if known:
        similar = max(known.similar, restriction.similar)
        return replace(restriction, matched=known.matched, sample=known.sample, similar=similar)
    return restriction


def _restriction_key(load: Load) -> RestrictionKey | None:
    if isinstance(load, TableLoad) or load.role == "include":
        return None
    segments = () if load.role == "suppress" else load.addresses
    return RestrictionKey(role=load.role, segments=segments, name=source_name(load))


def _is_in_scope(key: RestrictionKey, scope: PlanScope) -> bool:
    if not key.segments:
        return bool(scope.target_indexes)
    return not scope.target_indexes.keys().isdisjoint(key.segments)


def _size(load: Load, rows: int, guards: Mapping[str, Guards]) -> SourceSize:
    """Return the size of a source with this number of rows.

    The guards of a segment limit its loss as a source too.
    """
    source = load.source
    limits, setting = SizeLimits(), None
    if isinstance(source, SegmentSource):
        own = guards[source.address]
        shrink = 100.0 if own.allow_empty else own.max_remove_percent
        limits = SizeLimits(max_shrink_percent=shrink)
        setting = f"spec.guards.maxRemovePercent of {source.address}"
    elif not isinstance(source, InlineSource):
        limits, setting = source.limits, "maxShrinkPercent"
    return SourceSize(
        name=source_name(load),
        place=str(source.location),
        rows=rows,
        limits=limits,
        setting=setting,
        is_external=not isinstance(source, InlineSource | SegmentSource),
    )
