"""From the files of a workspace to the desired state, or to everything that is wrong."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.manifests.assemble import Written, assemble
from segctl.manifests.classify import recognize
from segctl.manifests.declarations import kind_of
from segctl.manifests.desired import DesiredState
from segctl.manifests.documents import KINDS, ProjectDocument
from segctl.manifests.explain import explain
from segctl.manifests.validate import check, check_project, check_url
from segctl.manifests.variables import fill, resolve
from segctl.manifests.yaml_reader import parse
from segctl.manifests.yaml_tree import Document

PROJECT_FILE = "segctl.yaml"
BASE_URL_VARIABLE = "CLEVERTAP_BASE_URL"


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """The desired state, ``None`` where a diagnostic is an error.

    ``passed_over`` are the documents that are not ours, as ``file:line``;
    ``allowed_folders`` what the Project lets sources read outside of the workspace.
    """

    desired: DesiredState | None
    diagnostics: tuple[Diagnostic, ...]
    passed_over: tuple[str, ...]
    allowed_folders: tuple[str, ...] = ()


def compile_files(
    files: Mapping[str, bytes], *, variables: Mapping[str, str], environment: Mapping[str, str]
) -> Compiled:
    """Compile the YAML files of a workspace, given by their paths relative to its root.

    ``variables`` are those of the command line; ``environment`` is looked at for
    ``SEGCTL_VAR_…`` and ``CLEVERTAP_BASE_URL``.  Raises nothing: all problems are
    in the result, in the order of files and lines.
    """
    parsed = {file: parse(file, content) for file, content in files.items()}
    found = [d for p in parsed.values() for d in p.diagnostics]
    recognized = recognize(d for p in parsed.values() for d in p.documents)
    found += recognized.diagnostics
    ours = recognized.documents
    broken = any(d.location and d.location.file == PROJECT_FILE for d in found)
    project, problems = _project_document(ours, PROJECT_FILE in files and not broken)
    found += problems
    values, problems = resolve(project, variables, environment)
    found += problems
    filled = [fill(document, values) for document in ours]
    found += (problem for _, problems in filled for problem in problems)
    documents = [document for document, _ in filled]
    found += check(documents, values)
    written, problems = _read(documents)
    found += problems
    settings = [w.content for w in written if isinstance(w.content, ProjectDocument)]
    base_url = environment.get(BASE_URL_VARIABLE, "").strip()
    found += check_url(base_url, BASE_URL_VARIABLE, None) if base_url else ()
    desired = None
    if settings and not any(d.severity is Severity.ERROR for d in found):
        desired = assemble(
            settings[0],
            written,
            variables=values.values,
            base_url=base_url,
            digest=_digest(ours),
        )
    return Compiled(
        desired=desired,
        diagnostics=in_order(found),
        passed_over=recognized.passed_over,
        allowed_folders=tuple(f for s in settings for f in s.spec.allow_folders),
    )


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sort by place, each once; those without a place come first."""
    nowhere = Location(file="")
    return tuple(sorted(dict.fromkeys(diagnostics), key=lambda d: d.location or nowhere))


def _project_document(
    documents: Sequence[Document], expected: bool
) -> tuple[Document | None, list[Diagnostic]]:
    """Find the one Project; it is ``expected`` where ``segctl.yaml`` could be read."""
    projects = [d for d in documents if kind_of(d) == "Project"]
    inside = [d for d in projects if d.file == PROJECT_FILE]
    found = [
        Diagnostic(
            code="project-place",
            summary=f"a Project stands in {PROJECT_FILE} at the root of the workspace only.",
            detail="Move it there, or remove it.",
            location=d.at(("kind",)),
        )
        for d in projects
        if d.file != PROJECT_FILE
    ]
    found += [
        Diagnostic(
            code="project-twice",
            summary="a workspace has one Project.",
            detail=f"The first is at {inside[0].at()}. Remove one of them.",
            location=d.at(("kind",)),
        )
        for d in inside[1:]
    ]
    if expected and not inside:
        found.append(
            Diagnostic(
                code="project-missing",
                summary=f"{PROJECT_FILE} holds no Project.",
                detail='Add a document with kind: Project; "segctl init" shows one.',
                location=Location(file=PROJECT_FILE),
            )
        )
    return (inside[0] if inside else None), found


def _read(documents: Iterable[Document]) -> tuple[list[Written], list[Diagnostic]]:
    written: list[Written] = []
    found: list[Diagnostic] = []
    for document in documents:
        model = KINDS[kind_of(document)]
        try:
            content = model.model_validate(document.data)
        except ValidationError as error:
            found += explain(document, model, error)
            continue
        written.append(Written(document=document, content=content))
        if isinstance(content, ProjectDocument):
            found += check_project(document, content)
    return written, found


def _digest(documents: Iterable[Document]) -> str:
    """Digest what is written, before variables, whatever its formatting, files and order."""
    digests = sorted(
        hashlib.sha256(json.dumps(d.data, sort_keys=True, separators=(",", ":")).encode()).digest()
        for d in documents
    )
    return f"sha256:{hashlib.sha256(b''.join(digests)).hexdigest()}"
