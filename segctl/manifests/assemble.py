"""Build the desired state from validated documents. Nothing can be invalid here."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from segctl.core.address import segment_address
from segctl.core.approval import ApprovalTolerance
from segctl.core.diagnostics import Location, Severity
from segctl.core.holdout import Holdout
from segctl.core.identity import Kind
from segctl.core.local_time import begin_of, end_of
from segctl.core.normalize import normalization_order
from segctl.core.resources import parse_size
from segctl.manifests import desired
from segctl.manifests.documents import (
    AnyDocument,
    MembershipDocument,
    ProjectDocument,
    ProjectSpec,
    RefactoringDocument,
    SegmentDocument,
    SegmentSpec,
    SegmentTableDocument,
    TableSegment,
)
from segctl.manifests.file_formats import infer_format
from segctl.manifests.guard_models import (
    ChangeFreeze,
    GuardSettings,
    ProjectAllow,
    ProjectGuards,
    SegmentAllow,
)
from segctl.manifests.rule_models import ProjectRule, SegmentRule, SizesRule, SubsetsRule
from segctl.manifests.source_models import (
    Command,
    MemberSource,
    Postgres,
    RowSource,
    Sqlite,
    TableSource,
    sql_text,
)
from segctl.manifests.sql_parameters import find_parameters
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
    patterns = _kind_patterns(project.spec)
    return desired.DesiredState(
        project=replace(
            _settings(project, base_url),
            is_trusted=is_trusted,
            env_name=env_name,
            place=_settings_place(project, documents),
        ),
        segments=tuple(segments),
        loads=tuple(
            _with_patterns(load, patterns)
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
        guards=desired.PlanGuards(
            **{f.name: getattr(spec.guards, f.name) for f in fields(desired.PlanGuards)}
        ),
        allow=_plan_override(spec.allow, spec.time_zone),
        freezes=tuple(_freeze(freeze, spec.time_zone) for freeze in spec.change_freeze),
        retry_after_days=spec.rejects.retry_after_days,
        allowed_folders=tuple(spec.allow_folders),
        patterns=_kind_patterns(spec),
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


def _plan_override(allow: ProjectAllow | None, zone: str) -> desired.PlanOverride | None:
    if allow is None:
        return None
    values = {**allow.model_dump(), "freeze": bool(allow.freeze)}
    return desired.PlanOverride(**values, expires_at=end_of(allow.until, zone))


def _segment_override(allow: SegmentAllow | None, zone: str) -> desired.SegmentOverride | None:
    if allow is None:
        return None
    values = {**allow.model_dump(), "empty": bool(allow.empty)}
    return desired.SegmentOverride(**values, expires_at=end_of(allow.until, zone))


def _freeze(freeze: ChangeFreeze, zone: str) -> desired.Freeze:
    return desired.Freeze(
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


def _guards(own: GuardSettings, project: ProjectGuards) -> desired.Guards:
    defaults = project.model_dump(include={f.name for f in fields(desired.Guards)})
    return desired.Guards(**defaults | own.model_dump(exclude_unset=True))


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
                    _source(source, document.locate((*path, "members", n)), variables)
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
                source=_source(source, document.locate((*path, i)), variables),
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
        source=_external_source(spec.source, document.locate(("spec", "source")), variables),
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


def _source(
    source: MemberSource, location: Location, variables: Mapping[str, str]
) -> desired.Source:
    inline = {Kind.IDENTITY: source.identities, Kind.GUID: source.guids}
    for kind, values in inline.items():
        if values is not None:
            return desired.InlineSource(kind=kind, values=tuple(values), location=location)
    if source.segment is not None:
        return desired.SegmentSource(address=segment_address(source.segment), location=location)
    return _external_source(source, location, variables)


def _external_source(
    source: MemberSource | TableSource, location: Location, variables: Mapping[str, str]
) -> desired.ExternalSource:
    if file := source.file:
        return desired.FileSource(
            path=file.path,
            format=file.format or infer_format(file.path),
            column=file.column,
            kind=Kind(file.kind),
            where=file.where,
            comments=file.comments,
            encoding=file.encoding,
            delimiter=file.delimiter,
            **_row_settings(file),
            location=location,
        )
    if query := source.query:
        return desired.QuerySource(
            sql=sql_text(query.sql),
            parameters=_bound_parameters(sql_text(query.sql), variables),
            **_row_settings(query),
            location=location,
        )
    if sqlite := source.sqlite:
        rows = _database_rows(sqlite, variables)
        return desired.SqliteSource(path=sqlite.path, location=location, **rows)
    if postgres := source.postgres:
        rows = _database_rows(postgres, variables)
        return desired.PostgresSource(connection=postgres.connection, location=location, **rows)
    if source.command is not None:
        return _command(source.command, location)
    raise AssertionError("a validated source has exactly one form")


def _database_rows(source: Sqlite | Postgres, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields that all database sources have."""
    sql = sql_text(source.sql)
    return {
        "sql": sql,
        "parameters": _bound_parameters(sql, variables),
        "table": source.table or "",
        "column": source.column,
        "kind": Kind(source.kind),
        **_row_settings(source),
    }


def _bound_parameters(sql: str, variables: Mapping[str, str]) -> dict[str, str]:
    return {name: variables[name] for name in find_parameters(sql)}


def _command(written: list[str] | Command, location: Location) -> desired.CommandSource:
    command = Command(run=written) if isinstance(written, list) else written
    return desired.CommandSource(
        run=tuple(command.run),
        format=command.format,
        column=command.column,
        kind=Kind(command.kind),
        timeout_seconds=command.timeout_seconds,
        comments=command.comments,
        encoding=command.encoding,
        delimiter=command.delimiter,
        **_row_settings(command),
        location=location,
    )


def _row_settings(source: RowSource) -> dict[str, Any]:
    """Return the fields that all sources of rows have."""
    percent, shrink = source.max_invalid_percent, source.max_shrink_percent
    return {
        "tolerance": desired.Tolerance(
            skip=source.on_invalid == "skip",
            max_invalid_percent=100.0 if percent is None else percent,
        ),
        "limits": desired.SizeLimits(
            min_rows=source.min_rows or 0,
            max_shrink_percent=(desired.DEFAULT_MAX_SHRINK_PERCENT if shrink is None else shrink),
        ),
        "patterns": dict.fromkeys(Kind, source.pattern) if source.pattern is not None else {},
        "normalize": normalization_order(source.normalize),
    }


def _kind_patterns(spec: ProjectSpec) -> dict[Kind, str]:
    return {Kind(kind): pattern for kind, pattern in spec.patterns.items()}


def _with_patterns(load: desired.Load, patterns: Mapping[Kind, str]) -> desired.Load:
    """Return a load with the patterns of the workspace, unless its source has its own."""
    source = load.source
    if isinstance(source, desired.SegmentSource) or source.patterns or not patterns:
        return load
    changes: dict[str, Any] = {"source": replace(source, patterns=patterns)}
    return replace(load, **changes)
