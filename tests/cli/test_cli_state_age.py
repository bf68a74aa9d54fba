"""A state that is not the latest, was edited, overwritten or copied is refused, and named."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Segctl

HEAD, FOLDER = "segctl.state.json", "segctl.state.d"


@pytest.fixture
def applied(workspace: Path, segctl: Segctl, emulator: object) -> Path:
    """A workspace after an apply; ``old.json`` is a copy of its head."""
    assert emulator
    assert segctl("apply", "--auto-approve").code == 0
    shutil.copy(workspace / HEAD, workspace / "old.json")
    return workspace


def test_a_head_that_is_older_than_its_history_is_refused(applied: Path, segctl: Segctl) -> None:
    assert segctl("state", "rm", "segment.gold").code == 0
    shutil.copy(applied / "old.json", applied / HEAD)
    for command in (["plan"], ["apply", "--auto-approve"], ["state", "list"]):
        done = segctl(*command)
        assert done.code == 1
        assert "the state is older than its own history: it is at serial 1" in done.err
    assert "the state is older than its own history" in segctl("state", "fsck").out


@pytest.mark.usefixtures("applied")
def test_an_older_head_can_be_pushed_on_purpose(segctl: Segctl) -> None:
    assert segctl("state", "rm", "segment.gold").code == 0
    assert segctl("state", "push", "old.json").code == 1
    assert segctl("state", "push", "--force", "old.json").code == 0
    assert segctl("state", "list").code == 0


def test_an_edit_is_refused_until_it_is_pushed(applied: Path, segctl: Segctl) -> None:
    text = (applied / HEAD).read_text(encoding="utf-8")
    edited = text.replace('"remote_name": "', '"remote_name": "X', 1)
    (applied / HEAD).write_text(edited, encoding="utf-8")
    (applied / "edited.json").write_text(edited, encoding="utf-8")
    assert "the state does not match its checksum" in segctl("plan").err
    assert "the state does not match its checksum" in segctl("state", "fsck").out
    done = segctl("state", "push", "edited.json")
    assert (done.code, "edited by hand" in done.out) == (0, True)
    assert segctl("state", "list").code == 0


def overwrite_folder(root: Path) -> None:
    shutil.rmtree(root / FOLDER)
    (root / FOLDER).write_text("x")
    (root / HEAD).unlink()


def overwrite_both(root: Path) -> None:
    overwrite_folder(root)
    (root / HEAD).write_text("{}")


@pytest.mark.parametrize("overwrite", [overwrite_folder, overwrite_both])
def test_a_state_that_a_checkout_overwrote_is_refused(
    overwrite: Callable[[Path], None], applied: Path, segctl: Segctl
) -> None:
    overwrite(applied)
    assert segctl("plan").code == 1
    assert segctl("apply", "--auto-approve").code == 1


def test_the_folder_of_the_state_ignores_itself_in_git(applied: Path) -> None:
    assert (applied / FOLDER / ".gitignore").read_text() == "*\n"


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True)


def test_a_state_that_git_tracks_is_refused(applied: Path, segctl: Segctl) -> None:
    git(applied, "init", "-q")
    assert segctl("plan").code == 0
    git(applied, "add", "-f", HEAD)
    done = segctl("plan")
    assert done.code == 1
    assert f"git tracks {HEAD}, so a branch that changes it replaces the state" in done.err
    git(applied, "rm", "-q", "--cached", HEAD)
    assert segctl("plan").code == 0


def move_state(root: Path, path: str) -> None:
    project = root / "segctl.yaml"
    project.write_text(
        project.read_text(encoding="utf-8") + f"spec: {{state: {{path: {path}}}}}\n",
        encoding="utf-8",
    )


def test_the_state_can_be_outside_of_the_workspace(
    applied: Path, segctl: Segctl, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("state")
    move_state(applied, str(outside))
    done = segctl("plan")
    assert (done.code, "has no state" in done.err) == (1, True)
    for name in (HEAD, FOLDER):
        shutil.move(applied / name, outside / name)
    assert "No changes." in segctl("plan").out
    assert "segment.gold" in segctl("state", "list").out
    assert segctl("apply", "--auto-approve").code == 0
    assert not (applied / FOLDER).exists()


def test_a_state_is_looked_for_where_the_project_says(applied: Path, segctl: Segctl) -> None:
    project = applied / "segctl.yaml"
    project.write_text("spec: {state: [", encoding="utf-8")
    done = segctl("state", "list")
    assert (done.code, "segctl.yaml" in done.err) == (1, True)


def test_a_path_with_a_variable_is_an_error(workspace: Path, segctl: Segctl) -> None:
    project = workspace / "segctl.yaml"
    spec = "spec:\n  variables: {env: {default: prod}}\n  state: {path: '../${var.env}'}\n"
    project.write_text(project.read_text() + spec)
    for command in (["plan"], ["state", "list"]):
        done = segctl(*command)
        assert done.code == 1
        assert "segctl.yaml:6:17: error: the path of a state cannot have a variable" in done.err
    assert not [path for path in workspace.parent.iterdir() if "$" in path.name]


def test_a_folder_of_applies_that_cannot_be_listed_is_named(
    applied: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Path.iterdir

    def refuse(path: Path) -> Iterator[Path]:
        if path.name == "applies":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    done = segctl("plan")
    assert done.code == 1
    assert "cannot list segctl.state.d/history/applies: permission denied" in done.err.lower()
    assert applied.exists()


def test_the_advice_for_a_tracked_state_works(applied: Path, segctl: Segctl) -> None:
    git = ["git", "-C", str(applied)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-f", HEAD], check=True)
    done = segctl("plan")
    assert done.code == 1
    advice = done.err.split("`")[1]
    assert advice.startswith(f"git -C {applied} rm -r --cached")
    subprocess.run(advice.split(), check=True, stdout=subprocess.DEVNULL)
    assert segctl("plan").code == 0


@pytest.mark.parametrize(
    "text",
    [
        'spec:\n  "st\\u0061te": {path: kept}\n',
        "spec: {state: {path: kept}}\n",
    ],
)
def test_the_path_is_that_of_the_project_however_it_is_written(
    text: str, workspace: Path, segctl: Segctl, emulator: object
) -> None:
    assert emulator
    project = workspace / "segctl.yaml"
    other = "kind: ConfigMap\nspec: {state: {path: elsewhere}}\n---\n"
    project.write_text(f"{other}{project.read_text()}{text}")
    assert segctl("apply", "--auto-approve").code == 0
    assert sorted(path.name for path in (workspace / "kept").iterdir()) == [FOLDER, HEAD]
    assert not (workspace / "elsewhere").exists()


@pytest.mark.parametrize("path", ["~nobody-at-all/x", "x" * 300])
def test_a_path_that_cannot_be_is_an_error(path: str, workspace: Path, segctl: Segctl) -> None:
    project = workspace / "segctl.yaml"
    project.write_text(f"{project.read_text()}spec: {{state: {{path: '{path}'}}}}\n")
    done = segctl("plan")
    assert done.code == 1
    assert "segctl.yaml:4:22: error: spec.state.path cannot be used" in done.err


def test_a_project_that_is_a_pipe_is_an_error(workspace: Path, segctl: Segctl) -> None:
    (workspace / "segctl.yaml").unlink()
    os.mkfifo(workspace / "segctl.yaml")
    done = segctl("state", "list")
    assert done.code == 1
    assert "segctl.yaml: error: this has the name of a manifest but is a special file" in done.err
