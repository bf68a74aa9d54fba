"""Compile the files of a workspace into the desired state, or into all of its problems."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pydantic import ValidationError

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.manifests.assemble import ValidDocument, assemble_desired_state
from segctl.manifests.classify import classify_documents
from segctl.manifests.declarations import PROJECT_FILE, kind_of
from segctl.manifests.desired import DesiredState, IgnoredPath
from segctl.manifests.documents import KINDS, ProjectDocument
from segctl.manifests.environments import check_environments, environment_names, select_environment
from segctl.manifests.explain import explain_errors
from segctl.manifests.ignore import ignore_hint, resembles_manifest
from segctl.manifests.override_checks import check_overrides
from segctl.manifests.sql_files import (
    SqlFiles,
    SqlReader,
    allowed_folders,
    name_sql_files,
    refuse_sql_files,
)
from segctl.manifests.trust import TrustedCopy, check_trusted
from segctl.manifests.validate import check_base_url, check_documents, check_project
from segctl.manifests.variables import fill_variables, resolve_variables
from segctl.manifests.yaml_reader import parse_file
from segctl.manifests.yaml_tree import Document

BASE_URL_VARIABLE = "CLEVERTAP_BASE_URL"


@dataclass(frozen=True, kw_only=True)
class CompileResult:
    """The desired state, or ``None`` if a diagnostic is an error.

    ``passed_over`` are the documents of other tools, as ``file:line``. ``allowed_folders`` are the
    folders outside the workspace that the Project lets sources read. ``environments`` are the names
    of those that can be chosen.
    """

    desired: DesiredState | None
    diagnostics: tuple[Diagnostic, ...]
    passed_over: tuple[str, ...]
    allowed_folders: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()


def compile_files(
    files: Mapping[str, bytes],
    *,
    variables: Mapping[str, str],
    environment: Mapping[str, str],
    trusted: TrustedCopy | None = None,
    env_name: str = "",
    now: float | None = None,
    ignored: tuple[IgnoredPath, ...] = (),
    read_sql: SqlReader = refuse_sql_files,
) -> CompileResult:
    """Compile the YAML files of a workspace. Keys are their paths relative to its root.

    ``variables`` are the values set by ``--var``. From ``environment``, ``SEGCTL_VAR_…`` and
    ``CLEVERTAP_BASE_URL`` are read. Settings that the ``trusted`` copy does not have are warnings.
    ``env_name`` is the chosen environment, empty for none. With ``now``, in seconds since 1970, the
    ends of overrides are checked. ``ignored`` is what the files are without, and ``read_sql``
    reads the files of queries. All problems are in the result, sorted by file and line. Raises
    ``OperationError`` if the copy has no Project.
    """
    parsed = {file: parse_file(file, content) for file, content in files.items()}
    diagnostics = [
        _with_ignore_hint(d, files[file]) for file, p in parsed.items() for d in p.diagnostics
    ]
    classified = classify_documents(d for p in parsed.values() for d in p.documents)
    diagnostics += classified.diagnostics
    manifests = classified.manifests
    has_problems = any(d.location and d.location.file == PROJECT_FILE for d in diagnostics)
    project, problems = _find_project(manifests, PROJECT_FILE in files and not has_problems)
    diagnostics += problems
    declared = manifests
    names: tuple[str, ...] = ()
    if project:
        names = environment_names(project)
        diagnostics += check_environments(project)
        chosen, problems = select_environment(project, env_name)
        diagnostics += problems
        manifests = tuple(chosen if d is project else d for d in manifests)
        project = chosen
    values, problems = resolve_variables(project, variables, environment)
    diagnostics += problems
    filled = [fill_variables(document, values) for document in manifests]
    diagnostics += (problem for _, problems in filled for problem in problems)
    folders = next((allowed_folders(d) for d, _ in filled if kind_of(d) == "Project"), ())
    sql_files = SqlFiles(read=read_sql, allowed_folders=folders)
    documents = [sql_files.fill(document) for document, _ in filled]
    diagnostics += sql_files.problems
    diagnostics += check_documents(documents, values, sql_files.by_source)
    valid, problems = _validate(documents)
    diagnostics += problems
    projects = [v.content for v in valid if isinstance(v.content, ProjectDocument)]
    if projects and now is not None:
        zone = projects[0].spec.time_zone
        for v in valid:
            diagnostics += check_overrides(v.document, v.content, zone=zone, now=now)
    base_url = environment.get(BASE_URL_VARIABLE, "")
    if base_url:
        allowed = not projects or projects[0].spec.provider.allow_plain_http
        diagnostics += check_base_url(base_url, BASE_URL_VARIABLE, None, allow_plain_http=allowed)
    if trusted and project:
        own, _ = fill_variables(project, values)
        diagnostics += check_trusted(own, trusted, variables, environment, env_name=env_name)
    desired = None
    if projects and not any(d.severity is Severity.ERROR for d in diagnostics):
        desired = assemble_desired_state(
            projects[0],
            valid,
            variables=values.values,
            base_url=base_url,
            is_trusted=trusted is not None,
            digest=_digest(declared, env_name, sql_files.texts),
            env_name=env_name,
            passed_over=classified.passed_over,
            ignored=ignored,
        )
        desired = name_sql_files(desired, sql_files.by_source)
    return CompileResult(
        desired=desired,
        diagnostics=sort_diagnostics(diagnostics),
        passed_over=classified.passed_over,
        allowed_folders=tuple(folder for p in projects for folder in p.spec.allow_folders),
        environments=names,
    )


def _with_ignore_hint(problem: Diagnostic, content: bytes) -> Diagnostic:
    """Add how to leave a file alone, unless it seems to be segctl's."""
    file = problem.location.file if problem.location else PROJECT_FILE
    if resembles_manifest(content):
        return problem
    return replace(problem, detail=problem.detail + ignore_hint(file))


def sort_diagnostics(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sort by location, without repeats. Diagnostics without a location come first."""
    nowhere = Location(file="")
    return tuple(sorted(dict.fromkeys(diagnostics), key=lambda d: d.location or nowhere))


def _find_project(
    manifests: Sequence[Document], is_expected: bool
) -> tuple[Document | None, list[Diagnostic]]:
    """Return the Project in ``segctl.yaml``. It is expected if that file could be read."""
    projects = [d for d in manifests if kind_of(d) == "Project"]
    in_place = [d for d in projects if d.file == PROJECT_FILE]
    diagnostics = [
        Diagnostic(
            code="project-place",
            summary=f"a Project must be in {PROJECT_FILE} at the root of the workspace.",
            detail="Move it there, or remove it.",
            location=d.locate(("kind",)),
        )
        for d in projects
        if d.file != PROJECT_FILE
    ]
    diagnostics += [
        Diagnostic(
            code="project-twice",
            summary="a workspace can have only one Project.",
            detail=f"The first is at {in_place[0].locate()}. Remove one of them.",
            location=d.locate(("kind",)),
        )
        for d in in_place[1:]
    ]
    if is_expected and not in_place:
        diagnostics.append(
            Diagnostic(
                code="project-missing",
                summary=f"{PROJECT_FILE} contains no Project.",
                detail='Add a document with kind: Project, as "segctl init" writes it.',
                location=Location(file=PROJECT_FILE),
            )
        )
    return (in_place[0] if in_place else None), diagnostics


def _validate(documents: Iterable[Document]) -> tuple[list[ValidDocument], list[Diagnostic]]:
    valid: list[ValidDocument] = []
    diagnostics: list[Diagnostic] = []
    for document in documents:
        model = KINDS[kind_of(document)]
        try:
            content = model.model_validate(document.data)
        except ValidationError as error:
            diagnostics += explain_errors(document, model, error)
            continue
        valid.append(ValidDocument(document=document, content=content))
        if isinstance(content, ProjectDocument):
            diagnostics += check_project(document, content)
    return valid, diagnostics


def _digest(manifests: Iterable[Document], env_name: str, sql_files: Mapping[str, str]) -> str:
    """Return a digest of the content before variables are filled in, and of the environment.

    ``sql_files`` are the texts of the queries that are in files. Formatting, files and the order
    of documents do not change it.
    """
    contents = [*(d.data for d in manifests), *sql_files.items()]
    digests = sorted(
        hashlib.sha256(json.dumps(c, sort_keys=True, separators=(",", ":")).encode()).digest()
        for c in contents
    )
    content = b"".join(digests) + env_name.encode()
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
