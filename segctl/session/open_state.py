"""Find the state of a workspace, and refuse one that a checkout could replace."""

from pathlib import Path

from segctl.backends.base import Backend
from segctl.backends.local import FOLDER, HEAD, LocalBackend
from segctl.core.clock import Clock
from segctl.core.disk import Disk
from segctl.core.errors import OperationError
from segctl.manifests.workspace import require_workspace, state_folder
from segctl.session.git import run_git


def open_state(root: Path, *, clock: Clock, disk: Disk) -> Backend:
    """Return the backend of the state of the workspace ``root``.

    Raises ``OperationError`` outside of a workspace and for a state that git tracks, and
    ``InvalidInput`` if ``segctl.yaml`` does not say where the state is.
    """
    folder = state_folder(root)
    # A state can be inspected even if segctl.yaml was lost.
    if folder == root and not any((root / name).exists() for name in (HEAD, FOLDER)):
        require_workspace(root)
    if folder != root:
        _check_moved(root, folder)
    if tracked := run_git(folder, "ls-files", "-z", "--", HEAD, FOLDER):
        name = tracked.split(b"\0")[0].decode("utf-8", "backslashreplace")
        raise OperationError(
            f"git tracks {name}, so a branch that changes it replaces the state",
            hint=f"Take it out of the repository, and commit that: `git -C {folder} rm -r --cached "
            f"--ignore-unmatch {HEAD} {FOLDER}`. Keep the state outside the checkout with "
            "spec.state.path.",
        )
    shown = "" if folder == root else f"{folder}/"
    return LocalBackend(folder, clock=clock, disk=disk, shown=shown)


def _check_moved(root: Path, folder: Path) -> None:
    """Refuse to start a state in ``folder`` while the workspace still has one of its own."""
    if (root / HEAD).exists() and not (folder / HEAD).exists():
        raise OperationError(
            f"{HEAD} is in the workspace, but spec.state.path names {folder}, which has no state",
            hint=f"Move both {HEAD} and {FOLDER} there; create the folder if it is missing.",
        )
