"""Load the workspace in the user's folder, create a new one, rewrite a manifest.

``manifest_files.py`` reads the files, and ``compile.py`` checks their content.
"""

import os
import shlex
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.core.disk import to_operation_error
from segctl.core.errors import InvalidInput, OperationError
from segctl.manifests.compile import compile_files, sort_diagnostics
from segctl.manifests.declarations import PROJECT_FILE, kind_of
from segctl.manifests.desired import DesiredState, IgnoredPath
from segctl.manifests.environments import environment_names, select_environment
from segctl.manifests.ignore import ignore_hint
from segctl.manifests.manifest_files import read_manifest, read_manifests
from segctl.manifests.schema import schema_text
from segctl.manifests.sql_files import SqlReader, refuse_sql_files
from segctl.manifests.state_place import (
    StatePlace,
    check_state_place,
    check_state_shape,
    find_state_place,
)
from segctl.manifests.trust import TrustedCopy
from segctl.manifests.yaml_reader import parse_file
from segctl.manifests.yaml_tree import Document, Map, lookup

_PROJECT = """\
# yaml-language-server: $schema=.segctl/project.schema.json
apiVersion: segctl/v1
kind: Project
metadata:
  name: my-segments
spec:
  provider:
    # in1, sg1, us1, aps3, mec1 or eu1 (also the default European host).
    region: in1
    # To use the local service of "segctl emulator" instead of a region:
    # baseUrl: http://127.0.0.1:8787
"""

_SEGMENT = """\
# yaml-language-server: $schema=../.segctl/manifest.schema.json
apiVersion: segctl/v1
kind: Segment
metadata:
  name: gold
spec:
  displayName: Gold users
  members:
    - identities:
        - ada@example.com
        - grace@example.com
    - file:
        path: members/gold.csv
        column: email
"""

_MEMBERS = """\
email
alan@example.com
edsger@example.com
"""

_GITIGNORE = """\
segctl.state.json
segctl.state.json.*
segctl.state.d/
*.segplan
"""

_MISNAMED_PROJECT_FILE = "segctl.yml"


@dataclass(frozen=True, kw_only=True)
class LoadedWorkspace:
    """A workspace, read and compiled.

    ``desired`` is ``None`` if one of the ``diagnostics`` is an error. ``passed_over`` are the
    documents of other tools, as ``file:line``, and ``ignored`` is what ``spec.ignore`` hides.
    ``files`` is the number of files read, and ``environments`` are the names of those that can be
    chosen.
    """

    desired: DesiredState | None
    diagnostics: tuple[Diagnostic, ...]
    passed_over: tuple[str, ...]
    files: int
    ignored: tuple[IgnoredPath, ...] = ()
    environments: tuple[str, ...] = ()


def load_workspace(
    root: Path,
    *,
    variables: Mapping[str, str],
    environment: Mapping[str, str],
    trusted: TrustedCopy | None = None,
    env_name: str = "",
    now: float | None = None,
    read_sql: SqlReader = refuse_sql_files,
) -> LoadedWorkspace:
    """Read and compile the workspace at ``root``. All problems are in the result.

    ``variables`` are the values set by ``--var``. From ``environment``, ``SEGCTL_VAR_…`` and
    ``CLEVERTAP_BASE_URL`` are read. Settings that the ``trusted`` copy does not have are warnings.
    ``env_name`` is the chosen environment, empty for none. With ``now``, in seconds since 1970, the
    ends of overrides are checked. ``read_sql`` reads the files of queries.
    """
    if _is_outside_workspaces(root):
        return LoadedWorkspace(
            desired=None, diagnostics=(_no_project(root),), passed_over=(), files=0
        )
    read = read_manifests(root)
    compiled = compile_files(
        read.contents,
        variables=variables,
        environment=environment,
        trusted=trusted,
        env_name=env_name,
        now=now,
        ignored=read.ignored,
        read_sql=read_sql,
    )
    allowed = [(root / folder).resolve() for folder in compiled.allowed_folders]
    problems = [
        *read.diagnostics,
        *(
            _external_link(file)
            for file, target in read.external_links.items()
            if not any(target.is_relative_to(folder) for folder in allowed)
        ),
    ]
    failed = any(d.severity is Severity.ERROR for d in problems)
    return LoadedWorkspace(
        desired=None if failed else compiled.desired,
        diagnostics=sort_diagnostics([*problems, *compiled.diagnostics]),
        passed_over=compiled.passed_over,
        ignored=read.ignored,
        files=len(read.contents),
        environments=compiled.environments,
    )


def require_workspace(root: Path) -> None:
    """Raise ``OperationError`` if ``root`` is a readable folder without a Project."""
    if _is_outside_workspaces(root):
        problem = _no_project(root)
        raise OperationError(problem.summary.rstrip("."), hint=problem.detail)


def read_state_place(root: Path, env_name: str = "") -> StatePlace:
    """Return where ``segctl.yaml`` says that the state is; the default is in ``root``.

    Raises ``InvalidInput`` if ``segctl.yaml`` exists and cannot be parsed, if the place has a
    variable or cannot be one, and if the environment is not chosen well.
    """
    project = _read_project(root, has_environment=bool(env_name))
    if project is None:
        return StatePlace()
    project, problems = select_environment(project, env_name)
    for check in (check_state_shape, check_state_place):
        problems += check(project, ("spec", "state"))
    if problems:
        raise InvalidInput(problems)
    place = find_state_place(project)
    try:
        state_folder(root, place).stat()
    except FileNotFoundError:
        return place
    except (OSError, RuntimeError, ValueError) as error:
        raise InvalidInput([_bad_path(project, error)]) from None
    return place


def state_folder(root: Path, place: StatePlace) -> Path:
    """Return the folder of a local state."""
    return root / Path(place.path).expanduser() if place.path else root


def read_environments(root: Path) -> tuple[str, ...]:
    """Return the names of the environments in ``segctl.yaml``. Raises ``InvalidInput``."""
    project = _read_project(root, has_environment=False)
    return environment_names(project) if project else ()


def read_project_name(root: Path) -> str:
    """Return the name of the Project, empty if ``segctl.yaml`` cannot be read as far as that."""
    content = read_manifest(PROJECT_FILE, root / PROJECT_FILE)
    documents = parse_file(PROJECT_FILE, content).documents if isinstance(content, bytes) else ()
    names = (lookup(document.data, "metadata", "name") for document in documents)
    return next((name for name in names if isinstance(name, str)), "")


def _read_project(root: Path, *, has_environment: bool) -> Document | None:
    """Return the Project, or ``None`` if there is none or it cannot say where the state is."""
    if not os.path.lexists(root / PROJECT_FILE):
        return None
    content = read_manifest(PROJECT_FILE, root / PROJECT_FILE)
    if isinstance(content, Diagnostic):
        raise InvalidInput([content])
    has_fields = b"state" in content or b"environments" in content
    if not has_fields and not has_environment and b"\\" not in content:
        return None  # no escape can spell the fields either
    parsed = parse_file(PROJECT_FILE, content)
    if parsed.diagnostics:
        raise InvalidInput(parsed.diagnostics)
    projects = (d for d in parsed.documents if isinstance(d.data, Map) and kind_of(d) == "Project")
    project = next(projects, None)
    if project and project.problems:  # such as a key twice: which one counts would be a guess
        raise InvalidInput(project.problems)
    return project


def _bad_path(project: Document, error: Exception) -> Diagnostic:
    reason = getattr(error, "strerror", None) or "there is no such home folder"
    return Diagnostic(
        code="bad-path",
        summary=f"spec.state.path cannot be used: {reason.lower()}.",
        detail="Write the path of a folder.",
        location=project.locate(("spec", "state", "path")),
    )


def _external_link(file: str) -> Diagnostic:
    return Diagnostic(
        code="link-out",
        summary="this symbolic link points outside the workspace, so segctl does not follow it.",
        detail="Copy its target into the workspace. A folder of member files can instead be "
        f"listed under spec.allowFolders in {PROJECT_FILE}.{ignore_hint(file)}",
        location=Location(file=file),
    )


def _is_outside_workspaces(root: Path) -> bool:
    """Return whether ``root`` is a readable folder without a Project.

    Its files are not read: they need not have anything to do with segctl.
    """
    is_readable = root.is_dir() and os.access(root, os.R_OK | os.X_OK)
    return is_readable and not os.path.lexists(root / PROJECT_FILE)


def _no_project(root: Path) -> Diagnostic:
    parents = root.resolve().parents
    workspace = next((folder for folder in parents if (folder / PROJECT_FILE).is_file()), None)
    if os.path.lexists(root / _MISNAMED_PROJECT_FILE):
        detail = f"Rename {_MISNAMED_PROJECT_FILE} to {PROJECT_FILE}."
    elif workspace:
        option = f"--chdir {shlex.quote(str(workspace))}"
        detail = f"There is one in {workspace}. Run the command there, or add {option}."
    else:
        detail = 'Run "segctl init" to create a workspace, or name its folder with --chdir.'
    return Diagnostic(
        code="project-missing",
        summary=f"there is no {PROJECT_FILE} in this folder.",
        detail=detail,
        location=Location(file=PROJECT_FILE),
    )


def initial_files() -> Mapping[str, str]:
    """Return the texts of a new workspace's files by path.

    The workspace has no problems and can be planned. Its manifests refer to the JSON Schemas in its
    hidden folder.
    """
    return {
        PROJECT_FILE: _PROJECT,
        "segments/gold.yaml": _SEGMENT,
        "members/gold.csv": _MEMBERS,
        ".segctl/project.schema.json": schema_text("project"),
        ".segctl/manifest.schema.json": schema_text("manifest"),
        ".gitignore": _GITIGNORE,
    }


def create_workspace(folder: Path) -> tuple[str, ...]:
    """Write the files of a new workspace into ``folder`` and return their paths relative to it.

    An existing ``.gitignore`` is kept. Raises ``OperationError`` if another of the files exists or
    cannot be written, or if the folder is inside another workspace.
    """
    _require_outside_workspaces(folder)
    files = dict(initial_files())
    if os.path.lexists(folder / ".gitignore"):
        del files[".gitignore"]
    existing = [file for file in files if os.path.lexists(folder / file)]
    if existing:
        raise OperationError(
            f"{', '.join(existing)} already {'exists' if len(existing) == 1 else 'exist'}",
            hint="Nothing was written. Choose another folder.",
        )
    created: list[Path] = []
    try:
        for file, text in files.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as stream:
                created.append(path)
                stream.write(text)
    except OSError as error:
        for path in created:
            path.unlink(missing_ok=True)
        raise OperationError(
            f"{folder / file} cannot be written: {error.strerror}", hint="Choose another folder."
        ) from None
    return tuple(files)


def _require_outside_workspaces(folder: Path) -> None:
    """Raise ``OperationError`` if another workspace would read the manifests in ``folder``."""
    path = folder.resolve()
    for parent in path.parents:
        if path.relative_to(parent).parts[0].startswith("."):
            return  # workspaces do not read hidden folders
        if (parent / PROJECT_FILE).is_file():
            raise OperationError(
                f"{path} is inside the workspace {parent}, which would read its manifests",
                hint="Nothing was written. Choose a folder outside that workspace.",
            )


def replace_manifest(root: Path, file: str, text: str) -> None:
    """Replace the text of a manifest atomically.

    Raises ``OperationError`` if that fails. The manifest is then unchanged.
    """
    path = (root / file).resolve()
    new_path = path.with_name(f".{path.name}.segctl-new")
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        # What has the name is of a run that was killed, or a link, which must not be followed.
        new_path.unlink(missing_ok=True)
        with new_path.open("x", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(text)
        new_path.replace(path)
    except OSError as error:
        with suppress(OSError):
            new_path.unlink(missing_ok=True)
        raise to_operation_error(error, f"rewrite {file}") from None
