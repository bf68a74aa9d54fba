"""``segctl members``: who is in a segment, how many, and where one user is."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest

from segctl.core.identity import Kind
from segctl.core.member_hash import hash_member
from segctl.emulator.testing import RunningEmulator
from tests.cli.conftest import PROJECT, Segctl
from tests.program import ENTRY

TIERS = """\
apiVersion: segctl/v1
kind: Segment
metadata: {name: silver}
spec:
  displayName: Silver Users
  members:
    - file: {path: silver.txt}
  exclude:
    - file: {path: out.txt}
---
apiVersion: segctl/v1
kind: Segment
metadata: {name: best}
spec:
  displayName: Best
  members:
    - segment: silver
    - segment: gold
  holdout: {percent: 50, salt: s}
---
apiVersion: segctl/v1
kind: Segment
metadata: {name: legacy}
spec: {displayName: Legacy, members: unmanaged}
---
apiVersion: segctl/v1
kind: Segment
metadata: {name: nobody}
spec: {displayName: Nobody}
"""
USERS = [f"user{number:02}@example.com" for number in range(20)]


@pytest.fixture(autouse=True)
def _tiers(workspace: Path) -> None:
    (workspace / "segctl.yaml").write_text(
        PROJECT + "spec:\n  suppress:\n    - identities: [user03@example.com]\n", encoding="utf-8"
    )
    (workspace / "tiers.yaml").write_text(TIERS, encoding="utf-8")
    (workspace / "silver.txt").write_text(
        "".join(f"{user}\n" for user in [*USERS, "anna@example.com"]), encoding="utf-8"
    )
    (workspace / "out.txt").write_text("user07@example.com\n", encoding="utf-8")


def hashes_of(workspace: Path, users: Iterable[str]) -> list[str]:
    """Return the hashes of users under the key in the state."""
    state = json.loads((workspace / "segctl.state.json").read_text(encoding="utf-8"))
    return [hash_member(state["member_key"], Kind.IDENTITY, user) for user in users]


SILVER = sorted({*USERS, "anna@example.com"} - {"user03@example.com", "user07@example.com"})


@pytest.fixture
def applied(segctl: Segctl, emulator: RunningEmulator) -> RunningEmulator:
    """The emulator after an apply, when another user was added to silver and one taken out."""
    assert segctl("apply", "--auto-approve").code == 0
    return emulator


def members_in_service(emulator: RunningEmulator, key: str) -> list[str]:
    """Return the identities that the emulator has in a segment, sorted."""
    api = f"{emulator.url}/emulator/v1/segments"
    with httpx.Client(headers=emulator.headers) as client:
        [number] = [
            s["ct_segment_id"] for s in client.get(api).json() if s["customer_segment_id"] == key
        ]
        lines = client.get(f"{api}/{number}/members").text.splitlines()
    return sorted(json.loads(line)["identity"] for line in lines)


def move_on(workspace: Path) -> None:
    """Add one user to the file of silver, and take one out."""
    file = workspace / "silver.txt"
    text = file.read_text(encoding="utf-8").replace("user00@example.com\n", "new@example.com\n")
    file.write_text(text, encoding="utf-8")


def test_desired_members_are_those_that_a_plan_computes(segctl: Segctl) -> None:
    done = segctl("members", "silver", "--desired", "--identities", "full")
    assert (done.code, done.out.split()) == (0, SILVER)


def test_desired_counts_are_those_of_the_plan(segctl: Segctl) -> None:
    plan = json.loads(segctl("plan", "--format", "json").out)
    planned = {c["address"]: c["members"]["after"] for c in plan["changes"]}
    counted = json.loads(segctl("members", "--count", "--json").out)["segments"]
    assert {s["address"]: s["count"] for s in counted} == {
        a: n for a, n in planned.items() if a != "segment.legacy"
    }


@pytest.mark.usefixtures("applied")
def test_recorded_members_are_the_default_and_are_what_was_sent(
    segctl: Segctl, workspace: Path
) -> None:
    move_on(workspace)
    done = segctl("members", "silver", "--identities", "full")
    assert (done.out.split(), done.err) == (SILVER, "")


@pytest.mark.usefixtures("applied")
def test_recorded_members_are_those_in_the_service(
    segctl: Segctl, applied: RunningEmulator, workspace: Path
) -> None:
    move_on(workspace)
    assert segctl("apply", "--auto-approve").code == 0
    sent = members_in_service(applied, "silver")
    assert segctl("members", "silver", "--identities", "full").out.split() == sent


@pytest.mark.usefixtures("applied")
def test_recorded_members_need_no_valid_manifest(segctl: Segctl, workspace: Path) -> None:
    (workspace / "tiers.yaml").write_text("apiVersion: segctl/v1\nkind: Nope\n", encoding="utf-8")
    assert segctl("members", "silver", "--count", "--recorded").out == f"{len(SILVER)}\n"


def test_a_segment_without_a_record_says_that_its_members_are_desired(segctl: Segctl) -> None:
    done = segctl("members", "silver", "--count")
    assert done.out == f"{len(SILVER)}\n"
    assert done.err == "segment.silver is not recorded yet: these are the desired members.\n"


@pytest.mark.usefixtures("applied")
def test_recorded_and_desired_together_count_the_difference(
    segctl: Segctl, workspace: Path
) -> None:
    move_on(workspace)
    [found] = json.loads(segctl("members", "silver", "--recorded", "--desired", "--json").out)[
        "segments"
    ]
    assert (found["only_recorded"], found["only_desired"], found["shared"]) == (1, 1, 18)
    assert "only recorded" in segctl("members", "--recorded", "--desired").out


@pytest.mark.usefixtures("applied")
def test_members_are_hashes_where_nothing_is_a_terminal(segctl: Segctl, workspace: Path) -> None:
    done = segctl("members", "silver")
    hashes = [f"#{text}" for text in hashes_of(workspace, SILVER)]
    assert done.out.split() == sorted(hashes)
    assert done.err == "Members are shown as hashes. --identities full prints user keys.\n"
    document = json.loads(segctl("members", "silver", "--json").out)
    assert [f"#{m['hash']}" for m in document["members"]] == sorted(hashes)
    assert {*document["members"][0]} == {"kind", "hash"}


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize("option", ["--desired", "--recorded"])
def test_a_member_has_one_hash_wherever_it_is_listed(
    option: str, segctl: Segctl, workspace: Path
) -> None:
    done = segctl("members", "silver", option, "--sample", "100")
    assert done.out.split() == sorted(f"#{text}" for text in hashes_of(workspace, SILVER))


def test_members_are_only_counted_before_there_is_a_key(segctl: Segctl) -> None:
    done = segctl("members", "silver", "--desired")
    assert done.out == f"{len(SILVER)}\n"
    assert done.err.startswith("Only the number is shown: the first apply makes the key")
    document = json.loads(segctl("members", "silver", "--json").out)
    assert (document["identities"], "members" in document) == ("none", False)


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize("write", ["{}", "#{}", "'#{}',", "\u200b{}"])
def test_a_hash_finds_its_user_however_it_is_copied(
    write: str, segctl: Segctl, workspace: Path
) -> None:
    [text] = hashes_of(workspace, ["anna@example.com"])
    done = segctl("members", "gold", "--find", write.format(text.upper()), "--identities", "full")
    assert (done.code, done.err) == (0, "")
    assert done.out == f'#{text}: "anna@example.com"\n    segment.gold: recorded\n'


@pytest.mark.usefixtures("applied")
def test_a_hash_finds_a_user_who_is_about_to_come_or_to_go(segctl: Segctl, workspace: Path) -> None:
    move_on(workspace)
    new, old = hashes_of(workspace, ["new@example.com", "user00@example.com"])
    shown = segctl("plan").out
    assert f"+ #{new}\n" in shown
    assert f"- #{old}\n" in shown
    found = segctl("members", "silver", "--find", new, f"#{old}", "--identities", "full").out
    assert f'#{new}: "new@example.com"\n    segment.silver: desired\n' in found
    assert f'#{old}: "user00@example.com"\n    segment.silver: recorded\n' in found
    both = segctl("members", "silver", "--find", new, old, "--recorded", "--desired").out
    assert "not recorded, desired, an apply adds the user" in both
    assert "recorded, not desired, an apply removes the user" in both


@pytest.mark.usefixtures("applied")
def test_a_user_key_of_a_hash_is_in_full_only_where_that_is_asked_for(
    segctl: Segctl, on_terminal: Segctl, workspace: Path
) -> None:
    [text] = hashes_of(workspace, ["anna@example.com"])
    for more in ([], ["--json"], ["--identities", "none"], ["--log-level", "debug"]):
        done = segctl("members", "--find", text, *more)
        assert (text in done.out, "anna" in done.out + done.err) == (True, False)
    assert "anna@example.com" in on_terminal("members", "--find", text).out


@pytest.mark.usefixtures("applied")
def test_a_hash_of_nobody_says_so(segctl: Segctl, workspace: Path) -> None:
    [text] = hashes_of(workspace, ["anna@example.com"])
    done = segctl("members", "--find", text, "0" * 10)
    assert done.out.endswith(f"#{'0' * 10}: no recorded or desired member\n")
    assert "A hash belongs to one workspace and environment" in done.err
    document = json.loads(segctl("members", "--find", text, "0" * 10, "--json").out)
    assert [m["hash"] for m in document["members"]] == [text]
    assert document["not_found"] == ["0" * 10]


@pytest.mark.usefixtures("applied")
def test_a_hash_finds_a_guid_and_a_user_in_quarantine(segctl: Segctl, workspace: Path) -> None:
    (workspace / "stream.txt").write_text(
        "Error Type\tCustomer Segment ID\tUser Identity\n"
        "API_SEGMENT_ID_MISMATCH\tsilver\tuser01@example.com\n",
        encoding="utf-8",
    )
    assert segctl("rejects", "load", "stream.txt").code == 0
    refused = segctl("rejects", "list").out.split()[-1]
    assert "CleverTap refused" in segctl("members", "silver", "--find", refused).out
    guid = segctl("members", "council").out.split()[0]
    assert "guid" in segctl("members", "--find", guid, "--identities", "full").out


@pytest.mark.usefixtures("applied")
def test_a_list_in_other_forms_takes_a_user_who_is_found_by_hash_away_too(
    segctl: Segctl, workspace: Path
) -> None:
    manifest = TIERS.replace("path: out.txt}", "path: out.txt, normalize: [lower]}")
    (workspace / "tiers.yaml").write_text(manifest, encoding="utf-8")
    (workspace / "out.txt").write_text("USER01@example.com\n", encoding="utf-8")
    [text] = hashes_of(workspace, ["user01@example.com"])
    found = segctl("members", "silver", "--find", text, "--recorded", "--desired").out
    assert "segment.silver: recorded, not desired" in found


def test_user_keys_are_in_full_on_a_terminal(on_terminal: Segctl) -> None:
    assert "anna@example.com\nbert@example.com\n" in on_terminal("members", "gold").out


def test_without_identities_only_the_number_is_printed(segctl: Segctl) -> None:
    assert segctl("members", "gold", "--identities", "none").out == "2\n"
    document = json.loads(segctl("members", "gold", "--identities", "none", "--json").out)
    assert (document["count"], "members" in document) == (2, False)


def test_guids_are_marked_by_a_tab_and_their_kind(segctl: Segctl) -> None:
    assert segctl("members", "council", "--identities", "full").out == "abcde12345\tguid\n"
    document = json.loads(segctl("members", "council", "--identities", "full", "--json").out)
    assert document["members"] == [{"kind": "guid", "value": "abcde12345"}]


def test_a_sample_is_the_same_every_time_and_part_of_a_larger_one(segctl: Segctl) -> None:
    def sample(size: int) -> list[str]:
        done = segctl("members", "silver", "--sample", str(size), "--identities", "full")
        return done.out.split()

    assert sample(5) == sample(5) == sorted(sample(5))
    assert set(sample(5)) < set(sample(9)) < set(sample(100)) == set(SILVER)


def test_an_overlap_counts_the_users_that_two_segments_share(segctl: Segctl) -> None:
    done = segctl("members", "gold", "--overlap", "silver", "coun*", "--json")
    assert [
        (o["other"]["address"], o["shared"], o["percent_of_segment"])
        for o in json.loads(done.out)["overlaps"]
    ] == [("segment.council", 0, 0.0), ("segment.silver", 1, 50.0)]


def test_several_segments_are_compared_with_each_other(segctl: Segctl) -> None:
    done = segctl("members", "gold", "silver", "council", "--overlap")
    assert [line.split()[:2] for line in done.out.splitlines()[1:]] == [
        ["segment.council", "segment.gold"],
        ["segment.council", "segment.silver"],
        ["segment.gold", "segment.silver"],
    ]


def test_an_empty_segment_is_an_empty_list(segctl: Segctl) -> None:
    done = segctl("members", "nobody", "--desired")
    assert (done.code, done.out, done.err) == (0, "", "segment.nobody has no members.\n")
    assert json.loads(segctl("members", "nobody", "--json").out)["members"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["golt"], 64, 'Did you mean "gold"?'),
        (["segment.golt", "--desired"], 64, 'Did you mean "segment.gold"?'),
        (["Gold Users"], 64, "segment.gold is called that in CleverTap."),
        (["gold", "--recorded"], 64, "the state has no segment gold"),
        (["*", "--sample", "1"], 64, "this names 5 segments: segment.best,"),
        (["legacy"], 1, "`members: unmanaged`: segctl does not know its members"),
        ([], 64, "name a segment"),
        (["gold", "--count", "--sample", "2"], 64, "--count and --sample cannot be combined"),
        (["gold", "--overlap", "gold"], 64, "only one segment is named"),
        (["gold", "--overlap", ""], 64, "it is empty"),
        (["--of", " anna@example.com"], 64, "white space around the value"),
        (["--find"], 64, "In a shell, # begins a comment"),
        (["--find", "9f2c"], 64, "a hash of a member is 10 hexadecimal digits"),
        (["--find", "anna@example.com"], 64, "For a user whose key you know, use --of."),
        (["--find", "9f2c1ab07d", "--count"], 64, "--count and --find cannot be combined"),
        (["--find", "9f2c1ab07d"], 1, "there is no state, so no member was shown as a hash"),
    ],
)
def test_a_question_without_an_answer_is_refused(
    segctl: Segctl, arguments: list[str], code: int, message: str
) -> None:
    done = segctl("members", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_a_source_that_cannot_be_read_is_named(segctl: Segctl, workspace: Path) -> None:
    (workspace / "silver.txt").unlink()
    done = segctl("members", "silver")
    assert (done.code, done.out) == (1, "")
    assert "tiers.yaml:7" in done.err
    assert "silver.txt" in done.err


def test_an_invalid_row_is_refused_as_by_a_plan(segctl: Segctl, workspace: Path) -> None:
    (workspace / "silver.txt").write_text("good@example.com\n spaced@example.com\n")
    done = segctl("members", "silver", "--desired")
    assert (done.code, done.out) == (1, "")
    assert "1 row with white space around the value, the first is row 2" in done.err


@pytest.mark.usefixtures("applied")
def test_the_segments_of_a_user_are_reported_with_reasons(segctl: Segctl, workspace: Path) -> None:
    move_on(workspace)
    done = segctl("members", "--of", "user00@example.com")
    assert "segment.silver: recorded, not desired, an apply removes the user\n" in done.out
    assert "    no source has this user\n" in done.out
    done = segctl("members", "--of", "new@example.com")
    assert "segment.silver: not recorded, desired, an apply adds the user\n" in done.out
    assert "    in silver.txt (tiers.yaml:7:7)\n" in done.out


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("user03@example.com", "segment.silver: not desired (is suppressed)\n"),
        ("user07@example.com", "    excluded by out.txt (tiers.yaml:9:7)\n"),
    ],
)
def test_why_a_user_is_left_out_is_reported(segctl: Segctl, user: str, reason: str) -> None:
    assert reason in segctl("members", "silver", "--of", user, "--desired").out


def test_every_member_of_a_list_is_found_by_its_key(segctl: Segctl) -> None:
    members = set(segctl("members", "best", "--identities", "full").out.split())
    for user in [*USERS, "anna@example.com", "bert@example.com"]:
        done = segctl("members", "best", "--of", user, "--json")
        found = json.loads(done.out)["segments"]
        assert any(s["desired"] for s in found) == (user in members)


def test_a_user_key_is_repeated_nowhere(
    segctl: Segctl, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGCTL_TRACEBACK", "1")
    done = segctl("members", "--of", "user05@example.com", "--log-level", "debug")
    assert "user05" not in done.out + done.err
    (workspace / "silver.txt").unlink()
    done = segctl("members", "--of", "user05@example.com", "--log-level", "debug")
    assert done.code == 1
    assert "user05" not in done.out + done.err


def test_a_user_key_can_come_from_standard_input(workspace: Path) -> None:
    done = subprocess.run(
        [*ENTRY, "members", "--of", "-", "-C", str(workspace), "--desired"],
        input="anna@example.com\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "segment.gold: desired\n" in done.stdout


def test_a_closed_pipe_ends_a_list_cleanly(workspace: Path) -> None:
    (workspace / "silver.txt").write_text("".join(f"user{n}\n" for n in range(1, 200_000)))
    command = [*ENTRY, "members", "silver", "-C", str(workspace), "--identities", "full"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read().decode()
        assert process.wait(timeout=60) == 0
    assert "Error" not in errors


def test_what_a_terminal_or_a_runner_would_obey_is_escaped(segctl: Segctl, workspace: Path) -> None:
    hostile = ["::stop-commands::x", "##[error]x", "a\u202eb", 'q"\\', "ünï"]
    (workspace / "silver.jsonl").write_text(
        "".join(json.dumps({"identity": value}) + "\n" for value in hostile), encoding="utf-8"
    )
    manifest = TIERS.replace("silver.txt", "silver.jsonl")
    (workspace / "tiers.yaml").write_text(manifest, encoding="utf-8")
    lines = segctl("members", "silver", "--identities", "full").out.splitlines()
    assert "a\\u202eb" in lines
    assert not any(line.startswith(("::", "##[")) for line in lines)
    document = segctl("members", "silver", "--identities", "full", "--json").out
    assert sorted(m["value"] for m in json.loads(document)["members"]) == sorted(hostile)
    assert document.isascii()
    assert "##[" not in document


@pytest.mark.usefixtures("applied")
def test_the_state_of_another_account_is_not_compared(
    segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEVERTAP_ACCOUNT_ID", "OTHER")
    done = segctl("members", "silver", "--recorded", "--desired")
    assert done.code == 1
    assert "the state belongs to account" in done.err


def test_desired_members_need_no_state(segctl: Segctl, workspace: Path) -> None:
    (workspace / "segctl.state.json").write_text("damaged", encoding="utf-8")
    assert segctl("members", "silver", "--count", "--desired").out == f"{len(SILVER)}\n"
    assert segctl("members", "silver", "--count").code == 1


def test_nothing_is_written(segctl: Segctl, workspace: Path) -> None:
    before = sorted(workspace.iterdir())
    segctl("members", "silver")
    assert sorted(workspace.iterdir()) == before


@pytest.mark.usefixtures("applied")
def test_a_segment_whose_manifest_was_renamed_keeps_its_recorded_members(
    segctl: Segctl, workspace: Path
) -> None:
    file = workspace / "gold.yaml"
    renamed = file.read_text(encoding="utf-8").replace("name: gold", "name: golden")
    file.write_text(renamed, encoding="utf-8")
    tiers = workspace / "tiers.yaml"
    tiers.write_text(tiers.read_text(encoding="utf-8").replace(": gold", ": golden"))
    done = segctl("members", "golden", "--count")
    assert (done.out, done.err) == ("2\n", "")


@pytest.mark.usefixtures("applied")
def test_members_of_a_segment_without_a_manifest_are_still_recorded(
    segctl: Segctl, workspace: Path
) -> None:
    (workspace / "tiers.yaml").unlink()
    assert segctl("members", "silver", "--count").out == f"{len(SILVER)}\n"
    assert segctl("members", "silver", "--desired").code == 64
