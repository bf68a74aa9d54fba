"""Commands that are needed most where the state is damaged: fsck, history, push."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import duckdb
import pytest

from segctl.cli.main import execute
from segctl.emulator.testing import RunningEmulator
from tests.cli.conftest import PROJECT, Segctl

RESTORE = (
    "    Restore the head and the files of the state from one backup. Without a backup: `segctl "
    "state rm` forgets the segment, and `segctl import` records it again with a list of its "
    "members.\n"
)
PUSH = (
    "    `segctl state history` lists the earlier heads, and `segctl state push --force NAME` "
    "restores one. `segctl state push FILE` records an edit.\n"
)


@pytest.fixture(scope="module")
def _aged(tmp_path_factory: pytest.TempPathFactory, _server: RunningEmulator) -> Path:
    root = tmp_path_factory.mktemp("aged")
    (root / "segctl.yaml").write_text(PROJECT)
    (root / "gold.yaml").write_text(
        "apiVersion: segctl/v1\nkind: Segment\nmetadata: {name: gold}\n"
        "spec: {displayName: Gold, members: [file: {path: users.txt}]}\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _server.environment.items():
            patch.setenv(name, value)
        for last in (20, 21, 22):
            (root / "users.txt").write_text("".join(f"u{n}@x.org\n" for n in range(last)))
            assert execute(["apply", "--auto-approve", "-C", str(root)]) == 0
    return root


@pytest.fixture
def aged(_aged: Path, workspace: Path, emulator: RunningEmulator) -> Path:
    """A workspace with a base and two change files, at serial 3 with two earlier heads."""
    assert emulator.url
    shutil.rmtree(workspace)
    shutil.copytree(_aged, workspace)
    return workspace


def head_of(workspace: Path) -> Path:
    return workspace / "segctl.state.json"


def earlier(workspace: Path) -> list[Path]:
    return sorted((workspace / "segctl.state.d/history").glob("*.json"))


def rewrite(workspace: Path, pattern: str, value: str) -> None:
    head = head_of(workspace)
    text, count = re.subn(pattern, value, head.read_text(), count=1)
    assert count
    head.write_text(text)


def put_file(workspace: Path, select: str) -> str:
    """Put a Parquet file among the members, under the name of its content."""
    made = workspace / "made.parquet"
    duckdb.sql(f"COPY ({select}) TO '{made}'")
    name = f"{hashlib.sha256(made.read_bytes()).hexdigest()}.parquet"
    made.rename(workspace / "segctl.state.d/members" / name)
    return name


def exchange(workspace: Path, place: str, select: str) -> None:
    """Let the head name another file as the base, a change or the pairs of segment.gold."""
    head = json.loads(head_of(workspace).read_text())
    members = head["segments"]["segment.gold"]["members"]
    name = put_file(workspace, select)
    [[rows]] = duckdb.execute(f"SELECT count(*) FROM ({select})").fetchall()
    size = (workspace / "segctl.state.d/members" / name).stat().st_size
    ref = {"name": name, "rows": rows, "bytes": size}
    if place == "base":
        members["base"] = ref
    else:
        members["changes"][0] = ref
    head_of(workspace).write_text(json.dumps(head))


def test_a_state_of_several_versions_adds_up(aged: Path, segctl: Segctl) -> None:
    done = segctl("state", "fsck")
    assert (done.code, done.out) == (
        0,
        "The state is consistent: 1 segment, 22 members, 3 files; 2 earlier versions.\n",
    )
    assert len(earlier(aged)) == 2


@pytest.mark.parametrize(
    ("place", "select", "said"),
    [
        (
            "change",
            "SELECT 'ADD' AS action, 'identity' AS kind, 'u3@x.org' AS value",
            "1 changes of {} add a present member or remove an absent one",
        ),
        (
            "change",
            "SELECT 'REMOVE' AS action, 'identity' AS kind, 'none@x.org' AS value",
            "1 changes of {} add a present member or remove an absent one",
        ),
        (
            "change",
            "SELECT 'ADD' AS action, 'identity' AS kind, 'other@x.org' AS value",
            "its files have other members than the head",
        ),
        (
            "base",
            "SELECT 'identity' AS kind, 'u' || (i % 19) || '@x.org' AS value FROM range(20) t(i)",
            "1 members are repeated in its base",
        ),
        (
            "base",
            "SELECT 'other' AS kind, 'u' || i || '@x.org' AS value FROM range(20) t(i)",
            "20 rows of its files are not a member or a change",
        ),
        (
            "base",
            "SELECT i AS x FROM range(20) t(i)",
            "a member file of the state cannot be read",
        ),
    ],
)
def test_member_files_that_contradict_the_head_are_found(
    aged: Path, segctl: Segctl, place: str, select: str, said: str
) -> None:
    exchange(aged, place, select)
    done = segctl("state", "fsck")
    names = [file.name for file in (aged / "segctl.state.d/members").iterdir()]
    assert done.code == 1
    assert any(f"  - segment.gold: {said.format(name)}\n{RESTORE}" in done.out for name in names)


def test_a_count_changed_with_its_file_fits_nothing_else(aged: Path, segctl: Segctl) -> None:
    rewrite(aged, '"digest": "22:', '"digest": "20:')
    done = segctl("plan")
    assert done.code == 1
    assert "the state does not match its checksum" in done.err
    assert "`segctl state push FILE`" in done.err
    found = segctl("state", "fsck")
    assert f"  - segment.gold: the head has 20 members, its files 22\n{RESTORE}" in found.out


def test_of_a_damaged_head_what_can_be_read_is_proved(
    workspace: Path, segctl: Segctl, emulator: RunningEmulator
) -> None:
    assert emulator.url
    assert segctl("apply", "--auto-approve").code == 0
    rewrite(workspace, '"digest": "2:', '"digest": "3:')
    done = segctl("state", "fsck")
    assert (done.code, done.out) == (
        1,
        "The state is not consistent (1 of 2 segments without problems; 1 member, 1 file):\n"
        "  - segctl.state.json: segment.gold cannot have 3 members: its files contain 2\n" + PUSH,
    )


def test_where_the_head_is_none_the_files_and_the_history_are_proved(
    aged: Path, segctl: Segctl
) -> None:
    head_of(aged).write_text("cut o")
    [file, *_] = sorted((aged / "segctl.state.d/members").iterdir())
    file.write_bytes(b"x" * file.stat().st_size)
    [first, _] = earlier(aged)
    first.write_text("{}")
    done = segctl("state", "fsck")
    assert done.code == 1
    assert "segctl.state.json: line 1, column 1: not JSON (Expecting value)\n" + PUSH in done.out
    assert (
        f"  - segctl.state.d/members/{file.name} is damaged: its content does not match its name\n"
        in done.out
    )
    assert (
        f"the earlier head {first.name} cannot be read: its content does not match its name"
        in done.out
    )


def test_a_journal_that_cannot_be_taken_in_is_found(aged: Path, segctl: Segctl) -> None:
    [*_, last] = sorted((aged / "segctl.state.d/history/applies").iterdir())
    shutil.copytree(last, aged / "segctl.state.d/journal/current")
    rewrite(aged, '"folded": "[0-9a-f]+"', '"folded": null')
    (aged / "segctl.state.d/journal/current/delta.parquet").unlink()
    done = segctl("state", "fsck")
    assert done.code == 1
    assert "the journal cannot be read: delta.parquet: No such file or directory" in done.out


def test_the_history_names_what_cannot_be_read(aged: Path, segctl: Segctl) -> None:
    [first, second] = earlier(aged)
    first.write_text("{}")
    head_of(aged).write_text("cut o")
    os.utime(second, (1_000_000_000, 1_000_000_000))
    done = segctl("state", "history")
    assert done.code == 0
    assert [re.sub(r"\s+", " ", line) for line in done.out.splitlines()] == [
        f"serial 1 {first.name} cannot be read: its content does not match its name",
        f"serial 2 {second.name} 1 segment 21 members until 2001-09-09 01:46 UTC",
        "serial ? (current) cannot be read: line 1, column 1: not JSON (Expecting value)",
    ]


@pytest.mark.parametrize("damage", ["cut", "gone", "none", "bytes"])
def test_an_earlier_head_takes_the_place_of_one_that_is_damaged_or_lost(
    aged: Path, segctl: Segctl, damage: str
) -> None:
    head = head_of(aged)
    match damage:
        case "gone":
            head.unlink()
        case "none":
            head.write_bytes(b"")
        case "bytes":
            head.write_bytes(b"\xff\xfe")
        case _:
            head.write_bytes(head.read_bytes()[:-20])
    [_, second] = earlier(aged)
    refused = segctl("state", "push", str(second))
    assert refused.code == 1
    assert refused.err == (
        f"Error: the pushed state is at serial 2, the {'lost' if damage == 'gone' else 'present'} "
        "one at 3\n"
        "  What was sent in between would be forgotten: users who joined since would be added "
        "again, and users who left the lists since would not be removed. Use --force to go back "
        "all the same.\n"
    )
    done = segctl("state", "push", "--force", str(second))
    assert (done.code, done.out) == (0, "The state is at serial 4 now.\n")
    plan = json.loads(segctl("plan", "--format", "json").out)
    assert plan["summary"]["members_add"] == 1
    assert segctl("state", "fsck").code == 0
    aside = [*(aged / "segctl.state.d/history").glob("damaged-*.json")]
    assert len(aside) == (damage != "gone")


def test_a_backup_of_the_last_head_needs_no_force(aged: Path, segctl: Segctl) -> None:
    backup = aged / "backup.json"
    backup.write_text(segctl("state", "pull").out)
    head_of(aged).write_text("cut o")
    assert segctl("state", "push", str(backup)).out == "The state is at serial 4 now.\n"
    assert segctl("plan").out.startswith("No changes.")


def test_another_lineage_is_refused_in_the_place_of_a_lost_head(aged: Path, segctl: Segctl) -> None:
    other = aged / "other.json"
    text = re.sub('"lineage": "[^"]*"', '"lineage": "other"', segctl("state", "pull").out)
    other.write_text(text)
    head_of(aged).unlink()
    refused = segctl("state", "push", str(other))
    assert refused.code == 1
    assert "the pushed state has another lineage" in refused.err
    assert segctl("state", "push", "--force", str(other)).code == 0
    assert json.loads(head_of(aged).read_text())["lineage"] == "other"


def test_going_back_on_purpose_is_one_serial_further(aged: Path, segctl: Segctl) -> None:
    [first, _] = earlier(aged)
    assert segctl("state", "push", str(first)).code == 1
    done = segctl("state", "push", "--force", str(first))
    assert done.out == "The state is at serial 4 now.\n"
    assert len(earlier(aged)) == 3
    assert segctl("state", "fsck").code == 0
