"""What tests of the commands share: a real emulator, a real workspace, the program itself."""

import os
import pty
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest

from segctl.cli.main import execute
from segctl.emulator.testing import RunningEmulator, running_emulator
from tests.documents import check_printed
from tests.program import ENTRY

PROJECT = "apiVersion: segctl/v1\nkind: Project\nmetadata: {name: test}\n"
GOLD = """\
apiVersion: segctl/v1
kind: Segment
metadata: {name: gold}
spec:
  displayName: Gold Users
  customerSegmentId: SEG-GOLD
  members:
    - identities: [anna@example.com, bert@example.com]
---
apiVersion: segctl/v1
kind: Segment
metadata: {name: council}
spec:
  displayName: Council
  members:
    - guids: [abcde12345]
"""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What one run of the program left: its exit code and what it printed."""

    code: int
    out: str
    err: str


Segctl = Callable[..., Done]


@pytest.fixture(scope="session")
def _server() -> Iterator[RunningEmulator]:
    with running_emulator() as running:
        yield running


@pytest.fixture
def emulator(_server: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> RunningEmulator:
    """An empty emulator that the environment names."""
    _server.restart()
    for name, value in _server.environment.items():
        monkeypatch.setenv(name, value)
    return _server


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if re.match("CLEVERTAP_|SEGCTL_|NO_COLOR|FORCE_COLOR", name):
            monkeypatch.delenv(name)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace of two segments."""
    (tmp_path / "segctl.yaml").write_text(PROJECT, encoding="utf-8")
    (tmp_path / "gold.yaml").write_text(GOLD, encoding="utf-8")
    return tmp_path


@pytest.fixture
def segctl(workspace: Path, capsys: pytest.CaptureFixture[str]) -> Segctl:
    """Run the program in the workspace, in this process, where nothing is a terminal."""

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        with chdir(workspace):
            code = execute(arguments)
        captured = capsys.readouterr()
        check_printed(arguments, captured.out)
        return Done(code=code, out=captured.out, err=captured.err)

    return run


@pytest.fixture
def on_terminal(workspace: Path) -> Segctl:
    """Run the program as a process on a terminal, and type ``typed``."""

    def run(*arguments: str, typed: str = "") -> Done:
        terminal, end = pty.openpty()
        process = subprocess.Popen(
            [*ENTRY, *arguments],
            cwd=workspace,
            stdin=end,
            stdout=end,
            stderr=end,
            env={**os.environ, "TERM": "xterm"},
        )
        os.close(end)
        os.write(terminal, typed.encode())
        shown = b""
        while chunk := _read(terminal):
            shown += chunk
        os.close(terminal)
        text = shown.decode().replace("\r\n", "\n")
        return Done(code=process.wait(timeout=30), out=text, err="")

    return run


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # how Linux tells that the other end is closed
        return b""


def run_git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return what it prints."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    done = subprocess.run(
        ["git", *identity, "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()
