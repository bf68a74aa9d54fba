"""Find the state of a workspace, and refuse one that a checkout could replace."""

from dataclasses import dataclass
from pathlib import Path

from segctl.backends.base import Backend
from segctl.backends.local import FOLDER, HEAD, LocalBackend
from segctl.core.clock import Clock
from segctl.core.disk import Disk
from segctl.core.errors import OperationError
from segctl.core.git import find_checkout, run_git
from segctl.manifests.environments import NO_ENVIRONMENT
from segctl.manifests.workspace import read_environments, require_workspace, state_folder
from segctl.session.known_state import (
    StateName,
    check_known_state,
    read_known_states,
    record_known_state,
)


@dataclass(frozen=True, kw_only=True)
class OpenState:
    """The backend of the state of the workspace ``root``, and the state's name."""

    root: Path
    name: StateName
    backend: Backend
    disk: Disk

    def check(self) -> None:
        """Raise ``WrongState`` unless the state is the one that ``segctl.lock.yaml`` names."""
        check_known_state(self.root, self.backend, self.name)

    def record(self) -> bool:
        """Name the state in ``segctl.lock.yaml``; return whether that file changed."""
        return record_known_state(self.root, self.backend, self.name, disk=self.disk)

    def known_lineage(self) -> str | None:
        """Return the lineage that ``segctl.lock.yaml`` names, ``None`` if it names none."""
        known = read_known_states(self.root).get(self.name.name)
        return known.lineage if known else None


def open_state(root: Path, *, env_name: str, clock: Clock, disk: Disk) -> OpenState:
    """Open the state of the workspace ``root`` in an environment, without looking into it.

    Raises ``OperationError`` outside of a workspace and for a state that git tracks, and
    ``InvalidInput`` if ``segctl.yaml`` does not say where the state is.
    """
    folder, written = state_folder(root, env_name)
    # A state can be inspected even if segctl.yaml was lost.
    if folder == root and not any((root / name).exists() for name in (HEAD, FOLDER)):
        require_workspace(root)
    if folder != root:
        _check_moved(root, folder)
    _check_not_tracked(folder)
    is_elsewhere = folder != root
    return OpenState(
        root=root,
        name=StateName(
            name=env_name or NO_ENVIRONMENT,
            names=read_environments(root) or (NO_ENVIRONMENT,),
            address=f"local:{written}" if written else "local",
            place=str(folder) if is_elsewhere else "this workspace",
        ),
        backend=LocalBackend(
            folder, clock=clock, disk=disk, name_prefix=f"{folder}/" if is_elsewhere else ""
        ),
        disk=disk,
    )


def _check_not_tracked(folder: Path) -> None:
    """Raise ``OperationError`` if git tracks a file of the state: any branch could replace it."""
    checkout = find_checkout(folder)
    if checkout is None:
        return
    names = [(folder.resolve() / name).relative_to(checkout).as_posix() for name in (HEAD, FOLDER)]
    # A name with a glob in it is that name.
    tracked = run_git(checkout, "--literal-pathspecs", "ls-files", "-z", "--", *names)
    if tracked:
        name = tracked.split(b"\0")[0].decode("utf-8", "backslashreplace")
        raise OperationError(
            f"git tracks {name}, so a branch that changes it replaces the state",
            hint=f"Take it out of the repository, and commit that: `git -C {checkout} rm -r "
            f"--cached --ignore-unmatch {' '.join(names)}`. Keep the state outside the checkout "
            "with spec.state.path.",
        )


def _check_moved(root: Path, folder: Path) -> None:
    """Refuse to start a state in ``folder`` while the workspace still has one of its own."""
    if (root / HEAD).exists() and not (folder / HEAD).exists():
        raise OperationError(
            f"{HEAD} is in the workspace, but spec.state.path names {folder}, which has no state",
            hint=f"Move both {HEAD} and {FOLDER} there; create the folder if it is missing.",
        )
