"""The command: it asks, says what it costs, and leaves a report that shows nothing secret."""

import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from segctl.cli.main import execute
from segctl.emulator.settings import Settings
from segctl.emulator.testing import RunningEmulator, running_emulator
from segctl.probing.report import LIKELY, MOST
from tests.program import ENTRY

ACCOUNT, PASSCODE = "ACC-LIVE-77", "pass-very-secret"


@pytest.fixture(scope="module")
def _server() -> Iterator[RunningEmulator]:
    with running_emulator(accounts={ACCOUNT: PASSCODE}) as running:
        yield running


@pytest.fixture
def emulator(_server: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> RunningEmulator:
    """An empty emulator, slow enough for requests to meet, that the environment names."""
    _server.restart()
    httpx.put(f"{_server.url}/emulator/v1/settings", json={"latency_ms": 5})
    for name, value in _server.environment.items():
        monkeypatch.setenv(name, value)
    return _server


def members(emulator: RunningEmulator) -> int:
    segments = httpx.get(f"{emulator.url}/emulator/v1/segments").json()
    return sum(each["members"] for each in segments)


def add_member(emulator: RunningEmulator, segment: str, identity: str) -> None:
    """Make a segment with one member, as somebody else would."""
    for path, document in (
        ("createSegment", [{"segment_name": "Gold", "customer_segment_id": segment}]),
        (
            "updateSegment",
            {
                "bulk_profiles": [
                    {
                        "user_profiles": [{"identity": identity}],
                        "segments": [{"customer_segment_id": segment, "action": "ADD"}],
                    }
                ]
            },
        ),
    ):
        url = f"{emulator.url}/api/{path}"
        assert httpx.post(url, headers=emulator.headers, json=document).status_code == 200


def probe(folder: Path, *arguments: str) -> int:
    return execute(["probe", *arguments, "-C", str(folder)])


def on_terminal(folder: Path, typed: str) -> tuple[int, str]:
    """Run the command on a terminal, and type; a line of ``typed`` answers one question."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [*ENTRY, "probe", "-C", str(folder)], stdin=end, stdout=end, stderr=end
    )
    os.close(end)
    os.write(terminal, typed.encode())
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # how Linux tells that the other end is closed
            break
    os.close(terminal)
    return process.wait(timeout=30), shown.decode().replace("\r\n", "\n")


def test_a_probe_leaves_a_report_settings_and_the_clients_part_and_shows_nothing_secret(
    emulator: RunningEmulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_member(emulator, "G", "anna@x.org")
    httpx.put(f"{emulator.url}/emulator/v1/settings", json={"limit_counts": "distinct"})
    assert probe(tmp_path, "--yes", "--out", "learned") == 0
    said = "".join(capsys.readouterr())
    settings = json.loads((tmp_path / "learned/emulator-settings.json").read_text("utf-8"))
    assert Settings().changed(settings).limit_counts == "distinct"
    client = (tmp_path / "learned/segctl-provider.yaml").read_text("utf-8")
    provider = "    createBody: array\n    counting: distinct\n"
    assert client == f"# Merge this into segctl.yaml.\nspec:\n  provider:\n{provider}"
    assert client in said
    assert f"--settings {tmp_path / 'learned/emulator-settings.json'}" in said
    report = (tmp_path / "learned/report.md").read_text("utf-8")
    assert "POST /api/createSegment" in report
    assert '"error": "Too many concurrent requests"' in report
    assert re.search(r"\| observed \| per request \| `limit_scope: request` \| [\d, ]+ \|", report)
    secrets = [PASSCODE, ACCOUNT, "anna@x.org", "Gold", "-identity-u"]
    assert [each for each in secrets if each in report] == []
    assert PASSCODE not in said
    assert members(emulator) == 1


def test_what_a_probe_costs_is_said_before_anything_is_sent(
    emulator: RunningEmulator, tmp_path: Path
) -> None:
    code, shown = on_terminal(tmp_path, "no\n")
    assert code == 1
    assert f"This probes the account {ACCOUNT} at {emulator.url.removeprefix('http://')}." in shown
    assert f"creates {LIKELY.segments} segments, or up to {MOST.segments} if" in shown
    assert f"raises up to {MOST.events} billable events" in shown
    assert "Probe cancelled; nothing was sent." in shown
    assert httpx.get(f"{emulator.url}/emulator/v1/segments").json() == []
    assert list(tmp_path.iterdir()) == []


def test_a_probe_asks_before_each_write_until_told_to_ask_no_more(
    emulator: RunningEmulator, tmp_path: Path
) -> None:
    code, shown = on_terminal(tmp_path, "yes\ny\nn\na\n")
    assert code == 0
    assert shown.count("[y]es, [n]o, [a]ll from here on:") == 3
    assert "create the first segment: a bare array (at most 1 segment)" in shown
    segments = httpx.get(f"{emulator.url}/emulator/v1/segments").json()
    assert [each["customer_segment_id"] is None for each in segments] == [False, True]
    assert "cannot tell: not asked: you said no" in shown


def test_without_a_terminal_nothing_is_asked_or_sent(
    emulator: RunningEmulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe(tmp_path) == 64
    assert capsys.readouterr().err == (
        "Error: probe asks before each write, and standard input is no terminal\n"
        f"  Run it on a terminal, or run `segctl probe -C {tmp_path} --yes`, which does not ask.\n"
    )
    assert httpx.get(f"{emulator.url}/emulator/v1/segments").json() == []


@pytest.mark.usefixtures("emulator")
def test_a_folder_that_is_there_is_not_written_into(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "learned").mkdir()
    assert probe(tmp_path, "--yes", "--out", "learned") == 1
    assert "Error: cannot make the folder" in capsys.readouterr().err


def test_refused_credentials_are_explained(
    emulator: RunningEmulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CLEVERTAP_PASSCODE", "wrong-one")
    assert probe(tmp_path, "--yes") == 1
    assert "Error: the credentials were refused: HTTP 401" in capsys.readouterr().err
    assert httpx.get(f"{emulator.url}/emulator/v1/segments").json() == []


def test_without_credentials_nothing_is_said_of_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("CLEVERTAP_ACCOUNT_ID", "CLEVERTAP_PASSCODE"):
        monkeypatch.delenv(name, raising=False)
    assert probe(tmp_path, "--yes") == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("Error: CLEVERTAP_ACCOUNT_ID and CLEVERTAP_PASSCODE are not set\n")


def test_the_workspace_names_the_service_where_the_environment_does_not(
    emulator: RunningEmulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("CLEVERTAP_BASE_URL")
    project = "apiVersion: segctl/v1\nkind: Project\nmetadata: {name: test}\n"
    spec = f"spec: {{provider: {{baseUrl: '{emulator.url}'}}}}\n"
    (tmp_path / "segctl.yaml").write_text(project + spec, encoding="utf-8")
    httpx.put(f"{emulator.url}/emulator/v1/settings", json={"max_segments": 0})
    assert probe(tmp_path, "--yes") == 1
    told = capsys.readouterr()
    assert f"at {emulator.url.removeprefix('http://')}." in told.out
    assert "Error: the probe ended early: createSegment refused both bodies: HTTP 400" in told.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_probe_that_is_reported_to_end_cleans_up_and_says_what_to_delete(
    number: signal.Signals, emulator: RunningEmulator, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"visibility_lag_ms": 600_000}
    httpx.put(f"{emulator.url}/emulator/v1/settings", json=settings)
    process = subprocess.Popen(
        [*ENTRY, "probe", "--yes", "--out", "learned", "-C", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while "Waiting for the first event" not in process.stdout.readline():
        pass
    while _changes(emulator) == 0:
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    httpx.put(f"{emulator.url}/emulator/v1/settings", json={"visibility_lag_ms": 0})
    assert process.returncode == 130
    assert "Delete these segments in the dashboard" in out
    assert "Removing their members was accepted" in out
    assert err.startswith("Error: interrupted; what was learned is in the report\n")
    assert members(emulator) == 0
    assert "The probe was interrupted." in (tmp_path / "learned/report.md").read_text("utf-8")


def _changes(emulator: RunningEmulator) -> int:
    stats = httpx.get(f"{emulator.url}/emulator/v1/stats").json()
    return int(stats["membership_changes"])
