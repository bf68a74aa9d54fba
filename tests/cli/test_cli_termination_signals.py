"""A signal while nothing was sent yet: exit 130, said in a word, with nothing left behind."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.program import ENTRY

ENDLESS = """\
apiVersion: segctl/v1
kind: Segment
metadata: {name: endless}
spec:
  displayName: Endless
  members:
    - query:
        sql: >
          select i::varchar as identity from range(1000000000000) t(i)
          where i % 7 = 3 and i % 11 = 5 and i % 1000003 = 1
"""


@contextmanager
def planning(workspace: Path, scratch: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a plan that would not end, and wait until its query runs."""
    (workspace / "gold.yaml").write_text(ENDLESS, encoding="utf-8")
    process = subprocess.Popen(
        [*ENTRY, "plan", "-C", str(workspace)],
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        deadline = time.monotonic() + 30
        while not list(scratch.glob("segctl-*/query_*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_query_without_end_is_ended_by_a_signal(
    workspace: Path, tmp_path: Path, number: signal.Signals
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with planning(workspace, scratch) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "\nInterrupted.\n")
    assert list(scratch.iterdir()) == []
