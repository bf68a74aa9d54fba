"""``segctl init``: what it says to do next can be done as it stands there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from segctl import __version__
from segctl.cli.main import execute
from segctl.manifests.workspace import initial_files
from tests.program import ENTRY


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "following"),
    [
        ([], "segctl plan"),
        (["new"], "segctl plan -C new"),
        (["my segments"], "segctl plan -C 'my segments'"),
        (["-C", "sub", "new"], "segctl plan -C sub/new"),
        (["-C", "sub"], "segctl plan -C sub"),
    ],
)
def test_the_next_command_names_the_folder_that_was_written(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], following: str
) -> None:
    (folder / "sub").mkdir()
    assert execute(["init", *arguments]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"Next: {following}"


def test_a_gitignore_that_is_kept_is_told_what_it_lacks(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / ".gitignore").write_text(".venv\n", encoding="utf-8")
    assert execute(["init"]) == 0
    told = capsys.readouterr().out
    assert all(
        f"  {line}{os.linesep}" in told for line in initial_files()[".gitignore"].splitlines()
    )
    assert (folder / ".gitignore").read_text(encoding="utf-8") == ".venv\n"


def test_a_workspace_is_not_begun_inside_of_another(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["init", "outer"]) == 0
    capsys.readouterr()
    assert execute(["init", "outer/a/b"]) == 1
    assert capsys.readouterr().err == (
        f"Error: {folder}/outer/a/b is inside the workspace {folder}/outer, which would read its "
        "manifests\n"
        "  Nothing was written. Choose a folder outside that workspace.\n"
    )
    assert not (folder / "outer/a").exists()
    assert execute(["init", "outer/.hidden/b"]) == 0


def test_what_is_written_can_be_read_by_its_writer_whatever_the_umask(folder: Path) -> None:
    command = 'umask 0777; "$@" init new && "$@" plan -C new'
    done = subprocess.run(
        ["bash", "-c", command, "-", *ENTRY], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    modes = {path.stat().st_mode & 0o700 for path in (folder / "new").rglob("*")}
    assert modes <= {0o600, 0o700}


def test_python_itself_can_run_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "segctl", "version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[0] == f"segctl {__version__}"
