import errno
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from segctl.backends.local import LocalBackend
from segctl.core.clock import SystemClock
from segctl.core.disk import Disk
from segctl.core.errors import OperationError
from segctl.state.model import FileRef
from tests.core.faulty_disk import LOSSES, FaultyDisk, Loss, PowerCut, crash_steps


class Place:
    """A workspace folder, and disks on which a run of segctl crashes."""

    def __init__(self, root: Path) -> None:
        self.root = root / "workspace"
        self.root.mkdir(parents=True)
        self._spare = root / "spare"
        self._spare.mkdir()

    def faulty(self, at: int, *, loss: Loss = "nothing", error: int | None = None) -> FaultyDisk:
        return FaultyDisk(self._spare, at=at, loss=loss, error=error)

    def backend(self, disk: Disk | None = None) -> LocalBackend:
        return LocalBackend(self.root, clock=SystemClock(), disk=disk)


def head_with(serial: int, ref: FileRef) -> bytes:
    return json.dumps({"serial": serial, "name": ref.name, "bytes": ref.bytes}).encode()


def write_state(place: Place, serial: int, disk: FaultyDisk | None = None) -> bytes:
    """Write a member file, and a head that refers to it."""
    backend = place.backend(disk)
    content = f"members of {serial}".encode()
    with backend.lock(command="segctl apply", timeout=0):
        scratch = backend.scratch_folder() / "members"
        if disk:
            disk.write_unsynced(scratch, content)
        else:
            scratch.write_bytes(content)
        head = head_with(serial, backend.add_file(scratch, rows=serial))
        current = backend.read_head()
        backend.replace_head(head, expected=current.version if current else None)
    return head


def check_head(place: Place) -> bytes | None:
    """Check that the file of the head exists and is complete; return the head."""
    backend = place.backend()
    if (head := backend.read_head()) is None:
        return None
    named = json.loads(head.data)
    ref = FileRef(name=named["name"], rows=0, bytes=named["bytes"])
    assert backend.file_path(ref).read_bytes() == f"members of {named['serial']}".encode()
    return head.data


def read_serial(place: Place) -> int:
    return int(json.loads(check_head(place) or b"")["serial"])


def crashes(root: Path, *, loss: Loss) -> Iterator[tuple[Place, bytes | None]]:
    """Crash at every step of writing a second state; yield the place and the first head."""
    for at in crash_steps():
        place = Place(root / str(at))
        before = write_state(place, 1)
        try:
            write_state(place, 2, place.faulty(at, loss=loss))
        except PowerCut:
            yield place, before
        else:
            assert at > 20
            return


@pytest.mark.parametrize("loss", LOSSES)
def test_after_a_crash_at_any_step_the_old_or_the_new_head_is_complete(
    tmp_path: Path, loss: Loss
) -> None:
    seen = set()
    for place, before in crashes(tmp_path, loss=loss):
        after = check_head(place)
        assert after is not None
        seen.add(after == before)
    assert seen == {True, False}


@pytest.mark.parametrize("loss", LOSSES)
def test_after_a_crash_of_the_first_run_there_is_no_head_or_a_complete_one(
    tmp_path: Path, loss: Loss
) -> None:
    for at in crash_steps():
        place = Place(tmp_path / str(at))
        try:
            head = write_state(place, 1, place.faulty(at, loss=loss))
        except PowerCut:
            check_head(place)
            assert write_state(place, 1) == check_head(place)
        else:
            assert head == check_head(place)
            return


@pytest.mark.parametrize("loss", LOSSES)
def test_the_run_after_a_crash_writes_its_state_and_removes_leftovers(
    tmp_path: Path, loss: Loss
) -> None:
    for place, _ in crashes(tmp_path, loss=loss):
        write_state(place, 3)
        assert read_serial(place) == 3
        folder = place.root / "segctl.state.d"
        assert list((folder / "scratch").iterdir()) == []
        assert sorted(path.name for path in place.root.iterdir()) == [
            "segctl.state.d",
            "segctl.state.json",
        ]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_head_is_durable_when_replace_head_returns(tmp_path: Path, loss: Loss) -> None:
    for at in crash_steps():
        place = Place(tmp_path / str(at))
        disk = place.faulty(at, loss=loss)
        written = []
        with suppress(PowerCut):
            written.append(write_state(place, 1, disk))
            written.append(write_state(place, 2, disk))
        if written:
            assert read_serial(place) >= len(written)
        if len(written) == 2:
            return


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS])
def test_an_error_of_the_disk_at_any_step_is_an_error_with_a_hint(
    tmp_path: Path, code: int
) -> None:
    errors = []
    for at in crash_steps():
        place = Place(tmp_path / str(at))
        write_state(place, 1)
        disk = place.faulty(at, error=code)
        try:
            write_state(place, 2, disk)
        except OperationError as error:
            errors.append(error)
        assert read_serial(place) in {1, 2}
        write_state(place, 3)
        assert read_serial(place) == 3
        if disk.steps < at:
            break
    assert len(errors) > 20
    assert all(error.message.startswith("cannot ") and error.hint for error in errors)


def test_after_a_crash_at_any_step_the_earlier_head_is_in_the_history(tmp_path: Path) -> None:
    for place, before in crashes(tmp_path, loss="both"):
        write_state(place, 3)
        history = place.root / "segctl.state.d" / "history"
        assert before in [path.read_bytes() for path in history.iterdir()]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_crash_while_garbage_is_removed_leaves_every_kept_head_with_its_files(
    tmp_path: Path, loss: Loss
) -> None:
    for at in crash_steps():
        place = Place(tmp_path / str(at))
        for number in (1, 2, 3):
            write_state(place, number)
        disk = place.faulty(at, loss=loss)
        try:
            remove_garbage(place, disk)
        except PowerCut:
            check_kept_heads(place)
            remove_garbage(place)
        assert read_serial(place) == 3
        assert (len(place.backend().list_history()), len(place.backend().file_sizes())) == (1, 2)
        if disk.steps < at:
            return


def remove_garbage(place: Place, disk: FaultyDisk | None = None) -> None:
    """Remove all but the current head and the one before it."""
    backend = place.backend(disk)
    with backend.lock(command="segctl state gc", timeout=0):
        named = {
            json.loads(backend.read_earlier_head(name).data or b"")["name"]: name
            for name in backend.list_history()
        }
        present = json.loads(((head := backend.read_head()) and head.data) or b"")["name"]
        [*old, last] = backend.list_history()
        needed = {present, *(file for file, name in named.items() if name == last)}
        backend.remove_garbage(heads=old, files=sorted(set(backend.file_sizes()) - needed))


def check_kept_heads(place: Place) -> None:
    """Check that the head and each earlier head have their files."""
    backend = place.backend()
    for name in backend.list_history():
        named = json.loads(backend.read_earlier_head(name).data or b"")
        backend.file_path(FileRef(name=named["name"], rows=0, bytes=named["bytes"]))
    check_head(place)
