"""With --dry-run, a command that edits the state says what it would record, and writes nothing."""

from pathlib import Path

import pytest

from segctl.emulator.testing import RunningEmulator
from tests.cli.conftest import Done, Segctl


def files_of(workspace: Path) -> dict[str, bytes]:
    files = (path for path in sorted(workspace.rglob("*")) if path.is_file())
    return {str(path): path.read_bytes() for path in files}


@pytest.fixture
def applied(workspace: Path, segctl: Segctl, emulator: RunningEmulator) -> Path:
    assert emulator.url
    assert segctl("apply", "--auto-approve").code == 0
    return workspace


def run_dry(segctl: Segctl, workspace: Path, *arguments: str) -> Done:
    """Run a command with --dry-run, and assert that it wrote nothing, although it is locked."""
    before = files_of(workspace)
    done = segctl(*arguments, "--dry-run")
    assert files_of(workspace) == before
    return done


def test_a_move_that_would_work_exits_0(applied: Path, segctl: Segctl) -> None:
    done = run_dry(segctl, applied, "state", "mv", "segment.gold", "segment.vip")
    assert done == Done(
        code=0, out="segment.gold would be segment.vip. Nothing was written.\n", err=""
    )
    assert segctl("state", "list").out == "segment.council\nsegment.gold\n"


def test_a_move_that_would_be_refused_is_refused(applied: Path, segctl: Segctl) -> None:
    done = run_dry(segctl, applied, "state", "mv", "segment.gold", "segment.council")
    assert done.code == 64
    assert "segment.council is already recorded" in done.err
    assert run_dry(segctl, applied, "state", "mv", "segment.x", "segment.y").code == 64


def test_segments_that_would_be_forgotten_are_listed(applied: Path, segctl: Segctl) -> None:
    done = run_dry(segctl, applied, "state", "rm", "*o*")
    lines = ("Would forget segment.council.", "Would forget segment.gold.", "Nothing was written.")
    assert (done.code, done.out) == (0, "".join(f"{line}\n" for line in lines))
    assert run_dry(segctl, applied, "state", "rm", "nothing").code == 64


def test_an_import_reads_the_members_and_records_nothing(workspace: Path, segctl: Segctl) -> None:
    (workspace / "gold.csv").write_text("identity\na\nb\na\n", encoding="utf-8")
    done = run_dry(segctl, workspace, "import", "gold", "--members", "gold.csv")
    assert done.code == 0
    assert done.out.startswith("Would adopt segment.gold as SEG-GOLD with 2 members (1 duplicate")
    assert done.out.endswith("; nothing was written.\n")
    assert segctl("state", "list").out == ""


def test_an_import_that_would_be_refused_is_refused(applied: Path, segctl: Segctl) -> None:
    done = run_dry(segctl, applied, "import", "gold")
    assert done.code == 1
    assert "segment.gold is already recorded" in done.err


def test_a_push_names_the_serial_that_it_would_have(applied: Path, segctl: Segctl) -> None:
    done = run_dry(segctl, applied, "state", "push", "segctl.state.json")
    assert (done.code, done.out) == (0, "The state would be at serial 2. Nothing was written.\n")


def test_a_push_that_would_be_refused_is_refused(applied: Path, segctl: Segctl) -> None:
    old = (applied / "segctl.state.json").read_bytes()
    (applied / "old.json").write_bytes(old)
    assert segctl("state", "mv", "segment.gold", "segment.vip").code == 0
    done = run_dry(segctl, applied, "state", "push", "old.json")
    assert done.code == 1
    assert "the pushed state is at serial 1" in done.err
