"""Read the values of variables from the content of a file: one mapping of names to text."""

from collections.abc import Mapping

from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.manifests.yaml_reader import parse_file
from segctl.manifests.yaml_tree import Document, Map

MAX_BYTES = 1 << 20
"""The largest file of values. It bounds what is read of a device without an end."""


class FileValue(str):
    """The value of a variable that a file sets, with the place of its name there."""

    __slots__ = ("location",)

    location: Location

    @classmethod
    def build(cls, text: str, location: Location) -> "FileValue":
        """Return the value ``text`` that is set at ``location``."""
        value = cls(text)
        value.location = location
        return value


def read_variables(file: str, content: bytes) -> tuple[Mapping[str, FileValue], list[Diagnostic]]:
    """Return the values that a YAML or JSON file sets, as they are written, and its problems."""
    if len(content) > MAX_BYTES:
        return {}, [_problem("the file is larger than 1 MB.", _SHAPE, Location(file=file))]
    parsed = parse_file(file, content)
    problems = [*parsed.diagnostics, *(p for d in parsed.documents for p in d.problems)]
    if parsed.diagnostics:
        return {}, problems
    if not parsed.documents:
        return {}, [_problem("the file is empty.", f"{_SHAPE} {_NONE}", Location(file=file))]
    first, *others = parsed.documents
    if others:
        place = others[0].locate()
        return {}, [*problems, _problem("the file has a second document.", _SHAPE, place)]
    if not isinstance(first.data, Map):
        return {}, [*problems, _problem("the file is not a mapping.", _SHAPE, first.locate())]
    values = {}
    for name, value in first.data.items():
        if isinstance(value, str):
            values[name] = FileValue.build(str(value), first.locate((name,), key=True))
        else:
            problems.append(_not_text(name, first))
    return values, problems


_SHAPE = "Write one mapping of names to text, such as region: eu1."
_NONE = "A file that sets nothing is {}."


def _not_text(name: str, document: Document) -> Diagnostic:
    value = document.data[name] if isinstance(document.data, Map) else None
    if value is None:
        summary, detail = "has no value", 'Write "" for an empty text.'
    else:
        kind = "mapping" if isinstance(value, Map) else "list"
        summary, detail = f"is a {kind}", "Write text: a variable has one value."
    return _problem(f'the variable "{name}" {summary}.', detail, document.locate((name,), key=True))


def _problem(summary: str, detail: str, location: Location) -> Diagnostic:
    return Diagnostic(
        code="variable-file",
        summary=summary,
        detail=detail,
        location=location,
        severity=Severity.ERROR,
    )
