"""Stopping an apply that is under way, and reading only part of what it prints."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from segctl.emulator.testing import RunningEmulator
from tests.program import CODE, ENTRY

Segctl = Callable[..., Any]
MEMBERS = 3_000


@pytest.fixture
def large(workspace: Path) -> Path:
    """A workspace whose apply takes thirty requests."""
    (workspace / "gold.yaml").write_text(
        "apiVersion: segctl/v1\nkind: Segment\nmetadata: {name: gold}\n"
        "spec: {displayName: Gold, members: [file: {path: users.txt}]}\n",
        encoding="utf-8",
    )
    users = "".join(f"user{n}@example.com\n" for n in range(MEMBERS))
    (workspace / "users.txt").write_text(users, encoding="utf-8")
    return workspace


def slow_down(emulator: RunningEmulator, milliseconds: int) -> None:
    settings = {"latency_ms": milliseconds}
    answer = httpx.put(
        f"{emulator.url}/emulator/v1/settings", json=settings, headers=emulator.headers
    )
    answer.raise_for_status()


def held_members(emulator: RunningEmulator) -> int:
    answer = httpx.get(f"{emulator.url}/emulator/v1/segments", headers=emulator.headers)
    return sum(segment["members"] for segment in answer.json())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_apply_told_to_stop_records_what_it_did_and_goes_on_later(
    number: signal.Signals, large: Path, segctl: Segctl, emulator: RunningEmulator
) -> None:
    slow_down(emulator, 150)
    command = [*ENTRY, "apply", "--auto-approve", "-C", str(large)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "Created segment.gold\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "finishing what is in flight" in err
    assert "Apply interrupted." in out
    slow_down(emulator, 0)
    recorded = json.loads(segctl("show", "--format", "json").out)["segments"][0]["members"]
    assert recorded == held_members(emulator) < MEMBERS
    assert segctl("apply", "--auto-approve").code == 0
    assert held_members(emulator) == MEMBERS


def test_an_apply_whose_terminal_is_closed_records_what_it_did(
    large: Path, segctl: Segctl, emulator: RunningEmulator
) -> None:
    slow_down(emulator, 150)
    terminal, end = pty.openpty()
    in_terminal = f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); {CODE}"
    with subprocess.Popen(
        [sys.executable, "-c", in_terminal, "apply", "--auto-approve", "-C", str(large)],
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
    ) as process:
        os.close(end)
        shown = b""
        while b"Created segment.gold" not in shown:
            shown += os.read(terminal, 4096)
        os.close(terminal)  # the kernel sends SIGHUP, and every write fails from now on
        assert process.wait(timeout=60) == 130
    recorded = json.loads(segctl("show", "--format", "json").out)["segments"][0]["members"]
    assert recorded == held_members(emulator) < MEMBERS


@pytest.mark.usefixtures("emulator")
def test_an_apply_goes_on_though_nobody_reads_what_it_prints(
    workspace: Path, segctl: Segctl
) -> None:
    done = subprocess.run(
        [
            "bash",
            "-c",
            f'set -o pipefail; "$@" --auto-approve --json -C {workspace} | true',
            "-",
            *ENTRY,
            "apply",
        ],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert segctl("state", "list").out == "segment.council\nsegment.gold\n"
