"""Put a head in place of the present one, of one that cannot be read, or of none.

What stands in the way are the two mistakes that nothing else would notice: the head of
another workspace, and one that is older than what was sent since.  ``force`` is for who
means it.  A head whose files are not there is refused in any case.
"""

from dataclasses import dataclass, replace

from segctl.backends import journal
from segctl.backends.base import Backend
from segctl.backends.journal import Journal
from segctl.core.errors import OperationError, StateDamaged
from segctl.core.events import Observer, ignore_event
from segctl.session.context import Context
from segctl.session.engine_session import EngineSession
from segctl.session.loaded_state import recorded_members
from segctl.session.locked_state import exclusive_lock
from segctl.session.recovery import recover_state
from segctl.state import codec as state_codec
from segctl.state.model import State


@dataclass(frozen=True, kw_only=True)
class _Present:
    """What a pushed head takes the place of, as far as it can be told, and its version.

    ``state`` is ``None`` where it is damaged, lost, or not that from which an interrupted
    apply began.  Its serial was not above ``serial``.
    """

    state: State | None
    lineage: str | None
    serial: int
    version: str | None


def push_state(
    context: Context,
    data: bytes,
    *,
    force: bool = False,
    lock_timeout: float = 0.0,
    observe: Observer = ignore_event,
) -> State:
    """Put a head in place of the present one, one serial further than both.

    A present head that cannot be read is kept beside the history.  Refuses another
    lineage and a head older than the present one, unless ``force``; and one that names
    files that are not there, or that an interrupted apply did not begin from.  Raises
    ``OperationError``, ``StateDamaged``, ``StateLocked``.
    """
    pushed = _read(data)
    with exclusive_lock(context, timeout=lock_timeout) as (backend, at):
        present = _present(context, backend, at, observe)
        if not force:
            _check_follows(pushed, present)
        for _, record in pushed.records():
            recorded_members(record, backend.file_path)
        state = _placed(pushed, present, Journal.open(backend.journal_folder()))
        backend.replace_head(
            state_codec.encode(state), expected=present.version, damaged=present.state is None
        )
        return state


def _read(data: bytes) -> State:
    try:
        return state_codec.decode(data)
    except StateDamaged as error:
        raise OperationError(
            f"the pushed {error.message.removeprefix('the ')}",
            hint="Nothing was changed. Push another copy: `segctl state history` names the earlier "
            "heads, which stand in segctl.state.d/history.",
        ) from error


def _present(context: Context, backend: Backend, at: EngineSession, observe: Observer) -> _Present:
    try:
        loaded = recover_state(backend, at.open_engine, disk=context.disk, now=context.clock.now())
    except StateDamaged:
        return _lost(backend)
    if loaded.recovered:
        observe(loaded.recovered)
    state = loaded.state
    return _Present(
        state=state, lineage=state.lineage or None, serial=state.serial, version=loaded.version
    )


def _lost(backend: Backend) -> _Present:
    """Tell what can be told of a head that is damaged or gone: by itself, and by the history."""
    stored = backend.read_raw_head()
    lineage, serial = state_codec.lineage_and_serial(stored.data) if stored else (None, None)
    earlier = [backend.read_earlier_head(name) for name in backend.list_history()]
    if lineage is None:
        told = (
            state_codec.lineage_and_serial(head.data)[0] for head in reversed(earlier) if head.data
        )
        lineage = next((each for each in told if each), None)
    return _Present(
        state=None,
        lineage=lineage,
        serial=max(
            serial or 0,
            journal.last_archived_serial(backend.applies_folder()),
            *(head.serial + 1 for head in earlier),
            0,
        ),
        version=stored.version if stored else None,
    )


def _check_follows(pushed: State, present: _Present) -> None:
    """Refuse another history, and going back."""
    if present.lineage and pushed.lineage != present.lineage:
        raise OperationError(
            "the pushed state has another lineage: it is the history of another workspace",
            hint="Push it in the workspace that it came from; or, to begin here with it, --force.",
        )
    if pushed.serial < present.serial:
        which = "present" if present.version else "lost"
        raise OperationError(
            f"the pushed state is at serial {pushed.serial}, the {which} one at {present.serial}",
            hint="What was sent in between would be forgotten: who joined since is added again, "
            "who is to leave since is not removed. To go back all the same: --force.",
        )


def _placed(pushed: State, present: _Present, unfinished: Journal | None) -> State:
    """Return the head to write; raises ``OperationError`` if that drops an unfinished journal."""
    if present.state is None and unfinished is not None and unfinished.id != pushed.folded:
        begun = unfinished.header["lineage"], unfinished.header["serial"]
        if begun != (pushed.lineage, pushed.serial):
            raise OperationError(
                f"an interrupted apply began from serial {begun[1]} of the state, which is not "
                "the pushed one",
                hint=f"Push the head of serial {begun[1]}; the next run then takes the apply in.",
            )
        return pushed  # as it was: the next run takes in what that apply sent
    return replace(
        pushed,
        serial=max(pushed.serial, present.serial) + 1,
        folded=present.state.folded if present.state else pushed.folded,
        unfinished=None,
    )
