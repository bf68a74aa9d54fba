"""The sizes of the sources of a plan, for the guards and for the next state."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from segctl.engine.model import LoadStats
from segctl.manifests.desired import (
    DesiredState,
    Guards,
    InlineSource,
    Load,
    MemberLoad,
    Role,
    SegmentSource,
    SizeLimits,
    TableLoad,
)
from segctl.plan.model import Finding, Users
from segctl.plan.source_guards import (
    RestrictionSize,
    SourceSize,
    check_min_rows,
    check_restrictions,
)
from segctl.planning.load import SourceInput, source_name
from segctl.planning.scope import PlanScope
from segctl.state.restrictions import Restriction, pair_restrictions


@dataclass(frozen=True, kw_only=True)
class RestrictionReport:
    """The findings about the sizes of sources, and the restrictions for the next state."""

    findings: Sequence[Finding]
    restrictions: tuple[Restriction, ...]


def report_source_sizes(
    desired: DesiredState,
    scope: PlanScope,
    inputs: Sequence[SourceInput],
    stats: Mapping[int, LoadStats],
    read: Mapping[int, LoadStats],
    *,
    read_segments: frozenset[str],
    recorded: Sequence[Restriction],
) -> RestrictionReport:
    """Compare the sizes of sources with their limits and with the last apply.

    ``stats`` are the row counts of all sources in scope by input index, ``read`` those that were
    read now, for ``read_segments``. ``recorded`` are the restrictions in the state.
    """
    guards = {segment.address: segment.guards for segment in desired.segments}
    sizes = {i: _size(inputs[i].load, counts, guards) for i, counts in sorted(stats.items())}
    current, unread = [], []
    for index, source_input in enumerate(inputs):
        load = source_input.load
        if isinstance(load, TableLoad) or load.role == "include":
            continue
        if size := sizes.get(index):
            current.append(_restriction_size(load, size, read.get(index), read_segments))
        else:
            unread.append((*_group(load), source_name(load)))
    declared = {segment.address for segment in desired.segments if segment.managed}
    kept: list[Restriction] = []
    compared: list[Restriction] = []
    for known in recorded:
        if not declared.issuperset(known.segments):
            continue
        is_same = (*known.group, known.name) in unread or not _is_in_scope(known, scope)
        (kept if is_same else compared).append(known)
    current = list(_with_known_matches(compared, current))
    restrictions = sorted(
        [*kept, *(item.restriction for item in current)], key=lambda item: item.group
    )
    return RestrictionReport(
        findings=[*check_min_rows(list(sizes.values())), *check_restrictions(compared, current)],
        restrictions=tuple(restrictions),
    )


def _size(load: Load, stats: LoadStats, guards: Mapping[str, Guards]) -> SourceSize:
    """Return the size of a source. The guards of a segment limit its loss as a source too."""
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
        rows=stats.users,
        limits=limits,
        setting=setting,
    )


def _group(load: MemberLoad) -> tuple[Role, tuple[str, ...]]:
    return load.role, () if load.role == "suppress" else load.addresses


def _is_in_scope(restriction: Restriction, scope: PlanScope) -> bool:
    if not restriction.segments:
        return bool(scope.target_indexes)
    return not scope.target_indexes.keys().isdisjoint(restriction.segments)


def _restriction_size(
    load: MemberLoad, size: SourceSize, read: LoadStats | None, read_segments: frozenset[str]
) -> RestrictionSize:
    similar = read.similar if read else Users()
    is_read_in_full = read is not None and read_segments.issuperset(load.addresses)
    role, segments = _group(load)
    return RestrictionSize(
        size=size,
        similar=similar,
        restriction=Restriction(
            role=role,
            segments=segments,
            name=size.name,
            rows=size.rows,
            matched=read.matched if read and is_read_in_full else None,
            similar=similar.count,
        ),
    )


def _with_known_matches(
    recorded: Sequence[Restriction], current: Sequence[RestrictionSize]
) -> Iterator[RestrictionSize]:
    """Yield the current sizes, completed from the state where a source was not read in full."""
    for known, index in pair_restrictions(recorded, [item.restriction for item in current]):
        if index is None:
            continue
        item = current[index]
        if item.restriction.matched is None and known and item.restriction.role != "intersect":
            completed = replace(
                item.restriction,
                matched=known.matched,
                similar=max(known.similar, item.restriction.similar),
            )
            item = replace(item, restriction=completed)
        yield item
