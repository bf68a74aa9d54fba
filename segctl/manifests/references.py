"""Where documents name segments: that they exist, can be read, and do not read each other round.

A name stands in a Membership, in a source (``segment: gold``) and in rules.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.manifests.declarations import Declared, Reading, kind_of, readings, ruled
from segctl.manifests.explain import nearest
from segctl.manifests.yaml_tree import Document, Seq, look

_MOST_STEPS = 10
"""How many steps of a circle are told."""

_NEEDS_MEMBERS = ("intersect", "exclude", "holdout", "rules")
"""Fields of a Segment that say something of its members."""


def references(documents: Sequence[Document], segments: Sequence[Declared]) -> Iterator[Diagnostic]:
    """Find the names of segments that do not fit the declared ones."""
    names = _Names({segment.name: segment for segment in segments})
    read: list[Reading] = []
    for document in documents:
        if kind_of(document) == "Membership":
            yield from _membership(document, names)
        elif look(document.data, "spec", "members") == "unmanaged":
            yield from _unmanaged(document)
        for reading in readings(document):
            problem = _suppressed(reading) or names.problem(reading.name, reading.at, _OF_SOURCE)
            if problem:
                yield problem
            else:
                read.append(reading)
        yield from _rules(document, names)
    yield from _circles(segments, read)


@dataclass(frozen=True, kw_only=True)
class _Advice:
    """What to do about a name."""

    unknown: str
    unmanaged: str


_OF_MEMBERSHIP = _Advice(
    unknown="Declare it, or remove it here.",
    unmanaged="Remove it here, or let its manifest leave members out.",
)
_OF_SOURCE = _Advice(
    unknown="Declare it, or remove it here.",
    unmanaged="Nobody here knows who is in it. Read another one, or list its members.",
)
_OF_RULE = _Advice(
    unknown="Declare it, or remove it here.",
    unmanaged="Nobody here knows who is in it, so no rule can be checked. Remove it here.",
)


class _Names:
    """The segments by their names; guesses what a wrong one meant, the first few times.

    A guess among 2,500 names takes some hundredths of a second.
    """

    def __init__(self, segments: Mapping[str, Declared]) -> None:
        self._segments = segments
        self._guesses = 10

    def problem(self, name: str, at: Location, advice: _Advice) -> Diagnostic | None:
        """Tell what keeps a name from being used at a place."""
        if name not in self._segments:
            return Diagnostic(
                code="unknown-segment",
                summary=f'there is no segment "{name}".',
                detail=self._guess(name) or advice.unknown,
                location=at,
            )
        if self._segments[name].unmanaged:
            return Diagnostic(
                code="unmanaged-segment",
                summary=f'the segment "{name}" has members: unmanaged.',
                detail=advice.unmanaged,
                location=at,
            )
        return None

    def _guess(self, name: str) -> str:
        self._guesses -= 1
        bare = name.removeprefix("segment.")  # an address in place of a name
        return nearest(bare, self._segments) if self._guesses >= 0 else ""


def _membership(document: Document, names: _Names) -> Iterator[Diagnostic]:
    named = look(document.data, "spec", "segments")
    named = named if isinstance(named, Seq) else Seq()
    for i, name in enumerate(named):
        location = document.at(("spec", "segments", i))
        if not isinstance(name, str):
            continue
        if problem := names.problem(name, location, _OF_MEMBERSHIP):
            yield problem
        elif name in named[:i]:
            yield _repeated(name, location)


def _repeated(name: str, location: Location) -> Diagnostic:
    return Diagnostic(
        code="repeated-segment",
        summary=f'the segment "{name}" is named twice here.',
        detail="Once is enough.",
        location=location,
        severity=Severity.WARNING,
    )


def _unmanaged(document: Document) -> Iterator[Diagnostic]:
    for field in _NEEDS_MEMBERS:
        if look(document.data, "spec", field):
            yield Diagnostic(
                code="unmanaged-segment",
                summary=f'"{field}" has no effect with members: unmanaged.',
                detail="Remove one of them.",
                location=document.at(("spec", field), key=True),
            )


def _suppressed(reading: Reading) -> Diagnostic | None:
    """Refuse a segment as a list of suppressed users: it would have to leave itself."""
    if reading.field != "suppress":
        return None
    return Diagnostic(
        code="suppress-segment",
        summary="a segment cannot be suppressed: whoever is suppressed is in no segment.",
        detail="Name the sources of that segment here instead.",
        location=reading.at,
    )


def _rules(document: Document, names: _Names) -> Iterator[Diagnostic]:
    """Check the names in rules; a segment's own rules are about it already."""
    for named in ruled(document):
        if problem := names.problem(named.name, named.at, _OF_RULE):
            yield problem
        elif named.name in named.beside:
            yield Diagnostic(
                code="own-segment",
                summary=f'this rule compares "{named.name}" with itself.',
                detail="Name another segment.",
                location=named.at,
            )
        elif named.name in named.before:
            yield _repeated(named.name, named.at)


def _circles(segments: Iterable[Declared], read: Iterable[Reading]) -> Iterator[Diagnostic]:
    """Find segments that read each other round: a circle for each source that closes one.

    Without recursion, since 2,500 segments may read each other in a row.
    """
    edges: dict[str, list[Reading]] = {}
    for reading in read:
        for reader in reading.readers:
            edges.setdefault(reader, []).append(reading)
    done: set[str] = set()
    for segment in segments:
        way: dict[str, Iterator[Reading]] = {}
        steps: list[Reading] = []
        entered: str | None = segment.name if segment.name not in done else None
        while entered is not None or way:
            if entered is not None:
                way[entered] = iter(edges.get(entered, ()))
                entered = None
            step = next(next(reversed(way.values())), None)
            if step is None:
                done.add(way.popitem()[0])
                del steps[-1:]
            elif step.name in way:
                first = list(way).index(step.name)
                yield _circle(list(way)[first:], [*steps[first:], step])
            elif step.name not in done:
                steps.append(step)
                entered = step.name


def _shortened(steps: Sequence[str]) -> Sequence[str]:
    """Leave out the middle of a long way round: thousands of segments may be in it."""
    if len(steps) <= _MOST_STEPS:
        return steps
    half = _MOST_STEPS // 2
    return [*steps[:half], f"… ({len(steps) - 2 * half:,} more) …", *steps[-half:]]


def _circle(names: Sequence[str], steps: Sequence[Reading]) -> Diagnostic:
    """Tell of one circle: ``names[i]`` reads the next one at ``steps[i]``."""
    spelled = " → ".join(_shortened([*names, names[0]]))
    if len(names) == 1:
        summary = f'the segment "{names[0]}" reads itself: {spelled}.'
        detail = "Remove this source."
    else:
        summary = f"these segments read each other in a circle: {spelled}."
        others = zip(names[1:], steps[1:], strict=True)
        places = [f"{name} reads {step.name} at {step.at}" for name, step in others]
        detail = f"And {', '.join(_shortened(places))}. Remove one of these sources."
    return Diagnostic(code="segment-circle", summary=summary, detail=detail, location=steps[0].at)
