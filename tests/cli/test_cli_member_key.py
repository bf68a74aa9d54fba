"""The key of the hashes that name members: made once, kept by later states, and shown nowhere."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from segctl.emulator.testing import RunningEmulator
from segctl.state import codec
from tests.cli.conftest import Segctl

HASH = re.compile(r"#[0-9a-f]{10}\b")


@pytest.fixture
def applied(workspace: Path, segctl: Segctl, emulator: RunningEmulator) -> Path:
    """A workspace that was applied, and that has members to add and to remove since."""
    assert emulator.url
    assert segctl("apply", "--auto-approve").code == 0
    (workspace / "gold.yaml").write_text(
        (workspace / "gold.yaml").read_text().replace("bert@example.com", "carl@example.com")
    )
    return workspace


def key_of(folder: Path) -> str:
    """Return the key in the state of a folder."""
    return codec.decode((folder / "segctl.state.json").read_bytes()).member_key


def without_key(folder: Path) -> bytes:
    """Return the head of a folder as it was before there were keys."""
    state = codec.decode((folder / "segctl.state.json").read_bytes())
    return codec.encode(replace(state, member_key=""))


def hashes(text: str) -> set[str]:
    """Return the hashes in a text."""
    return set(HASH.findall(text))


def test_a_key_is_kept_by_every_later_state(applied: Path, segctl: Segctl) -> None:
    key = key_of(applied)
    assert re.fullmatch("[0-9a-f]{64}", key)
    (applied / "head.json").write_text(segctl("state", "pull").out)
    for command in (
        ["apply", "--auto-approve"],
        ["state", "mv", "segment.gold", "segment.moved"],
        ["state", "push", "--force", "head.json"],
    ):
        assert segctl(*command).code == 0
        assert key_of(applied) == key
    assert segctl("state", "migrate", "--to", "local:elsewhere").code == 0
    assert key_of(applied / "elsewhere") == key


def test_an_import_makes_a_key_and_the_next_state_another(
    workspace: Path, segctl: Segctl, tmp_path: Path
) -> None:
    (workspace / "now.txt").write_text("anna@example.com\n")
    assert segctl("import", "gold", "--members", "now.txt").code == 0
    first = key_of(workspace)
    for name in ("segctl.state.json", "segctl.state.d", "segctl.lock.yaml"):
        (workspace / name).rename(tmp_path / f"away-{name}")
    assert segctl("import", "gold", "--members", "now.txt").code == 0
    assert key_of(workspace) not in ("", first)


def test_a_state_without_a_key_gets_one_with_its_next_head(applied: Path, segctl: Segctl) -> None:
    (applied / "segctl.state.json").write_bytes(without_key(applied))
    planned = segctl("plan").out
    assert (hashes(planned), "2 members, +1 −1" in planned) == (set(), True)
    done = segctl("members", "--find", "0" * 10)
    assert (done.code, "the state has no key for hashes yet" in done.err) == (1, True)
    assert segctl("apply", "--auto-approve").code == 0
    assert key_of(applied)


def test_an_earlier_head_that_is_restored_keeps_the_key(applied: Path, segctl: Segctl) -> None:
    (applied / "old.json").write_bytes(without_key(applied))
    key = key_of(applied)
    assert segctl("state", "push", "--force", "old.json").code == 0
    assert key_of(applied) == key


def test_a_key_that_was_damaged_is_refused_and_not_shown(applied: Path, segctl: Segctl) -> None:
    head = applied / "segctl.state.json"
    key = key_of(applied)
    head.write_text(head.read_text().replace(key, key[:-1]))
    done = segctl("plan")
    assert (done.code, "member_key: expected 64 hexadecimal digits" in done.err) == (1, True)
    assert key[:8] not in done.err


@pytest.mark.usefixtures("applied")
def test_a_saved_plan_shows_the_hashes_of_the_live_plan(segctl: Segctl) -> None:
    live = segctl("plan", "--out", "saved.segplan", "--save").out
    [digest] = set(re.findall("sha256:[0-9a-f]{64}", live))
    shown = hashes(live)
    assert len(shown) == 2
    assert hashes(segctl("show", "saved.segplan").out) == shown
    assert hashes(segctl("show", digest).out) == shown
    assert hashes(segctl("show", "saved.segplan", "--format", "html").out) == shown


@pytest.mark.usefixtures("applied")
def test_an_apply_shows_the_hashes_of_its_plan(segctl: Segctl) -> None:
    shown = hashes(segctl("plan").out)
    assert hashes(segctl("apply", "--auto-approve").out) == shown


def test_without_its_state_a_saved_plan_shows_counts(
    applied: Path, segctl: Segctl, tmp_path: Path
) -> None:
    segctl("plan", "--out", "saved.segplan")
    state = applied / "segctl.state.json"
    state.rename(tmp_path / "away.json")
    shown = segctl("show", "saved.segplan")
    assert (shown.code, hashes(shown.out), "+1 −1" in shown.out) == (0, set(), True)
    # The state of another history could not look its hashes up.
    lineage = codec.decode((tmp_path / "away.json").read_bytes()).lineage
    state.write_text((tmp_path / "away.json").read_text().replace(lineage, "0" * 36))
    assert hashes(segctl("show", "saved.segplan").out) == set()


def test_the_key_is_in_no_output_and_in_no_file_but_the_state(
    applied: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGCTL_TRACEBACK", "1")
    key = key_of(applied)
    for command in (
        ["plan", "--out", "saved.segplan", "--json-into", "plan.json", "--code-quality", "c.json"],
        ["plan", "--format", "html", "--identities", "full"],
        ["show", "saved.segplan", "--format", "markdown"],
        ["show", "--json"],
        ["state", "show", "gold", "--json"],
        ["state", "history", "--json"],
        ["members", "gold", "--json"],
        ["members", "--find", "0" * 10],
        ["state", "fsck"],
        ["apply", "saved.segplan", "--auto-approve", "--report", "report.json"],
    ):
        done = segctl(*command, "--log-level", "debug")
        assert done.code == 0, done.err
        assert key not in done.out + done.err
    holding = [f for f in applied.rglob("*") if f.is_file() and key.encode() in f.read_bytes()]
    allowed = ("segctl.state.json", "history")
    assert all(f.name in allowed or f.parent.name in allowed for f in holding)
