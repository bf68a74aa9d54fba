"""An encrypted state: who has no key reads nothing, changes nothing, and is told why."""

import base64
from pathlib import Path

import pytest

from tests.cli.conftest import PROJECT, Segctl

KEY, OLD = (base64.b64encode(letter * 32).decode() for letter in (b"k", b"o"))
SETTINGS = "spec: {{provider: {{settleSeconds: 0}}, state: {{encryption: {}}}}}\n"
NAMES = (b"anna", b"bert", b"abcde12345", b"Council", b"member_key")


@pytest.fixture
def encrypted(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_KEY", KEY)
    configure(workspace, "{key: {env: STATE_KEY}}")
    return workspace


def configure(workspace: Path, encryption: str) -> None:
    (workspace / "segctl.yaml").write_text(PROJECT + SETTINGS.format(encryption), encoding="utf-8")


def in_the_clear(workspace: Path) -> list[str]:
    """Return the files of state and plans in which a member or a name can be read."""
    files = [f for f in workspace.rglob("*") if f.is_file() and f.suffix not in (".yaml", ".lock")]
    return [f.name for f in files if any(name in f.read_bytes() for name in NAMES)]


@pytest.mark.usefixtures("emulator")
def test_neither_state_nor_plans_show_a_member(encrypted: Path, segctl: Segctl) -> None:
    assert segctl("plan", "--out", "first.plan").code == 0
    assert segctl("apply", "first.plan", "--auto-approve").code == 0
    assert in_the_clear(encrypted) == []
    assert "member_key" in segctl("state", "pull").out
    assert "No changes" in segctl("plan").out
    assert segctl("state", "fsck").code == 0
    assert "Gold Users" in segctl("state", "pull").out
    assert "Gold Users" in segctl("show", "first.plan").out


@pytest.mark.usefixtures("emulator")
def test_without_the_key_nothing_is_read_or_written(
    encrypted: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert segctl("apply", "--auto-approve").code == 0
    head = (encrypted / "segctl.state.json").read_bytes()
    for key, problem in (
        ("", "STATE_KEY is not set, and spec.state.encryption needs it"),
        ("abc", "STATE_KEY does not give a key"),
        (OLD, "is not among the keys of this run"),
    ):
        monkeypatch.setenv("STATE_KEY", key)
        for command in (["plan"], ["apply", "--auto-approve"], ["state", "list"]):
            done = segctl(*command)
            assert done.code == 1
            assert problem in done.err
            assert not key or key not in done.err
    configure(encrypted, "{oldKeys: [{env: STATE_KEY}]}")
    monkeypatch.setenv("STATE_KEY", OLD)
    assert "is encrypted with the key" in segctl("plan").err
    (encrypted / "segctl.yaml").write_text(PROJECT, encoding="utf-8")
    assert "is encrypted with the key" in segctl("apply", "--auto-approve").err
    assert (encrypted / "segctl.state.json").read_bytes() == head


@pytest.mark.usefixtures("emulator")
def test_a_changed_plan_and_one_of_another_key_are_refused(
    encrypted: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = encrypted / "saved.plan"
    assert segctl("plan", "--out", "saved.plan").code == 0
    sealed = plan.read_bytes()
    plan.write_bytes(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    done = segctl("apply", "saved.plan", "--auto-approve")
    assert done.code == 1
    assert "saved.plan was damaged or changed after it was encrypted" in done.err
    plan.write_bytes(sealed)
    monkeypatch.setenv("STATE_KEY", OLD)
    assert "is encrypted with the key" in segctl("apply", "saved.plan", "--auto-approve").err
    assert not (encrypted / "segctl.state.json").exists()


@pytest.mark.usefixtures("emulator")
def test_a_plan_that_is_not_encrypted_is_refused_if_that_is_enforced(
    workspace: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "segctl.yaml").write_text(PROJECT, encoding="utf-8")
    assert segctl("plan", "--out", "saved.plan").code == 0
    monkeypatch.setenv("STATE_KEY", KEY)
    configure(workspace, "{key: {env: STATE_KEY}, enforced: true}")
    done = segctl("apply", "saved.plan", "--auto-approve")
    assert done.code == 1
    assert "saved.plan is not encrypted" in done.err


@pytest.mark.usefixtures("emulator")
def test_the_first_apply_with_a_new_key_writes_everything_with_it(
    encrypted: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert segctl("apply", "--auto-approve").code == 0
    monkeypatch.setenv("OLD_KEY", KEY)
    monkeypatch.setenv("STATE_KEY", OLD)
    configure(encrypted, "{key: {env: STATE_KEY}, oldKeys: [{env: OLD_KEY}], enforced: true}")
    (encrypted / "more.yaml").write_text(
        "apiVersion: segctl/v1\nkind: Segment\nmetadata: {name: more}\n"
        "spec: {displayName: More, members: [{identities: [anna]}]}\n",
        encoding="utf-8",
    )
    assert segctl("apply", "--auto-approve").code == 0
    monkeypatch.delenv("OLD_KEY")
    configure(encrypted, "{key: {env: STATE_KEY}, enforced: true}")
    assert "No changes" in segctl("plan", "--reread").out
    assert segctl("state", "list").out.split() == [
        "segment.council",
        "segment.gold",
        "segment.more",
    ]


@pytest.mark.usefixtures("emulator")
def test_a_state_from_before_is_encrypted_by_the_next_apply(
    workspace: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert segctl("apply", "--auto-approve").code == 0
    monkeypatch.setenv("STATE_KEY", KEY)
    configure(workspace, "{key: {env: STATE_KEY}, enforced: true}")
    done = segctl("plan")
    assert done.code == 1
    assert "the state is not encrypted, and spec.state.encryption.enforced is set" in done.err
    configure(workspace, "{key: {env: STATE_KEY}}")
    assert segctl("state", "mv", "segment.gold", "segment.moved").code == 0
    assert segctl("state", "mv", "segment.moved", "segment.gold").code == 0
    configure(workspace, "{key: {env: STATE_KEY}, enforced: true}")
    assert "No changes" in segctl("plan", "--reread").out


@pytest.mark.usefixtures("emulator")
def test_a_program_can_give_the_key(workspace: Path, segctl: Segctl) -> None:
    configure(workspace, f"{{key: {{command: [printf, '{KEY}']}}}}")
    assert segctl("apply", "--auto-approve").code == 0
    assert in_the_clear(workspace) == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("[no-such-program]", "the key command no-such-program cannot be run: no such file"),
        ("[sh, -c, 'echo secret >&2; exit 3']", "the key command sh failed with exit code 3"),
        ("[printf, c2VjcmV0]", "the key command does not give a key"),
    ],
)
def test_a_program_that_gives_no_key_is_an_error(
    workspace: Path, segctl: Segctl, command: str, problem: str
) -> None:
    configure(workspace, f"{{key: {{command: {command}}}}}")
    done = segctl("plan")
    assert done.code == 1
    assert problem in done.err
    assert "secret" not in done.err.replace(command, "")


def test_a_pull_request_runs_no_key_command(
    workspace: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_REF", "refs/pull/1/merge")
    configure(workspace, "{key: {command: [touch, ran]}}")
    assert "the key command is not run in a pull request" in segctl("state", "list").err
    assert not (workspace / "ran").exists()


@pytest.mark.parametrize(
    "encryption",
    [
        "{}",
        "{enforced: true}",
        "{key: {}}",
        "{key: {env: A, command: [b]}}",
        "{key: {command: []}}",
        "{key: text}",
        "{oldKeys: [{}]}",
        "text",
        "{keys: {env: A}}",
        "{key: {env: A}, other: 1}",
        "[]",
    ],
)
def test_settings_that_name_no_key_are_an_error_of_every_command(
    workspace: Path, segctl: Segctl, encryption: str
) -> None:
    configure(workspace, encryption)
    for command in ("validate", "plan", "state list"):
        done = segctl(*command.split())
        assert done.code == 1, (command, done.out)
        assert "segctl.yaml:4:" in done.err


@pytest.mark.usefixtures("emulator")
def test_a_plan_says_in_which_environment_it_was_encrypted(
    workspace: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "segctl.yaml").write_text(
        PROJECT
        + "spec:\n  environments:\n"
        + "    a: {state: {path: a, encryption: {key: {env: KEY_A}}}}\n"
        + "    b: {state: {path: b, encryption: {key: {env: KEY_B}}}}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("KEY_B", KEY)
    assert segctl("plan", "-e", "b", "--out", "b.plan").code == 0
    assert segctl("apply", "b.plan", "--auto-approve").code == 0
    assert (workspace / "b/segctl.state.json").exists()


@pytest.mark.usefixtures("emulator")
def test_an_apply_without_changes_encrypts_a_state_from_before(
    workspace: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert segctl("apply", "--auto-approve").code == 0
    monkeypatch.setenv("STATE_KEY", KEY)
    configure(workspace, "{key: {env: STATE_KEY}}")
    assert segctl("apply", "--auto-approve").code == 0
    configure(workspace, "{key: {env: STATE_KEY}, enforced: true}")
    assert "No changes" in segctl("plan", "--reread").out
    assert segctl("state", "fsck").code == 0


@pytest.mark.usefixtures("emulator")
def test_an_environment_is_encrypted_as_the_project_says(
    workspace: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_KEY", KEY)
    (workspace / "segctl.yaml").write_text(
        PROJECT
        + "spec:\n  state: {encryption: {key: {env: STATE_KEY}, enforced: true}}\n"
        + "  environments: {a: {state: {path: a}}, b: {state: {path: b}}}\n",
        encoding="utf-8",
    )
    assert segctl("apply", "-e", "a", "--auto-approve").code == 0
    assert in_the_clear(workspace) == []


def test_environments_within_each_other_are_an_error(workspace: Path, segctl: Segctl) -> None:
    state = "{{backend: objectStore, url: 's3://b/{}'}}"
    (workspace / "segctl.yaml").write_text(
        PROJECT
        + "spec:\n  environments:\n"
        + f"    a: {{state: {state.format('x')}}}\n    b: {{state: {state.format('x//')}}}\n"
        + f"    c: {{state: {state.format('x/journals')}}}\n",
        encoding="utf-8",
    )
    done = segctl("validate")
    assert done.code == 1
    assert "the environments a and b have the same state" in done.err
    assert "the states of a and c are in each other's folder" in done.err
