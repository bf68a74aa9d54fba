"""Compare the state with the one that ``segctl.lock.yaml`` names, and name it there."""

import fcntl
import logging
import os
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from segctl.backends.base import Backend
from segctl.core.dataclass import dataclass
from segctl.core.disk import Disk, read_file
from segctl.core.errors import (
    InvalidInput,
    OperationError,
    SegctlError,
    StateDamaged,
    WrongState,
    WrongUsage,
)
from segctl.manifests.environments import NO_ENVIRONMENT
from segctl.state import codec as state_codec
from segctl.state.known_states import FILE, KnownState, decode, encode

_LOG = logging.getLogger(__name__)
_MODE = 0o644
"""The file is for everybody who works with the manifests; it has no secrets."""


@dataclass(frozen=True, kw_only=True)
class StateName:
    """How ``segctl.lock.yaml`` names a state: ``name`` is one of all ``names``.

    ``address`` is where the state is, as ``segctl.yaml`` says it, ``place`` the same for messages.
    """

    name: str
    names: Collection[str]
    address: str
    place: str

    @property
    def option(self) -> str:
        """The option that chooses this state on the command line."""
        return "" if self.name == NO_ENVIRONMENT else f" -e {self.name}"


def check_known_state(root: Path, backend: Backend, name: StateName) -> None:
    """Raise ``WrongState`` unless the state is the one that the workspace had.

    Raises ``InvalidInput`` for a damaged ``segctl.lock.yaml``.
    """
    states = read_known_states(root)
    if not states:
        return
    known = states.get(name.name)
    stored = backend.read_head()
    lineage = state_codec.lineage_and_serial(stored.data)[0] if stored else None
    if stored is None:
        _check_missing(states, known, name)
    elif known and lineage and lineage != known.lineage:
        raise WrongState(
            f"the state in {name.place} is not the one of this workspace: it has lineage "
            f"{lineage}, and {FILE} names {known.lineage}",
            hint="Put the state of this workspace there. If this state is right: `segctl state new"
            f"{name.option} --forget {known.lineage}`.",
        )
    others = [n for n in name.names if n != name.name and n in states]
    if shared := [other for other in others if states[other].lineage == lineage]:
        raise WrongState(
            f"the state in {name.place} is the one of {shared[0]}: {FILE} names it there",
            hint=f"Give {name.name} a state of its own with spec.environments.{name.name}.state.",
        )


def _check_missing(
    states: Mapping[str, KnownState], known: KnownState | None, name: StateName
) -> None:
    """Raise ``WrongState`` if the state that is missing was there, or under another name."""
    if known:
        raise WrongState(
            f"{FILE} says that this workspace has a state, lineage {known.lineage}, and there is "
            f"none in {name.place}",
            hint=f"{_how_to_restore(name)}, or correct spec.state in segctl.yaml. To start over: "
            f"`segctl state new{name.option} --forget {known.lineage}`; every member is then added "
            "again.",
        )
    for other, state in sorted(states.items()):
        if other not in name.names:
            raise WrongState(
                f"there is no state in {name.place}, and {FILE} names one of {other}, which "
                "segctl.yaml does not have",
                hint=f"If {other} has another name now, rename it in {FILE}, and let spec.state "
                f"name its folder ({state.backend}). If that state is given up: `segctl state new"
                f"{name.option} --forget {state.lineage}`.",
            )


def _how_to_restore(name: StateName) -> str:
    if name.address.startswith("local"):
        return "Restore segctl.state.json and segctl.state.d from a backup, both"
    return "Restore the objects there, or move the state there with `segctl state migrate`"


def record_known_state(root: Path, backend: Backend, name: StateName, *, disk: Disk) -> bool:
    """Write which state belongs to the workspace, and return whether the file changed.

    A file that cannot be written is a warning: the state itself is complete.
    """
    try:
        stored = backend.read_raw_head()
        known = read_known_states(root).get(name.name)
        if stored is None or (known and _is_current(known, stored.data, name.address)):
            return False
        state = state_codec.decode(stored.data)
        current = KnownState(
            lineage=state.lineage, account=state.account, host=state.host, backend=name.address
        )
        if current == known:
            return False
        with _exclusive(root):
            _write(root, {**read_known_states(root), name.name: current}, disk)
    except StateDamaged:  # the run says so itself
        return False
    except SegctlError as error:
        problem = error.diagnostics[0] if isinstance(error, InvalidInput) else error.message
        _LOG.warning("%s was not written: %s", FILE, problem)
        return False
    return True


def forget_known_state(
    root: Path, backend: Backend, lineage: str, name: StateName, *, disk: Disk
) -> None:
    """Take the state of this lineage out of ``segctl.lock.yaml``, under whichever name.

    Raises ``WrongUsage`` if it is not named there, or if it may be the state that is there.
    """
    with _exclusive(root):
        states = read_known_states(root)
        if lineage not in {state.lineage for state in states.values()}:
            known = states.get(name.name)
            named = f"it names {known.lineage}" if known else "it names no state"
            raise WrongUsage(f"{FILE} does not name the lineage {lineage}; {named}")
        stored = backend.read_raw_head()
        if stored and state_codec.lineage_and_serial(stored.data)[0] in (lineage, None):
            raise WrongUsage(
                f"a state is in {name.place}: it is that of lineage {lineage}, or damaged",
                hint="`segctl state fsck` says what can be done. To start over all the same, move "
                "segctl.state.json and segctl.state.d away first.",
            )
        kept = {n: state for n, state in states.items() if state.lineage != lineage}
        _write(root, kept, disk)


def read_known_states(root: Path) -> Mapping[str, KnownState]:
    """Return the states in ``segctl.lock.yaml`` by name, none without that file.

    Raises ``InvalidInput`` and ``OperationError``.
    """
    try:
        return decode(read_file(root / FILE))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise OperationError(
            f"{FILE} cannot be read: {(error.strerror or 'error').lower()}",
            hint="Restore it from git.",
        ) from None


def _is_current(known: KnownState, head: bytes, address: str) -> bool:
    """Whether the entry needs no look into the whole head."""
    lineage, _ = state_codec.lineage_and_serial(head)
    return (known.lineage, known.backend) == (lineage, address) and None not in (
        known.account,
        known.host,
    )


@contextmanager
def _exclusive(root: Path) -> Iterator[None]:
    """Keep other runs from writing the file: the states of two environments share it."""
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _not_written(error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(root: Path, states: Mapping[str, KnownState], disk: Disk) -> None:
    path = root / FILE
    try:
        for leftover in root.glob(f".{FILE}.*.tmp"):  # of a run that was killed
            leftover.unlink(missing_ok=True)
        if states:
            temporary = root / f".{FILE}.{secrets.token_hex(4)}.tmp"
            disk.replace(path, encode(states), temporary=temporary)
            path.chmod(_MODE)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise _not_written(error) from None


def _not_written(error: OSError) -> OperationError:
    return OperationError(
        f"{FILE} cannot be written: {(error.strerror or 'error').lower()}",
        hint="Check the permissions of the workspace.",
    )
