"""What no single field can tell: how the documents of a workspace fit together."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from urllib.parse import urlsplit

from segctl.core.address import is_name
from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.core.identity import PROBLEM_DESCRIPTIONS, IdentityProblem, find_problem
from segctl.manifests.declarations import Declared, SourcePath, declared, kind_of, sources
from segctl.manifests.documents import ProjectDocument, Provider
from segctl.manifests.explain import MAX_ALIKE, and_more, nearest
from segctl.manifests.file_formats import infer_format
from segctl.manifests.object_urls import URL_FORMS, is_url, parse_object_url
from segctl.manifests.references import references
from segctl.manifests.variables import SQL_SOURCES, Variables, parameters
from segctl.manifests.yaml_tree import Document, Map, Seq, look

MAX_SEGMENTS = 2500
"""Segments per account, by the service's documentation."""

SERVICE_CONCURRENCY = 3

_ADVICE = {
    IdentityProblem.NULL: "Remove it.",
    IdentityProblem.EMPTY: "Remove it.",
    IdentityProblem.CONTROL: "Remove the character; values are sent exactly as written.",
    IdentityProblem.SPACE: "Remove it; values are sent exactly as written.",
    IdentityProblem.LONG: "Check the value.",
    IdentityProblem.PLACEHOLDER: "Remove it.",
}


def check(documents: Sequence[Document], variables: Variables) -> Iterator[Diagnostic]:
    """Find what is wrong between our documents, whose variables are filled in.

    Documents that their models refused are looked at all the same: one mistake
    does not hide another.
    """
    segments = list(declared(documents))
    yield from _duplicates(segments)
    yield from _same_names(documents)
    yield from _too_many(segments)
    yield from references(documents, segments)
    connections = _connections(documents)
    allowed = _allowed_commands(documents)
    for document in documents:
        for path, source in sources(document):
            yield from _source(document, path, source, variables)
            yield from _connection(document, path, source, connections)
            yield from _command(document, path, source, allowed)


def _duplicates(segments: Sequence[Declared]) -> Iterator[Diagnostic]:
    by_name: dict[str, Declared] = {}
    by_display: dict[str, Declared] = {}
    by_id: dict[str, Declared] = {}
    by_folded: dict[str, Declared] = {}
    for segment in segments:
        first = by_name.setdefault(segment.name, segment)
        if first is not segment:
            what = f'the segment name "{segment.name}"'
            yield _twice("duplicate-address", what, first.at, segment.at)
        if segment.display_name is None:
            other = segment
        else:
            other = by_display.setdefault(segment.display_name, segment)
        if other is not segment:
            what = f'the displayName "{segment.display_name}"'
            yield _twice(
                "duplicate-display-name", what, other.display_name_at, segment.display_name_at
            )
        other = by_id.setdefault(segment.customer_segment_id, segment)
        if other is not segment:
            if segment.customer_segment_id_at != segment.at or other.name != segment.name:
                yield _same_id(segment, other)
            continue
        other = by_folded.setdefault(segment.customer_segment_id.casefold(), segment)
        if other is not segment:
            yield _nearly_same_id(segment, other)


def _same_id(segment: Declared, other: Declared) -> Diagnostic:
    what = f'the customerSegmentId "{segment.customer_segment_id}"'
    return _twice(
        "duplicate-customer-segment-id",
        what,
        other.customer_segment_id_at,
        segment.customer_segment_id_at,
    )


def _nearly_same_id(segment: Declared, other: Declared) -> Diagnostic:
    return Diagnostic(
        code="similar-customer-segment-id",
        summary=f'the customerSegmentIds "{other.customer_segment_id}" and '
        f'"{segment.customer_segment_id}" differ in case only.',
        detail=f"The first is at {other.customer_segment_id_at}. "
        "Whether CleverTap tells them apart is not documented.",
        location=segment.customer_segment_id_at,
        severity=Severity.WARNING,
    )


def _twice(code: str, what: str, first: Location, second: Location) -> Diagnostic:
    return Diagnostic(
        code=code,
        summary=f"{what} is used twice.",
        detail=f"The first is at {first}. Change one of them.",
        location=second,
    )


def _same_names(documents: Iterable[Document]) -> Iterator[Diagnostic]:
    """Memberships and tables go by their names in plans and messages."""
    first: dict[tuple[str, str], Location] = {}
    for document in documents:
        kind, name = kind_of(document), look(document.data, "metadata", "name")
        if kind in ("Membership", "SegmentTable") and isinstance(name, str):
            at = document.at(("metadata", "name"))
            if first.setdefault((kind, name), at) is not at:
                yield _twice("duplicate-name", f'the {kind} name "{name}"', first[kind, name], at)


def _too_many(segments: Sequence[Declared]) -> Iterator[Diagnostic]:
    if len(segments) > MAX_SEGMENTS:
        yield Diagnostic(
            code="too-many-segments",
            summary=f"{len(segments):,} segments are declared; "
            f"CleverTap allows {MAX_SEGMENTS:,} in an account.",
            detail=f"This is number {MAX_SEGMENTS + 1:,}. Remove some.",
            location=segments[MAX_SEGMENTS].at,
        )


def check_project(document: Document, content: ProjectDocument) -> Iterator[Diagnostic]:
    """Find what is wrong with the settings of a workspace."""
    provider = content.spec.provider
    if provider.concurrency > SERVICE_CONCURRENCY:
        yield Diagnostic(
            code="concurrency",
            summary=f'"concurrency" is {provider.concurrency}; '
            f"CleverTap allows {SERVICE_CONCURRENCY} requests in flight.",
            detail="More are answered with 429 unless the account has a raised limit.",
            location=document.at(("spec", "provider", "concurrency")),
            severity=Severity.WARNING,
        )
    if content.spec.state.backend != "local":
        yield Diagnostic(
            code="state-backend",
            summary="the backend objectStore is not part of this version.",
            detail="Use backend: local.",
            location=document.at(("spec", "state", "backend")),
        )
    yield from _address_of_service(document, provider)


def _address_of_service(document: Document, provider: Provider) -> Iterator[Diagnostic]:
    path = ("spec", "provider", "baseUrl")
    if provider.base_url is None:
        return
    if provider.region is not None:
        yield Diagnostic(
            code="region-and-base-url",
            summary='"region" and "baseUrl" are both given.',
            detail="Keep one of them.",
            location=document.at(path, key=True),
        )
    yield from check_url(provider.base_url, '"baseUrl"', document.at(path))


def check_url(url: str, name: str, location: Location | None) -> Iterator[Diagnostic]:
    """Tell what is wrong with the address of a service."""
    problem, severity = _url_problem(url)
    if problem:
        yield Diagnostic(
            code="base-url",
            summary=f"{name} {problem}.",
            detail="Write it as in https://in1.api.clevertap.com or http://127.0.0.1:8787.",
            location=location,
            severity=severity,
        )


def _url_problem(url: str) -> tuple[str, Severity]:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL", Severity.ERROR
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() for c in url):
        return "is not an http:// or https:// URL", Severity.ERROR
    if parts.username is not None or parts.query or parts.fragment:
        return "has more in it than scheme, host, port and path", Severity.ERROR
    if parts.scheme == "http" and host not in ("127.0.0.1", "localhost", "::1"):
        return "is http://, which sends the passcode unencrypted", Severity.WARNING
    return "", Severity.ERROR


def _source(
    document: Document, path: SourcePath, source: Map, variables: Variables
) -> Iterator[Diagnostic]:
    for field, what in (("identities", "identity"), ("guids", "guid")):
        values = source.get(field)
        if isinstance(values, Seq):
            yield from _identities(document, (*path, field), values, what)
    file, given = look(source, "file", "path"), look(source, "file", "format")
    if isinstance(file, str) and is_url(file) and parse_object_url(file) is None:
        # The path is not shown: what stands before an @ in it is a password.
        yield Diagnostic(
            code="bad-path",
            summary="this path is no address of an object.",
            detail=f"Write {URL_FORMS}; credentials come from the environment.",
            location=document.at((*path, "file", "path")),
        )
        return
    if isinstance(file, str) and given is None and file.strip() and not _tells_format(file):
        yield Diagnostic(
            code="unknown-format",
            summary="the format of this file cannot be told from its name.",
            detail="Add format: csv, tsv, jsonl, parquet or txt.",
            location=document.at((*path, "file", "path")),
        )
    for form in SQL_SOURCES:
        sql = look(source, form, "sql")
        if isinstance(sql, str):
            yield from _query(sql, document.at((*path, form, "sql")), variables)


def _allowed_commands(documents: Iterable[Document]) -> Collection[str] | None:
    """Give the programs that sources may run, ``None`` where no Project could be read."""
    for document in documents:
        if kind_of(document) == "Project":
            found = look(document.data, "spec", "allowCommands")
            return [str(name) for name in found] if isinstance(found, Seq) else []
    return None


def _command(
    document: Document, path: SourcePath, source: Map, allowed: Collection[str] | None
) -> Iterator[Diagnostic]:
    command = source.get("command")
    below = ("run",) if isinstance(command, Map) else ()
    run = look(source, "command", *below)
    program = run[0] if isinstance(run, Seq) and run else None
    if allowed is None or not isinstance(program, str) or program in allowed:
        return
    yield Diagnostic(
        code="command-not-allowed",
        summary=f'the command "{program}" is not allowed in this workspace.',
        detail="It would run on every machine that plans. If that is meant, add it to "
        f"spec.allowCommands in segctl.yaml: allowCommands: [{program}].",
        location=document.at((*path, "command", *below, 0)),
    )


def _connections(documents: Iterable[Document]) -> Collection[str] | None:
    """Give the names of the declared databases, ``None`` where no Project could be read."""
    for document in documents:
        if kind_of(document) == "Project":
            found = look(document.data, "spec", "connections")
            return set(found) if isinstance(found, Map) else set()
    return None


def _connection(
    document: Document, path: SourcePath, source: Map, known: Collection[str] | None
) -> Iterator[Diagnostic]:
    name = look(source, "postgres", "connection")
    # What is no name may be a URL with its password; its model refuses it without showing it.
    if known is None or not isinstance(name, str) or not is_name(name) or name in known:
        return
    variable = re.sub(r"\W", "_", name, flags=re.ASCII).upper()
    advice = "Declare it under spec.connections in segctl.yaml"
    yield Diagnostic(
        code="unknown-connection",
        summary=f'there is no connection "{name}".',
        detail=nearest(name, known) or f"{advice}: {name}: {{env: {variable}_URL}}.",
        location=document.at((*path, "postgres", "connection")),
    )


def _identities(
    document: Document, path: SourcePath, values: Seq, what: str
) -> Iterator[Diagnostic]:
    """Check a list of user keys; the values themselves are personal data and not shown."""
    wrong = [(i, p) for i, v in enumerate(values) if isinstance(v, str) and (p := find_problem(v))]
    diagnostic = None
    for i, reason in wrong[:MAX_ALIKE]:
        diagnostic = Diagnostic(
            code="invalid-identity",
            summary=f"this {what} is not usable: {PROBLEM_DESCRIPTIONS[reason]}.",
            detail=_ADVICE[reason],
            location=document.at((*path, i)),
        )
        yield diagnostic
    if diagnostic and len(wrong) > MAX_ALIKE:
        yield and_more(diagnostic, len(wrong) - MAX_ALIKE)


def _tells_format(path: str) -> bool:
    """Tell whether a path shows a format, or may be that of files whose names do."""
    last = path.rsplit("/", 1)[-1]
    return infer_format(path) is not None or "." not in last or bool(set("*?[") & set(last))


def _query(sql: str, location: Location, variables: Variables) -> Iterator[Diagnostic]:
    if not sql.strip():
        yield Diagnostic(
            code="blank",
            summary="the query is blank.",
            detail="Write one SELECT.",
            location=location,
        )
    for name in parameters(sql):
        if missing := variables.missing(name, location):
            yield missing
