"""From what the models read to the desired state; nothing can be wrong any more."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from segctl.core.address import segment_address
from segctl.core.diagnostics import Location, Severity
from segctl.core.holdout import Holdout
from segctl.core.identity import Kind
from segctl.manifests import desired
from segctl.manifests.documents import (
    AnyDocument,
    GuardSettings,
    LifecycleSettings,
    MembershipDocument,
    ProjectDocument,
    ProjectGuards,
    SegmentDocument,
    SegmentSpec,
    SegmentTableDocument,
    TableSegment,
)
from segctl.manifests.file_formats import infer_format
from segctl.manifests.rule_models import ProjectRule, SegmentRule, SizesRule, SubsetsRule
from segctl.manifests.source_models import (
    Command,
    File,
    MemberSource,
    Postgres,
    Query,
    Sqlite,
    TableSource,
)
from segctl.manifests.variables import parameters
from segctl.manifests.yaml_tree import Document

DEFAULT_REGION = "in1"
"""Where the vendor's own samples point."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A document and what its model read from it."""

    document: Document
    content: AnyDocument


def assemble(
    project: ProjectDocument,
    written: Sequence[Written],
    *,
    variables: Mapping[str, str],
    base_url: str,
    digest: str,
) -> desired.DesiredState:
    """Put the desired state together; ``base_url`` overrides the project's, if not empty."""
    guards = project.spec.guards
    segments = sorted((s for w in written for s in _segments(w, guards)), key=lambda s: s.address)
    managed = [s.address for s in segments if s.managed]
    return desired.DesiredState(
        project=_settings(project, base_url),
        segments=tuple(segments),
        loads=tuple(load for w in written for load in _loads(w, managed, variables)),
        rules=tuple(rule for w in written for rule in _rules(w)),
        digest=digest,
        variables=dict(sorted(variables.items())),
    )


def _settings(project: ProjectDocument, base_url: str) -> desired.ProjectSettings:
    spec = project.spec
    provider = spec.provider
    region = provider.region or DEFAULT_REGION
    # eu1 is also the default European host, api.clevertap.com without a region.
    url = base_url or provider.base_url or f"https://{region}.api.clevertap.com"
    return desired.ProjectSettings(
        name=project.metadata.name,
        base_url=url.rstrip("/"),
        concurrency=provider.concurrency,
        settle_seconds=provider.settle_seconds,
        counting=provider.counting,
        max_refused_percent=provider.max_refused_percent,
        max_destroys=spec.guards.max_destroys,
        retry_after_days=spec.rejects.retry_after_days,
        allowed_folders=tuple(spec.allow_folders),
        connections={
            name: desired.Connection(variable=c.env, timeout_seconds=c.timeout_seconds)
            for name, c in spec.connections.items()
        },
    )


def _segments(written: Written, guards: ProjectGuards) -> Iterator[desired.DesiredSegment]:
    document, content = written.document, written.content
    if isinstance(content, SegmentDocument):
        name, labels = content.metadata.name, content.metadata.labels
        at = document.at(("metadata", "name"))
        yield _segment(name, content.spec, labels, at, guards)
    elif isinstance(content, SegmentTableDocument):
        for name, segment in content.spec.segments.items():
            at = document.at(("spec", "segments", name), key=True)
            yield _segment(name, segment, segment.labels, at, guards)


def _segment(
    name: str,
    spec: SegmentSpec | TableSegment,
    labels: Mapping[str, str],
    location: Location,
    guards: ProjectGuards,
) -> desired.DesiredSegment:
    own_id = spec.customer_segment_id or name
    return desired.DesiredSegment(
        address=segment_address(name),
        display_name=spec.display_name,
        customer_segment_id=own_id,
        labels=labels,
        managed=isinstance(spec, TableSegment) or spec.members != "unmanaged",
        guards=_guards(spec.guards, guards),
        lifecycle=_lifecycle(spec.lifecycle),
        holdout=Holdout(percent=spec.holdout.percent, salt=spec.holdout.salt or own_id)
        if spec.holdout
        else None,
        location=location,
    )


def _guards(own: GuardSettings, project: ProjectGuards) -> desired.Guards:
    set_here = own.model_dump(exclude_unset=True)
    return desired.Guards(**(project.model_dump(exclude={"max_destroys"}) | set_here))


def _lifecycle(written: LifecycleSettings) -> desired.Lifecycle:
    return desired.Lifecycle(prevent_destroy=written.prevent_destroy, on_remove=written.on_remove)


def _loads(
    written: Written, managed: Sequence[str], variables: Mapping[str, str]
) -> Iterator[desired.Load]:
    document, content = written.document, written.content
    if isinstance(content, SegmentTableDocument):
        yield _table(document, content, variables)
        for name, segment in content.spec.segments.items():
            path, own = ("spec", "segments", name), [segment_address(name)]
            yield from _members(document, (*path, "intersect"), segment.intersect, own, variables)
            yield from _members(document, (*path, "exclude"), segment.exclude, own, variables)
    elif isinstance(content, SegmentDocument):
        spec, own = content.spec, [segment_address(content.metadata.name)]
        members = spec.members if isinstance(spec.members, list) else []
        yield from _members(document, ("spec", "members"), members, own, variables)
        yield from _members(document, ("spec", "intersect"), spec.intersect, own, variables)
        yield from _members(document, ("spec", "exclude"), spec.exclude, own, variables)
    elif isinstance(content, MembershipDocument):
        members, filled = content.spec.members, map(segment_address, content.spec.segments)
        yield from _members(
            document, ("spec", "members"), members, dict.fromkeys(filled), variables
        )
    else:
        suppressed = content.spec.suppress
        yield from _members(document, ("spec", "suppress"), suppressed, managed, variables)


_ROLES: Mapping[str, desired.Role] = {
    "members": "include",
    "intersect": "intersect",
    "exclude": "exclude",
    "suppress": "suppress",
}
"""What the sources of a field do to the segments."""


def _members(
    document: Document,
    path: tuple[str, ...],
    sources: Iterable[MemberSource],
    addresses: Iterable[str],
    variables: Mapping[str, str],
) -> Iterator[desired.MemberLoad]:
    addresses = tuple(addresses)
    for i, source in enumerate(sources):
        yield desired.MemberLoad(
            source=_source(source, document.at((*path, i)), variables),
            addresses=addresses,
            role=_ROLES[path[-1]],
        )


def _rules(written: Written) -> Iterator[desired.Rule]:
    document, content = written.document, written.content
    if isinstance(content, ProjectDocument):
        yield from _listed(document, ("spec",), content.spec.rules, None)
    elif isinstance(content, SegmentDocument):
        yield from _listed(document, ("spec",), content.spec.rules, content.metadata.name)
    elif isinstance(content, SegmentTableDocument):
        for name, segment in content.spec.segments.items():
            yield from _listed(document, ("spec", "segments", name), segment.rules, name)


def _listed(
    document: Document,
    path: tuple[str, ...],
    rules: Sequence[SegmentRule | ProjectRule],
    own: str | None,
) -> Iterator[desired.Rule]:
    for i, rule in enumerate(rules):
        yield _rule(rule, own, document.at((*path, "rules", i)))


def _rule(rule: SegmentRule | ProjectRule, own: str | None, at: Location) -> desired.Rule:
    severity = Severity(rule.severity)
    owner = segment_address(own) if own is not None else None
    if rule.disjoint is not None:
        return desired.Disjoint(
            addresses=_addresses(rule.disjoint), owner=owner, severity=severity, location=at
        )
    if rule.subset is not None:
        inner = rule.subset.segments if isinstance(rule.subset, SubsetsRule) else [own or ""]
        of = segment_address(rule.subset.of)
        return desired.Subset(addresses=_addresses(inner), of=of, severity=severity, location=at)
    if rule.size is None:
        raise AssertionError("checked rules have one form")
    counted = rule.size.segments if isinstance(rule.size, SizesRule) else [own or ""]
    return desired.Size(
        addresses=_addresses(counted),
        minimum=rule.size.min,
        maximum=rule.size.max,
        severity=severity,
        location=at,
    )


def _addresses(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(segment_address, dict.fromkeys(names)))


def _table(
    document: Document, content: SegmentTableDocument, variables: Mapping[str, str]
) -> desired.TableLoad:
    spec = content.spec
    location = document.at(("spec", "source"))
    return desired.TableLoad(
        name=content.metadata.name,
        source=_outside(spec.source, location, variables),
        segment_column=spec.segment_column,
        segments={name: segment_address(name) for name in spec.segments},
        ignore_other_values=spec.other_values == "ignore",
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
    return _outside(source, location, variables)


def _outside(
    source: MemberSource | TableSource, location: Location, variables: Mapping[str, str]
) -> desired.ExternalSource:
    if source.query is not None:
        return _query(source.query, location, variables)
    if source.file is not None:
        return _file(source.file, location)
    if source.sqlite is not None:
        return _sqlite(source.sqlite, location, variables)
    if source.postgres is not None:
        return _postgres(source.postgres, location, variables)
    if source.command is not None:
        return _command(source.command, location)
    raise AssertionError("checked documents have a source of a known form")


def _query(query: Query, location: Location, variables: Mapping[str, str]) -> desired.QuerySource:
    return desired.QuerySource(
        sql=query.sql,
        parameters={name: variables[name] for name in parameters(query.sql)},
        tolerance=_tolerance(query),
        location=location,
    )


def _sqlite(
    sqlite: Sqlite, location: Location, variables: Mapping[str, str]
) -> desired.SqliteSource:
    sql = sqlite.sql or ""
    return desired.SqliteSource(
        path=sqlite.path,
        sql=sql,
        parameters={name: variables[name] for name in parameters(sql)},
        table=sqlite.table or "",
        column=sqlite.column,
        kind=Kind(sqlite.kind),
        tolerance=_tolerance(sqlite),
        location=location,
    )


def _postgres(
    postgres: Postgres, location: Location, variables: Mapping[str, str]
) -> desired.PostgresSource:
    sql = postgres.sql or ""
    return desired.PostgresSource(
        connection=postgres.connection,
        sql=sql,
        parameters={name: variables[name] for name in parameters(sql)},
        table=postgres.table or "",
        column=postgres.column,
        kind=Kind(postgres.kind),
        tolerance=_tolerance(postgres),
        location=location,
    )


def _command(written: list[str] | Command, location: Location) -> desired.CommandSource:
    command = Command(run=written) if isinstance(written, list) else written
    return desired.CommandSource(
        run=tuple(command.run),
        format=command.format,
        column=command.column,
        kind=Kind(command.kind),
        timeout_seconds=command.timeout_seconds,
        tolerance=_tolerance(command),
        location=location,
    )


def _file(file: File, location: Location) -> desired.FileSource:
    return desired.FileSource(
        path=file.path,
        format=file.format or infer_format(file.path),
        column=file.column,
        kind=Kind(file.kind),
        where=file.where,
        tolerance=_tolerance(file),
        location=location,
    )


def _tolerance(source: File | Query | Sqlite | Postgres | Command) -> desired.Tolerance:
    most = source.max_invalid_percent
    return desired.Tolerance(
        skip=source.on_invalid == "skip",
        max_invalid_percent=100.0 if most is None else most,
    )
