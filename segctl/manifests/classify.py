"""Separate segctl's manifests from other YAML documents by ``apiVersion`` and ``kind``.

A document that is almost a manifest is an error: the next plan would destroy the segment of a
manifest that was skipped by mistake.
"""

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic, Severity
from segctl.core.suggestions import did_you_mean
from segctl.manifests.documents import API_VERSION, KINDS
from segctl.manifests.explain import or_list
from segctl.manifests.yaml_tree import Document, Map, Path, Seq, Value

_FOLDED_KINDS = {kind.casefold() for kind in KINDS}
_NESTED_LEVELS = 4
"""How deep in other documents manifests are looked for."""

_ALL_KINDS = or_list(list(KINDS))


@dataclass(frozen=True, kw_only=True)
class ClassifiedDocuments:
    """The manifests whose content can be checked, and the locations of other documents.

    ``diagnostics`` are the problems with the notation and with ``apiVersion`` and ``kind``.
    """

    manifests: tuple[Document, ...]
    passed_over: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]


def classify_documents(documents: Iterable[Document]) -> ClassifiedDocuments:
    """Separate manifests from other documents. Notation problems count only in manifests."""
    manifests: list[Document] = []
    passed_over: list[str] = []
    diagnostics: list[Diagnostic] = []
    for document in documents:
        data = document.data
        if isinstance(data, Map) and _is_manifest(data):
            diagnostics += document.problems
            diagnostics += _head_problems(document, data)
            if _can_be_checked(data):
                manifests.append(document)
        else:
            diagnostics += _missing_head(document)
            if nested := list(_nested_manifests(document)):
                diagnostics += nested
            else:
                passed_over.append(f"{document.file}:{document.start[0]}")
    return ClassifiedDocuments(
        manifests=tuple(manifests),
        passed_over=tuple(passed_over),
        diagnostics=tuple(diagnostics),
    )


def _is_manifest(data: Map) -> bool:
    kind = data.get("kind")
    is_known_kind = isinstance(kind, str) and kind.casefold() in _FOLDED_KINDS
    return is_known_kind or _resembles_api_version(data.get("apiVersion"))


def _resembles_api_version(version: object) -> bool:
    return isinstance(version, str) and (
        version.casefold().startswith("segctl")
        or SequenceMatcher(None, version.casefold(), API_VERSION).ratio() > 0.8
    )


def _can_be_checked(data: Map) -> bool:
    """Return whether apiVersion and kind show which model the document must match."""
    kind = data.get("kind")
    has_version = "apiVersion" not in data or _resembles_api_version(data["apiVersion"])
    return has_version and isinstance(kind, str) and kind in KINDS


def _head_problems(document: Document, data: Map) -> Iterator[Diagnostic]:
    version, kind = data.get("apiVersion"), data.get("kind")
    if "apiVersion" not in data:
        yield Diagnostic(
            code="api-version",
            summary=f'"apiVersion" is missing in this {kind}.',
            detail=f"Add apiVersion: {API_VERSION}.",
            location=document.locate(),
        )
    elif version != API_VERSION:
        yield Diagnostic(
            code="api-version",
            summary=_unknown("apiVersion", version),
            detail=f"Write apiVersion: {API_VERSION}.",
            location=document.locate(("apiVersion",)),
        )
    if "kind" not in data:
        yield Diagnostic(
            code="kind",
            summary='"kind" is missing.',
            detail=f"Add kind: {_ALL_KINDS}.",
            location=document.locate(),
        )
    elif not isinstance(kind, str) or kind not in KINDS:
        suggestion = did_you_mean(kind, KINDS) if isinstance(kind, str) else ""
        if kind == "List":
            suggestion = "Write each item as a document of its own, and --- between two of them."
        yield Diagnostic(
            code="kind",
            summary=_unknown("kind", kind),
            detail=suggestion or f"Use {_ALL_KINDS}.",
            location=document.locate(("kind",)),
        )


def _unknown(field: str, value: object) -> str:
    if isinstance(value, str):
        return f'unknown {field} "{value[:60]}".'
    return f'"{field}" must be text.'


def _nested_manifests(document: Document) -> Iterator[Diagnostic]:
    """Refuse manifests that are items of a list or of ``kind: List``: they would not be read."""
    path = _find_nested(document.data)
    if path is not None:
        yield Diagnostic(
            code="nested-manifest",
            summary="this manifest is inside another document, where segctl does not read it.",
            detail="Write each manifest as a document of its own, and --- between two of them.",
            location=document.locate(path),
        )


def _find_nested(data: Value) -> Path | None:
    """Return the path of the first manifest below a value, breadth first, or ``None``."""
    level: list[tuple[Path, Value]] = [((), data)]
    for _ in range(_NESTED_LEVELS):
        below: list[tuple[Path, Value]] = []
        for path, value in level:
            if path and isinstance(value, Map) and _is_nested_manifest(value):
                return path
            if isinstance(value, Map):
                below += [((*path, key), child) for key, child in value.items()]
            elif isinstance(value, Seq):
                below += [((*path, index), child) for index, child in enumerate(value)]
        level = below
    return None


def _is_nested_manifest(data: Map) -> bool:
    """Whether a mapping within a document is a manifest: of its version, or of its shape."""
    version = data.get("apiVersion")
    if isinstance(version, str) and version.casefold().startswith("segctl"):
        return True
    return (
        "apiVersion" not in data and data.get("kind") in KINDS and {"metadata", "spec"} <= set(data)
    )


def _missing_head(document: Document) -> Iterator[Diagnostic]:
    """Warn about a document that looks like a manifest without its first two fields."""
    data = document.data
    if isinstance(data, Map) and {"metadata", "spec"} <= set(data) and "kind" not in data:
        yield Diagnostic(
            code="no-head",
            summary="this document has neither apiVersion nor kind, so segctl ignores it.",
            detail=f"If it is a manifest, add apiVersion: {API_VERSION} and its kind.",
            location=document.locate(),
            severity=Severity.WARNING,
        )
