"""Find the state of a workspace, and refuse one that a checkout could replace."""

from dataclasses import dataclass
from pathlib import Path

from segctl.backends.base import Backend
from segctl.backends.local import FOLDER, HEAD, LocalBackend
from segctl.core.clock import Clock
from segctl.core.disk import Disk
from segctl.core.errors import OperationError
from segctl.core.git import find_checkout, run_git
from segctl.manifests.workspace import require_workspace, state_folder
from segctl.session.known_state import check_known_state, record_known_state
from segctl.state.known_states import DEFAULT


@dataclass(frozen=True, kw_only=True)
class OpenState:
    """The backend of the state of the workspace ``root``, and where the state is.

    ``name`` is its name in ``segctl.lock.yaml``. ``address`` says where, as ``segctl.yaml`` names
    it, and ``place`` is the folder for messages.
    """

    root: Path
    name: str
    backend: Backend
    address: str
    place: str
    disk: Disk

    def check(self) -> None:
        """Raise ``WrongState`` unless the state is the one that ``segctl.lock.yaml`` names."""
        check_known_state(self.root, self.backend, name=self.name, place=self.place)

    def record(self) -> bool:
        """Name the state in ``segctl.lock.yaml``; return whether that file changed."""
        return record_known_state(
            self.root, self.backend, name=self.name, address=self.address, disk=self.disk
        )


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
        name=env_name or DEFAULT,
        backend=LocalBackend(
            folder, clock=clock, disk=disk, name_prefix=f"{folder}/" if is_elsewhere else ""
        ),
        address=f"local:{written}" if written else "local",
        place=str(folder) if is_elsewhere else "this workspace",
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
