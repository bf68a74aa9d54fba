"""Build the desired state from validated documents. Nothing can be invalid here."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace

from segctl.core.address import segment_address
from segctl.core.approval import ApprovalTolerance
from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Location, Severity
from segctl.core.holdout import Holdout
from segctl.core.local_time import begin_of, end_of
from segctl.core.resources import parse_size
from segctl.manifests import desired, limits
from segctl.manifests.assemble_sources import (
    build_external_source,
    build_source,
    kind_patterns,
    with_patterns,
)
from segctl.manifests.documents import (
    AnyDocument,
    MembershipDocument,
    ProjectDocument,
    RefactoringDocument,
    SegmentDocument,
    SegmentSpec,
    SegmentTableDocument,
    TableSegment,
)
from segctl.manifests.guard_models import (
    ChangeFreeze,
    GuardSettings,
    ProjectAllow,
    ProjectGuards,
    SegmentAllow,
)
from segctl.manifests.project_models import ProjectSpec
from segctl.manifests.rule_models import ProjectRule, SegmentRule, SizesRule, SubsetsRule
from segctl.manifests.source_models import (
    MemberSource,
)
from segctl.manifests.yaml_tree import Document

DEFAULT_REGION = "in1"
"""The region of CleverTap's own code samples."""


@dataclass(frozen=True, kw_only=True)
class ValidDocument:
    """A document and its content as a model."""

    document: Document
    content: AnyDocument


def assemble_desired_state(
    project: ProjectDocument,
    documents: Sequence[ValidDocument],
    *,
    variables: Mapping[str, str],
    base_url: str,
    digest: str,
    passed_over: tuple[str, ...] = (),
    ignored: tuple[desired.IgnoredPath, ...] = (),
    is_trusted: bool = False,
    env_name: str = "",
) -> desired.DesiredState:
    """Build the desired state. ``base_url`` overrides the project's, unless it is empty."""
    segments = sorted(
        (s for d in documents for s in _segments(d, project.spec)), key=lambda s: s.address
    )
    managed = tuple(s.address for s in segments if s.managed)
    patterns = kind_patterns(project.spec)
    return desired.DesiredState(
        project=replace(
            _settings(project, base_url),
            is_trusted=is_trusted,
            env_name=env_name,
            place=_settings_place(project, documents),
        ),
        segments=tuple(segments),
        loads=tuple(
            with_patterns(load, patterns)
            for d in documents
            for load in _loads(d, managed, variables)
        ),
        rules=tuple(rule for d in documents for rule in _rules(d)),
        blocks=_blocks(documents, segments, variables),
        digest=digest,
        passed_over=passed_over,
        ignored=ignored,
        variables=dict(sorted(variables.items())),
    )


def _settings(project: ProjectDocument, base_url: str) -> desired.ProjectSettings:
    spec = project.spec
    provider = spec.provider
    region = provider.region or DEFAULT_REGION
    # eu1 also serves accounts on api.clevertap.com, the European host without a region.
    url = base_url or provider.base_url or f"https://{region}.api.clevertap.com"
    return desired.ProjectSettings(
        name=project.metadata.name,
        base_url=url.rstrip("/"),
        allow_plain_http=provider.allow_plain_http,
        create_body=provider.create_body,
        concurrency=provider.concurrency,
        settle_seconds=provider.settle_seconds,
        counting=provider.counting,
        max_refused_percent=provider.max_refused_percent,
        max_destroys=spec.guards.max_destroys,
        approval=ApprovalTolerance(
            percent=spec.approval.tolerance_percent, members=spec.approval.tolerance_members
        ),
        guards=limits.PlanGuards(
            **{f.name: getattr(spec.guards, f.name) for f in fields(limits.PlanGuards)}
        ),
        allow=_plan_override(spec.allow, spec.time_zone),
        freezes=tuple(_freeze(freeze, spec.time_zone) for freeze in spec.change_freeze),
        retry_after_days=spec.rejects.retry_after_days,
        allowed_folders=tuple(spec.allow_folders),
        patterns=kind_patterns(spec),
        time_zone=spec.time_zone,
        query_limits=desired.QueryLimits(
            timeout_seconds=spec.queries.timeout_seconds,
            memory=parse_size(spec.queries.memory),
            scratch=parse_size(spec.queries.scratch),
        ),
        connections={
            name: desired.Connection(variable=c.env, timeout_seconds=c.timeout_seconds)
            for name, c in spec.connections.items()
        },
    )


def _settings_place(project: ProjectDocument, documents: Sequence[ValidDocument]) -> str:
    """Return where the override of the workspace is, or where it can be added."""
    document = next(d.document for d in documents if d.content is project)
    path = ("spec", "allow") if project.spec.allow else ("spec",)
    return str(document.locate(path, key=True))


def _plan_override(allow: ProjectAllow | None, zone: str) -> limits.PlanOverride | None:
    if allow is None:
        return None
    values = {**allow.model_dump(), "freeze": bool(allow.freeze)}
    return limits.PlanOverride(**values, expires_at=end_of(allow.until, zone))


def _segment_override(allow: SegmentAllow | None, zone: str) -> limits.SegmentOverride | None:
    if allow is None:
        return None
    values = {**allow.model_dump(), "empty": bool(allow.empty)}
    return limits.SegmentOverride(**values, expires_at=end_of(allow.until, zone))


def _freeze(freeze: ChangeFreeze, zone: str) -> limits.Freeze:
    return limits.Freeze(
        begins_at=begin_of(freeze.from_, zone) if freeze.from_ else None,
        ends_at=end_of(freeze.to, zone) if freeze.to else None,
        days=tuple(freeze.days or ()),
        hours=freeze.daily or "",
        reason=freeze.reason or "",
    )


def _segments(valid: ValidDocument, project: ProjectSpec) -> Iterator[desired.DesiredSegment]:
    content = valid.content
    if isinstance(content, SegmentDocument):
        name, labels = content.metadata.name, content.metadata.labels
        location = valid.document.locate(("metadata", "name"))
        place = _SegmentPlace(document=valid.document, path=("spec",), location=location)
        yield _segment(name, content.spec, labels, place, project)
    elif isinstance(content, SegmentTableDocument):
        for name, segment in content.spec.segments.items():
            path = ("spec", "segments", name)
            location = valid.document.locate(path, key=True)
            place = _SegmentPlace(document=valid.document, path=path, location=location)
            yield _segment(name, segment, segment.labels, place, project)


@dataclass(frozen=True, kw_only=True)
class _SegmentPlace:
    """Where a segment is declared: its document, the path to its fields, and its location."""

    document: Document
    path: tuple[str, ...]
    location: Location


def _segment(
    name: str,
    spec: SegmentSpec | TableSegment,
    labels: Mapping[str, str],
    place: _SegmentPlace,
    project: ProjectSpec,
) -> desired.DesiredSegment:
    segment_id = spec.customer_segment_id or name
    holdout = spec.holdout
    allow_path = (*place.path, "allow") if spec.allow else place.path
    allow_location = place.document.locate(allow_path, key=True)
    return desired.DesiredSegment(
        address=segment_address(name),
        display_name=spec.display_name,
        customer_segment_id=segment_id,
        labels=labels,
        managed=isinstance(spec, TableSegment) or spec.members != "unmanaged",
        guards=_guards(spec.guards, project.guards),
        allow=_segment_override(spec.allow, project.time_zone),
        lifecycle=desired.Lifecycle(**spec.lifecycle.model_dump()),
        holdout=Holdout(percent=holdout.percent, salt=holdout.salt or segment_id)
        if holdout
        else None,
        location=place.location,
        path=".".join(place.path),
        allow_location=allow_location,
    )


def _guards(own: GuardSettings, project: ProjectGuards) -> limits.Guards:
    defaults = project.model_dump(include={f.name for f in fields(limits.Guards)})
    return limits.Guards(**defaults | own.model_dump(exclude_unset=True))


def _blocks(
    documents: Sequence[ValidDocument],
    segments: Sequence[desired.DesiredSegment],
    variables: Mapping[str, str],
) -> desired.Blocks:
    """Build the blocks of all documents. The default id of an import is its segment's."""
    ids = {segment.address: segment.customer_segment_id for segment in segments}
    imports: list[desired.ImportBlock] = []
    moves: list[desired.MovedBlock] = []
    removals: list[desired.RemovedBlock] = []
    for valid in documents:
        if not isinstance(valid.content, RefactoringDocument):
            continue
        document, spec = valid.document, valid.content.spec
        for i, new in enumerate(spec.import_):
            path = ("spec", "import", i)
            sources = None
            if new.members is not None:
                sources = tuple(
                    build_source(source, document.locate((*path, "members", n)), variables)
                    for n, source in enumerate(new.members)
                )
            imports.append(
                desired.ImportBlock(
                    address=new.address,
                    customer_segment_id=new.customer_segment_id or ids[new.address],
                    ct_segment_id=new.ct_segment_id,
                    sources=sources,
                    location=document.locate(path),
                )
            )
        moves += (
            desired.MovedBlock(
                source=moved.from_,
                destination=moved.to,
                location=document.locate(("spec", "moved", i)),
            )
            for i, moved in enumerate(spec.moved)
        )
        removals += (
            desired.RemovedBlock(
                address=removed.address,
                on_remove=removed.on_remove,
                location=document.locate(("spec", "removed", i)),
            )
            for i, removed in enumerate(spec.removed)
        )
    return desired.Blocks(imports=tuple(imports), moves=tuple(moves), removals=tuple(removals))


_ROLES: Mapping[str, desired.Role] = {
    "members": "include",
    "intersect": "intersect",
    "exclude": "exclude",
    "suppress": "suppress",
}
"""The role of the sources in each field."""


def _loads(
    valid: ValidDocument, managed: tuple[str, ...], variables: Mapping[str, str]
) -> Iterator[desired.Load]:
    document, content = valid.document, valid.content
    if isinstance(content, SegmentTableDocument):
        yield _table_load(document, content, variables)
    for path, sources, addresses in _source_lists(content, managed):
        for i, source in enumerate(sources):
            yield desired.MemberLoad(
                source=build_source(source, document.locate((*path, i)), variables),
                addresses=addresses,
                role=_ROLES[path[-1]],
            )


def _source_lists(
    content: AnyDocument, managed: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Sequence[MemberSource], tuple[str, ...]]]:
    """Yield each list of sources with its path and the addresses that it applies to."""
    if isinstance(content, ProjectDocument):
        yield ("spec", "suppress"), content.spec.suppress, managed
    elif isinstance(content, MembershipDocument):
        yield ("spec", "members"), content.spec.members, _addresses(content.spec.segments)
    elif isinstance(content, SegmentDocument):
        spec, own = content.spec, _addresses([content.metadata.name])
        if isinstance(spec.members, list):
            yield ("spec", "members"), spec.members, own
        yield ("spec", "intersect"), spec.intersect, own
        yield ("spec", "exclude"), spec.exclude, own
    elif isinstance(content, SegmentTableDocument):
        for name, segment in content.spec.segments.items():
            path, own = ("spec", "segments", name), _addresses([name])
            yield (*path, "intersect"), segment.intersect, own
            yield (*path, "exclude"), segment.exclude, own


def _table_load(
    document: Document, content: SegmentTableDocument, variables: Mapping[str, str]
) -> desired.TableLoad:
    spec = content.spec
    return desired.TableLoad(
        name=content.metadata.name,
        source=build_external_source(spec.source, document.locate(("spec", "source")), variables),
        segment_column=spec.segment_column,
        segments={name: segment_address(name) for name in spec.segments},
        ignore_other_values=spec.other_values == "ignore",
    )


def _addresses(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(segment_address, dict.fromkeys(names)))


def _rules(valid: ValidDocument) -> Iterator[desired.Rule]:
    document, content = valid.document, valid.content
    if isinstance(content, ProjectDocument):
        yield from _listed_rules(document, ("spec",), content.spec.rules, None)
    elif isinstance(content, SegmentDocument):
        yield from _listed_rules(document, ("spec",), content.spec.rules, content.metadata.name)
    elif isinstance(content, SegmentTableDocument):
        for name, segment in content.spec.segments.items():
            yield from _listed_rules(document, ("spec", "segments", name), segment.rules, name)


def _listed_rules(
    document: Document,
    path: tuple[str, ...],
    rules: Sequence[SegmentRule | ProjectRule],
    owner: str | None,
) -> Iterator[desired.Rule]:
    for i, rule in enumerate(rules):
        yield _rule(rule, owner, document.locate((*path, "rules", i)))


def _rule(rule: SegmentRule | ProjectRule, owner: str | None, location: Location) -> desired.Rule:
    """Build a rule. ``owner`` is the name of the segment that it is written in, if any."""
    severity = Severity(rule.severity)
    own = [owner] if owner is not None else []
    if rule.disjoint is not None:
        return desired.Disjoint(
            addresses=_addresses(rule.disjoint),
            owner=segment_address(owner) if owner is not None else None,
            severity=severity,
            location=location,
        )
    if rule.subset is not None:
        names = rule.subset.segments if isinstance(rule.subset, SubsetsRule) else own
        return desired.Subset(
            addresses=_addresses(names),
            of=segment_address(rule.subset.of),
            severity=severity,
            location=location,
        )
    if rule.size is None:
        raise AssertionError("a validated rule has exactly one form")
    names = rule.size.segments if isinstance(rule.size, SizesRule) else own
    return desired.Size(
        addresses=_addresses(names),
        minimum=rule.size.min,
        maximum=rule.size.max,
        severity=severity,
        location=location,
    )
