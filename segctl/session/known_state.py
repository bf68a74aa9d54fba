"""Compare the state with the one that ``segctl.lock.yaml`` names, and name it there."""

import logging
import secrets
from collections.abc import Mapping
from pathlib import Path

from segctl.backends.base import Backend
from segctl.core.disk import Disk, read_file
from segctl.core.errors import OperationError, SegctlError, StateDamaged, WrongState, WrongUsage
from segctl.state import codec as state_codec
from segctl.state.known_states import FILE, KnownState, decode, encode

_LOG = logging.getLogger(__name__)


def check_known_state(root: Path, backend: Backend, *, name: str, place: str) -> None:
    """Raise ``WrongState`` unless the state is the one that the workspace had.

    ``name`` is its name in ``segctl.lock.yaml``, and ``place`` where it should be. Raises
    ``InvalidInput`` for a damaged ``segctl.lock.yaml``.
    """
    known = _read(root).get(name)
    if known is None:
        return
    stored = backend.read_head()
    lineage = state_codec.lineage_and_serial(stored.data)[0] if stored else None
    if stored is None:
        raise WrongState(
            f"{FILE} says that this workspace has a state, lineage {known.lineage}, and there is "
            f"none in {place}",
            hint="Restore segctl.state.json and segctl.state.d from a backup, both, or correct "
            f"spec.state in segctl.yaml. To start over: `segctl state new --forget "
            f"{known.lineage}`; every member is then added again.",
        )
    if lineage and lineage != known.lineage:
        raise WrongState(
            f"the state in {place} is not the one of this workspace: it has lineage {lineage}, and "
            f"{FILE} names {known.lineage}",
            hint="Put the state of this workspace there. If this state is right: `segctl state new "
            f"--forget {known.lineage}`.",
        )


def record_known_state(
    root: Path, backend: Backend, *, name: str, address: str, disk: Disk
) -> bool:
    """Write which state belongs to the workspace, and return whether the file changed.

    ``address`` is where the state is. A file that cannot be written is a warning: the state itself
    is complete.
    """
    try:
        stored = backend.read_raw_head()
        states = _read(root)
        known = states.get(name)
        if stored is None or (known and _is_current(known, stored.data, address)):
            return False
        state = state_codec.decode(stored.data)
        current = KnownState(
            lineage=state.lineage, account=state.account, host=state.host, backend=address
        )
        if current == known:
            return False
        _write(root, {**states, name: current}, disk)
    except StateDamaged:  # the run says so itself
        return False
    except SegctlError as error:
        _LOG.warning("%s was not written: %s", FILE, error.message)
        return False
    return True


def forget_known_state(
    root: Path, backend: Backend, lineage: str, *, name: str, disk: Disk
) -> None:
    """Take the state of this lineage out of ``segctl.lock.yaml``.

    Raises ``WrongUsage`` if it is not named there, or if it is the state that is there.
    """
    states = _read(root)
    known = states.get(name)
    if known is None or known.lineage != lineage:
        named = f"it names {known.lineage}" if known else "it names no state"
        raise WrongUsage(f"{FILE} does not name the lineage {lineage}; {named}")
    stored = backend.read_raw_head()
    if stored and state_codec.lineage_and_serial(stored.data)[0] == lineage:
        raise WrongUsage(
            f"the state of lineage {lineage} is there",
            hint="There is nothing to start over. To start over all the same, move "
            "segctl.state.json and segctl.state.d away first.",
        )
    _write(root, {n: state for n, state in states.items() if n != name}, disk)


def _is_current(known: KnownState, head: bytes, address: str) -> bool:
    """Whether the entry needs no look into the whole head."""
    lineage, _ = state_codec.lineage_and_serial(head)
    return (known.lineage, known.backend) == (lineage, address) and None not in (
        known.account,
        known.host,
    )


def _read(root: Path) -> Mapping[str, KnownState]:
    try:
        return decode(read_file(root / FILE))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise OperationError(
            f"{FILE} cannot be read: {(error.strerror or 'error').lower()}",
            hint="Restore it from git.",
        ) from None


def _write(root: Path, states: Mapping[str, KnownState], disk: Disk) -> None:
    path = root / FILE
    try:
        for leftover in root.glob(f".{FILE}.*.tmp"):  # of a run that was killed
            leftover.unlink(missing_ok=True)
        if states:
            temporary = root / f".{FILE}.{secrets.token_hex(4)}.tmp"
            disk.replace(path, encode(states), temporary=temporary)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OperationError(
            f"{FILE} cannot be written: {(error.strerror or 'error').lower()}",
            hint="Check the permissions of the workspace.",
        ) from None
