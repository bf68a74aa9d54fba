"""What documents declare, read from their trees: segments and sources.

The checks between documents look at these, so that they find their problems in
documents, too, that have others.  A value of a wrong type is simply not seen
here; its model reports it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from segctl.core.diagnostics import Location
from segctl.manifests.yaml_tree import Document, Map, Seq, Value, look

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


@dataclass(frozen=True, kw_only=True)
class Place:
    """A mapping that may hold sources and rules; those of ``segment``, or of none."""

    path: SourcePath
    value: Value
    segment: str | None


def places(document: Document) -> Iterator[Place]:
    """Give the spec of a document, and those of the segments of a table."""
    spec = look(document.data, "spec")
    own = _text(look(document.data, "metadata", "name")) if kind_of(document) == "Segment" else None
    yield Place(path=("spec",), value=spec, segment=own)
    table = look(spec, "segments")
    for name, segment in table.items() if isinstance(table, Map) else ():
        yield Place(path=("spec", "segments", name), value=segment, segment=name)


def sources(document: Document) -> Iterator[tuple[SourcePath, Map]]:
    """Give every source of a document with its path."""
    table = look(document.data, "spec", "source")
    if isinstance(table, Map):
        yield ("spec", "source"), table
    for place in places(document):
        yield from _listed(place)


def _listed(place: Place) -> Iterator[tuple[SourcePath, Map]]:
    for field in SOURCE_FIELDS:
        items = look(place.value, field)
        for i, source in enumerate(items if isinstance(items, Seq) else ()):
            if isinstance(source, Map):
                yield (*place.path, field, i), source


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A source that is another segment: who reads it, and where that stands."""

    name: str
    readers: tuple[str, ...]
    field: str
    at: Location


def readings(document: Document) -> Iterator[Reading]:
    """Give every source of a document that is a segment."""
    named: Value = None
    if kind_of(document) == "Membership":
        named = look(document.data, "spec", "segments")
    filled = tuple(n for n in named if isinstance(n, str)) if isinstance(named, Seq) else ()
    for place in places(document):
        readers = filled if place.segment is None else (place.segment,)
        for path, source in _listed(place):
            name = _text(source.get("segment"))
            if name is not None:
                at = document.at((*path, "segment"))
                yield Reading(name=name, readers=readers, field=str(path[-2]), at=at)


@dataclass(frozen=True, kw_only=True)
class Ruled:
    """The name of a segment in a rule, and what it must not be: a name it is compared with."""

    name: str
    beside: tuple[str, ...]
    before: tuple[str, ...]
    at: Location


def ruled(document: Document) -> Iterator[Ruled]:
    """Give the names of segments in the rules of a document; ``before`` it in the same list."""
    for place in places(document):
        own = (place.segment,) if place.segment is not None else ()
        rules = look(place.value, "rules")
        for i, rule in enumerate(rules if isinstance(rules, Seq) else ()):
            path = (*place.path, "rules", i)
            of = _text(look(rule, "subset", "of"))
            if of is not None:
                at = document.at((*path, "subset", "of"))
                yield Ruled(name=of, beside=own, before=(), at=at)
            outer = (*own, of) if of is not None else own
            yield from _names(document, rule, path, ("subset", "segments"), outer)
            yield from _names(document, rule, path, ("size", "segments"), ())
            yield from _names(document, rule, path, ("disjoint",), own)


def _names(
    document: Document,
    rule: Value,
    path: SourcePath,
    below: tuple[str, ...],
    beside: tuple[str, ...],
) -> Iterator[Ruled]:
    listed = look(rule, *below)
    names = [_text(name) for name in listed] if isinstance(listed, Seq) else []
    for i, name in enumerate(names):
        if name is not None:
            before = tuple(n for n in names[:i] if n is not None)
            at = document.at((*path, *below, i))
            yield Ruled(name=name, beside=beside, before=before, at=at)


def _text(value: Value) -> str | None:
    return str(value) if isinstance(value, str) else None
