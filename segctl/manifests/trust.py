"""Settings that widen access count only as a trusted copy of ``segctl.yaml`` has them.

A pull request can change ``segctl.yaml``. What it adds there must not decide which programs run,
which folders and databases are read, and where users are sent, before somebody has merged it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import field

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.core.errors import OperationError
from segctl.manifests.declarations import kind_of
from segctl.manifests.environments import select_environment
from segctl.manifests.variable_files import FileValue
from segctl.manifests.variables import fill_variables, resolve_variables
from segctl.manifests.yaml_reader import parse_file
from segctl.manifests.yaml_tree import Document, Map, Seq, Value, lookup

NOT_TRUSTED = "not-trusted"
"""The code of a setting that is not in the trusted copy. It is a warning; a plan refuses it."""

_LISTS = ("allowCommands", "allowFolders")
_MAPPINGS = ("connections",)
_EQUAL = (
    ("provider", "region"),
    ("provider", "baseUrl"),
    ("provider", "allowPlainHttp"),
    ("state",),
    ("queries",),
)
_DETAIL = "It does not count before it is merged there: until then, plans are refused."


@dataclass(frozen=True, kw_only=True)
class TrustedCopy:
    """The content of a ``segctl.yaml`` that a branch cannot change, and where it is."""

    name: str
    content: bytes = field(repr=False)


def check_trusted(
    project: Document,
    trusted: TrustedCopy,
    variables: Mapping[str, str],
    environment: Mapping[str, str],
    *,
    env_name: str = "",
) -> Iterator[Diagnostic]:
    """Yield the settings of a Project that the trusted copy does not have.

    ``variables`` are the values set by ``--var``. The Project has its variables filled in, and the
    copy gets the same values, but its own defaults, and none of ``--var-file``: such a file may be
    part of the same checkout. Raises ``OperationError`` if the copy has no Project.
    """
    # Without this environment, the copy is the Project without any, and so differs.
    copy, _ = select_environment(_project_of(trusted), env_name)
    trusted_values = {n: v for n, v in variables.items() if not isinstance(v, FileValue)}
    values, _ = resolve_variables(copy, trusted_values, environment)
    filled, _ = fill_variables(copy, values)
    for name in _LISTS:
        yield from _check_list(name, project, filled, trusted)
    for name in _MAPPINGS:
        yield from _check_mapping(name, project, filled, trusted)
    for path in _EQUAL:
        yield from _check_equal(path, project, filled, trusted)


def _project_of(trusted: TrustedCopy) -> Document:
    parsed = parse_file(trusted.name, trusted.content)
    projects = [d for d in parsed.documents if isinstance(d.data, Map) and kind_of(d) == "Project"]
    if parsed.diagnostics or len(projects) != 1 or projects[0].problems:
        raise OperationError(
            f"the trusted copy {trusted.name} has no Project that can be read",
            hint="Name a copy of segctl.yaml that `segctl validate` accepts.",
        )
    return projects[0]


def _check_list(
    name: str, project: Document, copy: Document, trusted: TrustedCopy
) -> Iterator[Diagnostic]:
    found, known = (lookup(d.data, "spec", name) for d in (project, copy))
    allowed: list[Value] = list(known) if isinstance(known, Seq) else []
    for index, item in enumerate(found if isinstance(found, Seq) else []):
        if item not in allowed:
            summary = f'{name} has "{item}", which {trusted.name} does not have.'
            yield _not_trusted(summary, _DETAIL, project.locate(("spec", name, index)))


def _check_mapping(
    name: str, project: Document, copy: Document, trusted: TrustedCopy
) -> Iterator[Diagnostic]:
    found, known = (lookup(d.data, "spec", name) for d in (project, copy))
    for key, value in found.items() if isinstance(found, Map) else ():
        if not isinstance(known, Map) or key not in known or known[key] != value:
            summary = f"{name}.{key} is not as in {trusted.name}."
            yield _not_trusted(summary, _DETAIL, project.locate(("spec", name, key)))


def _check_equal(
    path: tuple[str, ...], project: Document, copy: Document, trusted: TrustedCopy
) -> Iterator[Diagnostic]:
    name, location = ".".join(path), project.locate(("spec", *path))
    found, known = (lookup(d.data, "spec", *path) for d in (project, copy))
    if found is None and known is not None:
        summary = f"{name} is missing here, and {trusted.name} has it."
        detail = "Put it back, or remove it there first: until then, plans are refused."
        yield _not_trusted(summary, detail, location)
    elif found != known:
        yield _not_trusted(f"{name} is not as in {trusted.name}.", _DETAIL, location)


def _not_trusted(summary: str, detail: str, location: Location) -> Diagnostic:
    return Diagnostic(
        code=NOT_TRUSTED,
        summary=summary,
        detail=detail,
        location=location,
        severity=Severity.WARNING,
    )
