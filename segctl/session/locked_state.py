"""The state under its lock: an interrupted apply is taken in first, what is left over goes last."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from segctl.backends import garbage
from segctl.backends.base import Backend
from segctl.core.errors import SegctlError
from segctl.core.events import Observer, ignore_event
from segctl.session.context import Context
from segctl.session.engine_session import EngineSession, engine_session
from segctl.session.loaded_state import LoadedState
from segctl.session.recovery import recover_state
from segctl.state.history import HistoryLimits


@dataclass(frozen=True, kw_only=True)
class LockedState:
    """The state that this run alone may change, and a desk beside it.

    What is made on the desk is on the state's own file system, so that taking it in is
    a rename.
    """

    backend: Backend
    loaded: LoadedState
    session: EngineSession


@contextmanager
def exclusive_lock(
    context: Context, *, timeout: float = 0.0
) -> Iterator[tuple[Backend, EngineSession]]:
    """Hold the lock on the state as it is, waiting at most ``timeout`` seconds for it.

    Where the block ends well and the state was replaced, what it no longer needs is
    removed.  Raises ``StateLocked``.
    """
    backend = context.backend()
    with (
        backend.lock(command=context.command, timeout=timeout),
        engine_session(context.limits, backend.scratch_folder()) as at,
    ):
        before = backend.read_raw_head()
        yield backend, at
        # The work is done and recorded.  What cannot be removed now is another time, and
        # `segctl state gc` says why.
        with suppress(SegctlError):
            if backend.read_raw_head() != before:
                garbage.collect(backend, HistoryLimits())


@contextmanager
def locked_state(
    context: Context, *, timeout: float = 0.0, observe: Observer = ignore_event
) -> Iterator[LockedState]:
    """Hold the lock as ``exclusive_lock`` does, an interrupted apply taken in first.

    ``observe`` is told of an apply that was recovered.
    """
    with exclusive_lock(context, timeout=timeout) as (backend, at):
        loaded = recover_state(backend, at.open_engine, disk=context.disk, now=context.clock.now())
        if loaded.recovered:
            observe(loaded.recovered)
        yield LockedState(backend=backend, loaded=loaded, session=at)
