"""Whose document is it: ours, somebody else's, or ours with a mistake in its head.

A manifest that is passed over by mistake is a segment destroyed by the next
plan, so a near miss is an error.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher

from segctl.core.diagnostics import Diagnostic, Severity
from segctl.manifests.documents import API_VERSION, KINDS
from segctl.manifests.explain import nearest
from segctl.manifests.yaml_tree import Document, Map

_FOLDED = {kind.casefold() for kind in KINDS}


@dataclass(frozen=True, kw_only=True)
class Recognized:
    """Our documents of a known kind, the places of those passed over, and near misses."""

    documents: tuple[Document, ...]
    passed_over: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]


def recognize(documents: Iterable[Document]) -> Recognized:
    """Sort out our documents; problems of notation count only in ours."""
    ours: list[Document] = []
    passed: list[str] = []
    found: list[Diagnostic] = []
    for document in documents:
        if isinstance(document.data, Map) and _is_ours(document.data):
            found += document.problems
            found += _head_problems(document, document.data)
            if _is_readable(document.data):
                ours.append(document)
        else:
            found += _suspicion(document)
            passed.append(f"{document.file}:{document.start[0]}")
    return Recognized(documents=tuple(ours), passed_over=tuple(passed), diagnostics=tuple(found))


def _is_ours(data: Map) -> bool:
    version, kind = data.get("apiVersion"), data.get("kind")
    if isinstance(kind, str) and kind.casefold() in _FOLDED:
        return True
    return _is_near(version)


def _is_near(version: object) -> bool:
    return isinstance(version, str) and (
        version.casefold().startswith("segctl")
        or SequenceMatcher(None, version.casefold(), API_VERSION).ratio() > 0.8
    )


def _is_readable(data: Map) -> bool:
    """Tell whether the rest of a document can be checked whatever its apiVersion."""
    kind = data.get("kind")
    meant = "apiVersion" not in data or _is_near(data["apiVersion"])
    return meant and isinstance(kind, str) and kind in KINDS


def _head_problems(document: Document, data: Map) -> Iterable[Diagnostic]:
    version, kind = data.get("apiVersion"), data.get("kind")
    if "apiVersion" not in data:
        yield Diagnostic(
            code="api-version",
            summary=f'"apiVersion" is missing in this {kind}.',
            detail=f"Add apiVersion: {API_VERSION}.",
            location=document.at(),
        )
    elif version != API_VERSION:
        yield Diagnostic(
            code="api-version",
            summary=f"unknown apiVersion {_shown(version)}.",
            detail=f"Write apiVersion: {API_VERSION}.",
            location=document.at(("apiVersion",)),
        )
    if "kind" not in data:
        yield Diagnostic(
            code="kind",
            summary='"kind" is missing.',
            detail=f"It is one of {', '.join(KINDS)}.",
            location=document.at(),
        )
    elif not isinstance(kind, str) or kind not in KINDS:
        guess = nearest(kind, KINDS) if isinstance(kind, str) else ""
        yield Diagnostic(
            code="kind",
            summary=f"unknown kind {_shown(kind)}.",
            detail=guess or f"It is one of {', '.join(KINDS)}.",
            location=document.at(("kind",)),
        )


def _shown(value: object) -> str:
    return f'"{value[:60]}"' if isinstance(value, str) else "that is not text"


def _suspicion(document: Document) -> Iterable[Diagnostic]:
    """Warn of a manifest whose head has gone."""
    data = document.data
    if isinstance(data, Map) and {"metadata", "spec"} <= set(data) and "kind" not in data:
        yield Diagnostic(
            code="no-head",
            summary="this document has neither apiVersion nor kind and is passed over.",
            detail=f"If it is a manifest, add apiVersion: {API_VERSION} and its kind.",
            location=document.at(),
            severity=Severity.WARNING,
        )
