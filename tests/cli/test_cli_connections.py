"""What is said before anything is read or sent: credentials, addresses, blanks in variables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segctl.cli.main import execute

Segctl = Callable[..., Any]

UNREADABLE = """\
apiVersion: segctl/v1
kind: Segment
metadata: {name: gone}
spec: {displayName: Gone, members: [file: {path: missing.csv}]}
"""


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "is not set"),
        ("s3cret\n", "contains a line break"),
        ("s\u00e9cret", "contains a space or a special character"),
    ],
)
def test_credentials_are_checked_before_a_source_is_read(
    workspace: Path,
    segctl: Segctl,
    monkeypatch: pytest.MonkeyPatch,
    value: str,
    problem: str,
) -> None:
    (workspace / "gone.yaml").write_text(UNREADABLE, encoding="utf-8")
    monkeypatch.setenv("CLEVERTAP_PASSCODE", value)
    for command in ("apply", "destroy"):
        done = segctl(command, "--auto-approve")
        assert (done.code, done.out) == (1, "")
        assert f"Error: CLEVERTAP_PASSCODE {problem}" in done.err
        assert "missing.csv" not in done.err
        assert "s3cret" not in done.err


def test_an_account_that_cannot_be_sent_is_said_by_a_plan_too(
    segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEVERTAP_ACCOUNT_ID", "ACME\n")
    assert "CLEVERTAP_ACCOUNT_ID contains a line break" in segctl("plan").err


def test_a_plan_needs_no_credentials(segctl: Segctl) -> None:
    assert segctl("plan").code == 0


@pytest.mark.usefixtures("emulator")
def test_refused_credentials_are_said_once(segctl: Segctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEVERTAP_PASSCODE", "n0t-right")
    done = segctl("apply", "--auto-approve")
    assert (done.out + done.err).count("401") == 1
    assert "goes on from" not in done.out + done.err


@pytest.mark.parametrize("command", ["validate", "plan", "apply"])
def test_plain_http_to_another_machine_is_refused_before_anything_is_read(
    segctl: Segctl, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("CLEVERTAP_BASE_URL", "http://in1.api.clevertap.com")
    options = ["--auto-approve"] if command == "apply" else []
    done = segctl(*command.split(), *options)
    assert done.code == 1
    assert "CLEVERTAP_BASE_URL begins with http:// and is not this machine" in done.err + done.out
    assert "set spec.provider.allowPlainHttp: true" in done.err + done.out


def test_plain_http_to_another_machine_is_planned_if_the_workspace_allows_it(
    workspace: Path, segctl: Segctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEVERTAP_BASE_URL", "http://emulator:8787")
    project = workspace / "segctl.yaml"
    project.write_text(
        project.read_text("utf-8") + "spec: {provider: {allowPlainHttp: true}}\n", "utf-8"
    )
    assert segctl("plan").code == 0


@pytest.mark.parametrize(
    "name",
    ["CLEVERTAP_BASE_URL", "SEGCTL_ENV", "SEGCTL_TRUSTED_CONFIG", "SEGCTL_TEMP_DIR"],
)
def test_a_line_break_at_the_end_of_a_variable_is_said(
    segctl: Segctl, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "https://in1.api.clevertap.com\n")
    done = segctl("plan")
    assert done.code in {1, 64}
    assert f"{name} ends in a line break" in done.err
    assert "Remove it: a value that was pasted or read with cat often has one." in done.err


@pytest.mark.parametrize("base_url", ["http://in1.test", "https://in1.test\n"])
@pytest.mark.usefixtures("emulator")
def test_a_probe_refuses_such_addresses_too(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, base_url: str
) -> None:
    monkeypatch.setenv("CLEVERTAP_BASE_URL", base_url)
    folder = tmp_path_factory.mktemp("empty")
    assert execute(["probe", "--yes", "-C", str(folder), "--out", "r"]) == 1
    assert not (folder / "r").exists()
