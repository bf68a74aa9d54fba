"""Read and edit the state: show, move, forget, export, list versions, collect garbage.

Each change takes the lock, recovers an interrupted apply first, increments the serial, and
leaves the previous head in the history. Nothing is sent.
"""

from dataclasses import replace

from segctl.backends import garbage
from segctl.backends.base import EarlierHead
from segctl.core.address import is_address, is_targeted
from segctl.core.errors import OperationError, SegctlError, StateDamaged, WrongUsage
from segctl.core.events import Observer, ignore_event
from segctl.session.context import Context
from segctl.session.engine_session import engine_session
from segctl.session.known_state import forget_known_state
from segctl.session.load import load_state, read_stable
from segctl.session.loaded_state import write_head
from segctl.session.locked_state import locked_state
from segctl.state import codec as state_codec
from segctl.state.history import Garbage, HistoryLimits, StateVersion
from segctl.state.model import State
from segctl.state.restrictions import move_restrictions


def move_segment(
    context: Context,
    source: str,
    destination: str,
    *,
    dry_run: bool = False,
    lock_timeout: float = 0.0,
    observe: Observer = ignore_event,
) -> str | None:
    """Move a recorded segment to another address. Return its customerSegmentId, if it has one.

    A dry run checks the same, takes no lock and writes nothing. Raises ``WrongUsage``.
    """
    for address in (source, destination):
        if not is_address(address):
            raise WrongUsage(f"{address} is not an address", hint="An address reads segment.NAME.")
    if dry_run:
        state = _moved(read_state(context), source, destination)
        return state.segments[destination].customer_segment_id
    with locked_state(context, timeout=lock_timeout, observe=observe) as locked:
        state = _moved(locked.loaded.state, source, destination)
        write_head(locked.backend, locked.loaded, state)
    return state.segments[destination].customer_segment_id


def _moved(state: State, source: str, destination: str) -> State:
    """Return the state with a record at another address. Raises ``WrongUsage``."""
    segments = dict(state.segments)
    if source not in segments:
        raise _unknown_segment(source)
    if destination in segments:
        raise WrongUsage(f"{destination} is already recorded")
    segments[destination] = segments.pop(source)
    restrictions = move_restrictions(state.restrictions, {source: destination})
    return state.next(
        segments=dict(sorted(segments.items())), restrictions=restrictions, unfinished=None
    )


def forget_segments(
    context: Context,
    globs: tuple[str, ...],
    *,
    dry_run: bool = False,
    lock_timeout: float = 0.0,
    observe: Observer = ignore_event,
) -> tuple[str, ...]:
    """Forget recorded segments and tombstones. Return their addresses.

    The segments and their members stay in CleverTap. A manifest that still declares one will
    try to create it. A dry run checks the same, takes no lock and writes nothing. Raises
    ``WrongUsage`` if a pattern matches nothing.
    """
    if dry_run:
        state = read_state(context)
        return _addresses_gone(state, _without(state, globs))
    with locked_state(context, timeout=lock_timeout, observe=observe) as locked:
        state = locked.loaded.state
        after = _without(state, globs)
        write_head(locked.backend, locked.loaded, after)
        return _addresses_gone(state, after)


def _without(state: State, globs: tuple[str, ...]) -> State:
    """Return the state without the records that patterns match. Raises ``WrongUsage``."""
    known = [address for address, _ in state.records()]
    for glob in globs:
        if not any(is_targeted(address, [glob]) for address in known):
            raise _unknown_segment(glob)
    return state.next(
        segments={a: r for a, r in state.segments.items() if not is_targeted(a, globs)},
        tombstones=tuple(t for t in state.tombstones if not is_targeted(t.address, globs)),
        unfinished=None,
    )


def _addresses_gone(before: State, after: State) -> tuple[str, ...]:
    kept = {address for address, _ in after.records()}
    return tuple(sorted({address for address, _ in before.records()} - kept))


def _unknown_segment(address: str) -> WrongUsage:
    return WrongUsage(
        f"the state has no segment {address}", hint="`segctl state list` prints all of them."
    )


def read_head(context: Context) -> bytes:
    """Return the stored head. Raises ``OperationError`` if there is no state."""
    stored = context.backend().read_head()
    if stored is None:
        raise OperationError("there is no state yet", hint="The first `segctl apply` creates it.")
    return stored.data


def list_versions(context: Context) -> tuple[StateVersion, ...]:
    """Return all kept versions of the state, oldest first, the current one last.

    A version that cannot be read is included with the reason.
    """
    backend = context.open_state().backend
    found = [_describe_earlier(backend.read_earlier_head(name)) for name in backend.list_history()]
    try:
        stored = backend.read_head()
    except SegctlError as error:
        return (*found, StateVersion(name="", serial=None, current=True, problem=error.message))
    return (*found, _describe_version("", stored.data, current=True)) if stored else tuple(found)


def _describe_earlier(head: EarlierHead) -> StateVersion:
    if head.data is None:
        return StateVersion(name=head.name, serial=head.serial, problem=head.problem)
    return replace(_describe_version(head.name, head.data), serial=head.serial, until=head.until)


def _describe_version(name: str, data: bytes, *, current: bool = False) -> StateVersion:
    try:
        state = state_codec.decode(data)
    except StateDamaged as error:
        return StateVersion(name=name, serial=None, current=current, problem=error.message)
    return StateVersion(
        name=name,
        serial=state.serial,
        segments=len(state.segments),
        members=sum(record.members.digest.count for record in state.segments.values()),
        current=current,
    )


def collect_garbage(
    context: Context, *, dry_run: bool, lock_timeout: float = 0.0, observe: Observer = ignore_event
) -> Garbage:
    """Remove what the state no longer needs. A dry run only lists it, and takes no lock."""
    limits, now = HistoryLimits(), context.clock.now()
    if dry_run:
        backend = context.backend()
        return read_stable(backend, lambda: garbage.find_garbage(backend, limits, now=now))
    with locked_state(context, timeout=lock_timeout, observe=observe) as locked:
        return garbage.collect(locked.backend, limits, now=now)


def read_state(context: Context) -> State:
    """Return the state with an interrupted apply folded in; empty if there is none."""
    backend = context.backend()

    def read() -> State:
        with engine_session(context.limits) as session:
            return load_state(backend, session.open_engine, now=context.clock.now()).state

    return read_stable(backend, read)


def start_over(context: Context, lineage: str) -> None:
    """Forget that the workspace has the state of this lineage, which was lost.

    Raises ``WrongUsage`` if ``segctl.lock.yaml`` does not name it, or if that state is there.
    """
    state = context.open_state()
    forget_known_state(context.root, state.backend, lineage, name=state.name, disk=context.disk)


def force_unlock(context: Context, lock_id: str) -> None:
    """Break the lock with this id."""
    context.open_state().backend.force_unlock(lock_id)
