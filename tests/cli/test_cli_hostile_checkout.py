"""A branch that commits what looks like a repository is no repository, and runs no program."""

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import GOLD, PROJECT, Segctl, run_git

HEAD, FOLDER = "segctl.state.json", "segctl.state.d"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace in a subfolder of a checkout, whose files look like a repository."""
    checkout = tmp_path / "checkout"
    workspace = checkout / "shop"
    workspace.mkdir(parents=True)
    (workspace / "segctl.yaml").write_text(PROJECT, encoding="utf-8")
    (workspace / "gold.yaml").write_text(GOLD, encoding="utf-8")
    run_git(checkout, "init", "-q")
    run_git(checkout, "add", "-A")
    run_git(checkout, "commit", "-qm", "first")
    run_git(checkout, "update-ref", "refs/remotes/origin/main", "HEAD")
    fake = tmp_path / "fake"
    fake.mkdir()
    run_git(fake, "init", "-q")
    shutil.copy(workspace / "segctl.yaml", fake)
    run_git(fake, "add", "-A")
    run_git(fake, "commit", "-qm", "first")
    run_git(fake, "update-ref", "refs/remotes/origin/main", "HEAD")
    shutil.rmtree(fake / ".git/hooks")
    shutil.copytree(fake / ".git", workspace, dirs_exist_ok=True)
    return workspace


@pytest.fixture
def ran(workspace: Path, tmp_path: Path) -> Path:
    """A file that the fake repository's configuration makes, if git obeys it."""
    ran = tmp_path / "ran"
    config = (
        "[core]\n  repositoryformatversion = 1\n  worktree = .\n"
        f'  fsmonitor = "touch {ran}"\n'
        f'  sshCommand = "touch {ran}; false"\n'
        "[extensions]\n  partialClone = origin\n"
        f'[remote "origin"]\n  url = .\n  promisor = true\n  uploadpack = "touch {ran}; false"\n'
    )
    (workspace / "config").write_text(config, encoding="utf-8")
    (workspace / "refs/remotes/origin/main").write_text("1" * 40 + "\n", encoding="utf-8")
    return ran


@pytest.mark.parametrize(
    "command",
    [
        ["plan"],
        ["state", "list"],
        ["validate", "--trusted-config", "origin/main"],
        ["plan", "--trusted-config", "HEAD"],
    ],
)
def test_a_folder_that_looks_like_a_repository_runs_nothing(
    command: list[str], ran: Path, segctl: Segctl
) -> None:
    done = segctl(*command)
    assert (done.code, ran.exists()) == (0, False)


def test_a_state_that_the_checkout_tracks_is_refused(workspace: Path, segctl: Segctl) -> None:
    (workspace / HEAD).write_text("{}", encoding="utf-8")
    run_git(workspace.parent, "add", "-f", f"shop/{HEAD}")
    done = segctl("plan")
    assert done.code == 1
    assert f"git tracks shop/{HEAD}" in done.err


def test_a_revision_is_that_of_the_checkout(workspace: Path, segctl: Segctl) -> None:
    (workspace / "segctl.yaml").write_text(
        f"{PROJECT}spec: {{allowFolders: [..]}}\n", encoding="utf-8"
    )
    # In the fake repository, origin/main has it too.
    fake = workspace.parent.parent / "fake"
    shutil.copy(workspace / "segctl.yaml", fake)
    run_git(fake, "commit", "-aqm", "second")
    commit = run_git(fake, "rev-parse", "HEAD")
    shutil.copytree(fake / ".git/objects", workspace / "objects", dirs_exist_ok=True)
    (workspace / "refs/remotes/origin/main").write_text(f"{commit}\n", encoding="utf-8")
    done = segctl("plan", "--trusted-config", "origin/main")
    assert done.code == 1
    assert 'allowFolders has "..", which origin/main:segctl.yaml does not have' in done.err


@pytest.mark.parametrize("damage", ["index", "HEAD", "config"])
def test_a_repository_that_git_cannot_read_refuses_a_plan(
    damage: str, workspace: Path, segctl: Segctl
) -> None:
    (workspace.parent / ".git" / damage).write_text("[broken", encoding="utf-8")
    done = segctl("plan")
    assert done.code == 1
    assert "git cannot read the repository" in done.err


def test_a_state_in_a_folder_that_does_not_exist_yet_is_no_problem(
    workspace: Path, segctl: Segctl
) -> None:
    (workspace / "segctl.yaml").write_text(f"{PROJECT}spec: {{state: {{path: a/kept}}}}\n")
    assert segctl("plan").code == 0


def test_a_git_that_is_killed_is_an_error(
    workspace: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = workspace.parent.parent / "bin/git"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nkill -9 $$\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    done = segctl("plan")
    assert done.code == 1
    assert "git cannot read the repository" in done.err


def test_without_git_a_warning_says_what_is_not_checked(
    workspace: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(workspace))
    done = segctl("plan")
    assert done.code == 0
    assert "git is not installed, so the repository in" in done.err
