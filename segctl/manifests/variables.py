"""Resolve the variables of a workspace and fill them in.

``${var.NAME}`` is replaced in text. In SQL a variable is the bound parameter ``$NAME`` and is never
pasted, so no value can change what a query does.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.core.suggestions import did_you_mean
from segctl.core.whitespace import REMOVE_WHITESPACE
from segctl.manifests.variable_files import FileValue
from segctl.manifests.yaml_tree import Document, Map, Seq, Value, lookup

SQL_SOURCES = ("query", "sqlite", "postgres")
"""The sources with a field ``sql``."""

_SQL_PATHS = frozenset((source, "sql") for source in SQL_SOURCES)
_PREFIX = "SEGCTL_VAR_"
_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_IN_SQL = re.compile(r"\$\{var\.(\w*)\}")
_NAME = re.compile(r"var\.([a-z_][a-z0-9_]*)")


@dataclass(frozen=True, kw_only=True)
class Variables:
    """The variables of a workspace. ``values`` has only those with a value.

    ``is_known`` is false if ``segctl.yaml`` could not be read: no variable is then reported as
    undeclared.
    """

    declared: frozenset[str] = frozenset()
    values: Mapping[str, str] = field(default_factory=dict)
    is_known: bool = True

    def check_declared(self, name: str, location: Location) -> Diagnostic | None:
        """Return the diagnostic for a use of an undeclared variable, ``None`` for any other."""
        if name in self.declared or not self.is_known:
            return None
        advice = f"Declare it under spec.variables in segctl.yaml, and set it {_ways_to_set(name)}."
        return Diagnostic(
            code="unknown-variable",
            summary=f'the variable "{name}" is not declared.',
            detail=f"{did_you_mean(name, self.declared)} {advice}".strip(),
            location=location,
        )


def _ways_to_set(name: str) -> str:
    return (
        f"with --var {name}=VALUE or --var-file, with {_PREFIX}{name} in the environment or with a "
        "default"
    )


def resolve_variables(
    project: Document | None, options: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[Variables, list[Diagnostic]]:
    """Find the value of every declared variable.

    ``options`` are the values set by ``--var`` and ``--var-file``.
    """
    if project is None:
        return Variables(is_known=False), []
    declarations = lookup(project.data, "spec", "variables")
    declared = declarations if isinstance(declarations, Map) else Map()
    values: dict[str, str] = {}
    diagnostics: list[Diagnostic] = []
    for name, declaration in declared.items():
        default = lookup(declaration, "default")
        candidates = (
            options.get(name),
            environment.get(_PREFIX + name),
            environment.get(_PREFIX + name.upper()),
            default,
        )
        value = next((str(v) for v in candidates if isinstance(v, str)), None)
        if value is not None:
            values[name] = value
        else:
            diagnostics.append(_without_value(name, project))
        if isinstance(default, str) and "${" in default:
            diagnostics.append(_reference_in_default(project, name))
    diagnostics += _undeclared(declared, options, environment)
    return Variables(declared=frozenset(declared), values=values), diagnostics


def _without_value(name: str, project: Document) -> Diagnostic:
    return Diagnostic(
        code="variable-without-value",
        summary=f'the variable "{name}" has no value.',
        detail=f"Set it {_ways_to_set(name)}.",
        location=project.locate(("spec", "variables", name), key=True),
    )


def _reference_in_default(project: Document, name: str) -> Diagnostic:
    return Diagnostic(
        code="variable-in-default",
        summary="a default cannot refer to another variable.",
        detail="Write the value itself.",
        location=project.locate(("spec", "variables", name, "default")),
    )


def _undeclared(
    declared: Map, options: Mapping[str, str], environment: Mapping[str, str]
) -> Iterator[Diagnostic]:
    for name in sorted(set(options) - set(declared)):
        value = options[name]
        location = value.location if isinstance(value, FileValue) else None
        subject, written = ("this line", "line") if location else ("--var", "option")
        yield Diagnostic(
            code="unknown-variable",
            summary=f'{subject} sets "{name}", but segctl.yaml does not declare this variable.',
            detail=did_you_mean(name, declared)
            or f"Declare it under spec.variables, or remove the {written}.",
            location=location,
        )
    known = {_PREFIX + n for n in declared} | {_PREFIX + n.upper() for n in declared}
    used = sorted(known - {_PREFIX + n for o in options for n in (o, o.upper())})
    for key in (k for k in used if environment.get(k, "").endswith(("\n", "\r"))):
        yield Diagnostic(
            code="variable-line-break",
            summary=f"{key} ends in a line break.",
            detail=REMOVE_WHITESPACE,
        )
    for key in sorted(k for k in environment if k.startswith(_PREFIX) and k not in known):
        yield Diagnostic(
            code="unknown-variable",
            summary=f"{key} is set, but segctl.yaml does not declare this variable.",
            detail=did_you_mean(key, known) or "Declare it under spec.variables, or unset it.",
            severity=Severity.WARNING,
        )


def refuse_in_sql(sql: str, locate: Callable[[int], Location]) -> Iterator[Diagnostic]:
    """Yield the references in SQL, where variables are parameters. ``locate`` gets an index."""
    for match in _IN_SQL.finditer(sql):
        name = match[1]
        yield Diagnostic(
            code="variable-in-sql",
            summary=f"${{var.{name}}} cannot be used in SQL.",
            detail=f"Write ${name}, which is a bound parameter. Cast it if needed: ${name}::date.",
            location=locate(match.start()),
        )


def fill_variables(document: Document, variables: Variables) -> tuple[Document, list[Diagnostic]]:
    """Replace the references in a document by values. Without references, return it unchanged."""
    if not _has_references(document.data):
        return document, []
    filler = _Filler(document, variables)
    data = filler.fill(document.data, ())
    return replace(document, data=data), filler.diagnostics


def _has_references(value: Value) -> bool:
    if isinstance(value, str):
        return "${" in value
    if isinstance(value, Map):
        return any(_has_references(v) for v in value.values())
    return isinstance(value, Seq) and any(
        "${" in v if isinstance(v, str) else _has_references(v) for v in value
    )


class _Filler:
    """Copies a tree with values in place of references."""

    def __init__(self, document: Document, variables: Variables) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._document = document
        self._variables = variables

    def fill(self, value: Value, path: tuple[str | int, ...]) -> Value:
        """Return a copy of the value at ``path``."""
        if isinstance(value, Map):
            return self._fill_map(value, path)
        if isinstance(value, Seq):
            filled = Seq()
            filled.lines, filled.columns = value.lines, value.columns
            filled.extend(self.fill(v, (*path, i)) for i, v in enumerate(value))
            return filled
        if value is None or "${" not in value:
            return value
        if path[-2:] in _SQL_PATHS:
            self._refuse_in_sql(value, path)
            return value
        return type(value)(_REFERENCE.sub(lambda match: self._fill_reference(match, path), value))

    def _fill_map(self, value: Map, path: tuple[str | int, ...]) -> Map:
        filled = Map()
        filled.key_positions, filled.value_positions = value.key_positions, value.value_positions
        for key, child in value.items():
            is_declaration = path == ("spec",) and key == "variables"
            filled[key] = child if is_declaration else self.fill(child, (*path, key))
        return filled

    def _fill_reference(self, match: re.Match[str], path: tuple[str | int, ...]) -> str:
        if match[0] == "$${":
            return "${"
        name = _NAME.fullmatch(match[1])
        location = self._document.locate(path)
        if not name or not match[2]:
            self.diagnostics.append(self._malformed(match, location))
            return match[0]
        if problem := self._variables.check_declared(name[1], location):
            self.diagnostics.append(problem)
        return self._variables.values.get(name[1], match[0])

    def _malformed(self, match: re.Match[str], location: Location) -> Diagnostic:
        name = match[1].strip()
        shown = name if name in self._variables.declared else "NAME"
        return Diagnostic(
            code="malformed-variable",
            summary=f'"{match[0][:40]}" is not a valid reference to a variable.',
            detail=f"Write ${{var.{shown}}}. To write ${{ itself, use $${{.",
            location=location,
        )

    def _refuse_in_sql(self, sql: str, path: tuple[str | int, ...]) -> None:
        location = self._document.locate(path)
        self.diagnostics += refuse_in_sql(sql, lambda _: location)
