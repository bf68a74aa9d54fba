"""Read the copy of ``segctl.yaml`` that a branch cannot change."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from segctl.core.ci import is_pull_request, read_event
from segctl.core.disk import read_file
from segctl.core.errors import OperationError
from segctl.core.git import find_checkout, run_git
from segctl.manifests.declarations import PROJECT_FILE
from segctl.manifests.trust import TrustedCopy

_PATH_BEGINNINGS = ("/", "./", "../", "~")
_NAME_ANOTHER = "Name a file outside of the checkout, or a revision such as origin/main."


def find_trusted_copy(
    root: Path, source: str | None, environment: Mapping[str, str]
) -> TrustedCopy | None:
    """Return the copy of ``source``, a file or a revision of git.

    Without ``source``, in a pull request of a CI service, return that of the default branch, or
    ``None`` if the checkout does not have that branch. Raises ``OperationError``.
    """
    if source is not None:
        is_path = source.startswith(_PATH_BEGINNINGS)
        return _read_path(root, source) if is_path else _require_revision(root, source)
    checkout = find_checkout(root)
    if checkout and is_pull_request(environment):
        branch = _default_branch(environment)
        commit = _find_commit(checkout, f"refs/remotes/origin/{branch}")
        return _read_commit(checkout, root, commit, f"origin/{branch}") if commit else None
    return None


def _read_path(root: Path, source: str) -> TrustedCopy:
    try:
        path = (root / Path(source).expanduser()).resolve()
        if path.is_relative_to(find_checkout(root) or root.resolve()):
            raise OperationError(
                f"the trusted copy {source} is in the checkout, where a branch can change it",
                hint=_NAME_ANOTHER,
            )
        return TrustedCopy(name=source, content=read_file(path))
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "there is no such home folder"
        raise OperationError(
            f"the trusted copy {source} cannot be read: {reason.lower()}", hint=_NAME_ANOTHER
        ) from None


def _require_revision(root: Path, revision: str) -> TrustedCopy:
    checkout = find_checkout(root)
    if checkout is None:
        raise OperationError(
            f"the trusted copy {revision} is a revision, but this folder is in no git repository",
            hint="A path begins with / or ./ or ../.",
        )
    # A tag or a local branch may have the same name, and git would take that one.
    commit = _find_commit(checkout, f"refs/remotes/{revision}")
    commit = commit or _find_commit(checkout, revision)
    if commit is None:
        raise OperationError(
            f"git does not know the revision {revision} of the trusted copy",
            hint="Fetch it first, such as with `git fetch origin main`. A path begins with / or "
            "./ or ../.",
        )
    copy = _read_commit(checkout, root, commit, revision)
    if copy is None:
        raise OperationError(
            f"the revision {revision} has no {PROJECT_FILE} for this folder", hint=_NAME_ANOTHER
        )
    return copy


def _find_commit(checkout: Path, revision: str) -> str | None:
    options = ("--verify", "--quiet", "--end-of-options")
    name = f"{revision}^{{commit}}"
    found = run_git(checkout, "rev-parse", *options, name, is_question=True)
    return found.decode().strip() if found else None


def _read_commit(checkout: Path, root: Path, commit: str, name: str) -> TrustedCopy | None:
    path = (root.resolve() / PROJECT_FILE).relative_to(checkout).as_posix()
    blob = run_git(checkout, "rev-parse", "--verify", "--quiet", f"{commit}:{path}")
    content = run_git(checkout, "cat-file", "blob", blob.decode().strip()) if blob else None
    return None if content is None else TrustedCopy(name=f"{name}:{PROJECT_FILE}", content=content)


def _default_branch(environment: Mapping[str, str]) -> str:
    """Return the default branch as GitHub or GitLab names it, else what ``origin/HEAD`` is."""
    event: dict[str, Any] = {}
    with suppress(OSError, ValueError, RecursionError):
        event = read_event(environment)
    repository = event.get("repository")
    named = repository.get("default_branch") if isinstance(repository, dict) else None
    return str(named or environment.get("CI_DEFAULT_BRANCH") or "HEAD")
