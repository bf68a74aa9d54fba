"""The user's folder: finding and reading its manifests, and the first ones of a new one.

What stands in the files is the business of ``manifests/``; here is what can go
wrong with files themselves, each as a diagnostic.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.core.errors import OperationError
from segctl.manifests.compile import PROJECT_FILE, compile_files, in_order
from segctl.manifests.desired import DesiredState
from segctl.manifests.schema import schema_text
from segctl.manifests.yaml_reader import MAX_BYTES, too_large

_SUFFIXES = (".yaml", ".yml")
_NOT_WRITTEN_BY_HAND = frozenset(("segctl.state.d",))

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
    # To try things out on the local service of "segctl emulator", instead of region:
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

_MISNAMED = "segctl.yml"
_IGNORED = """\
segctl.state.json
segctl.state.json.*
segctl.state.d/
*.segplan
"""


@dataclass(frozen=True, kw_only=True)
class LoadedWorkspace:
    """A workspace, read and compiled.

    ``desired`` is ``None`` where one of the ``diagnostics`` is an error.
    ``passed_over`` are documents that are not ours, as ``file:line``; ``files``
    is how many files were read.
    """

    desired: DesiredState | None
    diagnostics: tuple[Diagnostic, ...]
    passed_over: tuple[str, ...]
    files: int


@dataclass(frozen=True, kw_only=True)
class ManifestFiles:
    """The YAML files of a workspace by their paths below its root, in order.

    ``external_links`` are symbolic links that lead out of the root, with their targets;
    they are not followed.
    """

    contents: Mapping[str, bytes]
    diagnostics: tuple[Diagnostic, ...]
    external_links: Mapping[str, Path]


def load_workspace(
    root: Path, *, variables: Mapping[str, str], environment: Mapping[str, str]
) -> LoadedWorkspace:
    """Read and compile the workspace at ``root``; all problems are in the result.

    ``variables`` are those of the command line; ``environment`` is looked at for
    ``SEGCTL_VAR_…`` and ``CLEVERTAP_BASE_URL``.
    """
    if _is_elsewhere(root):
        return LoadedWorkspace(
            desired=None, diagnostics=(_no_project(root),), passed_over=(), files=0
        )
    read = read_manifests(root)
    compiled = compile_files(read.contents, variables=variables, environment=environment)
    allowed = [(root / folder).resolve() for folder in compiled.allowed_folders]
    found = [
        *read.diagnostics,
        *(_leads_out(file) for file, to in read.external_links.items() if not _within(to, allowed)),
    ]
    failed = any(d.severity is Severity.ERROR for d in found)
    return LoadedWorkspace(
        desired=None if failed else compiled.desired,
        diagnostics=in_order([*found, *compiled.diagnostics]),
        passed_over=compiled.passed_over,
        files=len(read.contents),
    )


def require_workspace(root: Path) -> None:
    """Raise ``OperationError`` for a readable folder without a Project."""
    if _is_elsewhere(root):
        problem = _no_project(root)
        raise OperationError(problem.summary.rstrip("."), hint=problem.detail)


def read_manifests(root: Path) -> ManifestFiles:
    """Read every ``*.yaml`` and ``*.yml`` below ``root``; hidden files and folders are left out."""
    contents: dict[str, bytes] = {}
    found: list[Diagnostic] = []
    links: dict[str, Path] = {}
    for file, path in _walk(root, found, links):
        content = _read(file, path)
        if isinstance(content, Diagnostic):
            found.append(content)
        else:
            contents[file] = content
    return ManifestFiles(contents=contents, diagnostics=tuple(found), external_links=links)


def _walk(
    root: Path, found: list[Diagnostic], links: dict[str, Path]
) -> Iterator[tuple[str, Path]]:
    """Give manifests with their shown names, folder by folder, each folder in order of names."""
    inside = [root.resolve()]
    folders = [root]
    while folders:
        folder = folders.pop(0)
        try:
            with os.scandir(folder) as entries:
                visible = sorted(
                    (e for e in entries if e.name[0] != "." and e.name not in _NOT_WRITTEN_BY_HAND),
                    key=lambda e: e.name,
                )
        except OSError as error:
            found.append(_unreadable(_shown(folder, root), error))
            continue
        for entry in visible:
            path = folder / entry.name
            if entry.is_symlink() and (path.is_dir() or _is_manifest(path)):
                target = Path(os.path.realpath(path))
                if not _within(target, inside):
                    links[_shown(path, root)] = target
                    continue
            if _is_manifest(path):
                yield _shown(path, root), path
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)


def _is_manifest(path: Path) -> bool:
    return path.suffix in _SUFFIXES


def _within(path: Path, folders: list[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _shown(path: Path, root: Path) -> str:
    """Give a path below the root as it can be printed, whatever bytes its name has."""
    name = path.relative_to(root).as_posix() if path != root else str(root)
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _read(file: str, path: Path) -> bytes | Diagnostic:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return _not_a_file(file, status.st_mode)
        if status.st_size > MAX_BYTES:
            return _too_large(file, status.st_size)
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        return _unreadable(file, error)
    return _too_large(file, len(content)) if len(content) > MAX_BYTES else content


def _not_a_file(file: str, mode: int) -> Diagnostic:
    what = "a folder" if stat.S_ISDIR(mode) else "a special file, such as a pipe or a device,"
    return Diagnostic(
        code="not-a-file",
        summary=f"{what} stands where a manifest should.",
        detail="Give it another name, or move it out of the workspace.",
        location=Location(file=file),
    )


def _too_large(file: str, size: int) -> Diagnostic:
    code, summary, detail = too_large(size)
    return Diagnostic(code=code, summary=summary, detail=detail, location=Location(file=file))


def _unreadable(file: str, error: OSError) -> Diagnostic:
    return Diagnostic(
        code="unreadable",
        summary=f"this cannot be read: {error.strerror or type(error).__name__}.",
        detail="Check that it exists and that you may read it.",
        location=Location(file=file),
    )


def _leads_out(file: str) -> Diagnostic:
    return Diagnostic(
        code="link-out",
        summary="this symbolic link leads out of the workspace and is not followed.",
        detail="Copy what it points to; a folder of member files can be listed under "
        f"spec.allowFolders in {PROJECT_FILE}.",
        location=Location(file=file),
    )


def _is_elsewhere(root: Path) -> bool:
    """Tell a folder without a Project, whose files are then nobody's business."""
    readable = root.is_dir() and os.access(root, os.R_OK | os.X_OK)
    return readable and not os.path.lexists(root / PROJECT_FILE)


def _no_project(root: Path) -> Diagnostic:
    around = next((p for p in root.resolve().parents if (p / PROJECT_FILE).is_file()), None)
    if os.path.lexists(root / _MISNAMED):
        detail = f"Give {_MISNAMED} this name."
    elif around:
        detail = f"There is one in {around}: run this there, or name that folder with --chdir."
    else:
        detail = 'Run "segctl init" to begin a workspace, or name its folder with --chdir.'
    return Diagnostic(
        code="project-missing",
        summary=f"there is no {PROJECT_FILE} in this folder.",
        detail=detail,
        location=Location(file=PROJECT_FILE),
    )


def initial_files() -> Mapping[str, str]:
    """Give the files of a new workspace, texts by paths, that validates and plans cleanly.

    The schemas that the modelines name stand in a hidden folder beside them.
    """
    return {
        PROJECT_FILE: _PROJECT,
        "segments/gold.yaml": _SEGMENT,
        "members/gold.csv": _MEMBERS,
        ".segctl/project.schema.json": schema_text("project"),
        ".segctl/manifest.schema.json": schema_text("manifest"),
        ".gitignore": _IGNORED,
    }


def create_workspace(folder: Path) -> tuple[str, ...]:
    """Write the files of a new workspace into ``folder``; give their paths below it.

    A ``.gitignore`` that is there stays as it is.  Raises ``OperationError`` where another of
    them is there already, or cannot be written, and inside of another workspace.
    """
    _check_outside(folder)
    files = dict(initial_files())
    if os.path.lexists(folder / ".gitignore"):
        del files[".gitignore"]
    there = [file for file in files if os.path.lexists(folder / file)]
    if there:
        raise OperationError(
            f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} there already",
            hint="Nothing was written. Choose another folder.",
        )
    begun: list[Path] = []
    try:
        for file, text in files.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as stream:
                begun.append(path)
                stream.write(text)
    except OSError as error:
        for path in begun:
            path.unlink(missing_ok=True)
        raise OperationError(
            f"{folder / file} cannot be written: {error.strerror}", hint="Choose another folder."
        ) from None
    return tuple(files)


def _check_outside(folder: Path) -> None:
    """Refuse a folder of which another workspace reads the manifests."""
    path = folder.resolve()
    for parent in path.parents:
        if path.relative_to(parent).parts[0].startswith("."):
            return  # which no workspace above looks into
        if (parent / PROJECT_FILE).is_file():
            raise OperationError(
                f"{path} is inside of the workspace {parent}, which would take its files for "
                "its own",
                hint="Nothing was written. Choose a folder beside that workspace.",
            )


def replace_manifest(root: Path, file: str, text: str) -> None:
    """Replace a manifest by its new text, written beside and moved into place.

    Raises ``OperationError`` where that cannot be; the file is then as it was.
    """
    path = (root / file).resolve()
    beside = path.with_name(f".{path.name}.segctl-new")
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        beside.write_text(text, encoding="utf-8")
        beside.chmod(mode)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OperationError(
            f"{file} cannot be rewritten: {error.strerror}",
            hint="Check that you may write to it and its folder.",
        ) from None
