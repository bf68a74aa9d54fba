"""Look after the state: rename, forget, hand out, put back, look back, prove, clear out.

Each change takes the lock, recovers an interrupted apply first, goes one serial
further and leaves the former head in the history.  Nothing is sent.
"""

from collections.abc import Iterator
from dataclasses import replace

from segctl import collecting, recording
from segctl.address import is_address, matches
from segctl.backends.base import EarlierHead
from segctl.context import Context
from segctl.errors import SegctlError, StateDamaged, Stop, WrongUsage
from segctl.events import Observer, ignore
from segctl.locked import locked
from segctl.state import codec
from segctl.state.history import Limits, Version, Waste
from segctl.state.model import SegmentRecord, State


def move(
    context: Context,
    source: str,
    destination: str,
    *,
    lock_timeout: float = 0.0,
    observe: Observer = ignore,
) -> None:
    """Give a recorded segment another address; raises ``WrongUsage``."""
    for address in (source, destination):
        if not is_address(address):
            raise WrongUsage(f"{address} is not an address", hint="An address reads segment.NAME.")
    with locked(context, timeout=lock_timeout, observe=observe) as work:
        segments = dict(work.held.state.segments)
        if source not in segments:
            raise _unknown(source)
        if destination in segments:
            raise WrongUsage(f"{destination} is recorded already")
        segments[destination] = segments.pop(source)
        state = work.held.state.next(segments=dict(sorted(segments.items())), unfinished=None)
        recording.write(work.backend, work.held, state)


def remove(
    context: Context,
    globs: tuple[str, ...],
    *,
    lock_timeout: float = 0.0,
    observe: Observer = ignore,
) -> tuple[str, ...]:
    """Forget recorded segments and tombstones; give their addresses.

    The segments stay in CleverTap with everybody in them; a manifest that still
    declares one will try to create it.  Raises ``WrongUsage`` where a pattern picks
    nothing.
    """
    with locked(context, timeout=lock_timeout, observe=observe) as work:
        state = work.held.state
        known = [*state.segments, *(tombstone.address for tombstone in state.tombstones)]
        for glob in globs:
            if not any(matches(address, [glob]) for address in known):
                raise _unknown(glob)
        kept = {a: r for a, r in state.segments.items() if not matches(a, globs)}
        tombstones = tuple(t for t in state.tombstones if not matches(t.address, globs))
        recording.write(
            work.backend,
            work.held,
            state.next(segments=kept, tombstones=tombstones, unfinished=None),
        )
        return tuple(sorted({address for address in known if matches(address, globs)}))


def _unknown(address: str) -> WrongUsage:
    return WrongUsage(
        f"the state has no segment {address}", hint="`segctl state list` prints all of them."
    )


def pull(context: Context) -> bytes:
    """Give the head as it is stored; raises ``Stop`` where there is none."""
    stored = context.backend().read_head()
    if stored is None:
        raise Stop("there is no state yet", hint="The first `segctl apply` makes it.")
    return stored.data


def history(context: Context) -> tuple[Version, ...]:
    """Give all versions of the state that are kept, oldest first, the present one last.

    One that cannot be read is named, with the reason.
    """
    backend = context.backend()
    found = [_earlier(backend.earlier(name)) for name in backend.history()]
    try:
        stored = backend.read_head()
    except SegctlError as error:
        return (*found, Version(name="", serial=None, current=True, problem=error.message))
    return (*found, _version("", stored.data, current=True)) if stored else tuple(found)


def _earlier(head: EarlierHead) -> Version:
    if head.data is None:
        return Version(name=head.name, serial=head.serial, problem=head.problem)
    return replace(_version(head.name, head.data), serial=head.serial, until=head.until)


def _version(name: str, data: bytes, *, current: bool = False) -> Version:
    try:
        state = codec.decode(data)
    except StateDamaged as error:
        return Version(name=name, serial=None, current=current, problem=error.message)
    return Version(
        name=name,
        serial=state.serial,
        segments=len(state.segments),
        members=sum(record.members.digest.count for record in state.segments.values()),
        current=current,
    )


def collect(
    context: Context, *, dry_run: bool, lock_timeout: float = 0.0, observe: Observer = ignore
) -> Waste:
    """Remove what the state no longer needs, or only tell what that is; see ``collecting``.

    A dry run takes no lock.
    """
    if dry_run:
        backend = context.backend()
        return recording.steady(backend, lambda: collecting.survey(backend, Limits()))
    with locked(context, timeout=lock_timeout, observe=observe) as work:
        return collecting.collect(work.backend, Limits())


def _records(state: State) -> Iterator[tuple[str, SegmentRecord]]:
    yield from state.segments.items()
    yield from ((tombstone.address, tombstone.record) for tombstone in state.tombstones)
