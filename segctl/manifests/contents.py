"""What the documents of a workspace contain, whichever kind declares it: segments and sources."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from segctl.diagnostics import Location
from segctl.manifests.documents import (
    AnyDocument,
    GuardSettings,
    LifecycleSettings,
    MembershipDocument,
    MemberSource,
    SegmentDocument,
    SegmentTableDocument,
    TableSource,
)
from segctl.manifests.tree import Document

SourcePath = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Written:
    """A document and what its model read from it."""

    document: Document
    content: AnyDocument


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A segment, from its own document or from a table."""

    name: str
    display_name: str
    customer_segment_id: str
    labels: Mapping[str, str]
    managed: bool
    guards: GuardSettings
    lifecycle: LifecycleSettings
    at: Location
    display_name_at: Location
    customer_segment_id_at: Location


def declared(written: Iterable[Written]) -> Iterator[Declared]:
    """Give every segment that is declared, in the order of the documents."""
    for one in written:
        if isinstance(one.content, SegmentDocument):
            yield _of_document(one.document, one.content)
        elif isinstance(one.content, SegmentTableDocument):
            yield from _of_table(one.document, one.content)


def _of_document(document: Document, content: SegmentDocument) -> Declared:
    spec, name_at = content.spec, document.at(("metadata", "name"))
    return Declared(
        name=content.metadata.name,
        display_name=spec.display_name,
        customer_segment_id=spec.customer_segment_id or content.metadata.name,
        labels=content.metadata.labels,
        managed=spec.members != "unmanaged",
        guards=spec.guards,
        lifecycle=spec.lifecycle,
        at=name_at,
        display_name_at=document.at(("spec", "displayName")),
        customer_segment_id_at=document.at(("spec", "customerSegmentId"))
        if spec.customer_segment_id
        else name_at,
    )


def _of_table(document: Document, content: SegmentTableDocument) -> Iterator[Declared]:
    for name, segment in content.spec.segments.items():
        path = ("spec", "segments", name)
        name_at = document.at(path, key=True)
        yield Declared(
            name=name,
            display_name=segment.display_name,
            customer_segment_id=segment.customer_segment_id or name,
            labels=segment.labels,
            managed=True,
            guards=segment.guards,
            lifecycle=segment.lifecycle,
            at=name_at,
            display_name_at=document.at((*path, "displayName")),
            customer_segment_id_at=document.at((*path, "customerSegmentId"))
            if segment.customer_segment_id
            else name_at,
        )


def sources(written: Written) -> Iterator[tuple[SourcePath, MemberSource | TableSource]]:
    """Give every source of a document with its path."""
    content = written.content
    lists: dict[str, Sequence[MemberSource]] = {}
    match content:
        case SegmentTableDocument():
            yield ("spec", "source"), content.spec.source
        case SegmentDocument():
            if isinstance(content.spec.members, list):
                lists["members"] = content.spec.members
            lists["exclude"] = content.spec.exclude
        case MembershipDocument():
            lists["members"] = content.spec.members
    for field, items in lists.items():
        for i, source in enumerate(items):
            yield ("spec", field, i), source
