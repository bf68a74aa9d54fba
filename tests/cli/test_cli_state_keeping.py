import gzip
import json
import os
import re
import shutil
from contextlib import chdir
from pathlib import Path

import duckdb
import pytest

from segctl.applying import apply
from segctl.cli.main import execute
from segctl.core.errors import OperationError
from segctl.emulator.testing import RunningEmulator
from tests.cli.conftest import Segctl

Workspace = Path


@pytest.fixture
def applied(workspace: Workspace, segctl: Segctl, emulator: RunningEmulator) -> Workspace:
    assert emulator.url
    assert segctl("apply", "--auto-approve").code == 0
    return workspace


@pytest.mark.usefixtures("applied")
def test_a_sound_state_adds_up(segctl: Segctl) -> None:
    done = segctl("state", "fsck")
    assert (done.code, done.out) == (
        0,
        "The state is consistent: 2 segments, 3 members, 2 files.\n",
    )


def test_a_member_file_that_was_changed_is_found(applied: Workspace, segctl: Segctl) -> None:
    file = next((applied / "segctl.state.d/members").iterdir())
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    done = segctl("state", "fsck")
    assert done.code == 1
    assert f"{file.name} is damaged: its content does not match its name" in done.out


@pytest.mark.parametrize(
    "command", [("plan",), ("apply", "--auto-approve"), ("state", "list"), ("show",)]
)
def test_a_count_that_was_changed_ends_a_run_in_words(
    applied: Workspace, segctl: Segctl, command: tuple[str, ...]
) -> None:
    head = applied / "segctl.state.json"
    head.write_text(head.read_text().replace('"digest": "2:', '"digest": "3:'))
    done = segctl(*command)
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "Error: the state cannot be read: segment.gold cannot have 3 members: its files contain 2\n"
        "  Restore an intact copy: `segctl state history` lists the earlier states, and "
        "`segctl state push --force NAME` restores one. `segctl state fsck` lists everything that "
        "is wrong. "
        "Do not delete the state to start over: every member would be added again.\n"
    )


def test_a_member_file_that_cannot_be_read_ends_a_plan_in_words(
    applied: Workspace, segctl: Segctl
) -> None:
    for file in (applied / "segctl.state.d/members").iterdir():
        file.write_bytes(b"x" * file.stat().st_size)
    done = segctl("plan", "--reread")
    assert done.code == 1
    assert "is damaged: its content does not match its name" in done.err


@pytest.mark.usefixtures("applied")
def test_a_moved_segment_keeps_its_members(segctl: Segctl) -> None:
    done = segctl("state", "mv", "segment.gold", "segment.vip")
    assert (done.code, done.out) == (0, "segment.gold is segment.vip now.\n")
    assert done.err == ""
    assert segctl("state", "list").out == "segment.council\nsegment.vip\n"
    done = segctl("plan")
    assert "it was segment.vip" in done.out


@pytest.mark.usefixtures("applied")
def test_a_moved_segment_whose_id_was_its_name_needs_the_id_written(segctl: Segctl) -> None:
    done = segctl("state", "mv", "segment.council", "segment.board")
    assert done.out == "segment.council is segment.board now.\n"
    assert done.err == (
        "Write customerSegmentId: council in its manifest. Without it, the id is the new name, and "
        "the segment would be replaced.\n"
    )
    assert segctl("state", "mv", "segment.board", "segment.council").err == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mv", "segment.none", "segment.x"), "the state has no segment segment.none"),
        (("mv", "segment.gold", "segment.council"), "segment.council is already recorded"),
        (("mv", "segment.gold", "gold"), "gold is not an address"),
        (("rm", "none"), "the state has no segment none"),
    ],
)
def test_what_cannot_be_moved_or_forgotten_is_said(
    applied: Workspace, segctl: Segctl, words: tuple[str, ...], said: str
) -> None:
    before = (applied / "segctl.state.json").read_bytes()
    done = segctl("state", *words)
    assert done.code == 64
    assert said in done.err
    assert (applied / "segctl.state.json").read_bytes() == before


def test_a_forgotten_segment_can_be_imported_again_without_a_request(
    applied: Workspace, segctl: Segctl
) -> None:
    assert segctl("state", "rm", "gold").out == "Forgot segment.gold.\n"
    (applied / "gold.csv").write_text("email\nanna@example.com\nbert@example.com\n")
    done = segctl("import", "gold", "--members", "gold.csv", "--column", "email")
    assert (done.code, done.out) == (
        0,
        "Adopted segment.gold as SEG-GOLD with 2 members; nothing was sent.\n",
    )
    assert segctl("plan").out.startswith("No changes.")
    assert segctl("state", "fsck").code == 0


def test_an_import_records_who_is_there_so_that_a_plan_shows_the_difference(
    workspace: Workspace, segctl: Segctl
) -> None:
    members = workspace / "now.parquet"
    duckdb.sql(f"COPY (SELECT 'anna@example.com' AS identity UNION ALL SELECT 'x') TO '{members}'")
    assert segctl("import", "segment.gold", "--members", "now.parquet").code == 0
    done = segctl("plan", "--format", "json")
    assert done.err == ""
    document = json.loads(done.out)
    gold = next(c for c in document["changes"] if c["address"] == "segment.gold")
    assert (gold["action"], gold["members"]["add"], gold["members"]["remove"]) == ("update", 1, 1)


def test_an_import_takes_all_files_that_a_pattern_matches_wherever_they_lie(
    segctl: Segctl, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("export")
    (outside / "a.csv").write_text("identity\na\nb\n")
    (outside / "b.csv.gz").write_bytes(gzip.compress(b"identity\nb\nc\n"))
    done = segctl("import", "gold", "--members", f"{outside}/*.csv*")
    assert "SEG-GOLD with 3 members" in done.out


@pytest.mark.parametrize(
    ("files", "members", "said"),
    [
        ({}, "gone.csv", "there is no file gone.csv"),
        ({}, "*.csv", "no file matches *.csv"),
        ({"x.dat": "a"}, "x.dat", "the format of x.dat cannot be inferred from its name"),
        (
            {"m/a.txt": "a\n", "m/b.txt": "b\n c\n"},
            "m",
            "m: 1 row with white space around the value, the first is row 2 of m/b.txt",
        ),
        ({"m/a.csv": "identity\n", "m/b.csv": "x\n"}, "m", "m/b.csv: the file has no column"),
    ],
)
def test_an_import_names_the_file_at_fault(
    workspace: Workspace, segctl: Segctl, files: dict[str, str], members: str, said: str
) -> None:
    for name, text in files.items():
        (workspace / name).parent.mkdir(exist_ok=True)
        (workspace / name).write_text(text)
    done = segctl("import", "gold", "--members", members)
    assert done.code == 1
    assert said in done.err.replace(f"{workspace}/", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("email\n\n\na\n", 'the file has no column "identity"'),
        ("email,x\n", "Its columns are: email, x. Name one by --column.\n"),
        ("identity,x\n,1\n", "gold.csv: 1 row with no value (NULL), the first is row 1"),
    ],
)
def test_an_import_of_a_bad_file_records_nothing(
    workspace: Workspace, segctl: Segctl, text: str, said: str
) -> None:
    (workspace / "gold.csv").write_text(text)
    done = segctl("import", "gold", "--members", "gold.csv")
    assert done.code == 1
    assert said in done.err
    assert not (workspace / "segctl.state.json").exists()


def test_an_import_of_numbers_says_how_they_must_come(workspace: Workspace, segctl: Segctl) -> None:
    duckdb.sql(f"COPY (SELECT 7.5 AS identity) TO '{workspace / 'now.parquet'}'")
    done = segctl("import", "gold", "--members", "now.parquet")
    assert (
        'now.parquet: column "identity" is DECIMAL(2,1), not text\n'
        "    Write identities as text: a number has no leading zeros.\n"
    ) in done.err


def test_an_imported_segment_may_go_by_the_id_of_the_service(
    applied: Workspace, segctl: Segctl
) -> None:
    segments = json.loads((applied / "segctl.state.json").read_text())["segments"]
    number = str(segments["segment.gold"]["ct_segment_id"])
    assert segctl("state", "rm", "gold").code == 0
    done = segctl("import", "gold", "--ct-segment-id", number)
    assert f"as ct:{number} with 0 members" in done.out
    assert segctl("apply", "--auto-approve").code == 0
    assert segctl("plan").out.startswith("No changes.")


@pytest.mark.usefixtures("applied")
def test_what_is_recorded_already_is_not_imported(segctl: Segctl) -> None:
    done = segctl("import", "gold")
    assert done.code == 1
    assert "segment.gold is already recorded" in done.err


def test_a_state_that_was_pulled_can_be_pushed_back(applied: Workspace, segctl: Segctl) -> None:
    pulled = applied / "head.json"
    pulled.write_text(segctl("state", "pull").out)
    assert segctl("state", "push", str(pulled)).out == "The state is at serial 2 now.\n"
    assert segctl("plan").out.startswith("No changes.")


@pytest.mark.parametrize(
    ("pattern", "value", "said"),
    [
        (r'"lineage": "[^"]*"', '"lineage": "other"', "the pushed state has another lineage"),
        (r'"serial": \d+', '"serial": 0', "the pushed state is at serial 0, the present one at 1"),
        (r'"name": "[0-9a-f]{8}', '"name": "00000000', "is missing"),
    ],
)
def test_a_state_that_does_not_belong_here_is_not_pushed(
    applied: Workspace, segctl: Segctl, pattern: str, value: str, said: str
) -> None:
    pulled = applied / "head.json"
    pulled.write_text(re.sub(pattern, value, segctl("state", "pull").out))
    done = segctl("state", "push", str(pulled))
    assert done.code == 1
    assert said in done.err


def test_the_history_shows_every_version(applied: Workspace, segctl: Segctl) -> None:
    segctl("state", "rm", "council")
    [first] = (applied / "segctl.state.d/history").glob("*.json")
    os.utime(first, (1_000_000_000, 1_000_000_000))
    lines = segctl("state", "history").out.splitlines()
    assert [re.sub(r"\s+", " ", line) for line in lines] == [
        f"serial 1 {first.name} 2 segments 3 members until 2001-09-09 01:46 UTC",
        "serial 2 (current) 1 segment 2 members",
    ]


def test_what_nothing_needs_is_removed_by_hand(applied: Workspace, segctl: Segctl) -> None:
    waste = applied / f"segctl.state.d/members/{'0' * 64}.parquet"
    waste.write_bytes(b"x" * 2_000_000)
    mine = applied / "segctl.state.d/members/notes.parquet"
    mine.write_bytes(b"mine")
    told = segctl("state", "gc", "--dry-run").out
    assert told == (
        f"  members/{waste.name}\nWould remove 0 earlier versions and 1 member file (2.0 MB).\n"
    )
    assert waste.exists()
    assert segctl("state", "gc").out == ("Removed 0 earlier versions and 1 member file (2.0 MB).\n")
    assert mine.exists()
    assert segctl("state", "gc").out == "Nothing to remove: the state needs all of its files.\n"


@pytest.mark.parametrize("command", ["list", "history", "fsck", "gc", "pull"])
def test_a_folder_that_is_no_workspace_is_not_taken_for_an_empty_state(
    workspace: Workspace, segctl: Segctl, command: str
) -> None:
    (workspace / "segctl.yaml").unlink()
    done = segctl("state", command)
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "Error: there is no segctl.yaml in this folder\n"
        '  Run "segctl init" to create a workspace, or name its folder with --chdir.\n'
    )
    assert not (workspace / "segctl.state.d").exists()


def test_a_state_whose_segctl_yaml_was_lost_is_looked_at(
    applied: Workspace, segctl: Segctl
) -> None:
    (applied / "segctl.yaml").unlink()
    assert segctl("state", "list").out == "segment.council\nsegment.gold\n"


@pytest.mark.usefixtures("applied")
def test_what_is_pushed_and_no_state_is_reported_from_the_present_one(
    workspace: Workspace, segctl: Segctl
) -> None:
    (workspace / "none.json").write_text("{}")
    done = segctl("state", "push", str(workspace / "none.json"))
    assert done.code == 1
    assert done.err == (
        'Error: the pushed state cannot be read: it has no "version", so it is not a state of '
        "segctl\n  Nothing was changed. Push another copy: `segctl state history` lists the "
        "earlier heads.\n"
    )


def test_what_is_pushed_is_looked_for_in_the_folder_of_chdir(
    applied: Workspace, segctl: Segctl
) -> None:
    (applied / "head.json").write_text(segctl("state", "pull").out)
    folder = applied.parent
    relative = str(applied.relative_to(folder))
    with chdir(folder):
        assert execute(["state", "push", "head.json", "-C", relative]) == 0
    missing = segctl("state", "push", "none.json", "-C", str(applied))
    assert missing.code == 64
    assert missing.err.startswith(
        f"Error: {applied / 'none.json'} cannot be read: No such file or directory\n"
    )


def test_an_apply_that_was_interrupted_is_named_by_a_check(
    segctl: Segctl, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OperationError("the disk is full")

    assert emulator.url
    with monkeypatch.context() as patch:
        patch.setattr(apply, "write_head", fail)
        assert segctl("apply", "--auto-approve").code == 1
    done = segctl("state", "fsck")
    assert done.code == 0
    assert "An apply was interrupted: its journal contains 1 acknowledged request" in done.out


def test_an_earlier_head_can_be_pushed_by_its_name(applied: Workspace, segctl: Segctl) -> None:
    assert segctl("state", "rm", "segment.gold").code == 0
    [name] = [path.name for path in (applied / "segctl.state.d/history").glob("*.json")]
    assert segctl("state", "push", "--force", name).code == 0
    assert segctl("state", "list").out == "segment.council\nsegment.gold\n"
    done = segctl("state", "push", "00000009-00000000.json")
    assert done.code == 64
    assert "`segctl state history` lists the names of the earlier heads" in done.err
    assert segctl("state", "push", "x" * 300).code == 64


def test_messages_name_the_folder_of_a_state_that_is_elsewhere(
    workspace: Workspace, segctl: Segctl, emulator: RunningEmulator
) -> None:
    assert emulator.url
    project = workspace / "segctl.yaml"
    project.write_text(f"{project.read_text()}spec: {{state: {{path: kept}}}}\n")
    assert segctl("apply", "--auto-approve").code == 0
    assert segctl("state", "rm", "segment.gold").code == 0
    (workspace / "kept/segctl.state.json").unlink()
    done = segctl("plan")
    assert done.code == 1
    assert "kept/segctl.state.json is missing, but" in done.err
    assert "kept/segctl.state.d/history contains 1 earlier state" in done.err


def test_a_state_that_was_started_over_can_be_replaced_by_its_backup(
    applied: Workspace, segctl: Segctl
) -> None:
    backup = applied.parent / f"{applied.name}-backup"
    backup.mkdir()
    for name in ("segctl.state.json", "segctl.state.d", "segctl.lock.yaml"):
        (applied / name).rename(backup / name)
    done = segctl("apply", "--auto-approve")
    assert done.code == 1
    assert (
        "CleverTap already has segment.council, segment.gold, and the state does not know them; "
        "nothing was applied" in done.err
    )
    assert "run the same command again to continue" not in done.out + done.err
    assert not (applied / "segctl.state.json").exists()
    assert segctl("import", "gold").code == 0
    shutil.rmtree(applied / "segctl.state.d")
    (backup / "segctl.state.d").rename(applied / "segctl.state.d")
    done = segctl("state", "push", str(backup / "segctl.state.json"))
    assert done.code == 1
    assert (
        "If this state was started over: put segctl.state.d back too, and use --force." in done.err
    )
    assert segctl("state", "push", "--force", str(backup / "segctl.state.json")).code == 0
    assert segctl("state", "list").out == "segment.council\nsegment.gold\n"
    assert segctl("plan").code == 0
