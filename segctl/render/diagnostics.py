"""Problems in the user's files, as compilers print them and as JSON."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.render.json_document import FORMAT_VERSION, diagnostic_object
from segctl.render.style import PLAIN, Style, escaped

SourceLine = Callable[[Location], str | None]
"""Gives the text of the line that a location is in, ``None`` where it cannot be shown."""


def no_source(location: Location) -> None:
    """Show no source lines: they may hold identities, which do not belong into logs."""
    del location


def text(
    diagnostics: Iterable[Diagnostic], *, style: Style = PLAIN, source: SourceLine = no_source
) -> str:
    """Give ``file:line:column: error: summary``, the source line with a caret, the advice."""
    lines = (line for found in diagnostics for line in _lines(found, style, source))
    return "".join(f"{line}\n" for line in lines)


def _lines(found: Diagnostic, style: Style, source: SourceLine) -> Iterator[str]:
    paint = style.red if found.severity is Severity.ERROR else style.yellow
    where = f"{style.bold(escaped(str(found.location)))}: " if found.location else ""
    yield f"{where}{paint(str(found.severity))}: {style.bold(escaped(found.summary))}"
    if found.location and (line := source(found.location)) is not None:
        yield from _pointed(line.rstrip("\r\n"), found.location.column, style)
    for line in found.detail.splitlines():
        yield f"    {escaped(line)}"


def _pointed(line: str, column: int, style: Style) -> Iterator[str]:
    shown = escaped(line)
    yield f"    {style.dim('|')} {shown}"
    if column:
        indent = " " * len(escaped(line[: column - 1]))
        yield f"    {style.dim('|')} {indent}{style.red('^')}"


def validation_document(diagnostics: Sequence[Diagnostic], passed_over: Sequence[str]) -> str:
    """Give the document of ``validate --json``; ``passed_over`` are documents not ours."""
    errors = sum(d.severity is Severity.ERROR for d in diagnostics)
    warnings = sum(d.severity is Severity.WARNING for d in diagnostics)
    document: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "valid": not errors,
        "error_count": errors,
        "warning_count": warnings,
        "diagnostics": [diagnostic_object(found) for found in diagnostics],
        "passed_over": list(passed_over),
    }
    return json.dumps(document, indent=2) + "\n"
