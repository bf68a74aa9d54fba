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
    for field in ("members", "exclude"):
        items = look(document.data, "spec", field)
        for i, source in enumerate(items if isinstance(items, Seq) else ()):
            if isinstance(source, Map):
                yield ("spec", field, i), source


def _text(value: Value) -> str | None:
    return str(value) if isinstance(value, str) else None
