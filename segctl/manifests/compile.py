"""From the files of a workspace to the desired state, or to everything that is wrong."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from segctl.address import segment_address
from segctl.diagnostics import Diagnostic, Location, Severity
from segctl.identity import Kind
from segctl.manifests import desired
from segctl.manifests.contents import Declared, Written, declared, sources
from segctl.manifests.documents import (
    KINDS,
    File,
    GuardSettings,
    MembershipDocument,
    MemberSource,
    ProjectDocument,
    ProjectGuards,
    Query,
    SegmentDocument,
    SegmentTableDocument,
    TableSource,
)
from segctl.manifests.explain import explain
from segctl.manifests.parse import parse
from segctl.manifests.recognize import recognize
from segctl.manifests.tree import Document, look
from segctl.manifests.validate import check, check_url, format_of
from segctl.manifests.variables import Variables, fill, parameters, resolve

PROJECT_FILE = "segctl.yaml"
BASE_URL_VARIABLE = "CLEVERTAP_BASE_URL"

DEFAULT_REGION = "in1"
"""Where the vendor's own samples point."""


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """The desired state, ``None`` where a diagnostic is an error.

    ``passed_over`` are the documents that are not ours, as ``file:line``;
    ``allowed_folders`` what the Project lets sources read outside of the workspace.
    """

    desired: desired.Desired | None
    diagnostics: tuple[Diagnostic, ...]
    passed_over: tuple[str, ...]
    allowed_folders: tuple[str, ...] = ()


def compile_files(
    files: Mapping[str, bytes], *, variables: Mapping[str, str], environment: Mapping[str, str]
) -> Compiled:
    """Compile the YAML files of a workspace, given by their paths relative to its root.

    ``variables`` are those of the command line; ``environment`` is looked at for
    ``SEGCTL_VAR_…`` and ``CLEVERTAP_BASE_URL``.  Raises nothing: all problems are
    in the result, in the order of files and lines.
    """
    parsed = {file: parse(file, content) for file, content in files.items()}
    found = [d for p in parsed.values() for d in p.diagnostics]
    recognized = recognize(d for p in parsed.values() for d in p.documents)
    found += recognized.diagnostics
    ours = recognized.documents
    broken = any(d.location and d.location.file == PROJECT_FILE for d in found)
    project, problems = _project_document(ours, PROJECT_FILE in files and not broken)
    found += problems
    values, problems = resolve(project, variables, environment)
    found += problems
    written, problems = _read(ours, values)
    found += problems
    found += check(written, ours, values)
    settings = [w.content for w in written if isinstance(w.content, ProjectDocument)]
    base_url = environment.get(BASE_URL_VARIABLE, "").strip()
    found += check_url(base_url, BASE_URL_VARIABLE, None) if base_url else ()
    result = None
    if settings and not any(d.severity is Severity.ERROR for d in found):
        result = _desired(settings[0], written, values, base_url, _digest(ours))
    return Compiled(desired=result, diagnostics=in_order(found), passed_over=recognized.passed_over)


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sort by place, each once; those without a place come first."""
    nowhere = Location(file="")
    return tuple(sorted(dict.fromkeys(diagnostics), key=lambda d: d.location or nowhere))


def _project_document(
    documents: Sequence[Document], expected: bool
) -> tuple[Document | None, list[Diagnostic]]:
    """Find the one Project; it is ``expected`` where ``segctl.yaml`` could be read."""
    projects = [d for d in documents if look(d.data, "kind") == "Project"]
    inside = [d for d in projects if d.file == PROJECT_FILE]
    found = [
        Diagnostic(
            code="project-place",
            summary=f"a Project stands in {PROJECT_FILE} at the root of the workspace only.",
            detail="Move it there, or remove it.",
            location=d.at(("kind",)),
        )
        for d in projects
        if d.file != PROJECT_FILE
    ]
    found += [
        Diagnostic(
            code="project-twice",
            summary="a workspace has one Project.",
            detail=f"The first is at {inside[0].at()}. Remove one of them.",
            location=d.at(("kind",)),
        )
        for d in inside[1:]
    ]
    if expected and not inside:
        found.append(
            Diagnostic(
                code="project-missing",
                summary=f"{PROJECT_FILE} holds no Project.",
                detail='Add a document with kind: Project; "segctl init" shows one.',
                location=Location(file=PROJECT_FILE),
            )
        )
    return (inside[0] if inside else None), found


def _read(
    documents: Iterable[Document], variables: Variables
) -> tuple[list[Written], list[Diagnostic]]:
    written: list[Written] = []
    found: list[Diagnostic] = []
    for original in documents:
        document, problems = fill(original, variables)
        found += problems
        model = KINDS[str(look(document.data, "kind"))]
        try:
            written.append(Written(document=document, content=model.model_validate(document.data)))
        except ValidationError as error:
            found += explain(document, model, error)
    return written, found


def _digest(documents: Iterable[Document]) -> str:
    """Digest what is written, before variables, whatever its formatting, files and order."""
    digests = sorted(
        hashlib.sha256(json.dumps(d.data, sort_keys=True, separators=(",", ":")).encode()).digest()
        for d in documents
    )
    return f"sha256:{hashlib.sha256(b''.join(digests)).hexdigest()}"


def _desired(
    project: ProjectDocument,
    written: Sequence[Written],
    variables: Variables,
    base_url: str,
    digest: str,
) -> desired.Desired:
    guards = project.spec.guards
    segments = sorted((_segment(s, guards) for s in declared(written)), key=lambda s: s.address)
    return desired.Desired(
        project=_settings(project, base_url),
        segments=tuple(segments),
        loads=tuple(load for w in written for load in _loads(w, variables)),
        digest=digest,
        variables=dict(sorted(variables.values.items())),
    )


def _settings(project: ProjectDocument, base_url: str) -> desired.ProjectSettings:
    spec = project.spec
    provider = spec.provider
    region = provider.region or DEFAULT_REGION
    url = base_url or provider.base_url or f"https://{region}.api.clevertap.com"
    return desired.ProjectSettings(
        name=project.metadata.name,
        base_url=url.rstrip("/"),
        concurrency=provider.concurrency,
        settle_seconds=provider.settle_seconds,
        max_destroys=spec.guards.max_destroys,
        allowed_folders=tuple(spec.allow_folders),
    )


def _segment(segment: Declared, project: ProjectGuards) -> desired.DesiredSegment:
    return desired.DesiredSegment(
        address=segment_address(segment.name),
        display_name=segment.display_name,
        customer_segment_id=segment.customer_segment_id,
        labels=segment.labels,
        managed=segment.managed,
        guards=_guards(segment.guards, project),
        lifecycle=desired.Lifecycle(
            prevent_destroy=segment.lifecycle.prevent_destroy,
            on_remove=segment.lifecycle.on_remove,
        ),
        location=segment.at,
    )


def _guards(own: GuardSettings, project: ProjectGuards) -> desired.Guards:
    set_here = own.model_dump(exclude_unset=True)
    return desired.Guards(**(project.model_dump(exclude={"max_destroys"}) | set_here))


def _loads(written: Written, variables: Variables) -> Iterator[desired.Load]:
    content = written.content
    if isinstance(content, SegmentTableDocument):
        yield _table(written, content, variables)
        return
    names: Iterable[str] = ()
    if isinstance(content, SegmentDocument):
        names = (content.metadata.name,)
    elif isinstance(content, MembershipDocument):
        names = dict.fromkeys(content.spec.segments)
    addresses = tuple(segment_address(name) for name in names)
    for path, source in sources(written):
        yield desired.MemberLoad(
            source=_source(source, written.document.at(path), variables),
            addresses=addresses,
            role="exclude" if path[1] == "exclude" else "include",
        )


def _table(
    written: Written, content: SegmentTableDocument, variables: Variables
) -> desired.TableLoad:
    spec = content.spec
    location = written.document.at(("spec", "source"))
    return desired.TableLoad(
        name=content.metadata.name,
        source=_outside(spec.source.file, spec.source.query, location, variables),
        segment_column=spec.segment_column,
        segments={name: segment_address(name) for name in spec.segments},
        ignore_others=spec.other_values == "ignore",
    )


def _source(
    source: MemberSource | TableSource, location: Location, variables: Variables
) -> desired.Source:
    if isinstance(source, MemberSource):
        inline = {Kind.IDENTITY: source.identities, Kind.GUID: source.guids}
        for kind, values in inline.items():
            if values is not None:
                return desired.InlineSource(kind=kind, values=tuple(values), location=location)
    return _outside(source.file, source.query, location, variables)


def _outside(
    file: File | None, query: Query | None, location: Location, variables: Variables
) -> desired.FileSource | desired.QuerySource:
    if query is not None:
        return desired.QuerySource(
            sql=query.sql,
            parameters={name: variables.values[name] for name in parameters(query.sql)},
            tolerance=_tolerance(query),
            location=location,
        )
    format_ = format_of(file) if file else None
    if file is None or format_ is None:
        raise AssertionError("checked documents have a source of a known form")
    return desired.FileSource(
        path=file.path,
        format=format_,
        column=file.column,
        kind=Kind(file.kind),
        tolerance=_tolerance(file),
        location=location,
    )


def _tolerance(source: File | Query) -> desired.Tolerance:
    most = source.max_invalid_percent
    return desired.Tolerance(
        skip=source.on_invalid == "skip",
        max_invalid_percent=100.0 if most is None else most,
    )
