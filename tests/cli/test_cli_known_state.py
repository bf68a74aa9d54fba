"""segctl.lock.yaml says which state belongs to a workspace: a lost one is noticed."""

import json
import shutil
from pathlib import Path

import pytest

from segctl.core.diagnostics import Diagnostic
from segctl.core.errors import InvalidInput
from segctl.emulator.testing import RunningEmulator
from segctl.state.known_states import KnownState, decode, encode
from tests.cli.conftest import PROJECT, Segctl

HEAD, FOLDER, LOCK = "segctl.state.json", "segctl.state.d", "segctl.lock.yaml"


@pytest.fixture
def applied(workspace: Path, segctl: Segctl, emulator: RunningEmulator) -> Path:
    assert emulator.url
    done = segctl("apply", "--auto-approve")
    assert done.code == 0
    assert f"Wrote {LOCK}, which says which state belongs to this workspace: commit it." in done.err
    return workspace


def lose_state(workspace: Path) -> None:
    (workspace / HEAD).unlink()
    shutil.rmtree(workspace / FOLDER)


def lineage(workspace: Path) -> str:
    return str(json.loads((workspace / HEAD).read_text())["lineage"])


def test_the_first_apply_names_its_state(applied: Path, emulator: RunningEmulator) -> None:
    known = decode((applied / LOCK).read_bytes())
    assert known == {
        "default": KnownState(
            lineage=lineage(applied),
            account=emulator.environment["CLEVERTAP_ACCOUNT_ID"],
            host=emulator.url.removeprefix("http://"),
            backend="local",
        )
    }
    text = (applied / LOCK).read_text()
    assert "anna" not in text
    assert "Commit it." in text


def test_the_file_is_written_once_and_is_no_manifest(applied: Path, segctl: Segctl) -> None:
    before = (applied / LOCK).stat()
    assert segctl("state", "mv", "segment.gold", "segment.vip").code == 0
    assert segctl("apply", "--auto-approve").code == 0
    assert (applied / LOCK).stat().st_mtime_ns == before.st_mtime_ns
    assert segctl("validate").err == ""
    assert LOCK not in segctl("fmt", "--diff").out


@pytest.mark.parametrize(
    "command",
    [
        ["plan"],
        ["apply", "--auto-approve"],
        ["destroy", "--auto-approve"],
        ["import", "gold"],
        ["state", "list"],
        ["state", "pull"],
        ["state", "rm", "segment.gold"],
        ["rejects", "list"],
        ["show"],
    ],
)
def test_a_state_that_is_missing_is_refused(
    command: list[str], applied: Path, segctl: Segctl
) -> None:
    known = lineage(applied)
    lose_state(applied)
    done = segctl(*command)
    assert (done.code, done.out) == (1, "")
    assert f"{LOCK} says that this workspace has a state, lineage {known}" in done.err
    assert "there is none in this workspace" in done.err
    assert f"`segctl state new --forget {known}`" in done.err
    assert not (applied / HEAD).exists()


def test_a_saved_plan_is_stale_if_the_state_is_missing(applied: Path, segctl: Segctl) -> None:
    gold = applied / "gold.yaml"
    gold.write_text(gold.read_text().replace("bert", "carl"))
    assert segctl("plan", "--out", "a.segplan").code == 0
    lose_state(applied)
    done = segctl("apply", "a.segplan")
    assert done.code == 4
    assert "there is none in this workspace" in done.err


def test_the_state_of_another_workspace_is_refused(applied: Path, segctl: Segctl) -> None:
    known = lineage(applied)
    lose_state(applied)
    (applied / LOCK).rename(applied / "kept")
    assert segctl("import", "gold").code == 0
    other = lineage(applied)
    (applied / "kept").rename(applied / LOCK)
    for command in (["plan"], ["state", "list"]):
        done = segctl(*command)
        assert done.code == 1
        assert f"it has lineage {other}, and {LOCK} names {known}" in done.err
    assert f"{LOCK} names {known}" in segctl("state", "fsck").out
    assert segctl("state", "new", "--forget", known).code == 0
    assert segctl("state", "list").code == 0


def test_a_lost_state_can_be_put_back_or_given_up(applied: Path, segctl: Segctl) -> None:
    known = lineage(applied)
    done = segctl("state", "new", "--forget", known)
    assert done.code == 64
    assert f"a state is in this workspace: it is that of lineage {known}, or damaged" in done.err
    head = (applied / HEAD).read_bytes()
    (applied / HEAD).unlink()
    (applied / "head.json").write_bytes(head)
    assert segctl("plan").code == 1
    assert segctl("state", "push", "head.json").code == 0
    assert segctl("plan").code == 0
    lose_state(applied)
    done = segctl("state", "new", "--forget", "other")
    assert done.code == 64
    assert f"it names {known}" in done.err
    done = segctl("state", "new", "--forget", known)
    assert done.code == 0
    assert "`segctl import` adopts segments that exist" in done.out
    assert not (applied / LOCK).exists()
    assert "nothing is recorded" in segctl("plan").out


def test_a_state_that_moved_is_the_same(applied: Path, segctl: Segctl) -> None:
    (applied / "kept").mkdir()
    for name in (HEAD, FOLDER):
        (applied / name).rename(applied / "kept" / name)
    project = applied / "segctl.yaml"
    project.write_text(f"{PROJECT}spec: {{state: {{path: kept}}}}\n")
    assert segctl("plan").code == 0
    assert segctl("apply", "--auto-approve").code == 0
    assert decode((applied / LOCK).read_bytes())["default"].backend == "local:kept"
    project.write_text(f"{PROJECT}spec: {{state: {{path: elsewhere}}}}\n")
    done = segctl("plan")
    assert done.code == 1
    assert "there is none in" in done.err
    assert "elsewhere" in done.err


def test_a_push_of_another_state_is_named(applied: Path, segctl: Segctl) -> None:
    known = lineage(applied)
    text = (applied / HEAD).read_text().replace(known, "x" * 36)
    (applied / "head.json").write_text(text)
    (applied / HEAD).unlink()
    done = segctl("state", "push", "head.json")
    assert done.code == 1
    assert f"segctl.lock.yaml names {known}, and it has {'x' * 36}" in done.err
    assert segctl("state", "push", "--force", "head.json").code == 0
    assert decode((applied / LOCK).read_bytes())["default"].lineage == "x" * 36
    assert segctl("plan").code == 0


def test_a_damaged_head_is_not_given_up(applied: Path, segctl: Segctl) -> None:
    known = lineage(applied)
    (applied / HEAD).write_bytes(b"")
    assert segctl("state", "new", "--forget", known).code == 64
    assert known in (applied / LOCK).read_text()


def test_others_may_read_the_file(applied: Path) -> None:
    assert (applied / LOCK).stat().st_mode & 0o777 == 0o644


def test_an_import_names_its_state(workspace: Path, segctl: Segctl) -> None:
    done = segctl("import", "gold")
    assert done.code == 0
    assert f"Wrote {LOCK}" in done.err
    assert decode((workspace / LOCK).read_bytes())["default"].account is None


def test_a_file_that_cannot_be_written_is_a_warning(
    workspace: Path, segctl: Segctl, emulator: RunningEmulator
) -> None:
    assert emulator.url
    (workspace / LOCK).mkdir()
    done = segctl("apply", "--auto-approve")
    assert done.code == 1
    assert f"{LOCK} cannot be read: is a directory" in done.err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "version: 2\nstates: {}\n",
        "version: 1\nstates: []\n",
        "version: 1\nstates: {default: {lineage: a}}\n",
        "version: 1\nstates: {default: {lineage: '', account: a, host: h, backend: local}}\n",
        "version: 1\nstates: {default: {lineage: [], account: a, host: h, backend: local}}\n",
        "version: 1\nstates: {default: {lineage: a, account: [], host: h, backend: local}}\n",
        "<<<<<<< HEAD\nversion: 1\n=======\n>>>>>>> x\n",
        "a: 1\n---\nb: 2\n",
        "version: 1\nstates: {}\nversion: 1\nstates: {}\n",
        "\x00",
    ],
)
def test_another_content_is_an_error_with_its_place(
    text: str, workspace: Path, segctl: Segctl
) -> None:
    (workspace / LOCK).write_text(text)
    for command in (["plan"], ["validate"], ["state", "fsck"]):
        done = segctl(*command)
        assert done.code == 1
        assert LOCK in done.err + done.out
    with pytest.raises(InvalidInput) as caught:
        decode(text.encode())
    assert all(isinstance(problem, Diagnostic) for problem in caught.value.diagnostics)


def test_every_state_survives_encoding() -> None:
    states = {
        "default": KnownState(lineage="a", account=None, host=None, backend="local:~/ä: #x"),
        "production": KnownState(lineage="\"'\\", account="A", host="h:1", backend="local"),
    }
    assert decode(encode(states)) == states
