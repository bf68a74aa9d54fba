"""A first apply with a wrong region, a wrong passcode, or no service."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from segctl.cli.main import execute
from segctl.core.clock import SystemClock
from segctl.emulator.testing import RunningEmulator, running_emulator


@pytest.fixture(autouse=True)
def impatient_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the waits between the attempts of a request last no time."""

    async def sleep(_clock: SystemClock, _seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(SystemClock, "sleep", sleep)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    assert execute(["init", str(tmp_path / "new")]) == 0
    return tmp_path / "new"


def apply(workspace: Path) -> int:
    return execute(["apply", "--auto-approve", "-C", str(workspace)])


@pytest.mark.parametrize(
    ("variable", "wrong", "code"),
    [
        ("CLEVERTAP_BASE_URL", "http://127.0.0.1:9", 1),
        ("CLEVERTAP_PASSCODE", "wrong", 1),
        ("CLEVERTAP_ACCOUNT_ID", "WRONG", 1),
    ],
)
def test_a_failed_first_apply_does_not_bind_the_state(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, variable: str, wrong: str, code: int
) -> None:
    with running_emulator() as emulator:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv(variable, wrong)
        assert apply(workspace) == code
        assert not (workspace / "segctl.state.json").exists()
        monkeypatch.setenv(variable, emulator.environment[variable])
        assert apply(workspace) == 0
        assert members(emulator) == 4
    state = json.loads((workspace / "segctl.state.json").read_text(encoding="utf-8"))
    assert (state["serial"], state["account"]) == (1, emulator.account)


def members(emulator: RunningEmulator) -> int:
    (segment,) = httpx.get(f"{emulator.url}/emulator/v1/segments").json()
    return int(segment["members"])


def test_an_unreachable_service_is_reported_with_what_to_check(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("CLEVERTAP_ACCOUNT_ID", "CLEVERTAP_PASSCODE"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("CLEVERTAP_BASE_URL", "http://127.0.0.1:9")
    assert apply(workspace) == 1
    told = capsys.readouterr().err
    assert "segment.gold failed: could not connect to 127.0.0.1:9: connection refused\n" in told
    assert "Error: nothing was applied: 1 segment not created, 1 request not tried (could" in told
    assert told.endswith("Start it with `segctl emulator`; then run the same command again.\n")
