"""Look after the state: rename, forget, hand out, put back, look back, prove, clear out.

Each change takes the lock, recovers an interrupted apply first, goes one serial
further and leaves the former head in the history.  Nothing is sent.
"""

from dataclasses import replace

from segctl.backends import garbage
from segctl.backends.base import EarlierHead
from segctl.core.address import is_address, is_targeted
from segctl.core.errors import OperationError, SegctlError, StateDamaged, WrongUsage
from segctl.core.events import Observer, ignore_event
from segctl.session.context import Context
from segctl.session.engine_session import engine_session
from segctl.session.load import load_state, read_stable
from segctl.session.loaded_state import write_head
from segctl.session.locked_state import locked_state
from segctl.state import codec as state_codec
from segctl.state.history import Garbage, HistoryLimits, StateVersion
from segctl.state.model import State


def move_segment(
    context: Context,
    source: str,
    destination: str,
    *,
    lock_timeout: float = 0.0,
    observe: Observer = ignore_event,
) -> None:
    """Give a recorded segment another address; raises ``WrongUsage``."""
    for address in (source, destination):
        if not is_address(address):
            raise WrongUsage(f"{address} is not an address", hint="An address reads segment.NAME.")
    with locked_state(context, timeout=lock_timeout, observe=observe) as work:
        segments = dict(work.loaded.state.segments)
        if source not in segments:
            raise _unknown(source)
        if destination in segments:
            raise WrongUsage(f"{destination} is recorded already")
        segments[destination] = segments.pop(source)
        state = work.loaded.state.next(segments=dict(sorted(segments.items())), unfinished=None)
        write_head(work.backend, work.loaded, state)


def forget_segments(
    context: Context,
    globs: tuple[str, ...],
    *,
    lock_timeout: float = 0.0,
    observe: Observer = ignore_event,
) -> tuple[str, ...]:
    """Forget recorded segments and tombstones; give their addresses.

    The segments stay in CleverTap with everybody in them; a manifest that still
    declares one will try to create it.  Raises ``WrongUsage`` where a pattern picks
    nothing.
    """
    with locked_state(context, timeout=lock_timeout, observe=observe) as work:
        state = work.loaded.state
        known = [*state.segments, *(tombstone.address for tombstone in state.tombstones)]
        for glob in globs:
            if not any(is_targeted(address, [glob]) for address in known):
                raise _unknown(glob)
        kept = {a: r for a, r in state.segments.items() if not is_targeted(a, globs)}
        tombstones = tuple(t for t in state.tombstones if not is_targeted(t.address, globs))
        write_head(
            work.backend,
            work.loaded,
            state.next(segments=kept, tombstones=tombstones, unfinished=None),
        )
        return tuple(sorted({address for address in known if is_targeted(address, globs)}))


def _unknown(address: str) -> WrongUsage:
    return WrongUsage(
        f"the state has no segment {address}", hint="`segctl state list` prints all of them."
    )


def read_head(context: Context) -> bytes:
    """Give the head as it is stored; raises ``OperationError`` where there is none."""
    stored = context.backend().read_head()
    if stored is None:
        raise OperationError("there is no state yet", hint="The first `segctl apply` makes it.")
    return stored.data


def list_versions(context: Context) -> tuple[StateVersion, ...]:
    """Give all versions of the state that are kept, oldest first, the present one last.

    One that cannot be read is named, with the reason.
    """
    backend = context.backend()
    found = [_earlier(backend.read_earlier_head(name)) for name in backend.list_history()]
    try:
        stored = backend.read_head()
    except SegctlError as error:
        return (*found, StateVersion(name="", serial=None, current=True, problem=error.message))
    return (*found, _version("", stored.data, current=True)) if stored else tuple(found)


def _earlier(head: EarlierHead) -> StateVersion:
    if head.data is None:
        return StateVersion(name=head.name, serial=head.serial, problem=head.problem)
    return replace(_version(head.name, head.data), serial=head.serial, until=head.until)


def _version(name: str, data: bytes, *, current: bool = False) -> StateVersion:
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
    """Remove what the state no longer needs, or only tell what that is; see ``collecting``.

    A dry run takes no lock.
    """
    if dry_run:
        backend = context.backend()
        return read_stable(backend, lambda: garbage.find_garbage(backend, HistoryLimits()))
    with locked_state(context, timeout=lock_timeout, observe=observe) as work:
        return garbage.collect(work.backend, HistoryLimits())


def read_state(context: Context) -> State:
    """Read the state, an interrupted apply folded in; ``EMPTY`` where there is none."""
    backend = context.backend()

    def look() -> State:
        with engine_session(context.limits) as at:
            return load_state(backend, at.open_engine, now=context.clock.now()).state

    return read_stable(backend, look)


def force_unlock(context: Context, lock_id: str) -> None:
    """Break the lock of that id."""
    context.backend().force_unlock(lock_id)
