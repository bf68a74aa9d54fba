"""Standard streams that are closed, full, or of a reader that has left."""

import os
import subprocess
from pathlib import Path

import httpx
import pytest

from segctl.emulator.testing import RunningEmulator
from tests.program import ENTRY


def shell(workspace: Path, command: str, redirection: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f'"$@" {command} -C {workspace} {redirection}', "-", *ENTRY],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )


def sizes(emulator: RunningEmulator) -> dict[str, int]:
    segments = httpx.get(f"{emulator.url}/emulator/v1/segments").json()
    return {segment["customer_segment_id"]: segment["members"] for segment in segments}


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_closed_and_full_streams_do_not_keep_an_apply_from_its_work(
    workspace: Path, emulator: RunningEmulator, redirection: str
) -> None:
    done = shell(workspace, "apply --auto-approve", redirection)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert sizes(emulator) == {"SEG-GOLD": 2, "council": 1}


def test_a_full_disk_under_standard_output_is_told_after_the_work(
    workspace: Path, emulator: RunningEmulator
) -> None:
    done = shell(workspace, "apply --auto-approve", ">/dev/full")
    assert done.returncode == 1
    assert done.stderr.endswith(
        "Error: standard output cannot be written to: No space left on device\n"
        "  Only the output is lost; the command itself ended with exit code 0.\n"
    )
    assert sizes(emulator) == {"SEG-GOLD": 2, "council": 1}


@pytest.mark.parametrize("command", ["plan", "--help", "version", "plan --nope"])
def test_no_stream_that_is_full_leads_to_a_traceback(workspace: Path, command: str) -> None:
    done = shell(workspace, command, ">/dev/full")
    assert done.returncode in {1, 64}
    assert "Traceback" not in done.stderr


def test_an_apply_that_cannot_ask_says_so_when_standard_input_is_closed(workspace: Path) -> None:
    done = shell(workspace, "apply", "<&-")
    assert done.returncode == 64
    assert "standard input is no terminal" in done.stderr


def test_a_reader_that_does_not_block_gets_everything(workspace: Path) -> None:
    lines = "".join(f"        - user{i:05}@example.com\n" for i in range(20_000))
    (workspace / "many.yaml").write_text(
        "apiVersion: segctl/v1\nkind: Segment\nmetadata: {name: many}\n"
        f"spec:\n  displayName: {'x' * 300_000}\n  members:\n    - identities:\n{lines}",
        encoding="utf-8",
    )
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    with subprocess.Popen([*ENTRY, "plan", "-C", str(workspace)], stdout=writable) as process:
        os.close(writable)
        with os.fdopen(readable, "rb") as reader:
            shown = reader.read()
    assert process.returncode == 0
    assert shown.endswith(b"in 1 request.\n")
    assert len(shown) > 300_000
