"""The sizes of a plan's sources, and what sources that take members away did at the last apply."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from segctl.core.dataclass import dataclass
from segctl.core.list_samples import split_hashes
from segctl.core.normalize import Normalization
from segctl.engine.model import EarlierList, LoadStats
from segctl.engine.protocols import MemberComparer
from segctl.manifests.desired import (
    DesiredSegment,
    DesiredState,
    InlineSource,
    Load,
    SegmentSource,
    SizeLimits,
    TableLoad,
)
from segctl.plan.model import Finding
from segctl.plan.overrides import OverrideClock, OverridePlace
from segctl.plan.source_guards import (
    RestrictionSize,
    SourceSize,
    check_restriction,
    check_sizes,
    removed_restriction,
)
from segctl.planning.load import SourceInput, normalizations
from segctl.planning.scope import PlanScope, segments_of
from segctl.planning.source_diagnostics import source_name
from segctl.state.restrictions import Restriction, RestrictionKey, pair_restrictions

_UNNAMED = "the "
"""How ``source_name`` begins for a source without a name of its own, such as a query."""


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

    def earlier(self, inputs: Sequence[SourceInput]) -> Mapping[int, EarlierList]:
        """Return what an engine compares each source with, by input index.

        Values in other forms cannot be compared.
        """
        return {
            index: EarlierList(
                left_out=known.sample,
                listed=known.listed if known.forms == normalizations(inputs[index].load) else "",
            )
            for index, known in self.known.items()
        }

    def are_known(self, indexes: Iterable[int]) -> bool:
        """Whether every one of these sources that takes members away is known in full."""
        return all(
            index in self.known and self.known[index].is_known
            for index in indexes
            if index in self.keys
        )


def find_known_restrictions(
    desired: DesiredState,
    scope: PlanScope,
    inputs: Sequence[SourceInput],
    recorded: Sequence[Restriction],
    *,
    addresses: Collection[str],
) -> KnownRestrictions:
    """Find what the last apply recorded of each source that takes members away.

    ``addresses`` are the recorded segments.
    """
    keys = {index: key for index, i in enumerate(inputs) if (key := _restriction_key(i.load))}
    declared = {segment.address for segment in desired.segments if segment.managed}
    # A segment that is neither declared nor recorded has no restrictions.
    current = [r for r in recorded if (declared | set(addresses)).issuperset(r.key.segments)]
    compared = [r for r in current if _is_in_scope(r.key, scope)]
    known = pair_restrictions(compared, keys)
    paired = {id(restriction) for restriction in known.values()}
    removed = tuple(r for r in compared if id(r) not in paired)
    known |= _find_by_name(keys, known, recorded)
    return KnownRestrictions(
        keys=keys,
        known=known,
        removed=removed,
        out_of_scope=tuple(r for r in current if not _is_in_scope(r.key, scope)),
    )


def count_added(
    restrictions: KnownRestrictions, engine: MemberComparer, target_indexes: Mapping[str, int]
) -> Sequence[int]:
    """Count for each removed restriction the remembered values that the plan adds."""
    counts = []
    for known in restrictions.removed:
        segments = known.key.segments
        targets = [target_indexes[a] for a in segments if a in target_indexes] if segments else None
        # In other forms than as written, the values of members have other hashes.
        hashes = split_hashes(known.listed) if not known.forms else []
        is_list = known.key.role != "intersect"
        counts.append(engine.count_added(targets, hashes) if is_list and hashes else 0)
    return counts


def _find_by_name(
    keys: Mapping[int, RestrictionKey],
    known: Mapping[int, Restriction],
    recorded: Sequence[Restriction],
) -> Mapping[int, Restriction]:
    """Return what is recorded of other sources by name: of another role, or of other segments.

    A segment that takes the place of another, with its list, must not add users whom the old one
    left out.
    """
    paired = {id(restriction) for restriction in known.values()}
    by_name = {r.key.name: r for r in recorded if id(r) not in paired}
    return {
        index: by_name[key.name]
        for index, key in keys.items()
        if index not in known and key.name in by_name and not key.name.startswith(_UNNAMED)
    }


def report_sizes(
    desired: DesiredState,
    inputs: Sequence[SourceInput],
    stats: Mapping[int, LoadStats],
    read: Mapping[int, LoadStats],
    restrictions: KnownRestrictions,
    *,
    read_segments: frozenset[str],
    added: Sequence[int],
    clock: OverrideClock,
) -> tuple[Sequence[Finding], tuple[Restriction, ...]]:
    """Return the findings about the sizes of sources, and the restrictions for the next state.

    ``added`` counts for each removed restriction the remembered values that the plan adds.

    ``stats`` are the row counts of sources by input index, ``read`` those of the sources that
    were read now, for ``read_segments``.
    """
    segments = {segment.address: segment for segment in desired.segments}
    overrides = _override_places(desired)
    rows = {index: counts.users for index, counts in stats.items()}
    # Another segment has no counts if it is unchanged.
    rows |= {i: known.rows for i, known in restrictions.known.items() if i not in rows}
    sizes = {i: source_size(inputs[i].load, rows[i], segments) for i in sorted(rows)}
    findings = list(check_sizes(list(sizes.values())))
    findings += map(removed_restriction, restrictions.removed, added)
    current = []
    for index, key in restrictions.keys.items():
        known = restrictions.known.get(index)
        if index not in sizes:
            continue  # another segment that is unchanged, and was not recorded yet
        item = RestrictionSize(size=sizes[index], key=key)
        if counts := read.get(index):
            item = replace(
                item,
                released=counts.released,
                similar=counts.similar,
                dropped=counts.dropped,
            )
        is_read_in_full = read_segments.issuperset(inputs[index].roles)
        forms = normalizations(inputs[index].load)
        restriction = _next_restriction(item, known, counts if is_read_in_full else None)
        restriction = _with_values(restriction, known, counts, forms)
        findings += check_restriction(known, restriction, item, overrides.get(key.segments), clock)
        current.append(restriction)
    return findings, (*restrictions.out_of_scope, *current)


def _override_places(desired: DesiredState) -> Mapping[tuple[str, ...], OverridePlace]:
    """Return the places of overrides by the segments of a restriction; ``()`` is the workspace."""
    places: dict[tuple[str, ...], OverridePlace] = {
        (segment.address,): OverridePlace(
            override=segment.allow,
            path=segment.path,
            place=str(segment.allow_location or segment.location),
            address=segment.address,
        )
        for segment in desired.segments
    }
    project = desired.project
    workspace = OverridePlace(override=project.allow, path="spec", place=project.place)
    return {(): workspace, **places}


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


def _with_values(
    restriction: Restriction,
    known: Restriction | None,
    read: LoadStats | None,
    forms: tuple[Normalization, ...],
) -> Restriction:
    """Add the hashes of a source's own values: its rows are always read all, or not at all."""
    if read:
        return replace(restriction, listed=read.listed, forms=forms)
    if known:
        return replace(restriction, listed=known.listed, forms=known.forms)
    return restriction


def _restriction_key(load: Load) -> RestrictionKey | None:
    if isinstance(load, TableLoad) or load.role == "include":
        return None
    segments = () if load.role == "suppress" else load.addresses
    return RestrictionKey(role=load.role, segments=segments, name=source_name(load))


def is_for_all(load: Load) -> bool:
    """Return whether a source takes members from every segment of the workspace."""
    return not isinstance(load, TableLoad) and load.role == "suppress"


def _is_in_scope(key: RestrictionKey, scope: PlanScope) -> bool:
    if not key.segments:
        return bool(scope.target_indexes)
    return not scope.target_indexes.keys().isdisjoint(key.segments)


def source_size(load: Load, rows: int, segments: Mapping[str, DesiredSegment]) -> SourceSize:
    """Return the size of a source with this number of rows.

    The guards of a segment limit its loss as a source too.
    """
    source = load.source
    limits, setting = SizeLimits(), None
    if isinstance(source, SegmentSource):
        own = segments[source.address]
        limits = SizeLimits(max_shrink_percent=own.guards.max_remove_percent)
        setting = f"{own.path}.guards.maxRemovePercent of {source.address} ({own.allow_location})"
    elif not isinstance(source, InlineSource):
        limits, setting = source.limits, "maxShrinkPercent"
    return SourceSize(
        name=source_name(load),
        place=str(source.location),
        rows=rows,
        limits=limits,
        setting=setting,
        is_external=not isinstance(source, InlineSource | SegmentSource),
        segments=() if is_for_all(load) else tuple(dict.fromkeys(segments_of(load))),
    )
