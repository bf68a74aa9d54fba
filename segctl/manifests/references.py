"""Check the names of segments in Memberships, in sources (``segment: gold``) and in rules.

Each must be declared and managed, and segments may not read each other in a cycle.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.core.suggestions import did_you_mean
from segctl.manifests.declarations import (
    SegmentDeclaration,
    SegmentReading,
    find_readings,
    find_rule_references,
    kind_of,
)
from segctl.manifests.yaml_tree import Document, Seq, lookup

_MAX_STEPS = 10
"""How many steps of a cycle a message shows."""

MAX_SUGGESTIONS = 10
"""How many names get a suggestion: one among 2,500 names takes some hundredths of a second."""

_FIELDS_ABOUT_MEMBERS = ("intersect", "exclude", "holdout", "rules")
"""Fields of a Segment that have no effect on an unmanaged one."""


def check_references(
    documents: Sequence[Document], segments: Sequence[SegmentDeclaration]
) -> Iterator[Diagnostic]:
    """Check every name of a segment in the documents against the declared ``segments``."""
    names = _SegmentNames({segment.name: segment for segment in segments})
    valid_readings: list[SegmentReading] = []
    for document in documents:
        if kind_of(document) == "Membership":
            yield from _check_membership(document, names)
        elif lookup(document.data, "spec", "members") == "unmanaged":
            yield from _check_unmanaged(document)
        for reading in find_readings(document):
            problem = _check_suppressed(reading) or names.check(
                reading.name, reading.location, _ADVICE_FOR_SOURCE
            )
            if problem:
                yield problem
            else:
                valid_readings.append(reading)
        yield from _check_rules(document, names)
    yield from _find_cycles(segments, valid_readings)


_ADVICE_FOR_MEMBERSHIP = "Remove it here, or remove members: unmanaged from its manifest."
_ADVICE_FOR_SOURCE = (
    "segctl does not know its members. Use another segment, or list the members here."
)
_ADVICE_FOR_RULE = (
    "segctl does not know its members, so it cannot check the rule. Remove the segment here."
)


class _SegmentNames:
    """The declared segments by name."""

    def __init__(self, segments: Mapping[str, SegmentDeclaration]) -> None:
        self._segments = segments
        self._suggestions_left = MAX_SUGGESTIONS

    def check(self, name: str, location: Location, if_unmanaged: str) -> Diagnostic | None:
        """Return the diagnostic for a name that cannot be used, ``None`` for any other.

        ``if_unmanaged`` is the advice for the name of an unmanaged segment.
        """
        if name not in self._segments:
            return Diagnostic(
                code="unknown-segment",
                summary=f'there is no segment "{name}".',
                detail=self._suggest(name) or "Declare it, or remove the name here.",
                location=location,
            )
        if self._segments[name].unmanaged:
            return Diagnostic(
                code="unmanaged-segment",
                summary=f'the segment "{name}" has members: unmanaged.',
                detail=if_unmanaged,
                location=location,
            )
        return None

    def _suggest(self, name: str) -> str:
        if not self._suggestions_left:
            return ""
        self._suggestions_left -= 1
        # The address of a segment may be written in place of its name.
        return did_you_mean(name.removeprefix("segment."), self._segments)


def _check_membership(document: Document, names: _SegmentNames) -> Iterator[Diagnostic]:
    items = lookup(document.data, "spec", "segments")
    items = items if isinstance(items, Seq) else Seq()
    for i, name in enumerate(items):
        location = document.locate(("spec", "segments", i))
        if not isinstance(name, str):
            continue
        if problem := names.check(name, location, _ADVICE_FOR_MEMBERSHIP):
            yield problem
        elif name in items[:i]:
            yield _repeated(name, location)


def _repeated(name: str, location: Location) -> Diagnostic:
    return Diagnostic(
        code="repeated-segment",
        summary=f'the segment "{name}" is listed twice.',
        detail="Remove one of the two.",
        location=location,
        severity=Severity.WARNING,
    )


def _check_unmanaged(document: Document) -> Iterator[Diagnostic]:
    for field in _FIELDS_ABOUT_MEMBERS:
        if lookup(document.data, "spec", field):
            yield Diagnostic(
                code="unmanaged-segment",
                summary=f'"{field}" has no effect with members: unmanaged.',
                detail="Remove one of them.",
                location=document.locate(("spec", field), key=True),
            )


def _check_suppressed(reading: SegmentReading) -> Diagnostic | None:
    if reading.field != "suppress":
        return None
    return Diagnostic(
        code="suppress-segment",
        summary="a segment cannot be a source of suppressed users: they are in no segment.",
        detail="List the sources of that segment here instead.",
        location=reading.location,
    )


def _check_rules(document: Document, names: _SegmentNames) -> Iterator[Diagnostic]:
    for reference in find_rule_references(document):
        name, location = reference.name, reference.location
        if problem := names.check(name, location, _ADVICE_FOR_RULE):
            yield problem
        elif name in reference.compared_with:
            yield Diagnostic(
                code="own-segment",
                summary=f'this rule compares "{name}" with itself.',
                detail="Name another segment.",
                location=location,
            )
        elif name in reference.preceding:
            yield _repeated(name, location)


def _find_cycles(
    segments: Iterable[SegmentDeclaration], readings: Iterable[SegmentReading]
) -> Iterator[Diagnostic]:
    """Report segments that read each other in a cycle, once for each source that closes one.

    The depth-first search does not recurse, since 2,500 segments may form a single chain.
    """
    edges: dict[str, list[SegmentReading]] = {}
    for reading in readings:
        for reader in reading.readers:
            edges.setdefault(reader, []).append(reading)
    done: set[str] = set()
    for segment in segments:
        if segment.name in done:
            continue
        path = {segment.name: iter(edges.get(segment.name, ()))}
        steps: list[SegmentReading] = []
        while path:
            step = next(next(reversed(path.values())), None)
            if step is None:
                done.add(path.popitem()[0])
                del steps[-1:]
            elif step.name in path:
                first = list(path).index(step.name)
                yield _cycle(list(path)[first:], [*steps[first:], step])
            elif step.name not in done:
                steps.append(step)
                path[step.name] = iter(edges.get(step.name, ()))


def _cycle(names: Sequence[str], steps: Sequence[SegmentReading]) -> Diagnostic:
    """Return the diagnostic for a cycle. ``steps[i]`` is where ``names[i]`` reads the next one."""
    if len(names) == 1:
        summary = f'the segment "{names[0]}" reads itself.'
        detail = "Remove this source."
    else:
        cycle = " → ".join(shorten_steps([*names, names[0]]))
        summary = f"these segments read each other in a cycle: {cycle}."
        others = zip(names[1:], steps[1:], strict=True)
        readings = [f"{name} reads {step.name} at {step.location}" for name, step in others]
        detail = f"Also, {', '.join(shorten_steps(readings))}. Remove one of these sources."
    return Diagnostic(
        code="segment-circle", summary=summary, detail=detail, location=steps[0].location
    )


def shorten_steps(steps: Sequence[str]) -> Sequence[str]:
    """Return the steps without the middle of a long cycle, which may have thousands."""
    if len(steps) <= _MAX_STEPS:
        return steps
    half = _MAX_STEPS // 2
    return [*steps[:half], f"… ({len(steps) - 2 * half:,} more) …", *steps[-half:]]
