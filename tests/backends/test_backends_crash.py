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
from tests.core.faulty_disk import LOSSES, FaultyDisk, Loss, PowerCut

MANY = 200
"""More steps than a scenario has; a test fails where it needs more."""


class Place:
    """A workspace, on a new disk for each run of segctl."""

    def __init__(self, root: Path) -> None:
        self.root = root / "workspace"
        self.root.mkdir(parents=True)
        self._spare = root / "spare"
        self._spare.mkdir()

    def faulty(self, at: int, *, loss: Loss = "nothing", error: int | None = None) -> FaultyDisk:
        return FaultyDisk(self._spare, at=at, loss=loss, error=error)

    def backend(self, disk: Disk | None = None) -> LocalBackend:
        return LocalBackend(self.root, clock=SystemClock(), disk=disk)


def head_naming(serial: int, ref: FileRef) -> bytes:
    return json.dumps({"serial": serial, "name": ref.name, "bytes": ref.bytes}).encode()


def put(place: Place, serial: int, disk: FaultyDisk | None = None) -> bytes:
    """Write one more state: a member file and the head that names it."""
    backend = place.backend(disk)
    content = f"members of {serial}".encode()
    with backend.lock(command="segctl apply", timeout=0):
        scratch = backend.scratch_folder() / "members"
        if disk:
            disk.written_elsewhere(scratch, content)
        else:
            scratch.write_bytes(content)
        head = head_naming(serial, backend.add_file(scratch, rows=serial))
        current = backend.read_head()
        backend.replace_head(head, expected=current.version if current else None)
    return head


def whole_head(place: Place) -> bytes | None:
    """Give the head, having checked that what it names is there and whole."""
    backend = place.backend()
    if (head := backend.read_head()) is None:
        return None
    named = json.loads(head.data)
    ref = FileRef(name=named["name"], rows=0, bytes=named["bytes"])
    assert backend.file_path(ref).read_bytes() == f"members of {named['serial']}".encode()
    return head.data


def serial(place: Place) -> int:
    return int(json.loads(whole_head(place) or b"")["serial"])


def crashes(root: Path, *, loss: Loss) -> Iterator[tuple[Place, bytes | None]]:
    """Die at every step of writing a second state; give the place and the first head."""
    for at in range(1, MANY):
        place = Place(root / str(at))
        before = put(place, 1)
        try:
            put(place, 2, place.faulty(at, loss=loss))
        except PowerCut:
            yield place, before
        else:
            assert at > 20
            return
    raise AssertionError(f"more than {MANY} steps")


@pytest.mark.parametrize("loss", LOSSES)
def test_a_crash_at_any_step_leaves_the_old_or_the_new_head_whole(
    tmp_path: Path, loss: Loss
) -> None:
    seen = set()
    for place, before in crashes(tmp_path, loss=loss):
        after = whole_head(place)
        assert after is not None
        seen.add(after == before)
    assert seen == {True, False}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_crash_of_the_first_run_leaves_no_head_or_a_whole_one(tmp_path: Path, loss: Loss) -> None:
    for at in range(1, MANY):
        place = Place(tmp_path / str(at))
        try:
            head = put(place, 1, place.faulty(at, loss=loss))
        except PowerCut:
            whole_head(place)
            assert put(place, 1) == whole_head(place)
        else:
            assert head == whole_head(place)
            return


@pytest.mark.parametrize("loss", LOSSES)
def test_after_a_crash_the_next_run_writes_and_clears_away(tmp_path: Path, loss: Loss) -> None:
    for place, _ in crashes(tmp_path, loss=loss):
        put(place, 3)
        assert serial(place) == 3
        folder = place.root / "segctl.state.d"
        assert list((folder / "scratch").iterdir()) == []
        assert sorted(path.name for path in place.root.iterdir()) == [
            "segctl.state.d",
            "segctl.state.json",
        ]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_head_that_was_reported_written_is_never_lost(tmp_path: Path, loss: Loss) -> None:
    for at in range(1, MANY):
        place = Place(tmp_path / str(at))
        disk = place.faulty(at, loss=loss)
        written = []
        with suppress(PowerCut):
            written.append(put(place, 1, disk))
            written.append(put(place, 2, disk))
        if written:
            assert serial(place) >= len(written)
        if len(written) == 2:
            return


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS])
def test_an_error_of_the_disk_at_any_step_stops_in_words(tmp_path: Path, code: int) -> None:
    stops = []
    for at in range(1, MANY):
        place = Place(tmp_path / str(at))
        put(place, 1)
        disk = place.faulty(at, error=code)
        try:
            put(place, 2, disk)
        except OperationError as stop:
            stops.append(stop)
        assert serial(place) in {1, 2}
        put(place, 3)
        assert serial(place) == 3
        if disk.steps < at:
            break
    assert len(stops) > 20
    assert all(stop.message.startswith("cannot ") and stop.hint for stop in stops)


def test_every_earlier_head_is_in_the_history_whatever_crashed(tmp_path: Path) -> None:
    for place, before in crashes(tmp_path, loss="both"):
        put(place, 3)
        history = place.root / "segctl.state.d" / "history"
        assert before in [path.read_bytes() for path in history.iterdir()]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_crash_while_clearing_out_leaves_every_kept_head_with_its_files(
    tmp_path: Path, loss: Loss
) -> None:
    for at in range(1, MANY):
        place = Place(tmp_path / str(at))
        for number in (1, 2, 3):
            put(place, number)
        disk = place.faulty(at, loss=loss)
        try:
            clear(place, disk)
        except PowerCut:
            check_kept_heads(place)
            clear(place)
        assert serial(place) == 3
        assert (len(place.backend().list_history()), len(place.backend().file_sizes())) == (1, 2)
        if disk.steps < at:
            return


def clear(place: Place, disk: FaultyDisk | None = None) -> None:
    """Keep the present head and the one before it."""
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
    """Check that the head and each earlier one have the file that they name."""
    backend = place.backend()
    for name in backend.list_history():
        named = json.loads(backend.read_earlier_head(name).data or b"")
        backend.file_path(FileRef(name=named["name"], rows=0, bytes=named["bytes"]))
    whole_head(place)
