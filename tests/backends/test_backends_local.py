import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from segctl.backends.local import LocalBackend
from segctl.core.clock import SystemClock
from segctl.core.disk import Disk
from segctl.core.errors import OperationError, StateDamaged, StateLocked
from segctl.state.model import FileRef
from tests.backends.conftest import FakeClock

HEAD = "segctl.state.json"
FOLDER = "segctl.state.d"


@pytest.fixture
def local(root: Path, clock: FakeClock) -> LocalBackend:
    return LocalBackend(root, clock=clock, sleep=clock.pass_)


def write(local: LocalBackend, data: bytes) -> None:
    with local.lock(command="segctl apply"):
        scratch = local.scratch_folder() / "new"
        scratch.write_bytes(data)
        local.add_file(scratch, rows=1)
        current = local.read_head()
        local.replace_head(data, expected=current.version if current else None)


def tree(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_reading_writes_nothing(local: LocalBackend, root: Path) -> None:
    local.read_head()
    local.lock_holder()
    list(local.file_sizes())
    local.journals.open()
    assert tree(root) == []


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
def test_only_the_owner_can_read_the_files_with_any_umask(
    local: LocalBackend, root: Path, mask: int
) -> None:
    with umask(mask):
        write(local, b'{"serial": 1}')
        write(local, b'{"serial": 2}')
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [root / HEAD, root / FOLDER]} | {
        path: stat.S_IMODE(path.stat().st_mode) for path in (root / FOLDER).rglob("*")
    }
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_earlier_heads_are_named_by_serial(local: LocalBackend, root: Path) -> None:
    for serial in (1, 2, 3):
        write(local, b'{"serial": %d}' % serial)
    history = sorted((root / FOLDER / "history").iterdir())
    assert [path.read_bytes() for path in history] == [b'{"serial": 1}', b'{"serial": 2}']
    assert [path.name[:9] for path in history] == ["00000001-", "00000002-"]


def test_an_unreadable_head_is_kept_as_damaged_when_it_is_replaced(
    local: LocalBackend, root: Path
) -> None:
    (root / HEAD).write_bytes(b"cut o")
    write(local, b'{"serial": 3}')
    (kept,) = (root / FOLDER / "history").iterdir()
    assert (kept.name, kept.read_bytes()) == ("damaged-d687d6b6.json", b"cut o")
    assert local.list_history() == []


def test_a_missing_head_with_earlier_heads_is_an_error(local: LocalBackend, root: Path) -> None:
    write(local, b'{"serial": 1}')
    write(local, b'{"serial": 2}')
    (root / HEAD).unlink()
    with pytest.raises(StateDamaged) as caught:
        local.read_head()
    assert caught.value.message.startswith(
        "segctl.state.json is missing, but segctl.state.d/history contains 1 earlier state, "
        "the latest is 00000001-"
    )
    assert "every member is then added again" in caught.value.hint


def test_a_missing_head_with_archived_applies_is_an_error(local: LocalBackend, root: Path) -> None:
    (root / FOLDER / "history" / "applies" / "00000001-1f").mkdir(parents=True)
    with pytest.raises(StateDamaged) as caught:
        local.read_head()
    assert caught.value.message == (
        "segctl.state.json is missing, but segctl.state.d/history contains the journal of an "
        "earlier apply"
    )


def test_a_folder_in_place_of_the_head_is_an_error(local: LocalBackend, root: Path) -> None:
    (root / HEAD).mkdir()
    with pytest.raises(StateDamaged, match=r"^segctl.state.json is a folder, not a file$"):
        local.read_head()


def test_a_symbolic_link_in_place_of_the_head_is_an_error(local: LocalBackend, root: Path) -> None:
    (root / "elsewhere").write_bytes(b'{"serial": 1}')
    (root / HEAD).symlink_to("elsewhere")
    with pytest.raises(OperationError) as caught:
        local.read_head()
    assert caught.value.message == "cannot read segctl.state.json: symbolic link"
    assert caught.value.hint == "Replace the symbolic link with the file itself."


def test_a_pipe_in_place_of_the_head_is_an_error_and_does_not_block(
    local: LocalBackend, root: Path
) -> None:
    os.mkfifo(root / HEAD)
    with pytest.raises(
        OperationError, match=r"^cannot read segctl.state.json: Not a regular file$"
    ):
        local.read_head()


@pytest.mark.parametrize("part", ["", "members", "history", "journal", "scratch"])
def test_a_symbolic_link_in_place_of_a_folder_is_an_error(
    local: LocalBackend, root: Path, part: str
) -> None:
    (root / "elsewhere").mkdir()
    path = root / FOLDER / part
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(root / "elsewhere")
    with (
        pytest.raises(OperationError, match=r"^cannot write to segctl.state.d.*: symbolic link$"),
        local.lock(command="segctl apply"),
    ):
        pass


def test_a_file_in_place_of_the_folder_is_an_error(local: LocalBackend, root: Path) -> None:
    (root / FOLDER).write_bytes(b"")
    with (
        pytest.raises(OperationError) as caught,
        local.lock(command="segctl apply"),
    ):
        pass
    assert caught.value.message == "cannot write to segctl.state.d: Not a directory"
    assert caught.value.hint == (
        "A part of the path is a file. Choose another path, or move the file away."
    )


def test_taking_the_lock_removes_leftovers_and_nothing_else(
    local: LocalBackend, root: Path
) -> None:
    write(local, b'{"serial": 1}')
    before = tree(root)
    (root / ".segctl.state.json.0a1b2c3d.tmp").write_bytes(b"half a he")
    scratch = root / FOLDER / "scratch"
    (scratch / "spill").mkdir()
    (scratch / "spill" / "block").write_bytes(b"")
    (scratch / "link").symlink_to(root / HEAD)
    others = [root / "segctl.yaml", root / ".segctl.state.json", root / FOLDER / "members" / "note"]
    for path in others:
        path.write_bytes(b"kept")
    with local.lock(command="segctl apply"):
        pass
    assert tree(root) == sorted([*before, *(str(path.relative_to(root)) for path in others)])


def test_a_full_disk_is_an_error_before_anything_is_written(local: LocalBackend) -> None:
    with (
        local.lock(command="segctl apply"),
        pytest.raises(
            OperationError, match=r"^the disk with segctl.state.d has .* MB free; this run may "
        ),
    ):
        local.check_writable(needed_bytes=10**18)


class ReadOnly(Disk):
    """A disk with one read-only folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, path: Path) -> int:
        if path.parent == self.folder:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return super().create(path)


@pytest.mark.parametrize("part", ["", "segctl.state.d/members", "segctl.state.d/history"])
def test_a_read_only_folder_is_an_error_before_anything_is_written(
    root: Path, clock: FakeClock, part: str
) -> None:
    local = LocalBackend(root, clock=clock, disk=ReadOnly(root / part))
    with local.lock(command="segctl apply"), pytest.raises(OperationError) as caught:
        local.check_writable(needed_bytes=1)
    shown = f"workspace/{part}".rstrip("/")
    assert caught.value.message == f"cannot write to {shown}: Read-only file system"
    assert caught.value.hint == "The file system is mounted read-only. Mount it with write access."


def test_removing_the_lock_file_breaks_the_lock(local: LocalBackend, root: Path) -> None:
    with local.lock(command="segctl apply"):
        (root / FOLDER / "lock").unlink()
        with pytest.raises(OperationError, match=r"^the lock .* of this run was broken"):
            local.replace_head(b"{}", expected=None)


def test_the_lock_of_an_unknown_holder_can_be_broken(local: LocalBackend, root: Path) -> None:
    with local.lock(command="segctl apply"):
        (root / FOLDER / "lock.json").write_bytes(b"{")
        other = LocalBackend(root, clock=SystemClock())
        with (
            pytest.raises(StateLocked, match=r"by an unknown process; lock ID unknown$"),
            other.lock(command="segctl apply"),
        ):
            pass
        other.force_unlock("unknown")
        with other.lock(command="segctl apply"):
            pass


def test_a_guard_that_stays_locked_is_an_error_after_ten_seconds(
    local: LocalBackend, root: Path, clock: FakeClock
) -> None:
    write(local, b'{"serial": 1}')
    start = clock.time
    with (root / FOLDER / "lock.guard").open("rb") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        with pytest.raises(OperationError) as caught, local.lock(command="segctl apply"):
            pass
    assert caught.value.message == "another process has held lock.guard of the state for 10 seconds"
    assert 10 <= clock.time - start < 11


def test_a_file_system_without_locks_is_an_error(
    local: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(OperationError) as caught, local.lock(command="segctl apply"):
        pass
    assert caught.value.message == "the file system cannot lock files: No locks available"
    assert caught.value.hint == "Move the workspace to a local disk."


def test_a_member_file_that_is_a_link_is_an_error(local: LocalBackend, root: Path) -> None:
    name = f"{'0' * 64}.parquet"
    (root / FOLDER / "members").mkdir(parents=True)
    (root / FOLDER / "members" / name).symlink_to("/dev/null")
    with pytest.raises(StateDamaged, match=r"0.parquet is not a regular file$"):
        local.file_path(FileRef(name=name, rows=0, bytes=0))


HOLDING_PROGRAM = """
import os, sys, time
from pathlib import Path
from segctl.backends.local import LocalBackend
from segctl.core.clock import SystemClock
with LocalBackend(Path(sys.argv[1]), clock=SystemClock()).lock(command="segctl apply"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holding_process(root: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the lock until its standard input ends."""
    command = [sys.executable, "-c", HOLDING_PROGRAM, str(root)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_the_lock_ends_with_its_process(local: LocalBackend, root: Path) -> None:
    with holding_process(root) as process:
        holder = local.lock_holder()
        assert holder is not None
        assert holder.pid == process.pid
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert local.lock_holder() is None
        with local.lock(command="segctl apply"):
            pass


def test_the_lock_of_another_process_is_an_error_until_it_ends(
    local: LocalBackend, root: Path
) -> None:
    with holding_process(root) as process:
        with (
            pytest.raises(StateLocked, match=rf"\(process {process.pid}, `segctl apply`\)"),
            local.lock(command="segctl apply"),
        ):
            pass
        process.communicate("")
        with local.lock(command="segctl apply"):
            pass


def test_a_run_that_does_not_get_the_lock_changes_nothing(local: LocalBackend, root: Path) -> None:
    with holding_process(root) as process:
        before = tree(root)
        with pytest.raises(StateLocked), local.lock(command="segctl apply"):
            pass
        assert tree(root) == before
        process.communicate("")


def test_an_earlier_head_with_changed_content_has_a_problem(
    local: LocalBackend, root: Path
) -> None:
    write(local, b'{"serial": 1}')
    write(local, b'{"serial": 2}')
    [name] = local.list_history()
    (root / FOLDER / "history" / name).write_bytes(b'{"serial": 7}')
    head = local.read_earlier_head(name)
    assert (head.data, head.problem) == (None, "its content does not match its name")


def test_files_with_other_names_are_ignored(local: LocalBackend, root: Path) -> None:
    write(local, b'{"serial": 1}')
    files = local.file_sizes()
    for part in ("members", "history"):
        for name in ("mine.parquet", "notes.json", f"{'0' * 63}.parquet", ".parquet"):
            (root / FOLDER / part / name).write_text("mine")
    assert (local.file_sizes(), local.list_history()) == (files, [])


def test_the_same_content_twice_is_one_file(local: LocalBackend) -> None:
    with local.lock(command="segctl apply"):
        names = set()
        for _ in range(2):
            scratch = local.scratch_folder() / "new"
            scratch.write_bytes(b"members")
            names.add(local.add_file(scratch, rows=1).name)
    assert list(local.file_sizes()) == list(names)
    assert len(names) == 1
