"""Output of real programs as a source."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from segctl.core.diagnostics import Location
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import FileScan, SourceError
from segctl.manifests.desired import CommandSource
from segctl.sources.command import fetch
from tests.sources.source_files import read


def run_script(root: Path, script: str, *arguments: str, **fields: Any) -> FileScan:
    """Run a Python script as a source."""
    run = (sys.executable, "-I", "-c", script, *arguments)
    return run_program(root, run, **fields)


def run_program(root: Path, run: tuple[str, ...], **fields: Any) -> FileScan:
    environment = fields.pop("environment", dict(os.environ))
    column = fields.pop("segment_column", None)
    source = CommandSource(run=run, location=Location(file="a.yaml"), **fields)
    into = root.parent / "out"
    return fetch(source, into, root=root, environment=environment, segment_column=column)


def error_of(root: Path, script: str, **fields: Any) -> tuple[str, str]:
    with pytest.raises(SourceError) as caught:
        run_script(root, script, **fields)
    name = f"the command {sys.executable} "
    return caught.value.summary.removeprefix(name), caught.value.detail


@pytest.mark.parametrize(
    ("format_", "text"),
    [
        ("csv", 'x,identity\n1,00004\n2,"a,b"\n'),
        ("tsv", "identity\tx\n00004\t1\na,b\t2"),
        ("jsonl", '{"identity": "00004"}\n{"identity": "a,b"}\n'),
        ("txt", "00004\na,b\n"),
    ],
)
def test_the_output_is_read_as_a_file_of_its_format(
    engine: DuckEngine, root: Path, format_: str, text: str
) -> None:
    rows = run_script(root, "import sys; sys.stdout.write(sys.argv[1])", text, format=format_)
    assert read(engine, rows)[1] == ["00004", "a,b"]
    assert rows.paths[0].stat().st_mode & 0o777 == 0o600


def test_the_output_may_be_parquet(engine: DuckEngine, root: Path) -> None:
    duckdb.sql(f"COPY (SELECT 'é' AS identity) TO '{root}/a.parquet'")
    script = "import shutil, sys; shutil.copyfileobj(open('a.parquet', 'rb'), sys.stdout.buffer)"
    assert read(engine, run_script(root, script, format="parquet"))[1] == ["é"]


@pytest.mark.parametrize("format_", ["csv", "jsonl", "txt"])
def test_no_output_is_no_list(format_: str, engine: DuckEngine, root: Path) -> None:
    with pytest.raises(SourceError, match="wrote no output"):
        read(engine, run_script(root, "", format=format_))


def test_a_large_output_and_many_messages_do_not_block_each_other(
    engine: DuckEngine, root: Path
) -> None:
    script = (
        "import sys\nprint('identity')\n"
        "for n in range(30000):\n print('u', n, sep=''); print('note', n, file=sys.stderr)"
    )
    assert read(engine, run_script(root, script))[0].rows == 30_000


def test_a_program_runs_in_the_workspace_without_credentials_or_input(root: Path) -> None:
    script = (
        "import json, os, sys; print(json.dumps([os.getcwd(), sys.stdin.read(), "
        "sorted(k for k in os.environ if k != 'LC_CTYPE')]))"
    )
    environment = {"CLEVERTAP_PASSCODE": "secret", "CLEVERTAP_ACCOUNT_ID": "1", "KEPT": "yes"}
    rows = run_script(root, script, environment=environment)
    assert json.loads(rows.paths[0].read_text()) == [str(root), "", ["KEPT"]]


def test_no_shell_reads_the_arguments(root: Path) -> None:
    hostile = "$(touch hacked); `touch hacked` | > hacked"
    rows = run_script(root, "import sys; print(sys.argv[1])", hostile)
    assert rows.paths[0].read_text() == f"{hostile}\n"
    assert not (root / "hacked").exists()


def test_a_column_holds_the_segment_of_a_row(engine: DuckEngine, root: Path) -> None:
    rows = run_script(root, r"print('identity,tier\na,gold')", segment_column="tier")
    assert engine.load(rows, targets={"gold": 0}) >= 0


# The output of a program that fails is not used


@pytest.mark.parametrize(
    ("end", "summary", "detail"),
    [
        ("raise SystemExit(3)", "exited with status 3", "It wrote nothing to stderr."),
        ("sys.exit('\\n no such\\ttable \\n\\n')", "exited with status 1",
         "The last line of its stderr: no such table"),
        ("sys.exit('user anna@example.com (190123456) at tok' + 'e' * 50 + ' line 12')",
         "exited with status 1", "The last line of its stderr: user … … at … line 12"),
        ("sys.exit('x ' * 300)", "exited with status 1",
         f"The last line of its stderr: {'x ' * 100}…"),
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL", "It wrote nothing to stderr."),
    ],
)  # fmt: skip
def test_a_program_that_fails_half_way_is_an_error(
    root: Path, end: str, summary: str, detail: str
) -> None:
    script = f"import os, sys; print('identity'); print('a', flush=True); {end}"
    assert error_of(root, script) == (f"{summary}, so its output is not used", detail)


def test_a_program_without_output_is_an_error(root: Path) -> None:
    assert error_of(root, "pass") == (
        "wrote no output",
        "If there are no members, it must still write a header.",
    )


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("no-such-program", "the command no-such-program was not found"),
        ("./none", "the command ./none was not found"),
        ("./plain.txt", "the command ./plain.txt cannot be started: permission denied"),
        (".", "the command . cannot be started: permission denied"),
    ],
)
def test_a_program_that_cannot_be_started_is_an_error(
    root: Path, program: str, message: str
) -> None:
    (root / "plain.txt").write_text("identity\n")
    with pytest.raises(SourceError) as caught:
        run_program(root, (program,))
    assert caught.value.summary == message


def test_a_program_of_the_workspace_is_named_by_its_path(engine: DuckEngine, root: Path) -> None:
    (root / "bin").mkdir()
    (root / "bin/members").write_text("#!/bin/sh\necho identity\necho $1\n")
    (root / "bin/members").chmod(0o755)
    assert read(engine, run_program(root, ("bin/members", "a b")))[1] == ["a b"]


SPAWNS = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-I", "-c", "import time; time.sleep(60)"])
with open("pids", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename("pids", "started")
time.sleep(60)
"""


def have_ended(root: Path) -> bool:
    """Wait for the processes of ``SPAWNS`` to end. False if they do not."""
    for _ in range(500):
        alive = [pid for pid in (root / "started").read_text().split() if is_alive(pid)]
        if not alive:
            return True
        time.sleep(0.02)
    return False


def is_alive(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_program_past_its_time_limit_is_stopped_with_its_children(root: Path) -> None:
    summary, detail = error_of(root, SPAWNS, timeout_seconds=1.0)
    assert summary == "was stopped after 1 s, its time limit"
    assert detail == "Make it faster, or raise timeoutSeconds."
    assert have_ended(root)


def test_a_signal_stops_a_program_and_its_children(root: Path) -> None:
    def interrupt() -> None:
        while not (root / "started").exists():
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_script(root, SPAWNS)
    thread.join()
    assert have_ended(root)


def test_a_process_left_behind_does_not_delay_the_run(engine: DuckEngine, root: Path) -> None:
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-I', '-c', 'import time; time.sleep(600)'], "
        "stdout=subprocess.DEVNULL)\nprint('identity')\nprint(child.pid)"
    )
    [pid] = read(engine, run_script(root, script))[1]
    assert is_alive(pid)
    os.kill(int(pid), signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_a_program_cannot_read_credentials_of_the_process_that_runs_it(tmp_path: Path) -> None:
    reader = (
        "import os\nprint('identity')\ntry:\n"
        " print(open(f'/proc/{os.getppid()}/environ').read().replace(chr(0), ' '))\n"
        "except PermissionError:\n print('hidden')"
    )
    runner = (
        "import os, pathlib, sys\nfrom segctl.core.diagnostics import Location\n"
        "from segctl.manifests.desired import CommandSource\n"
        "from segctl.sources.command import fetch\n"
        f"source = CommandSource(run=(sys.executable, '-I', '-c', {reader!r}),"
        " location=Location(file='a'))\n"
        "into = pathlib.Path('out')\n"
        "fetch(source, into, root=pathlib.Path(), environment=dict(os.environ))\n"
        "print(into.read_text(), os.environ['CLEVERTAP_PASSCODE'])"
    )
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")}
    done = subprocess.run(
        [sys.executable, "-c", runner],
        cwd=tmp_path,
        env={**kept, "CLEVERTAP_PASSCODE": "s3cret", "SHOWN": "yes"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("s3cret") == 1  # segctl itself still knows it
    assert "SHOWN=yes" in done.stdout or "hidden" in done.stdout


def test_programs_run_outside_of_pull_requests(engine: DuckEngine, root: Path) -> None:
    environment = {**os.environ, "GITHUB_EVENT_NAME": "push", "BUILDKITE_PULL_REQUEST": "false"}
    rows = run_script(root, "print('identity\\na')", environment=environment)
    assert read(engine, rows)[0].rows == 1
