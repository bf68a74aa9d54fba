"""A scratch folder is removed when its run ends, even by a kill, and not before."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from segctl.core.errors import OperationError
from segctl.core.scratch import remove_abandoned, scratch_folder

WAITING_PROGRAM = """
import sys
from pathlib import Path
from segctl.core.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "spill").mkdir()
    (folder / "spill" / "members").write_text("anna")
    print(folder, flush=True)
    sys.stdin.read()
"""


def start_waiting_program(parent: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WAITING_PROGRAM, str(parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )


def test_a_scratch_folder_is_private_and_is_removed(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        assert folder.name.startswith("segctl-")
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "delta.parquet").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_run_removes_the_scratch_folder_of_a_killed_run_and_not_of_a_running_one(
    tmp_path: Path,
) -> None:
    with start_waiting_program(tmp_path) as killed, start_waiting_program(tmp_path) as living:
        assert killed.stdout is not None
        assert living.stdout is not None
        left, kept = (Path(p.stdout.readline().strip()) for p in (killed, living) if p.stdout)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert (left / "spill" / "members").is_file()
        with scratch_folder(tmp_path) as own:
            assert sorted(tmp_path.iterdir()) == sorted([kept, own])
        living.communicate("")
    assert list(tmp_path.iterdir()) == []


def test_files_and_folders_of_others_are_not_removed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "owner").touch()
    (tmp_path / "segctl-link").symlink_to(elsewhere)
    (tmp_path / "segctl-notes").mkdir()
    (tmp_path / "segctl-notes" / "todo.txt").touch()
    (tmp_path / "segctl-trap").mkdir()
    (tmp_path / "segctl-trap" / "owner").symlink_to(elsewhere / "owner")
    (tmp_path / "segctl-file").touch()
    (tmp_path / "segctl-empty").mkdir()
    (tmp_path / "segctl-of-others").mkdir()
    remove_abandoned(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"elsewhere"} | {
        f"segctl-{name}" for name in ("link", "notes", "trap", "file", "of-others")
    }
    assert (elsewhere / "owner").exists()


def test_a_link_in_an_abandoned_folder_is_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    left = tmp_path / "t" / "segctl-left"
    left.mkdir(parents=True)
    (left / "owner").touch()
    (left / "link").symlink_to(outside)
    remove_abandoned(tmp_path / "t")
    assert not left.exists()
    assert (outside / "kept").exists()


def test_the_folder_of_another_user_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "segctl-left"
    left.mkdir()
    (left / "owner").touch()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    remove_abandoned(tmp_path)
    assert left.exists()


def test_a_missing_parent_folder_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(OperationError) as caught, scratch_folder(tmp_path / "gone"):
        pass
    assert caught.value.message == (
        f"cannot create a folder for scratch files in {tmp_path}/gone: No such file or directory"
    )
