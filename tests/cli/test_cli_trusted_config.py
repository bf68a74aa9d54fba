"""What a pull request adds to segctl.yaml does not count: programs, folders, databases, hosts."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import PROJECT, Segctl, run_git

REACH = {
    "allowCommands": ("[cat]", '5:19: error: allowCommands has "cat", which {} does not have.'),
    "allowFolders": ("[..]", '5:18: error: allowFolders has "..", which {} does not have.'),
    "connections": ("{shop: {env: HOME}}", "5:23: error: connections.shop is not as in {}."),
    "provider": ("{region: us1}", "5:22: error: provider.region is not as in {}."),
    "state": ("{path: ../x}", "5:10: error: state is not as in {}."),
    "queries": ("{memory: 900GB}", "5:12: error: queries is not as in {}."),
}


@pytest.fixture
def checkout(workspace: Path) -> Path:
    """A checkout whose branch origin/main has the workspace."""
    run_git(workspace, "init", "-q")
    run_git(workspace, "add", "-A")
    run_git(workspace, "commit", "-q", "-m", "first")
    run_git(workspace, "update-ref", "refs/remotes/origin/main", "HEAD")
    return workspace


@pytest.fixture
def pull_request(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in the job of a pull request on GitHub."""
    event = checkout.parent / f"{checkout.name}-event.json"
    event.write_text(json.dumps({"repository": {"default_branch": "main"}}), encoding="utf-8")
    monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    return checkout


def set_spec(root: Path, name: str, value: str) -> None:
    (root / "segctl.yaml").write_text(f"{PROJECT}spec:\n  {name}: {value}\n", encoding="utf-8")


def add_command(root: Path, program: str = "cat") -> None:
    with (root / "gold.yaml").open("a", encoding="utf-8") as stream:
        stream.write(f"    - command: {{run: [{program}, m.txt], format: txt}}\n")
    (root / "m.txt").write_text("carl\n", encoding="utf-8")


def test_a_branch_cannot_allow_plain_http(pull_request: Path, segctl: Segctl) -> None:
    set_spec(pull_request, "provider", "{allowPlainHttp: true}")
    done = segctl("plan")
    assert done.code == 1
    assert "provider.allowPlainHttp is not as in origin/main:segctl.yaml." in done.err


@pytest.mark.parametrize(("name", "value", "expected"), [(n, *v) for n, v in REACH.items()])
def test_what_the_default_branch_does_not_have_refuses_a_plan(
    name: str, value: str, expected: str, pull_request: Path, segctl: Segctl
) -> None:
    assert segctl("plan").code == 0
    set_spec(pull_request, name, value)
    for command in (["plan"], ["apply", "--auto-approve"]):
        done = segctl(*command)
        assert (done.code, done.out) == (1, "")
        assert f"segctl.yaml:{expected.format('origin/main:segctl.yaml')}" in done.err
        assert "until then, plans are refused" in done.err
    done = segctl("validate")
    assert done.code == 0
    assert expected.format("origin/main:segctl.yaml").replace("error", "warning") in done.err


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, (v, _) in REACH.items()])
def test_what_the_trusted_copy_has_counts(
    name: str, value: str, checkout: Path, segctl: Segctl
) -> None:
    set_spec(checkout, name, value)
    run_git(checkout, "commit", "-aqm", "second")
    assert segctl("validate", "--trusted-config", "HEAD").err == ""
    assert segctl("plan", "--trusted-config", "HEAD").code == 0
    assert segctl("plan", "--trusted-config", "origin/main").code == 1
    assert segctl("plan").code == 0


def test_a_trusted_program_runs_for_a_pull_request(pull_request: Path, segctl: Segctl) -> None:
    set_spec(pull_request, "allowCommands", "[cat]")
    add_command(pull_request)
    assert "not-trusted" in segctl("validate", "--json").out
    run_git(pull_request, "commit", "-aqm", "second")
    run_git(pull_request, "update-ref", "refs/remotes/origin/main", "HEAD")
    done = segctl("plan")
    assert done.code == 0
    assert "4 to add" in done.out


def test_a_program_in_the_checkout_does_not_run_for_a_pull_request(
    pull_request: Path, segctl: Segctl
) -> None:
    program = pull_request / "run.sh"
    program.write_text("#!/bin/sh\ntouch ran\n", encoding="utf-8")
    program.chmod(0o755)
    set_spec(pull_request, "allowCommands", "[./run.sh]")
    add_command(pull_request, "./run.sh")
    run_git(pull_request, "commit", "-aqm", "second")
    run_git(pull_request, "update-ref", "refs/remotes/origin/main", "HEAD")
    done = segctl("plan")
    assert done.code == 1
    assert "the program ./run.sh is in the checkout, so it is not run" in done.err
    assert not (pull_request / "ran").exists()


def test_a_link_to_a_program_does_not_run_for_a_pull_request(
    pull_request: Path, segctl: Segctl
) -> None:
    (pull_request / "run").symlink_to("/bin/cat")
    set_spec(pull_request, "allowCommands", "[./run]")
    add_command(pull_request, "./run")
    run_git(pull_request, "commit", "-aqm", "second")
    run_git(pull_request, "update-ref", "refs/remotes/origin/main", "HEAD")
    done = segctl("plan")
    assert done.code == 1
    assert "the program ./run is in the checkout, so it is not run" in done.err


@pytest.mark.parametrize("kind", ["tag", "branch"])
def test_a_tag_or_branch_of_the_same_name_is_not_taken(
    kind: str, checkout: Path, segctl: Segctl
) -> None:
    set_spec(checkout, "allowFolders", "[..]")
    run_git(checkout, "commit", "-aqm", "second")
    run_git(checkout, kind, "origin/main")
    assert segctl("plan", "--trusted-config", "origin/main").code == 1


@pytest.mark.parametrize("kind", ["tag", "branch"])
def test_a_pull_request_takes_the_branch_of_the_remote_alone(
    kind: str, pull_request: Path, segctl: Segctl
) -> None:
    """The checkout does not have it, and the branch brings a tag of that name."""
    set_spec(pull_request, "allowCommands", "[cat]")
    add_command(pull_request)
    run_git(pull_request, "commit", "-aqm", "second")
    run_git(pull_request, "update-ref", "-d", "refs/remotes/origin/main")
    run_git(pull_request, kind, "origin/main")
    done = segctl("plan")
    assert done.code == 1
    assert "the program cat is not run for a pull request" in done.err


@pytest.mark.parametrize("name", ["^main", "main@{1}", "..."])
@pytest.mark.usefixtures("checkout")
def test_an_odd_name_is_no_revision(name: str, segctl: Segctl) -> None:
    done = segctl("plan", f"--trusted-config={name}")
    assert done.code == 1
    assert f"git does not know the revision {name}" in done.err


def test_a_setting_that_is_missing_refuses_a_plan(checkout: Path, segctl: Segctl) -> None:
    set_spec(checkout, "queries", "{timeoutSeconds: 5}")
    run_git(checkout, "commit", "-aqm", "second")
    (checkout / "segctl.yaml").write_text(PROJECT, encoding="utf-8")
    done = segctl("plan", "--trusted-config", "HEAD")
    assert done.code == 1
    assert "queries is missing here, and HEAD:segctl.yaml has it" in done.err


def test_an_empty_name_of_a_copy_is_an_error(
    segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGCTL_TRUSTED_CONFIG", "")
    done = segctl("plan")
    assert done.code == 64
    assert "SEGCTL_TRUSTED_CONFIG is empty" in done.err


def test_a_revision_needs_a_repository(segctl: Segctl) -> None:
    done = segctl("plan", "--trusted-config", "origin/main")
    assert done.code == 1
    assert "origin/main is a revision, but this folder is in no git repository" in done.err


@pytest.mark.parametrize("kind", ["program", "folder", "database"])
def test_without_the_default_branch_a_pull_request_reaches_no_further(
    kind: str,
    workspace: Path,
    segctl: Segctl,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources = {
        "program": ("allowCommands", "[cat]", "command: {run: [cat, m.txt], format: txt}"),
        "folder": ("allowFolders", "[..]", "file: {path: ../m.txt}"),
        "database": (
            "connections",
            "{shop: {env: SHOP}}",
            "postgres: {connection: shop, table: users}",
        ),
    }
    name, value, source = sources[kind]
    set_spec(workspace, name, value)
    with (workspace / "gold.yaml").open("a", encoding="utf-8") as stream:
        stream.write(f"    - {source}\n")
    (workspace / "m.txt").write_text("carl\n", encoding="utf-8")
    monkeypatch.setenv("CI_PIPELINE_SOURCE", "merge_request_event")
    monkeypatch.setenv("SHOP", "postgresql://127.0.0.1:9/x")
    assert segctl("validate").code == 0
    done = segctl("plan")
    assert done.code == 1
    assert "for a pull request, which could allow anything in its own segctl.yaml" in done.err
    assert "`git fetch origin main:refs/remotes/origin/main`" in done.err


def test_the_variables_of_the_copy_have_its_own_defaults(checkout: Path, segctl: Segctl) -> None:
    text = (
        f"{PROJECT}spec:\n  variables: {{dir: {{default: %s}}}}\n  allowFolders: ['${{var.dir}}']\n"
    )
    project = checkout / "segctl.yaml"
    project.write_text(text % "../a", encoding="utf-8")
    run_git(checkout, "commit", "-aqm", "second")
    project.write_text(text % "/", encoding="utf-8")
    done = segctl("plan", "--trusted-config", "HEAD")
    assert done.code == 1
    assert 'allowFolders has "/", which HEAD:segctl.yaml does not have' in done.err
    assert segctl("plan", "--trusted-config", "HEAD", "--var", "dir=/").code == 0


def test_a_copy_in_a_file_is_outside_of_the_workspace(
    workspace: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = workspace.parent / f"{workspace.name}-trusted.yaml"
    outside.write_text(PROJECT, encoding="utf-8")
    assert segctl("plan", "--trusted-config", f"../{outside.name}").code == 0
    monkeypatch.setenv("SEGCTL_TRUSTED_CONFIG", str(outside))
    set_spec(workspace, "allowFolders", "[..]")
    assert segctl("plan").code == 1
    done = segctl("plan", "--trusted-config", "./segctl.yaml")
    assert done.code == 1
    assert "./segctl.yaml is in the checkout, where a branch can change it" in done.err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "git does not know the revision nowhere of the trusted copy"),
        ("--help", "git does not know the revision --help of the trusted copy"),
        ("HEAD:gold.yaml", "git does not know the revision HEAD:gold.yaml of the trusted copy"),
        ("~nobody-at-all/x", "cannot be read: there is no such home folder"),
        ("../nothing.yaml", "the trusted copy ../nothing.yaml cannot be read: no such file"),
        ("../", "the trusted copy ../ cannot be read: is a directory"),
    ],
)
@pytest.mark.usefixtures("checkout")
def test_a_copy_that_is_not_there_is_an_error(name: str, said: str, segctl: Segctl) -> None:
    done = segctl("plan", f"--trusted-config={name}")
    assert done.code == 1
    assert said in done.err


def test_a_file_of_a_branch_is_not_taken_for_a_revision(checkout: Path, segctl: Segctl) -> None:
    set_spec(checkout, "allowFolders", "[..]")
    (checkout / "origin").mkdir()
    (checkout / "origin" / "main").write_bytes((checkout / "segctl.yaml").read_bytes())
    assert segctl("plan", "--trusted-config", "origin/main").code == 1


@pytest.mark.usefixtures("checkout", "emulator")
def test_an_apply_takes_a_copy(segctl: Segctl) -> None:
    assert segctl("apply", "--auto-approve", "--trusted-config", "origin/main").code == 0
    assert segctl("state", "list").code == 0
