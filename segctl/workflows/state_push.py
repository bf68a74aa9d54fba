"""Replace the head of the state, also if it is damaged or lost.

Two mistakes would go unnoticed later and are refused without ``force``: a head of another
workspace, and a head older than what was sent since. A head whose member files are missing is
always refused.
"""

from dataclasses import replace

from segctl.backends.base import Backend
from segctl.backends.journal import Journal
from segctl.core.dataclass import dataclass
from segctl.core.errors import OperationError, StateDamaged
from segctl.core.events import Observer, ignore_event
from segctl.session.context import Context
from segctl.session.engine_session import EngineSession, engine_session
from segctl.session.load import load_state
from segctl.session.loaded_state import new_key, record_latest, recorded_members
from segctl.session.locked_state import exclusive_lock
from segctl.session.recovery import recover_state
from segctl.state import codec as state_codec
from segctl.state.model import State


@dataclass(frozen=True, kw_only=True)
class _CurrentState:
    """The head that a push replaces, as far as it is known, and its version.

    ``state`` is ``None`` if the head is damaged, lost, or not the one an interrupted apply
    started from. ``serial`` is the highest serial that it can have had.
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
    dry_run: bool = False,
    lock_timeout: float = 0.0,
    observe: Observer = ignore_event,
) -> State:
    """Replace the head, with a serial above both. Return the new state.

    A dry run checks the same, takes no lock and writes nothing.

    A damaged current head is kept next to the history. Refuses another lineage or an older
    head unless ``force``, and always a head whose files are missing or that an interrupted
    apply did not start from. A head that was edited by hand gets a new
    checksum. Raises ``OperationError``, ``StateDamaged``, ``StateLocked``.
    """
    pushed = _decode_pushed(data)
    known = context.open_state().known_lineage()
    if known and pushed.lineage != known and not force:
        raise _other_lineage(f"segctl.lock.yaml names {known}, and it has {pushed.lineage}")
    if dry_run:
        with engine_session(context.limits) as session:
            backend = context.open_state().backend
            current = _peek_current(context, backend, session)
            return _checked_head(pushed, current, backend, force=force)
    with exclusive_lock(context, timeout=lock_timeout, observe=observe, any_state=True) as (
        backend,
        session,
    ):
        current = _read_current(context, backend, session, observe)
        state = _checked_head(pushed, current, backend, force=force)
        backend.replace_head(
            state_codec.encode(state), expected=current.version, damaged=current.state is None
        )
        record_latest(backend, state)
        return state


def read_earlier_head(context: Context, name: str) -> bytes | None:
    """Return the bytes of the earlier head that `segctl state history` lists with this name.

    ``None`` if there is none. Raises ``OperationError`` for one that cannot be read.
    """
    backend = context.open_state().backend
    if name not in backend.list_history():
        return None
    head = backend.read_earlier_head(name)
    if head.data is None:
        raise OperationError(f"the earlier head {name} cannot be read: {head.problem}")
    # Listing the history accepts heads from before the encryption; restoring one does not.
    return context.open_state().sealer.unseal(head.stored, "head", name=f"the earlier head {name}")


def is_edited_head(data: bytes) -> bool:
    """Whether a head that was pushed does not match its checksum."""
    return state_codec.is_edited(data)


def _decode_pushed(data: bytes) -> State:
    try:
        return state_codec.decode(data, edited=True)
    except StateDamaged as error:
        raise OperationError(
            f"the pushed {error.message.removeprefix('the ')}",
            hint="Nothing was changed. Push another copy: `segctl state history` lists the earlier "
            "heads.",
        ) from error


def _read_current(
    context: Context, backend: Backend, session: EngineSession, observe: Observer
) -> _CurrentState:
    try:
        loaded = recover_state(backend, session.open_engine, now=context.clock.now())
    except StateDamaged:
        return _describe_unreadable(backend)
    if loaded.recovered:
        observe(loaded.recovered)
    state = loaded.state
    return _CurrentState(
        state=state, lineage=state.lineage or None, serial=state.serial, version=loaded.version
    )


def _peek_current(context: Context, backend: Backend, session: EngineSession) -> _CurrentState:
    """Return the current head as ``_read_current`` does, without writing anything."""
    try:
        loaded = load_state(backend, session.open_engine, now=context.clock.now())
    except StateDamaged:
        return _describe_unreadable(backend)
    state = loaded.state
    return _CurrentState(
        state=state, lineage=state.lineage or None, serial=state.serial, version=loaded.version
    )


def _checked_head(pushed: State, current: _CurrentState, backend: Backend, *, force: bool) -> State:
    """Return the head to write. Raises unless it may replace the current one."""
    if not force:
        _check_follows(pushed, current)
    for _, record in pushed.records():
        recorded_members(record, backend.file_path)
    if missing := pushed.file_names() - backend.file_sizes().keys():
        raise StateDamaged(
            f"{len(missing):,} member files of the pushed state are missing, such as "
            f"{min(missing)}",
            hint="Restore them first. This machine's cache may have copies.",
        )
    return _next_head(pushed, current, backend.journals.open())


def _describe_unreadable(backend: Backend) -> _CurrentState:
    """Find lineage and serial of a damaged or lost head, from its bytes and the history."""
    stored = backend.read_raw_head()
    lineage, serial = state_codec.lineage_and_serial(stored.data) if stored else (None, None)
    latest = backend.latest()
    earlier = [backend.read_earlier_head(name) for name in backend.list_history()]
    if lineage is None:
        lineages = (
            state_codec.lineage_and_serial(head.data)[0] for head in reversed(earlier) if head.data
        )
        lineage = next((each for each in lineages if each), None)
    return _CurrentState(
        state=None,
        lineage=lineage,
        serial=max(
            serial or 0,
            latest.serial if latest else 0,
            backend.journals.last_archived_serial(),
            *(head.serial + 1 for head in earlier),
            0,
        ),
        version=stored.version if stored else None,
    )


def _check_follows(pushed: State, current: _CurrentState) -> None:
    """Refuse a head of another lineage, and an older one."""
    is_empty = current.state is not None and not any(current.state.records())
    if current.lineage and pushed.lineage != current.lineage and not is_empty:
        raise _other_lineage(
            "it is from another workspace, or from before this state was started over"
        )
    if pushed.serial < current.serial:
        which = "present" if current.version else "lost"
        raise OperationError(
            f"the pushed state is at serial {pushed.serial}, the {which} one at {current.serial}",
            hint="What was sent in between would be forgotten: users who joined since would be "
            "added again, and users who left the lists since would not be removed. Use --force to "
            "go back all the same.",
        )


def _other_lineage(why: str) -> OperationError:
    return OperationError(
        f"the pushed state has another lineage: {why}",
        hint="If this state was started over: put segctl.state.d back too, and use --force. "
        "Otherwise push it in the workspace that it came from.",
    )


def _next_head(pushed: State, current: _CurrentState, unfinished: Journal | None) -> State:
    """Return the head to write; raises ``OperationError`` if that drops an unfinished journal."""
    if current.state is None and unfinished is not None and unfinished.id != pushed.folded:
        begun = unfinished.header["lineage"], unfinished.header["serial"]
        if begun != (pushed.lineage, pushed.serial):
            raise OperationError(
                f"an interrupted apply started from serial {begun[1]} of the state, which is not "
                "the pushed one",
                hint=f"Push the head of serial {begun[1]}; the next run then recovers the apply.",
            )
        return pushed  # unchanged: the next run folds in what that apply sent
    return replace(
        pushed,
        serial=max(pushed.serial, current.serial) + 1,
        folded=current.state.folded if current.state else pushed.folded,
        unfinished=None,
        # An earlier head may be from before the key, and hashes of members stay the same.
        member_key=pushed.member_key
        or (current.state.member_key if current.state else "")
        or new_key(),
    )
