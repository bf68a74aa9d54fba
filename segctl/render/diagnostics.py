"""Problems in the user's files, in the style of a compiler and as JSON."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.manifests.desired import IgnoredPath
from segctl.render.json_document import diagnostic_object, facts
from segctl.render.style import PLAIN, Style, escaped

SourceLine = Callable[[Location], str | None]
"""Returns the text of a location's line, or ``None`` if it cannot be shown."""


def no_source(location: Location) -> None:
    """Return ``None``: source lines may contain identities, which do not belong in logs."""
    del location


def render_text(
    diagnostics: Iterable[Diagnostic], *, style: Style = PLAIN, source: SourceLine = no_source
) -> str:
    """Return, for each, ``file:line:column: error: summary``, the source line, and the advice.

    A caret under the source line points at the column.
    """
    lines = (line for diagnostic in diagnostics for line in _lines(diagnostic, style, source))
    return "".join(f"{line}\n" for line in lines)


def _lines(diagnostic: Diagnostic, style: Style, source: SourceLine) -> Iterator[str]:
    location, severity = diagnostic.location, diagnostic.severity
    paint = style.red if severity is Severity.ERROR else style.yellow
    prefix = f"{style.bold(escaped(str(location)))}: " if location else ""
    yield f"{prefix}{paint(str(severity))}: {style.bold(escaped(diagnostic.summary))}"
    if location and (line := source(location)) is not None:
        yield from _source_lines(line.rstrip("\r\n"), location.column, style)
    for line in diagnostic.detail.splitlines():
        yield f"    {escaped(line)}"


def _source_lines(line: str, column: int, style: Style) -> Iterator[str]:
    yield f"    {style.dim('|')} {escaped(line)}"
    if column:
        indent = " " * len(escaped(line[: column - 1]))
        yield f"    {style.dim('|')} {indent}{style.red('^')}"


def render_validation(
    diagnostics: Sequence[Diagnostic],
    passed_over: Sequence[str],
    ignored: Sequence[IgnoredPath] = (),
) -> str:
    """Return the JSON document of ``validate --json``.

    ``passed_over`` are the locations of YAML documents that are not segctl's, and ``ignored`` is
    what ``spec.ignore`` hides.
    """
    errors = sum(d.severity is Severity.ERROR for d in diagnostics)
    warnings = sum(d.severity is Severity.WARNING for d in diagnostics)
    return facts(
        valid=not errors,
        error_count=errors,
        warning_count=warnings,
        diagnostics=[diagnostic_object(diagnostic) for diagnostic in diagnostics],
        passed_over=list(passed_over),
        ignored=[{"path": each.path, "pattern": each.pattern} for each in ignored],
    )
