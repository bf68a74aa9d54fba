"""Move a state whole to another place: the head, the member files, the history, archived applies.

The place that the state comes from keeps everything and records where the state is now, so that
nobody goes on with it.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from segctl.backends.base import Backend
from segctl.core.errors import OperationError, StateDamaged, WrongUsage
from segctl.core.events import Observer, ignore_event
from segctl.manifests.object_urls import parse_object_url
from segctl.manifests.state_place import StatePlace, folder_problem
from segctl.manifests.workspace import read_state_place, state_folder
from segctl.session.context import Context
from segctl.session.loaded_state import record_latest
from segctl.session.locked_state import locked_state
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
    with locked_state(context, timeout=lock_timeout, observe=observe) as locked:
        head = locked.backend.read_head()
        if head is None:
            raise OperationError(
                "there is no state to move yet",
                hint="Write spec.state to segctl.yaml; the first `segctl apply` creates the state.",
            )
        state = locked.loaded.state
        with target.backend.lock(command=context.command, timeout=lock_timeout):
            _check_destination(source, target, state, head.data)
            result = _copy(locked.backend, target, place, state)
            _verify_files(locked.backend, target.backend)
            _replace_head(target.backend, head.data, state)
            # From here on the destination is the state.
            locked.backend.record_move(target.name.address)
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
    url = parse_object_url(text)
    problem = folder_problem(url)
    if url is None or problem:
        raise WrongUsage(
            problem or "the destination is neither local nor the URL of a folder in a bucket",
            hint="Write s3://BUCKET/FOLDER, gs://, az://, local, or local:FOLDER.",
        )
    return StatePlace(url=url)


def _check_destination(source: "OpenState", target: "OpenState", state: State, head: bytes) -> None:
    """Raise ``OperationError`` if there is a state at the destination that is not a copy."""
    backend = target.backend
    moved_to = backend.moved_to()
    if moved_to:
        if moved_to != source.name.address:
            raise OperationError(
                f"the state that was in {target.name.place} was moved to {moved_to}",
                hint="Choose another destination.",
            )
        backend.record_move("")  # it comes back
    there = backend.read_raw_head()
    if there is None or there.data == head:
        return
    lineage, serial = state_codec.lineage_and_serial(there.data)
    if not moved_to or lineage != state.lineage or (serial or 0) > state.serial:
        raise OperationError(
            f"there is another state in {target.name.place}, lineage {lineage}",
            hint="Choose an empty folder.",
        )


def _copy(source: Backend, target: "OpenState", place: StatePlace, state: State) -> MigrateResult:
    """Copy everything but the head. What is there already is not copied again."""
    sizes, there = source.file_sizes(), target.backend.file_sizes()
    for name, size in sizes.items():
        if there.get(name) != size:
            path = source.stored_path(FileRef(name=name, rows=0, bytes=size))
            target.backend.copy_file(path, name)
    heads, known = source.list_history(), set(target.backend.list_history())
    for name in heads:
        if name not in known:
            earlier = source.read_earlier_head(name)
            if earlier.data is None:
                raise StateDamaged(
                    f"the earlier state {name} cannot be read: {earlier.problem}",
                    hint="Move the file out of the history, or wait until it is removed.",
                )
            target.backend.copy_earlier_head(earlier)
    applies = list(source.journals.archived())
    for apply in reversed(applies):
        target.backend.journals.copy_archived(apply)
    return MigrateResult(
        place=target.name.place,
        settings=place.settings,
        segments=len(state.segments),
        files=len(sizes),
        heads=len(heads),
        applies=len(applies),
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


def _verify_files(source: Backend, target: Backend) -> None:
    """Raise ``StateDamaged`` unless the destination has every file, listed again."""
    target.refresh()
    is_whole = (
        source.file_sizes().items() <= target.file_sizes().items()
        and set(source.list_history()) <= set(target.list_history())
        and {apply.header["id"] for apply in source.journals.archived()}
        <= {apply.header["id"] for apply in target.journals.archived()}
    )
    if not is_whole:
        raise _incomplete()


def _incomplete() -> StateDamaged:
    return StateDamaged(
        "the copy is not complete; the state stays where it is", hint="Run the same command again."
    )
