"""Find the segments, sources and rules that documents declare, in their unvalidated trees.

The checks between documents use these, so that they also find problems in documents that have
other problems. A value of the wrong type is skipped here; the model of the document reports it.
"""

from collections.abc import Iterable, Iterator

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Location
from segctl.manifests.yaml_tree import Document, Map, Seq, Value, lookup

PROJECT_FILE = "segctl.yaml"

SourcePath = tuple[str | int, ...]

SOURCE_FIELDS = ("members", "intersect", "exclude", "suppress")
"""The fields of a spec that are lists of sources."""


@dataclass(frozen=True, kw_only=True)
class SegmentDeclaration:
    """A segment declared in a Segment or in a SegmentTable."""

    name: str
    display_name: str | None
    customer_segment_id: str
    unmanaged: bool
    location: Location
    display_name_location: Location
    customer_segment_id_location: Location


def kind_of(document: Document) -> str:
    """Return the kind of a manifest."""
    return _text(lookup(document.data, "kind")) or ""


def find_segments(documents: Iterable[Document]) -> Iterator[SegmentDeclaration]:
    """Yield every declared segment, in the order of the documents."""
    for document in documents:
        if kind_of(document) == "Segment":
            name = _text(lookup(document.data, "metadata", "name"))
            if name:
                location = document.locate(("metadata", "name"))
                yield _declaration(document, ("spec",), name, location)
        elif kind_of(document) == "SegmentTable":
            table = lookup(document.data, "spec", "segments")
            for name in table if isinstance(table, Map) else ():
                path = ("spec", "segments", name)
                yield _declaration(document, path, name, document.locate(path, key=True))


def _declaration(
    document: Document, path: tuple[str, ...], name: str, location: Location
) -> SegmentDeclaration:
    value = lookup(document.data, *path)
    own_id = _text(lookup(value, "customerSegmentId"))
    id_location = document.locate((*path, "customerSegmentId")) if own_id else location
    return SegmentDeclaration(
        name=name,
        display_name=_text(lookup(value, "displayName")),
        customer_segment_id=own_id or name,
        unmanaged=lookup(value, "members") == "unmanaged",
        location=location,
        display_name_location=document.locate((*path, "displayName")),
        customer_segment_id_location=id_location,
    )


@dataclass(frozen=True, kw_only=True)
class _Spec:
    """A mapping that may have sources and rules. They belong to ``segment``, or to none."""

    path: SourcePath
    value: Value
    segment: str | None


def _specs(document: Document) -> Iterator[_Spec]:
    """Yield the spec of a document, and the specs of the segments of a table."""
    spec = lookup(document.data, "spec")
    is_segment = kind_of(document) == "Segment"
    own = _text(lookup(document.data, "metadata", "name")) if is_segment else None
    yield _Spec(path=("spec",), value=spec, segment=own)
    table = lookup(spec, "segments")
    for name, segment in table.items() if isinstance(table, Map) else ():
        yield _Spec(path=("spec", "segments", name), value=segment, segment=name)


def find_sources(document: Document) -> Iterator[tuple[SourcePath, Map]]:
    """Yield every source of a document with its path."""
    table = lookup(document.data, "spec", "source")
    if isinstance(table, Map):
        yield ("spec", "source"), table
    for spec in _specs(document):
        yield from _listed_sources(spec)
    imports = lookup(document.data, "spec", "import")
    for i, block in enumerate(imports if isinstance(imports, Seq) else ()):
        yield from _listed_sources(_Spec(path=("spec", "import", i), value=block, segment=None))


def _listed_sources(spec: _Spec) -> Iterator[tuple[SourcePath, Map]]:
    for field in SOURCE_FIELDS:
        items = lookup(spec.value, field)
        for i, source in enumerate(items if isinstance(items, Seq) else ()):
            if isinstance(source, Map):
                yield (*spec.path, field, i), source


@dataclass(frozen=True, kw_only=True)
class SegmentReading:
    """A source ``segment: name``, in a ``field`` of the segments ``readers``."""

    name: str
    readers: tuple[str, ...]
    field: str
    location: Location


def find_readings(document: Document) -> Iterator[SegmentReading]:
    """Yield every source of a document that is another segment."""
    segments: Value = None
    if kind_of(document) == "Membership":
        segments = lookup(document.data, "spec", "segments")
    filled = tuple(n for n in segments if isinstance(n, str)) if isinstance(segments, Seq) else ()
    for spec in _specs(document):
        readers = filled if spec.segment is None else (spec.segment,)
        for path, source in _listed_sources(spec):
            name = _text(source.get("segment"))
            if name is not None:
                location = document.locate((*path, "segment"))
                yield SegmentReading(
                    name=name, readers=readers, field=str(path[-2]), location=location
                )


@dataclass(frozen=True, kw_only=True)
class RuleReference:
    """The name of a segment in a rule.

    The rule compares the segment with ``compared_with``, which must be other segments.
    ``preceding`` are the names before it in the same list.
    """

    name: str
    compared_with: tuple[str, ...]
    preceding: tuple[str, ...]
    location: Location


def find_rule_references(document: Document) -> Iterator[RuleReference]:
    """Yield every name of a segment in the rules of a document."""
    for spec in _specs(document):
        own = (spec.segment,) if spec.segment is not None else ()
        rules = lookup(spec.value, "rules")
        for i, rule in enumerate(rules if isinstance(rules, Seq) else ()):
            path = (*spec.path, "rules", i)
            outer = _text(lookup(rule, "subset", "of"))
            if outer is not None:
                location = document.locate((*path, "subset", "of"))
                yield RuleReference(name=outer, compared_with=own, preceding=(), location=location)
            inner_with = (*own, outer) if outer is not None else own
            yield from _listed_names(document, rule, path, ("subset", "segments"), inner_with)
            yield from _listed_names(document, rule, path, ("size", "segments"), ())
            yield from _listed_names(document, rule, path, ("disjoint",), own)


def _listed_names(
    document: Document,
    rule: Value,
    path: SourcePath,
    field: tuple[str, ...],
    compared_with: tuple[str, ...],
) -> Iterator[RuleReference]:
    items = lookup(rule, *field)
    preceding: list[str] = []
    for i, item in enumerate(items if isinstance(items, Seq) else ()):
        name = _text(item)
        if name is not None:
            yield RuleReference(
                name=name,
                compared_with=compared_with,
                preceding=tuple(preceding),
                location=document.locate((*path, *field, i)),
            )
            preceding.append(name)


def _text(value: Value) -> str | None:
    return str(value) if isinstance(value, str) else None
