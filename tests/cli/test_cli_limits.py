"""``--memory-limit`` and ``--temp-dir``: what they accept, and that they are heeded."""

from pathlib import Path

import pytest

from segctl.engine.database import Database
from tests.cli.conftest import Segctl

COMMANDS = ["plan", "apply", "destroy", "import gold", "rejects list", "state fsck"]


def left_behind(parent: Path) -> Path:
    """Make what a killed run leaves: whoever works in ``parent`` next removes it."""
    left = parent / "segctl-left"
    left.mkdir(parents=True)
    (left / "owner").touch()
    return left


@pytest.mark.parametrize("command", COMMANDS)
def test_a_memory_limit_that_is_no_size_is_wrong_usage(segctl: Segctl, command: str) -> None:
    done = segctl(*command.split(), "--memory-limit", "lots")
    assert done.code == 64
    assert (
        "Invalid value for '--memory-limit': 'lots' is not a size. Examples: 512MB, 2GB, 1.5GiB."
        in done.err
    )


def test_a_memory_limit_in_the_environment_is_checked_as_well(
    segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGCTL_MEMORY_LIMIT", "1MB")
    done = segctl("plan")
    assert done.code == 64
    assert "Error: SEGCTL_MEMORY_LIMIT: '1MB' is too small. The minimum is 128MiB.\n" in done.err


@pytest.mark.parametrize("by_option", [True, False])
def test_a_temporary_folder_that_is_not_there_is_wrong_usage(
    segctl: Segctl, workspace: Path, monkeypatch: pytest.MonkeyPatch, by_option: bool
) -> None:
    gone = str(workspace / "gone")
    name = "--temp-dir" if by_option else "SEGCTL_TEMP_DIR"
    if not by_option:
        monkeypatch.setenv(name, gone)
    done = segctl("plan", *(["--temp-dir", gone] if by_option else []))
    assert done.code == 64
    assert f"Error: {name}: there is no folder {gone}\n  Create it, or name" in done.err


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("command", ["plan", "apply --auto-approve"])
def test_scratch_files_go_where_the_option_says(
    segctl: Segctl, workspace: Path, command: str
) -> None:
    left = left_behind(workspace / "roomy")
    assert segctl(*command.split(), "--temp-dir", "roomy").code == 0
    assert not left.exists()
    assert list((workspace / "roomy").iterdir()) == []


def test_the_option_comes_before_the_environment(
    segctl: Segctl, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, other = left_behind(workspace / "roomy"), left_behind(workspace / "other")
    monkeypatch.setenv("SEGCTL_TEMP_DIR", str(workspace / "other"))
    assert segctl("plan", "--temp-dir", "roomy").code == 0
    assert not left.exists()
    assert other.exists()


def test_the_engine_is_given_the_limit(segctl: Segctl, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int | None] = []
    made = Database.__init__

    def spy(self: Database, spill: Path, *, memory: int | None, **rest: object) -> None:
        given.append(memory)
        made(self, spill, memory=memory, **rest)  # type: ignore[arg-type] # as it was given

    monkeypatch.setattr(Database, "__init__", spy)
    monkeypatch.setenv("SEGCTL_MEMORY_LIMIT", "256MiB")
    assert segctl("plan").code == 0
    assert segctl("plan", "--memory-limit", "2GB").code == 0
    assert given == [256 << 20, 2_000_000_000]
