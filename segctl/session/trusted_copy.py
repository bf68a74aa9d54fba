"""Read the copy of ``segctl.yaml`` that a branch cannot change."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from segctl.core.ci import is_pull_request
from segctl.core.disk import read_file
from segctl.core.errors import OperationError
from segctl.manifests.compile import PROJECT_FILE
from segctl.manifests.trust import TrustedCopy
from segctl.session.git import run_git

_PATH_BEGINNINGS = ("/", "./", "../", "~")


def find_trusted_copy(
    root: Path, source: str | None, environment: Mapping[str, str]
) -> TrustedCopy | None:
    """Return the copy of ``source``, a file or a revision of git.

    Without ``source``, in a pull request of a CI service, return that of the default branch, or
    ``None`` if the checkout does not have that branch. Raises ``OperationError``.
    """
    if source:
        is_path = source.startswith(_PATH_BEGINNINGS)
        return _read_path(root, source) if is_path else _require_revision(root, source)
    if is_pull_request(environment):
        branch = _default_branch(environment)
        return _read_revision(root, f"refs/remotes/origin/{branch}", f"origin/{branch}")
    return None


def _read_path(root: Path, source: str) -> TrustedCopy:
    path = (root / Path(source).expanduser()).resolve()
    if path.is_relative_to(root.resolve()):
        raise OperationError(
            f"the trusted copy {source} is in the workspace, where a branch can change it",
            hint="Name a file outside of the checkout, or a revision such as origin/main.",
        )
    try:
        return TrustedCopy(name=source, content=read_file(path))
    except OSError as error:
        raise OperationError(
            f"the trusted copy {source} cannot be read: {(error.strerror or 'error').lower()}",
            hint="Name a file outside of the checkout, or a revision such as origin/main.",
        ) from None


def _require_revision(root: Path, revision: str) -> TrustedCopy:
    copy = _read_revision(root, revision, revision)
    if copy is None:
        raise OperationError(
            f"there is no {PROJECT_FILE} of this folder in the revision {revision}",
            hint="Fetch the revision first, such as with `git fetch origin main`. A path begins "
            "with / or ./ or ../.",
        )
    return copy


def _read_revision(root: Path, revision: str, name: str) -> TrustedCopy | None:
    found = run_git(
        root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
    )
    if not found:
        return None
    path = f"{found.decode().strip()}:./{PROJECT_FILE}"
    blob = run_git(root, "rev-parse", "--verify", "--quiet", path)
    content = run_git(root, "cat-file", "blob", blob.decode().strip()) if blob else None
    return None if content is None else TrustedCopy(name=f"{name}:{PROJECT_FILE}", content=content)


def _default_branch(environment: Mapping[str, str]) -> str:
    """Return the default branch as GitHub or GitLab names it, else what ``origin/HEAD`` is."""
    event: Any = None
    if path := environment.get("GITHUB_EVENT_PATH"):
        with suppress(OSError, ValueError, RecursionError):
            event = json.loads(Path(path).read_bytes())
    repository = event.get("repository") if isinstance(event, dict) else None
    named = repository.get("default_branch") if isinstance(repository, dict) else None
    return str(named or environment.get("CI_DEFAULT_BRANCH") or "HEAD")
