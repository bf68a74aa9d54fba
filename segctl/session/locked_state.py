"""The state with its lock held: an interrupted apply is recovered first, garbage removed last."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from segctl.backends import garbage
from segctl.backends.base import Backend
from segctl.core.dataclass import dataclass
from segctl.core.errors import SegctlError
from segctl.core.events import Observer, StateNamed, ignore_event
from segctl.session.context import Context
from segctl.session.engine_session import EngineSession, engine_session
from segctl.session.loaded_state import LoadedState
from segctl.session.recovery import recover_state
from segctl.state import known_states
from segctl.state.history import HistoryLimits


@dataclass(frozen=True, kw_only=True)
class LockedState:
    """The state while this run holds its lock, and an engine session.

    The session's scratch folder is on the file system of the state, so that files made there are
    stored by a rename.
    """

    backend: Backend
    loaded: LoadedState
    session: EngineSession


@contextmanager
def exclusive_lock(
    context: Context,
    *,
    timeout: float = 0.0,
    observe: Observer = ignore_event,
    any_state: bool = False,
) -> Iterator[tuple[Backend, EngineSession]]:
    """Hold the lock of the state for the length of the block, without loading the state.

    Waits at most ``timeout`` seconds, then raises ``StateLocked``. If the block replaced the head,
    the state is named in ``segctl.lock.yaml``, of which ``observe`` gets the event, and if it also
    succeeds, garbage is removed. Raises ``WrongState`` for another state than the workspace had,
    unless ``any_state``.
    """
    state = context.open_state()
    if not any_state:
        state.check()
    backend = state.backend
    with (
        backend.lock(command=context.command, timeout=timeout),
        engine_session(context.limits, backend.scratch_folder()) as session,
    ):
        before = backend.read_raw_head()
        try:
            yield backend, session
        finally:
            if state.record():
                observe(StateNamed(file=known_states.FILE))
        # The work is done and recorded, so an error here is not one of the command. The next run
        # tries again, and `segctl state gc` shows the error.
        with suppress(SegctlError):
            if backend.read_raw_head() != before:
                garbage.collect(backend, HistoryLimits(), now=context.clock.now())


@contextmanager
def locked_state(
    context: Context, *, timeout: float = 0.0, observe: Observer = ignore_event
) -> Iterator[LockedState]:
    """Hold the lock as ``exclusive_lock`` does, and load the state.

    An interrupted apply is recovered first; ``observe`` gets the event.
    """
    with exclusive_lock(context, timeout=timeout, observe=observe) as (backend, session):
        now = context.clock.now()
        loaded = recover_state(backend, session.open_engine, now=now)
        if loaded.recovered:
            observe(loaded.recovered)
        yield LockedState(backend=backend, loaded=loaded, session=session)
