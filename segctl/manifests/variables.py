"""Variables: their values, and where they are put in.

``${var.NAME}`` is replaced in text.  SQL gets a variable as the bound parameter
``$NAME``, never as pasted text, so that no value can change what a query does.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.manifests.explain import nearest
from segctl.manifests.yaml_tree import Document, Map, Seq, Value, look

SQL_SOURCES = ("query", "sqlite", "postgres")
"""The sources that hold SQL; a variable is bound to it, never pasted."""

_SQL_PATHS = frozenset((form, "sql") for form in SQL_SOURCES)
_PREFIX = "SEGCTL_VAR_"
_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"var\.([a-z_][a-z0-9_]*)")
_SQL = re.compile(
    r"""
    [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
    | --[^\n]*
    | (?P<comment>/\*)
    | \$(?P<tag>(?:[A-Za-z_]\w*)?)\$.*?\$(?P=tag)\$
    | [^\W\d][\w$]*
    | \$(?P<name>\w+)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")


@dataclass(frozen=True, kw_only=True)
class Variables:
    """The variables of a workspace; ``values`` lacks those that have none.

    ``known`` is false while ``segctl.yaml`` could not be read, so that not every
    use of a variable is reported as well.
    """

    declared: frozenset[str] = frozenset()
    values: Mapping[str, str] = field(default_factory=dict)
    known: bool = True

    def missing(self, name: str, location: Location) -> Diagnostic | None:
        """Tell what is wrong with a use of ``name``; one without a value is told once."""
        if name in self.declared or not self.known:
            return None
        guess = nearest(name, self.declared)
        return Diagnostic(
            code="unknown-variable",
            summary=f'the variable "{name}" is not declared.',
            detail=f"{guess} Declare it under spec.variables in segctl.yaml; {ways(name)}".strip(),
            location=location,
        )


def ways(name: str) -> str:
    """Name the three ways of giving a variable its value."""
    return (
        f"its value comes from --var {name}=VALUE, from {_PREFIX}{name} in the environment, "
        "or from its default."
    )


def resolve(
    project: Document | None, given: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[Variables, list[Diagnostic]]:
    """Find the value of every declared variable; the problems name those without one."""
    if project is None:
        return Variables(known=False), []
    written = look(project.data, "spec", "variables")
    declared = written if isinstance(written, Map) else Map()
    values: dict[str, str] = {}
    found: list[Diagnostic] = []
    for name, declaration in declared.items():
        default = look(declaration, "default")
        sources = (given.get(name), *_from(environment, name), default)
        value = next((str(v) for v in sources if isinstance(v, str)), None)
        if value is not None:
            values[name] = value
        else:
            found.append(_without_value(name, project))
        if isinstance(default, str) and "${" in default:
            found.append(_not_in_defaults(project, name))
    found += _undeclared(declared, given, environment)
    return Variables(declared=frozenset(declared), values=values), found


def _from(environment: Mapping[str, str], name: str) -> tuple[str | None, str | None]:
    return environment.get(_PREFIX + name), environment.get(_PREFIX + name.upper())


def _without_value(name: str, project: Document) -> Diagnostic:
    return Diagnostic(
        code="variable-without-value",
        summary=f'the variable "{name}" has no value.',
        detail=f"I{ways(name)[1:]}",
        location=project.at(("spec", "variables", name), key=True),
    )


def _not_in_defaults(project: Document, name: str) -> Diagnostic:
    return Diagnostic(
        code="variable-in-default",
        summary="a default cannot refer to another variable.",
        detail="Write its value out.",
        location=project.at(("spec", "variables", name, "default")),
    )


def _undeclared(
    declared: Map, given: Mapping[str, str], environment: Mapping[str, str]
) -> Iterator[Diagnostic]:
    for name in sorted(set(given) - set(declared)):
        yield Diagnostic(
            code="unknown-variable",
            summary=f'--var gives "{name}", which segctl.yaml does not declare.',
            detail=nearest(name, declared) or "Declare it under spec.variables, or remove it.",
        )
    known = {_PREFIX + n for n in declared} | {_PREFIX + n.upper() for n in declared}
    for key in sorted(k for k in environment if k.startswith(_PREFIX) and k not in known):
        yield Diagnostic(
            code="unknown-variable",
            summary=f"{key} is set, but segctl.yaml declares no such variable.",
            detail=nearest(key, known),
            severity=Severity.WARNING,
        )


def fill(document: Document, variables: Variables) -> tuple[Document, list[Diagnostic]]:
    """Put the values in; a document without references comes back as it is."""
    if not _refers(document.data):
        return document, []
    filler = _Filler(document, variables)
    data = filler.value(document.data, ())
    return replace(document, data=data), filler.found


def _refers(value: Value) -> bool:
    if isinstance(value, str):
        return "${" in value
    if isinstance(value, Map):
        return any(_refers(v) for v in value.values())
    return isinstance(value, Seq) and any(v is not None and _refers(v) for v in value)


class _Filler:
    """Copies a tree with values in place of references."""

    def __init__(self, document: Document, variables: Variables) -> None:
        self.found: list[Diagnostic] = []
        self._document = document
        self._variables = variables

    def value(self, value: Value, path: tuple[str | int, ...]) -> Value:
        if isinstance(value, Map):
            return self._map(value, path)
        if isinstance(value, Seq):
            filled = Seq()
            filled.lines, filled.columns = value.lines, value.columns
            filled.extend(self.value(v, (*path, i)) for i, v in enumerate(value))
            return filled
        if value is None or "${" not in value:
            return value
        if path[-2:] in _SQL_PATHS:
            self._refuse_in_sql(value, path)
            return value
        return type(value)(_REFERENCE.sub(lambda m: self._text(m, path), value))

    def _map(self, value: Map, path: tuple[str | int, ...]) -> Map:
        filled = Map()
        filled.keys_at, filled.values_at = value.keys_at, value.values_at
        for key, below in value.items():
            keep = path == ("spec",) and key == "variables"
            filled[key] = below if keep else self.value(below, (*path, key))
        return filled

    def _text(self, match: re.Match[str], path: tuple[str | int, ...]) -> str:
        if match[0] == "$${":
            return "${"
        name = _NAME.fullmatch(match[1])
        location = self._document.at(path)
        if not name or not match[2]:
            self.found.append(self._malformed(match, location))
            return match[0]
        if problem := self._variables.missing(name[1], location):
            self.found.append(problem)
        return self._variables.values.get(name[1], match[0])

    def _malformed(self, match: re.Match[str], location: Location) -> Diagnostic:
        name = match[1].strip()
        advice = f"Write ${{var.NAME}}; {ways('NAME')}"
        if name in self._variables.declared:
            advice = f"Write ${{var.{name}}}."
        return Diagnostic(
            code="malformed-variable",
            summary=f'"{match[0][:40]}" is not a reference to a variable.',
            detail=f"{advice} Write $${{ where ${{ itself is meant.",
            location=location,
        )

    def _refuse_in_sql(self, sql: str, path: tuple[str | int, ...]) -> None:
        for name in re.findall(r"\$\{var\.(\w*)\}", sql):
            self.found.append(
                Diagnostic(
                    code="variable-in-sql",
                    summary=f"${{var.{name}}} cannot be pasted into SQL.",
                    detail=f"Write ${name}, which is bound as a parameter; "
                    f"cast it where needed, as in ${name}::date.",
                    location=self._document.at(path),
                )
            )


def parameters(sql: str) -> tuple[str, ...]:
    """Give the names of the ``$NAME`` parameters in a query, in order, each once.

    Quoted text, quoted names, dollar-quoted text and (nested) comments are skipped.
    """
    return tuple(dict.fromkeys(match["name"] for match in _parameters(sql)))


def replace_parameters(sql: str, written: Callable[[str], str]) -> str:
    """Give a query with each ``$NAME`` as it is ``written`` for a database."""
    parts, at = [], 0
    for match in _parameters(sql):
        parts += [sql[at : match.start()], written(match["name"])]
        at = match.end()
    return "".join([*parts, sql[at:]])


def _parameters(sql: str) -> Iterator[re.Match[str]]:
    at = 0
    while match := _SQL.search(sql, at):
        at = match.end()
        if match["comment"]:
            at = _after_comment(sql, at)
        elif match["name"]:
            yield match


def _after_comment(sql: str, at: int) -> int:
    depth = 1
    while depth and (match := _COMMENT.search(sql, at)):
        depth += 1 if match[0] == "/*" else -1
        at = match.end()
    return at if not depth else len(sql)
