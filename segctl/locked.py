"""The state under its lock: an interrupted apply is taken in first, what is left over goes last."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from segctl import collecting, recording
from segctl.backends.base import Backend
from segctl.context import Context, Desk, desk
from segctl.errors import SegctlError
from segctl.events import Observer, ignore
from segctl.state.history import Limits


@dataclass(frozen=True, kw_only=True)
class Locked:
    """The state that this run alone may change, and a desk beside it.

    What is made on the desk is on the state's own file system, so that taking it in is
    a rename.
    """

    backend: Backend
    held: recording.Held
    desk: Desk


@contextmanager
def alone(context: Context, *, timeout: float = 0.0) -> Iterator[tuple[Backend, Desk]]:
    """Hold the lock on the state as it is, waiting at most ``timeout`` seconds for it.

    Where the block ends well and the state was replaced, what it no longer needs is
    removed.  Raises ``StateLocked``.
    """
    backend = context.backend()
    with (
        backend.lock(command=context.command, timeout=timeout),
        desk(context.room, backend.scratch_folder()) as at,
    ):
        before = backend.raw_head()
        yield backend, at
        # The work is done and recorded.  What cannot be removed now is another time, and
        # `segctl state gc` says why.
        with suppress(SegctlError):
            if backend.raw_head() != before:
                collecting.collect(backend, Limits())


@contextmanager
def locked(
    context: Context, *, timeout: float = 0.0, observe: Observer = ignore
) -> Iterator[Locked]:
    """Hold the lock as ``alone`` does, an interrupted apply taken in first.

    ``observe`` is told of an apply that was recovered.
    """
    with alone(context, timeout=timeout) as (backend, at):
        held = recording.recover(backend, at.engine, disk=context.disk, now=context.clock.now())
        if held.recovered:
            observe(held.recovered)
        yield Locked(backend=backend, held=held, desk=at)
