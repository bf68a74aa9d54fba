"""What the shared configuration does to a run: skips fail, hangs end, signals are the defaults."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run one test, given as source text, under this project's configuration."""

    def run_test(source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        shutil.copy(ROOT / "tests/conftest.py", tmp_path)
        (tmp_path / "test_it.py").write_text(source)
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_it.py"]
        return subprocess.run(
            [*command, "-c", ROOT / "pyproject.toml", "--rootdir=.", *arguments],
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    return run_test


def test_a_skipped_test_fails(run: Run) -> None:
    done = run("import pytest\ndef test_it(): pytest.skip('no luck')\n")
    assert done.returncode == 1
    assert "no luck" in done.stdout
    assert "1 failed" in done.stdout


def test_a_test_that_hangs_fails_under_its_name(run: Run) -> None:
    source = "import threading\ndef test_it(): threading.Event().wait()\n"
    done = run(source, "-o", "timeout=0.2")
    assert done.returncode == 1
    assert "FAILED test_it.py::test_it - Failed: Timeout" in done.stdout


def test_a_test_that_cannot_be_interrupted_ends_the_run_with_its_stack(run: Run) -> None:
    source = (
        "import signal, threading\n"
        "def test_it():\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})\n"
        "    threading.Event().wait()\n"
    )
    done = run(source, "-o", "timeout=0.2", "-o", "faulthandler_timeout=0.5")
    assert done.returncode == 1
    assert "in test_it" in done.stderr


def test_a_run_in_the_background_tests_signals_like_one_in_front(run: Run) -> None:
    source = (
        "import signal\n"
        "def test_it():\n"
        "    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL\n"
    )
    inherited = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGHUP)}
    try:
        assert run(source).returncode == 0
    finally:
        for number, handler in inherited.items():
            signal.signal(number, handler)
