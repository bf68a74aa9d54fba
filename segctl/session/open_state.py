"""Find the state of a workspace, and refuse one that a checkout could replace."""

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from segctl.backends.base import Backend
from segctl.backends.byte_store import ByteStore
from segctl.backends.local import FOLDER, HEAD, MOVED, LocalBackend
from segctl.backends.sealing import NO_SEALING, Sealer
from segctl.core.ci import run_url
from segctl.core.dataclass import dataclass
from segctl.core.disk import Disk
from segctl.core.errors import OperationError
from segctl.core.git import find_checkout, run_git
from segctl.core.whitespace import REMOVE_WHITESPACE, describe_surrounding_whitespace
from segctl.manifests.environments import NO_ENVIRONMENT
from segctl.manifests.object_urls import ObjectUrl
from segctl.manifests.state_place import StatePlace
from segctl.manifests.workspace import (
    read_environments,
    read_state_place,
    require_workspace,
    state_folder,
)
from segctl.session.known_state import (
    StateName,
    check_known_state,
    read_known_states,
    record_known_state,
)
from segctl.session.state_keys import open_sealer, read_keys

if TYPE_CHECKING:
    from segctl.session.context import Context

_CACHE_DIR = "SEGCTL_CACHE_DIR"


@dataclass(frozen=True, kw_only=True)
class OpenState:
    """The backend of the state of the workspace ``root``, and the state's name."""

    root: Path
    name: StateName
    backend: Backend
    disk: Disk
    is_remote: bool = False
    sealer: Sealer = NO_SEALING

    def check(self) -> None:
        """Raise ``WrongState`` unless the state is the one that ``segctl.lock.yaml`` names.

        Raises ``OperationError`` if the workspace has a local state that was not migrated.
        """
        check_known_state(self.root, self.backend, self.name)
        is_moved = (self.root / FOLDER / MOVED).exists()
        if self.is_remote and (self.root / HEAD).exists() and not is_moved:
            _check_migrated(self)

    def record(self) -> bool:
        """Name the state in ``segctl.lock.yaml``; return whether that file changed."""
        return record_known_state(self.root, self.backend, self.name, disk=self.disk)

    def known_lineage(self) -> str | None:
        """Return the lineage that ``segctl.lock.yaml`` names, ``None`` if it names none."""
        known = read_known_states(self.root).get(self.name.name)
        return known.lineage if known else None


def open_state(context: "Context") -> OpenState:
    """Open the state of a workspace in an environment, without looking into it.

    Raises ``OperationError`` outside of a workspace and for a state that git tracks, and
    ``InvalidInput`` if ``segctl.yaml`` does not say where the state is.
    """
    place = read_state_place(context.root, context.env_name)
    if place.path:
        _check_moved(context.root, state_folder(context.root, place))
    return open_state_at(context, place)


def open_plan_sealer(context: "Context") -> Sealer:
    """Return what opens a saved plan, which says itself in which environment it was made."""
    names = (context.env_name,) if context.env_name else read_environments(context.root)
    if len(names) < 2:
        return _sealer(context, read_state_place(context.root, context.env_name))
    keys: list[bytes] = []
    is_enforced = False
    for name in names:
        encryption = read_state_place(context.root, name).encryption
        is_enforced |= encryption.is_enforced
        with suppress(OperationError):  # a run has the keys of its own environment only
            keys += read_keys(encryption, root=context.root, environment=context.environment)
    return Sealer(keys, is_enforced=is_enforced) if keys or is_enforced else NO_SEALING


def _sealer(context: "Context", place: StatePlace) -> Sealer:
    return open_sealer(place.encryption, root=context.root, environment=context.environment)


def open_state_at(context: "Context", place: StatePlace) -> OpenState:
    """Open the state of a workspace at a place, as ``open_state`` does."""
    root = context.root
    sealer = _sealer(context, place)
    if place.url:
        backend, shown = _open_remote(context, place, place.url, sealer), place.address
    else:
        folder = state_folder(root, place)
        backend = _open_local(context, folder, sealer)
        shown = str(folder) if folder != root else "this workspace"
    return OpenState(
        root=root,
        name=StateName(
            name=context.env_name or NO_ENVIRONMENT,
            names=read_environments(root) or (NO_ENVIRONMENT,),
            address=place.address,
            place=shown,
        ),
        backend=backend,
        disk=context.disk,
        is_remote=place.url is not None,
        sealer=sealer,
    )


def _open_local(context: "Context", folder: Path, sealer: Sealer) -> Backend:
    root = context.root
    # A state can be inspected even if segctl.yaml was lost.
    if folder == root and not any((root / name).exists() for name in (HEAD, FOLDER)):
        require_workspace(root)
    _check_not_tracked(folder)
    prefix = f"{folder}/" if folder != root else ""
    return LocalBackend(
        folder,
        clock=context.clock,
        sleep=context.sleep,
        disk=context.disk,
        name_prefix=prefix,
        sealer=sealer,
        scratch=context.limits.folder,
    )


def _open_remote(context: "Context", place: StatePlace, url: ObjectUrl, sealer: Sealer) -> Backend:
    from segctl.backends.file_cache import FileCache  # noqa: PLC0415 - few states are in buckets
    from segctl.backends.remote import RemoteBackend  # noqa: PLC0415 - as above

    return RemoteBackend(
        (context.open_store or _open_bucket)(url),
        cache=FileCache(_cache_folder(context.environment)),
        scratch=context.limits.folder or Path(tempfile.gettempdir()),
        clock=context.clock,
        sleep=context.sleep,
        lease_seconds=place.lease_seconds,
        run_url=run_url(context.environment),
        sealer=sealer,
    )


def _open_bucket(url: ObjectUrl) -> ByteStore:
    from segctl.backends.bucket_store import BucketStore  # noqa: PLC0415 - as above

    return BucketStore(url)


def _cache_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder for copies of member files: ``SEGCTL_CACHE_DIR``, or the platform's."""
    chosen = environment.get(_CACHE_DIR)
    if chosen and (edges := describe_surrounding_whitespace(_CACHE_DIR, chosen)):
        raise OperationError(edges, hint=REMOVE_WHITESPACE)
    if chosen:
        return Path(chosen) / "segctl-members"
    from segctl.backends.bucket_store import missing_remote  # noqa: PLC0415 - few need it

    try:
        import platformdirs  # noqa: PLC0415 - of an extra
    except ImportError:
        raise missing_remote() from None
    return platformdirs.user_cache_path("segctl") / "members"


def _check_migrated(state: OpenState) -> None:
    """Refuse to start a state in a bucket while the workspace still has one of its own."""
    if state.backend.read_raw_head() is None:
        raise OperationError(
            f"{HEAD} is in the workspace, but spec.state names {state.name.place}, which has no "
            "state",
            hint="To move the state: remove spec.state, and run `segctl state migrate --to "
            f"{state.name.place}`. To leave it behind, move {HEAD} and {FOLDER} away.",
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
    is_moved = (root / FOLDER / MOVED).exists()
    if (root / HEAD).exists() and not is_moved and not (folder / HEAD).exists():
        raise OperationError(
            f"{HEAD} is in the workspace, but spec.state.path names {folder}, which has no state",
            hint=f"Move both {HEAD} and {FOLDER} there; create the folder if it is missing.",
        )
