"""The doctor: what it finds, how it says it, and that it changes, sends and reveals nothing."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from segctl.backends.local import LocalBackend
from segctl.cli.main import execute
from segctl.core.clock import SystemClock
from segctl.core.health import Check, Status
from segctl.workflows import doctor_machine as machine
from segctl.workflows import doctor_service as service
from tests.cli.conftest import run_git

Segctl = Callable[..., Any]

SECRET = "s3cret"


def checks(segctl: Segctl, topic: str, *options: str) -> list[tuple[str, str]]:
    """Return status and summary of each check of a topic."""
    found = json.loads(segctl("doctor", "--json", *options).out)["checks"]
    return [(each["status"], each["summary"]) for each in found if each["topic"] == topic]


def test_a_sound_workspace_has_no_problem(segctl: Segctl) -> None:
    done = segctl("doctor")
    assert done.code == 0
    assert "ok       workspace         valid, segments: 2, files: 2\n" in done.out
    assert done.out.endswith("\n0 problems, 2 warnings.\n")


def test_a_folder_without_a_workspace_is_examined_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["doctor", "-C", str(tmp_path)]) == 0
    assert "so no workspace is checked" in capsys.readouterr().out


@pytest.mark.usefixtures("emulator")
def test_it_changes_nothing_and_sends_nothing(
    segctl: Segctl, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segctl("apply", "--auto-approve")
    monkeypatch.setenv("CLEVERTAP_BASE_URL", "http://127.0.0.1:1")  # nobody listens
    before = {p: p.stat().st_mtime_ns for p in workspace.rglob("*") if p.is_file()}
    assert segctl("doctor").code == 0
    assert {p: p.stat().st_mtime_ns for p in workspace.rglob("*") if p.is_file()} == before


@pytest.mark.usefixtures("emulator")
def test_a_state_is_named_and_in_time(segctl: Segctl, workspace: Path) -> None:
    segctl("apply", "--auto-approve")
    (state,) = checks(segctl, "state")
    assert state[1].endswith("segments: 2, in this workspace; segctl.lock.yaml names it")
    assert checks(segctl, "clock")[0][0] == "ok"
    (workspace / "segctl.lock.yaml").unlink()
    assert checks(segctl, "state")[0][0] == "warning"
    os.utime(workspace / "segctl.state.json", (4e9, 4e9))
    assert checks(segctl, "clock")[0][0] == "problem"


@pytest.mark.usefixtures("emulator")
def test_a_damaged_or_missing_state_is_a_problem(segctl: Segctl, workspace: Path) -> None:
    segctl("apply", "--auto-approve")
    (workspace / "segctl.state.json").write_text("{", encoding="utf-8")
    assert checks(segctl, "state")[0][0] == "problem"
    (workspace / "segctl.state.json").unlink()
    shutil.rmtree(workspace / "segctl.state.d")
    assert checks(segctl, "state")[0][0] == "problem"


@pytest.mark.usefixtures("emulator")
def test_a_head_that_is_older_than_its_history_is_a_problem(
    segctl: Segctl, workspace: Path
) -> None:
    segctl("apply", "--auto-approve")
    head = workspace / "segctl.state.json"
    older = head.read_bytes()
    (workspace / "gold.yaml").unlink()
    segctl("apply", "--auto-approve")
    head.write_bytes(older)
    ((status, summary),) = checks(segctl, "state")
    assert (status, "older than its own history" in summary) == ("problem", True)


def test_the_holder_of_the_lock_is_named_with_the_way_out(segctl: Segctl, workspace: Path) -> None:
    backend = LocalBackend(workspace, clock=SystemClock())
    with backend.lock(command="segctl apply", timeout=0) as holder:
        ((status, summary),) = checks(segctl, "lock")
    assert (status, f"lock ID {holder.id}" in summary) == ("warning", True)
    assert checks(segctl, "lock") == [("ok", "no run holds it")]


def test_what_is_wrong_in_the_manifests_is_a_problem(segctl: Segctl, workspace: Path) -> None:
    (workspace / "gold.yaml").write_text("kind: [", encoding="utf-8")
    done = segctl("doctor")
    assert (done.code, "the workspace is not valid, errors: 1" in done.out) == (1, True)
    assert "`segctl validate` lists them." in done.out


def test_git_is_asked_about_the_state_and_the_lock_file(segctl: Segctl, workspace: Path) -> None:
    assert checks(segctl, "git")[0][0] == "warning"
    run_git(workspace, "init", "-q")
    assert [status for status, _ in checks(segctl, "git")] == ["ok", "problem", "problem"]
    (workspace / ".gitignore").write_text("segctl.state.json\nsegctl.state.d/\n", encoding="utf-8")
    assert [status for status, _ in checks(segctl, "git")] == ["ok", "ok", "ok"]
    (workspace / "segctl.lock.yaml").write_text("states: {}\n", encoding="utf-8")
    assert checks(segctl, "git")[0][0] == "warning"
    run_git(workspace, "add", ".")
    run_git(workspace, "commit", "-qm", "x")
    assert checks(segctl, "git")[0] == ("ok", "segctl.lock.yaml is committed")


def test_extras_and_connections_that_the_workspace_needs_are_checked(
    segctl: Segctl, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace / "segctl.yaml").write_text(
        "apiVersion: segctl/v1\nkind: Project\nmetadata: {name: t}\n"
        "spec: {connections: {dwh: {env: DWH_URL}}}\n",
        encoding="utf-8",
    )
    (workspace / "more.yaml").write_text(
        "apiVersion: segctl/v1\nkind: Segment\nmetadata: {name: more}\n"
        "spec:\n  displayName: More\n  members:\n"
        "    - postgres: {connection: dwh, table: users, column: id}\n"
        "    - file: {path: 's3://b/a.csv', column: id}\n",
        encoding="utf-8",
    )
    assert checks(segctl, "connection dwh") == [("warning", "DWH_URL is not set")]
    find = metadata.version

    def version(name: str) -> str:
        if name in {"psycopg", "obstore"}:
            raise metadata.PackageNotFoundError(name)
        return find(name)

    monkeypatch.setattr(metadata, "version", version)
    assert checks(segctl, "extra postgres") == [
        ("problem", "psycopg is not installed; needed for the source at more.yaml:7:7")
    ]
    assert checks(segctl, "extra remote")[0][0] == "problem"


def test_no_secret_is_printed(segctl: Segctl, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "CLEVERTAP_ACCOUNT_ID": f"{SECRET}\n",
        "CLEVERTAP_PASSCODE": SECRET,
        "CLEVERTAP_BASE_URL": f"https://me:{SECRET}@in1.api.clevertap.com",
        "HTTPS_PROXY": f"http://me:{SECRET}@proxy:8080",
        "ALL_PROXY": f"http://me:{SECRET}@proxy:eighty",
    }.items():
        monkeypatch.setenv(name, value)
    done = segctl("doctor")
    assert (done.code, SECRET in done.out + done.err) == (1, False)
    assert "HTTPS_PROXY is proxy:8080" in done.out


@pytest.mark.parametrize(
    ("environment", "status"),
    [
        ({}, Status.WARNING),
        ({"CLEVERTAP_ACCOUNT_ID": "a"}, Status.WARNING),
        ({"CLEVERTAP_ACCOUNT_ID": "a", "CLEVERTAP_PASSCODE": "b"}, Status.OK),
        ({"CLEVERTAP_ACCOUNT_ID": "a", "CLEVERTAP_PASSCODE": "b\n"}, Status.PROBLEM),
        ({"CLEVERTAP_ACCOUNT_ID": "ä", "CLEVERTAP_PASSCODE": "b"}, Status.PROBLEM),
    ],
)
def test_credentials_are_set_and_can_be_sent(environment: dict[str, str], status: Status) -> None:
    assert service.check_credentials(environment).status is status


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("https://eu1.api.clevertap.com", Status.OK),
        ("http://127.0.0.1:8787", Status.OK),
        ("", Status.OK),
        ("http://in1.api.clevertap.com", Status.PROBLEM),
        ("https://in1.api.clevertap.com.evil.example", Status.WARNING),
        ("https://evilclevertap.com", Status.WARNING),
        ("https://in1.api.clevertap.com\n", Status.PROBLEM),
        ("in1.api.clevertap.com", Status.PROBLEM),
    ],
)
def test_the_service_is_one_that_may_get_the_passcode(url: str, status: Status) -> None:
    assert service.check_base_url({"CLEVERTAP_BASE_URL": url}, "").status is status
    assert service.check_base_url({}, url.strip()).status in {status, Status.OK}


def test_an_address_without_encryption_that_is_allowed_is_warned_of() -> None:
    check = service.check_base_url({}, "http://proxy.internal", allow_plain_http=True)
    assert check.status is Status.WARNING


@pytest.mark.parametrize(
    ("environment", "status"),
    [
        ({"https_proxy": "proxy:3128"}, Status.OK),
        ({"HTTPS_PROXY": "http://"}, Status.PROBLEM),
        ({"HTTPS_PROXY": "http://me:12/x@proxy"}, Status.PROBLEM),
        ({"HTTPS_PROXY": "ftp://proxy:3128"}, Status.PROBLEM),
        ({"ALL_PROXY": "http://proxy:3128\n"}, Status.PROBLEM),
        ({"SSL_CERT_FILE": __file__}, Status.OK),
        ({"SSL_CERT_DIR": "/does/not/exist"}, Status.PROBLEM),
    ],
)
def test_proxies_and_certificates_can_be_used(environment: dict[str, str], status: Status) -> None:
    assert [check.status for check in service.check_network(environment)] == [status]


@pytest.mark.parametrize(("found", "status"), [(None, Status.PROBLEM), (object(), Status.OK)])
def test_a_socks_proxy_needs_its_package(
    monkeypatch: pytest.MonkeyPatch, found: object, status: Status
) -> None:
    monkeypatch.setattr(service, "find_spec", lambda _: found)
    (check,) = service.check_network({"ALL_PROXY": "socks5://proxy:1080"})
    assert check.status is status


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("click>=8", ""),
        ("click>=800,<900", "and segctl needs >=800,<900"),
        ("click<2", "and segctl needs <2"),
        ("nosuchlibrary>=1", "nosuchlibrary is not installed"),
        ("nosuch[binary]>=3.2; extra == 'postgres'", "nosuch is not installed"),
    ],
)
def test_a_library_has_one_of_the_versions_that_are_named(line: str, problem: str) -> None:
    (required,) = machine.read_requirements([line])
    assert required.find_problem().endswith(problem)
    assert bool(required.find_problem()) is bool(problem)


def test_every_requirement_of_segctl_is_read() -> None:
    names = {r.extra for r in machine.read_requirements()}
    assert names == {"", *machine.EXTRAS}
    assert machine.read_requirements(["x>=1; extra == 'dev'"]) == []


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize(
    ("free", "status"), [(1 << 40, Status.OK), (1 << 28, Status.WARNING), (1000, Status.PROBLEM)]
)
def test_space_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: Status
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free))
    assert folder_checks(tmp_path)[0].status is status


def folder_checks(folder: Path, *, is_state: bool = True) -> list[Check]:
    return list(machine.check_folder("x", folder, SystemClock(), is_state=is_state))


def test_a_folder_is_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folder_checks(tmp_path / "none")[0].status is Status.WARNING
    assert folder_checks(tmp_path / "none", is_state=False)[0].status is Status.PROBLEM

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    (check,) = folder_checks(tmp_path)
    assert (check.status, "permission denied" in check.summary) == (Status.PROBLEM, True)


def test_a_state_on_a_network_file_system_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_file_system", lambda _: "nfs4")
    assert [check.status for check in folder_checks(tmp_path)] == [Status.OK, Status.WARNING]
    assert len(folder_checks(tmp_path, is_state=False)) == 1


def test_a_clock_that_differs_from_the_file_system_is_warned_of(tmp_path: Path) -> None:
    class Late(SystemClock):
        def now(self) -> float:
            return super().now() - 7200

    *_, check = machine.check_folder("x", tmp_path, Late(), is_state=True)
    assert (check.topic, check.status) == ("clock", Status.WARNING)
    assert "s behind that of the file system" in check.summary
