"""Check what no single field shows: names across documents, sources, variables, settings."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from segctl.core.address import is_name
from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.core.identity import PROBLEM_DESCRIPTIONS, IdentityProblem, find_problem
from segctl.core.loopback import ALLOW_PLAIN_HTTP, UNENCRYPTED, is_plain_http
from segctl.core.suggestions import did_you_mean
from segctl.core.whitespace import REMOVE_WHITESPACE, describe_surrounding_whitespace
from segctl.manifests.blocks import check_blocks
from segctl.manifests.declarations import (
    SegmentDeclaration,
    SourcePath,
    find_segments,
    find_sources,
    kind_of,
)
from segctl.manifests.documents import ProjectDocument
from segctl.manifests.explain import MAX_SIMILAR, count_of_others
from segctl.manifests.file_formats import SAVE_AS_CSV, infer_format, is_spreadsheet
from segctl.manifests.object_urls import URL_FORMS, is_url, parse_object_url
from segctl.manifests.project_models import Provider
from segctl.manifests.references import check_references
from segctl.manifests.sql_parameters import locate_parameters, locate_quoted_parameters
from segctl.manifests.variables import SQL_SOURCES, Variables, refuse_in_sql
from segctl.manifests.yaml_reader import end_of_text
from segctl.manifests.yaml_tree import Document, Map, Seq, lookup

MAX_SEGMENTS = 2500
"""Segments in an account, according to CleverTap's documentation."""

SERVICE_CONCURRENCY = 3
"""Requests in flight that CleverTap allows for each call."""

NO_SQL_FILES: Mapping[Location, str] = {}

_RESERVED_ID = re.compile(r"ct:[0-9]+")
"""How the state and plans name a segment that has no customerSegmentId."""

_RESTRICTION_SETTINGS = {
    "maxShrinkPercent": "spec.guards.maxRemovePercent limits how many members a segment may lose.",
    "normalize": "It compares exclude, intersect and suppress with members, which are sent as "
    "written.",
}
"""The settings of sources that take members away, and what applies to members instead."""

_SENT_AS_WRITTEN = "segctl sends values exactly as written."
_IDENTITY_ADVICE = {
    IdentityProblem.NULL: "Remove the item.",
    IdentityProblem.EMPTY: "Remove the item.",
    IdentityProblem.CONTROL: f"Remove the character. {_SENT_AS_WRITTEN}",
    IdentityProblem.SPACE: f"Remove the white space. {_SENT_AS_WRITTEN}",
    IdentityProblem.LONG: "Correct or remove the item.",
    IdentityProblem.PLACEHOLDER: "Remove the item.",
    IdentityProblem.NULL_MARK: "Remove the item.",
    IdentityProblem.MANGLED: "Write the value that it stands for.",
    IdentityProblem.PATTERN: "Correct or remove the item.",
}


def check_documents(
    documents: Sequence[Document],
    variables: Variables,
    sql_files: Mapping[Location, str] = NO_SQL_FILES,
) -> Iterator[Diagnostic]:
    """Check manifests whose variables are filled in against each other.

    ``sql_files`` are the files that the SQL of sources is from, by the location of the source.
    Documents with validation errors are checked too, so that one mistake does not hide another.
    """
    segments = list(find_segments(documents))
    yield from _check_segment_names(segments)
    yield from _check_document_names(documents)
    yield from _check_segment_count(segments)
    yield from check_references(documents, segments)
    yield from check_blocks(documents, segments)
    project = next((d for d in documents if kind_of(d) == "Project"), None)
    for document in documents:
        for path, source in find_sources(document):
            sql_file = sql_files.get(document.locate(path), "")
            yield from _check_source(document, path, source, variables, sql_file)
            yield from _check_restriction_settings(document, path, source)
            if project is not None:
                yield from _check_connection(document, path, source, project)
                yield from _check_command(document, path, source, project)


def _check_segment_names(segments: Sequence[SegmentDeclaration]) -> Iterator[Diagnostic]:
    by_name: dict[str, SegmentDeclaration] = {}
    by_display_name: dict[str, SegmentDeclaration] = {}
    by_id: dict[str, SegmentDeclaration] = {}
    by_folded_id: dict[str, SegmentDeclaration] = {}
    for segment in segments:
        first = by_name.setdefault(segment.name, segment)
        if first is not segment:
            what = f'the segment name "{segment.name}"'
            yield _used_twice("duplicate-address", what, first.location, segment.location)
        if segment.display_name is not None:
            first = by_display_name.setdefault(segment.display_name, segment)
            if first is not segment:
                yield _used_twice(
                    "duplicate-display-name",
                    f'the displayName "{segment.display_name}"',
                    first.display_name_location,
                    segment.display_name_location,
                )
        if _RESERVED_ID.fullmatch(segment.customer_segment_id):
            yield _reserved_id(segment)
        first = by_id.setdefault(segment.customer_segment_id, segment)
        if first is segment:
            similar = by_folded_id.setdefault(segment.customer_segment_id.casefold(), segment)
            if similar is not segment:
                yield _similar_id(segment, similar)
        elif not _has_default_id(segment) or first.name != segment.name:
            yield _used_twice(
                "duplicate-customer-segment-id",
                f'the customerSegmentId "{segment.customer_segment_id}"',
                first.customer_segment_id_location,
                segment.customer_segment_id_location,
            )


def _reserved_id(segment: SegmentDeclaration) -> Diagnostic:
    return Diagnostic(
        code="reserved-customer-segment-id",
        summary=f'the customerSegmentId "{segment.customer_segment_id}" looks like the name that '
        "the state gives to a segment without one.",
        detail="Choose another one. To adopt a segment by CleverTap's own id, use ctSegmentId.",
        location=segment.customer_segment_id_location,
    )


def _has_default_id(segment: SegmentDeclaration) -> bool:
    return segment.customer_segment_id_location == segment.location


def _similar_id(segment: SegmentDeclaration, first: SegmentDeclaration) -> Diagnostic:
    return Diagnostic(
        code="similar-customer-segment-id",
        summary=f'the customerSegmentIds "{first.customer_segment_id}" and '
        f'"{segment.customer_segment_id}" differ only in case.',
        detail=f"The first is at {first.customer_segment_id_location}. CleverTap does not "
        "document whether case matters; change one of them.",
        location=segment.customer_segment_id_location,
        severity=Severity.WARNING,
    )


def _used_twice(code: str, what: str, first: Location, second: Location) -> Diagnostic:
    return Diagnostic(
        code=code,
        summary=f"{what} is used twice.",
        detail=f"The first use is at {first}. Change one of them.",
        location=second,
    )


def _check_document_names(documents: Iterable[Document]) -> Iterator[Diagnostic]:
    """Check that no two Memberships, and no two SegmentTables, have the same name."""
    first: dict[tuple[str, str], Location] = {}
    for document in documents:
        kind, name = kind_of(document), lookup(document.data, "metadata", "name")
        if kind in ("Membership", "SegmentTable") and isinstance(name, str):
            location = document.locate(("metadata", "name"))
            if first.setdefault((kind, name), location) is not location:
                what = f'the {kind} name "{name}"'
                yield _used_twice("duplicate-name", what, first[kind, name], location)


def _check_segment_count(segments: Sequence[SegmentDeclaration]) -> Iterator[Diagnostic]:
    if len(segments) > MAX_SEGMENTS:
        yield Diagnostic(
            code="too-many-segments",
            summary=f"{len(segments):,} segments are declared; "
            f"CleverTap allows {MAX_SEGMENTS:,} in an account.",
            detail=f"This is number {MAX_SEGMENTS + 1:,}. Remove some segments.",
            location=segments[MAX_SEGMENTS].location,
        )


def check_project(document: Document, content: ProjectDocument) -> Iterator[Diagnostic]:
    """Check the settings of a workspace."""
    provider = content.spec.provider
    if provider.concurrency > SERVICE_CONCURRENCY:
        yield Diagnostic(
            code="concurrency",
            summary=f'"concurrency" is {provider.concurrency}; '
            f"CleverTap allows {SERVICE_CONCURRENCY} requests in flight.",
            detail="CleverTap answers further requests with 429, unless it has raised the limit "
            "of your account.",
            location=document.locate(("spec", "provider", "concurrency")),
            severity=Severity.WARNING,
        )
    yield from _check_provider_url(document, provider)


def _check_provider_url(document: Document, provider: Provider) -> Iterator[Diagnostic]:
    path = ("spec", "provider", "baseUrl")
    if provider.base_url is None:
        return
    if provider.region is not None:
        yield Diagnostic(
            code="region-and-base-url",
            summary='"region" and "baseUrl" are both set.',
            detail="Keep one of them.",
            location=document.locate(path, key=True),
        )
    yield from check_base_url(
        provider.base_url,
        '"baseUrl"',
        document.locate(path),
        allow_plain_http=provider.allow_plain_http,
    )


def check_base_url(
    url: str, name: str, location: Location | None, *, allow_plain_http: bool
) -> Iterator[Diagnostic]:
    """Check the URL of the service, which messages call ``name``.

    One without TLS must be this machine, or ``allow_plain_http``.
    """
    if edges := describe_surrounding_whitespace(name, url):
        problem, detail = f"{edges}.", REMOVE_WHITESPACE
    elif problem := _url_problem(url):
        problem = f"{name} {problem}."
        detail = "Use a URL such as https://in1.api.clevertap.com or http://127.0.0.1:8787."
    elif is_plain_http(url) and not allow_plain_http:
        problem = f"{name} begins with http:// and is not this machine: {UNENCRYPTED}."
        detail = ALLOW_PLAIN_HTTP
    else:
        return
    yield Diagnostic(code="base-url", summary=problem, detail=detail, location=location)


def _url_problem(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() for c in url):
        return "is not an http:// or https:// URL"
    if parts.username is not None or parts.query or parts.fragment:
        return "has parts other than scheme, host, port and path"
    return ""


def _check_source(
    document: Document, path: SourcePath, source: Map, variables: Variables, sql_file: str
) -> Iterator[Diagnostic]:
    for field, what in (("identities", "identity"), ("guids", "guid")):
        values = source.get(field)
        if isinstance(values, Seq):
            yield from _check_identities(document, (*path, field), values, what)
    file, format_ = lookup(source, "file", "path"), lookup(source, "file", "format")
    if isinstance(file, str) and is_url(file) and parse_object_url(file) is None:
        # The path is not shown: it may have a password before an @.
        yield Diagnostic(
            code="bad-path",
            summary="this path is not a valid object URL.",
            detail=f"Write {URL_FORMS}. Credentials come from the environment.",
            location=document.locate((*path, "file", "path")),
        )
        return
    if isinstance(file, str) and format_ is None and file.strip() and not _may_show_format(file):
        yield Diagnostic(
            code="unknown-format",
            summary="the name of this file does not show its format.",
            detail=SAVE_AS_CSV
            if is_spreadsheet(file)
            else "Add format: csv, tsv, jsonl, parquet or txt.",
            location=document.locate((*path, "file", "path")),
        )
    for form in SQL_SOURCES:
        sql = lookup(source, form, "sql")
        if isinstance(sql, str):
            at = document.locate((*path, form, "sql"))
            query = _QueryText(sql=sql, location=at, file=sql_file)
            yield from _check_query(query, variables)


def _check_restriction_settings(
    document: Document, path: SourcePath, source: Map
) -> Iterator[Diagnostic]:
    """Check that a source of members has no setting for sources that take members away."""
    if path[-2] not in ("members", "spec"):
        return
    for form, settings in source.items():
        for field, advice in _RESTRICTION_SETTINGS.items():
            if isinstance(settings, Map) and field in settings:
                yield Diagnostic(
                    code="no-effect",
                    summary=f"{field} has no effect on a source of members.",
                    detail=f"{advice} Remove {field}.",
                    location=document.locate((*path, form, field), key=True),
                )


def _check_command(
    document: Document, path: SourcePath, source: Map, project: Document
) -> Iterator[Diagnostic]:
    command = source.get("command")
    run_path = ("command", "run") if isinstance(command, Map) else ("command",)
    run = lookup(source, *run_path)
    program = run[0] if isinstance(run, Seq) and run else None
    allowed = lookup(project.data, "spec", "allowCommands")
    is_allowed = isinstance(allowed, Seq) and program in allowed
    if not isinstance(program, str) or is_allowed:
        return
    yield Diagnostic(
        code="command-not-allowed",
        summary=f'the command "{program}" is not allowed in this workspace.',
        detail="It would run on every machine that plans. To allow it, add it to "
        f"spec.allowCommands in segctl.yaml: allowCommands: [{program}].",
        location=document.locate((*path, *run_path, 0)),
    )


def _check_connection(
    document: Document, path: SourcePath, source: Map, project: Document
) -> Iterator[Diagnostic]:
    name = lookup(source, "postgres", "connection")
    declared = lookup(project.data, "spec", "connections")
    known = declared if isinstance(declared, Map) else Map()
    # An invalid name may be a URL with its password: the model refuses it without showing it.
    if not isinstance(name, str) or not is_name(name) or name in known:
        return
    variable = re.sub(r"\W", "_", name, flags=re.ASCII).upper()
    advice = f"Add it under spec.connections in segctl.yaml: {name}: {{env: {variable}_URL}}."
    yield Diagnostic(
        code="unknown-connection",
        summary=f'there is no connection "{name}".',
        detail=did_you_mean(name, known) or advice,
        location=document.locate((*path, "postgres", "connection")),
    )


def _check_identities(
    document: Document, path: SourcePath, values: Seq, what: str
) -> Iterator[Diagnostic]:
    """Check a list of user keys. Messages do not show them, since they are personal data."""
    invalid = [
        (i, p) for i, v in enumerate(values) if isinstance(v, str) and (p := find_problem(v))
    ]
    diagnostic = None
    for i, problem in invalid[:MAX_SIMILAR]:
        diagnostic = Diagnostic(
            code="invalid-identity",
            summary=f"this {what} cannot be used: {PROBLEM_DESCRIPTIONS[problem]}.",
            detail=_IDENTITY_ADVICE[problem],
            location=document.locate((*path, i)),
        )
        yield diagnostic
    if diagnostic and len(invalid) > MAX_SIMILAR:
        yield count_of_others(diagnostic, len(invalid) - MAX_SIMILAR)


def _may_show_format(path: str) -> bool:
    """Return whether a path shows a format, or may be a folder or pattern of files that do."""
    last = path.rsplit("/", 1)[-1]
    return infer_format(path) is not None or "." not in last or bool(set("*?[") & set(last))


@dataclass(frozen=True, kw_only=True)
class _QueryText:
    """The text of a query, and where it is: at a field of a manifest, or in a ``file``."""

    sql: str
    location: Location
    file: str

    def locate(self, index: int) -> Location:
        """Return the location of a character."""
        return end_of_text(self.file, self.sql[:index]) if self.file else self.location


def _check_query(query: _QueryText, variables: Variables) -> Iterator[Diagnostic]:
    if not query.sql.strip():
        yield Diagnostic(
            code="blank",
            summary="the query is blank.",
            detail="Write a SELECT.",
            location=query.locate(0),
        )
    if query.file:
        yield from refuse_in_sql(query.sql, query.locate)
    for name, index in locate_quoted_parameters(query.sql).items():
        if name in variables.declared:
            yield Diagnostic(
                code="quoted-parameter",
                summary=f"${name} is in quotes, where it is plain text and not the variable.",
                detail=f"Write ${name} without quotes: its value is bound as text.",
                location=query.locate(index),
            )
    for name, index in locate_parameters(query.sql).items():
        if undeclared := variables.check_declared(name, query.locate(index)):
            yield undeclared
