"""The emulator as a process: the account it serves and the settings it starts with."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from segctl.cli.main import execute
from tests.program import ENTRY

LINES = 6


@contextmanager
def running(*arguments: str, **environment: str) -> Iterator[tuple[str, str]]:
    """Run the emulator on a free port; yield its URL and the first lines it prints."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith("CLEVERTAP_")
    }
    process = subprocess.Popen(
        [*ENTRY, "emulator", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**environ, **environment},
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(LINES)]
        yield lines[0].split()[4].rstrip("."), "".join(lines)
    finally:
        process.terminate()
        process.communicate(timeout=20)


def create(url: str, account: str, passcode: str) -> int:
    return httpx.post(
        f"{url}/api/createSegment",
        headers={"X-CleverTap-Account-Id": account, "X-CleverTap-Passcode": passcode},
        json=[{"segment_name": "Gold", "customer_segment_id": "G"}],
    ).status_code


def test_it_serves_the_account_of_the_environment_and_shows_no_passcode() -> None:
    with running(CLEVERTAP_ACCOUNT_ID="W8R-1", CLEVERTAP_PASSCODE="pass-9") as (url, output):
        assert create(url, "W8R-1", "pass-9") == 200
        assert create(url, "EMULATOR", "emulator") == 401
    assert "It serves the account W8R-1 from CLEVERTAP_ACCOUNT_ID.\n" in output
    assert "pass-9" not in output


def test_it_serves_its_own_account_if_the_environment_names_none() -> None:
    with running() as (url, output):
        assert create(url, "EMULATOR", "emulator") == 200
    assert "It serves the account EMULATOR.\n" in output


def test_half_an_account_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLEVERTAP_ACCOUNT_ID", "W8R-1")
    monkeypatch.delenv("CLEVERTAP_PASSCODE", raising=False)
    assert execute(["emulator", "--port", "0"]) == 1
    assert capsys.readouterr().err == (
        "Error: CLEVERTAP_ACCOUNT_ID is set and CLEVERTAP_PASSCODE is not\n"
        "  Set both to serve that account, or neither for the default account.\n"
    )


def test_it_starts_with_the_settings_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(json.dumps({"both_ids": "guid"}), encoding="utf-8")
    with running("-C", str(tmp_path), "--settings", "settings.json") as (url, _):
        settings = httpx.get(f"{url}/emulator/v1/settings").json()
    assert (settings["both_ids"], settings["noop_changes"]) == ("guid", "silent")


def test_settings_that_the_file_does_not_name_stay_as_saved(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"both_ids": "guid"}', encoding="utf-8")
    with running("-C", str(tmp_path), "--data", "kept") as (url, _):
        httpx.put(f"{url}/emulator/v1/settings", json={"noop_changes": "event"})
    with running("-C", str(tmp_path), "--data", "kept", "--settings", "settings.json") as (url, _):
        settings = httpx.get(f"{url}/emulator/v1/settings").json()
    assert (settings["both_ids"], settings["noop_changes"]) == ("guid", "event")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"nope": 1}', "nope: unknown setting"),
        ("[]", "settings must be a JSON object"),
        ('{"both_ids": "x"}', "both_ids: must be one of identity, guid"),
        ("{", "settings.json is not JSON"),
    ],
)
def test_an_invalid_settings_file_is_refused_before_any_data_is_created(
    text: str,
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("CLEVERTAP_ACCOUNT_ID", "CLEVERTAP_PASSCODE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "settings.json").write_text(text, encoding="utf-8")
    arguments = ["emulator", "--port", "0", "--data", "kept", "--settings", "settings.json"]
    assert execute([*arguments, "-C", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: the emulator cannot start: ")
    assert problem in error
    assert not (tmp_path / "kept").exists()
