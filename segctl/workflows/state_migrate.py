"""Move a state whole to another place: the head, the member files, the history, archived applies.

The place that the state comes from keeps everything and records where the state is now, so that
nobody goes on with it.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from segctl.backends.base import Backend
from segctl.core.dataclass import dataclass
from segctl.core.errors import OperationError, StateDamaged, WrongUsage
from segctl.core.events import Observer, ignore_event
from segctl.manifests.state_place import StatePlace, folder_problem, is_nested, parse_state_url
from segctl.manifests.workspace import read_state_place, state_folder
from segctl.session.context import Context
from segctl.session.loaded_state import record_latest, write_head
from segctl.session.locked_state import LockedState, locked_state
from segctl.session.open_state import open_state_at
from segctl.state import codec as state_codec
from segctl.state.model import FileRef, State

if TYPE_CHECKING:
    from segctl.session.open_state import OpenState

_LOCAL = "local"


@dataclass(frozen=True, kw_only=True)
class MigrateResult:
    """What was moved: ``place`` is where it is now, ``settings`` is what ``spec.state`` must be.

    ``files`` counts member files, ``heads`` earlier heads, ``applies`` archived applies.
    """

    place: str
    settings: str
    segments: int
    files: int
    heads: int
    applies: int


def migrate_state(
    context: Context,
    destination: str,
    *,
    lock_timeout: float = 0.0,
    observe: Observer = ignore_event,
) -> MigrateResult:
    """Move the state to ``destination``: a URL, ``local``, or ``local:FOLDER``.

    An interrupted apply is recovered first. Raises ``WrongUsage`` for a destination that cannot
    be one, ``OperationError`` if there is no state, or another one at the destination, and
    ``StateDamaged`` if the copy is not the same.
    """
    here = read_state_place(context.root, context.env_name)
    place = replace(
        _parse_destination(destination),
        encryption=replace(here.encryption, is_enforced=False),  # what was there may be older
        lease_seconds=here.lease_seconds,
    )
    source, target = context.open_state(), open_state_at(context, place)
    if _is_same(context, here, place):
        raise WrongUsage(f"the state is in {source.name.place} already")
    if is_nested(source.name.address, target.name.address):
        raise WrongUsage(
            "one of the two folders is in the other", hint="Choose a folder next to it."
        )
    target.backend.accept_moved()
    if source.backend.moved_to() == target.name.address and target.backend.moved_to():
        return _finish(context, source, target, place, lock_timeout=lock_timeout)
    with locked_state(context, timeout=lock_timeout, observe=observe) as locked:
        state = _encrypt(locked)
        head = locked.backend.read_head()
        if head is None:
            raise OperationError(
                "there is no state to move yet",
                hint="Write spec.state to segctl.yaml; the first `segctl apply` creates the state.",
            )
        with target.backend.lock(command=context.command, timeout=lock_timeout):
            _check_destination(target, state, head.data)
            # Nobody goes on from what is there until the move is complete.
            target.backend.record_move(source.name.address)
            _copy(locked.backend, target.backend, state)
            _replace_head(target.backend, head.data, state)
            locked.backend.record_move(target.name.address)
            target.backend.record_move("")
            result = _result(target, place, state)
        target.record()
    return result


def _encrypt(locked: LockedState) -> State:
    """Encrypt the files of the head, if they are not encrypted with the current key."""
    state = locked.loaded.state
    if not state.lineage or state.sealed_with == locked.backend.key_id():
        return state
    return write_head(locked.backend, locked.loaded, state).state


def _finish(
    context: Context,
    source: "OpenState",
    target: "OpenState",
    place: StatePlace,
    *,
    lock_timeout: float,
) -> MigrateResult:
    """Complete a move that was interrupted after its last copy."""
    source.backend.accept_moved()
    with target.backend.lock(command=context.command, timeout=lock_timeout):
        head, there = source.backend.read_head(), target.backend.read_head()
        if head is None or there is None or head.data != there.data:
            raise _incomplete()
        target.backend.record_move("")
        result = _result(target, place, state_codec.decode(there.data))
    target.record()
    return result


def _is_same(context: Context, here: StatePlace, there: StatePlace) -> bool:
    """Whether two places are one. A bucket is known by its name only."""
    if here.url or there.url:
        return here.address == there.address
    return state_folder(context.root, here).resolve() == state_folder(context.root, there).resolve()


def _parse_destination(text: str) -> StatePlace:
    if text == _LOCAL or text.startswith(f"{_LOCAL}:"):
        return StatePlace(path=text.partition(":")[2].strip())
    url = parse_state_url(text)
    problem = folder_problem(url)
    if url is None or problem:
        raise WrongUsage(
            problem or "the destination is neither local nor the URL of a folder in a bucket",
            hint="Write s3://BUCKET/FOLDER, gs://, az://, local, or local:FOLDER.",
        )
    return StatePlace(url=url)


def _check_destination(target: "OpenState", state: State, head: bytes) -> None:
    """Raise ``OperationError`` if there is a state at the destination that is not a copy."""
    backend = target.backend
    is_moved = bool(backend.moved_to())
    there = backend.read_raw_head()
    if there is None:
        has_files = backend.file_sizes() or backend.list_history()
        if backend.journals.identity() is not None or (has_files and not is_moved):
            raise OperationError(
                f"{target.name.place} has files of another state", hint="Choose an empty folder."
            )
        return
    lineage, serial = state_codec.lineage_and_serial(there.data)
    # What was there before it moved away, or an earlier attempt left.
    is_older = lineage == state.lineage and (serial or 0) <= state.serial
    if there.data != head and not (is_moved and is_older):
        raise OperationError(
            f"there is another state in {target.name.place}, lineage {lineage}",
            hint="Choose an empty folder.",
        )


def _copy(source: Backend, target: Backend, state: State) -> None:
    """Copy everything but the head, and check that it is there."""
    needed = {ref.name: ref for _, record in state.records() for ref in record.files()}
    sizes, there = source.file_sizes(), target.file_sizes()
    sizes = {**sizes, **{name: ref.bytes for name, ref in needed.items()}}
    for name, size in sizes.items():
        if there.get(name) != size:
            path = source.stored_path(FileRef(name=name, rows=0, bytes=size))
            target.copy_file(path, name)
    known = set(target.list_history())
    heads = [name for name in source.list_history() if name not in known]
    for name in heads:
        earlier = source.read_earlier_head(name)
        if not earlier.stored:
            raise StateDamaged(
                f"the earlier state {name} cannot be read: {earlier.problem}",
                hint="Move it out of the history, or wait until it is removed.",
            )
        target.copy_earlier_head(earlier)
    for apply in reversed(list(source.journals.archived())):
        target.journals.copy_archived(apply)
    target.refresh()
    is_whole = (
        sizes.items() <= target.file_sizes().items()
        and set(source.list_history()) <= set(target.list_history())
        and {apply.header["id"] for apply in source.journals.archived()}
        <= {apply.header["id"] for apply in target.journals.archived()}
    )
    if not is_whole:
        raise _incomplete()


def _result(target: "OpenState", place: StatePlace, state: State) -> MigrateResult:
    backend = target.backend
    return MigrateResult(
        place=target.name.place,
        settings=place.settings,
        segments=len(state.segments),
        files=len(backend.file_sizes()),
        heads=len(backend.list_history()),
        applies=sum(1 for _ in backend.journals.archived()),
    )


def _replace_head(backend: Backend, data: bytes, state: State) -> None:
    there = backend.read_raw_head()
    if there is None or there.data != data:
        backend.replace_head(data, expected=there.version if there else None)
    record_latest(backend, state)
    backend.refresh()
    there = backend.read_raw_head()
    if there is None or there.data != data:
        raise _incomplete()


def _incomplete() -> StateDamaged:
    return StateDamaged(
        "the copy is not complete; the state stays where it is", hint="Run the same command again."
    )
