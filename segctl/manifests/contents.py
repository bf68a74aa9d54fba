"""What documents declare, read from their trees: segments and sources.

The checks between documents look at these, so that they find their problems in
documents, too, that have others.  A value of a wrong type is simply not seen
here; its model reports it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from segctl.diagnostics import Location
from segctl.manifests.tree import Document, Map, Seq, Value, look

SourcePath = tuple[str | int, ...]

SOURCE_FIELDS = ("members", "intersect", "exclude", "suppress")
"""The fields of a spec that hold lists of sources."""


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A segment, from its own document or from a table."""

    name: str
    display_name: str | None
    customer_segment_id: str
    unmanaged: bool
    at: Location
    display_name_at: Location
    customer_segment_id_at: Location


def kind_of(document: Document) -> str:
    """Give the kind of one of our documents."""
    return _text(look(document.data, "kind")) or ""


def declared(documents: Iterable[Document]) -> Iterator[Declared]:
    """Give every segment that is declared, in the order of the documents."""
    for document in documents:
        if kind_of(document) == "Segment":
            name = _text(look(document.data, "metadata", "name"))
            if name:
                at = document.at(("metadata", "name"))
                yield _declared(document, ("spec",), name, at)
        elif kind_of(document) == "SegmentTable":
            table = look(document.data, "spec", "segments")
            for name in table if isinstance(table, Map) else ():
                path = ("spec", "segments", name)
                yield _declared(document, path, name, document.at(path, key=True))


def _declared(document: Document, path: tuple[str, ...], name: str, at: Location) -> Declared:
    value = look(document.data, *path)
    own_id = _text(look(value, "customerSegmentId"))
    return Declared(
        name=name,
        display_name=_text(look(value, "displayName")),
        customer_segment_id=own_id or name,
        unmanaged=look(value, "members") == "unmanaged",
        at=at,
        display_name_at=document.at((*path, "displayName")),
        customer_segment_id_at=document.at((*path, "customerSegmentId")) if own_id else at,
    )


def sources(document: Document) -> Iterator[tuple[SourcePath, Map]]:
    """Give every source of a document with its path."""
    table = look(document.data, "spec", "source")
    if isinstance(table, Map):
        yield ("spec", "source"), table
    for field in SOURCE_FIELDS:
        items = look(document.data, "spec", field)
        for i, source in enumerate(items if isinstance(items, Seq) else ()):
            if isinstance(source, Map):
                yield ("spec", field, i), source


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A source that is another segment: who reads it, and where that stands."""

    name: str
    readers: tuple[str, ...]
    field: str
    at: Location


def readings(document: Document) -> Iterator[Reading]:
    """Give every source of a document that is a segment."""
    if kind_of(document) == "Membership":
        named = look(document.data, "spec", "segments")
        readers = tuple(n for n in named if isinstance(n, str)) if isinstance(named, Seq) else ()
    else:
        own = _text(look(document.data, "metadata", "name"))
        readers = (own,) if own else ()
    for path, source in sources(document):
        name = _text(source.get("segment"))
        if name is not None:
            at = document.at((*path, "segment"))
            yield Reading(name=name, readers=readers, field=str(path[1]), at=at)


def ruled(document: Document) -> Iterator[tuple[str, SourcePath]]:
    """Give the names of segments in the rules of a document, with their paths.

    The one that others lie within comes before them.
    """
    rules = look(document.data, "spec", "rules")
    for i, rule in enumerate(rules if isinstance(rules, Seq) else ()):
        of = _text(look(rule, "subset", "of"))
        if of is not None:
            yield of, ("spec", "rules", i, "subset", "of")
        for path in (("disjoint",), ("subset", "segments"), ("size", "segments")):
            names = look(rule, *path)
            for n, name in enumerate(names if isinstance(names, Seq) else ()):
                if isinstance(name, str):
                    yield str(name), ("spec", "rules", i, *path, n)


def _text(value: Value) -> str | None:
    return str(value) if isinstance(value, str) else None
