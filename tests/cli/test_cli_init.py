"""``segctl init``: what it says to do next can be done as it stands there."""

import os
from pathlib import Path

import pytest

from segctl.cli.main import execute
from segctl.workspace import scaffold


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
    assert all(f"  {line}{os.linesep}" in told for line in scaffold()[".gitignore"].splitlines())
    assert (folder / ".gitignore").read_text(encoding="utf-8") == ".venv\n"
