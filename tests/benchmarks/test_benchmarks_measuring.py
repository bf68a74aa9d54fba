"""What a benchmark measures is what the program took."""

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import machine
from benchmarks.machine import Session
from benchmarks.measuring import ROOT, BenchmarkFailed, measure, resident_mib

BUSY = "import time\nwhile time.process_time() < 0.2: pass"
LARGE = "held = bytearray(200 << 20); print(len(held))"


def test_processor_time_is_counted() -> None:
    run = measure([sys.executable, "-c", BUSY])
    assert run.cpu_seconds >= 0.2
    assert run.seconds >= 0.2


def test_memory_is_that_of_the_program() -> None:
    # By a small process, since that of a parent counts as its child's.
    code = f"""
import sys
from benchmarks.measuring import measure
print(measure([sys.executable, "-c", {LARGE!r}]).peak_mib)
"""
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert 200 < float(told.stdout) < 300


def test_output_is_kept() -> None:
    assert measure([sys.executable, "-c", "print('ü')"]).output == "ü\n"


def test_a_program_that_fails_says_so() -> None:
    with pytest.raises(BenchmarkFailed, match=r"exit 3\noh no"):
        measure([sys.executable, "-c", "print('oh no'); exit(3)"])


def test_a_program_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    hang = f"sleep 600 & echo $! > {child}; sleep 600"
    run = measure(["sh", "-c", hang], longest=0.3)
    assert run.capped
    assert run.seconds < 60
    deadline = time.monotonic() + 10
    while resident_mib(int(child.read_text())) and time.monotonic() < deadline:
        pass
    assert not resident_mib(int(child.read_text()))


def test_memory_can_be_sampled_during_a_run() -> None:
    seen: list[float] = []
    run = measure(
        [sys.executable, "-c", f"{LARGE}; import time; time.sleep(0.5)"],
        watch=lambda process: seen.append(resident_mib(process)),
    )
    assert 200 < max(seen) <= run.peak_mib + 1


def test_a_machine_is_described_without_paths() -> None:
    told = Session().describe()
    assert {"date", "processor", "cores", "memory", "Python", "duckdb", "octodns"} <= set(told)
    assert not [value for value in told.values() if value.startswith("/")]


def test_this_process_does_not_count_as_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    busy, ours, now = iter([100.0, 108.0]), iter([10.0, 16.0]), iter([0.0, 5.0])
    monkeypatch.setattr(machine, "_busy_seconds", lambda: next(busy))
    monkeypatch.setattr(machine, "_own_seconds", lambda: next(ours))
    monkeypatch.setattr(machine, "time", SimpleNamespace(perf_counter=lambda: next(now)))
    monkeypatch.setattr(machine, "os", SimpleNamespace(cpu_count=lambda: 2))
    assert Session()._others() == pytest.approx(0.2)


def test_child_processes_do_not_count_as_other_work() -> None:
    before = machine._own_seconds()
    run = measure([sys.executable, "-c", BUSY])
    assert machine._own_seconds() - before >= run.cpu_seconds


@pytest.mark.parametrize(
    ("others", "told"),
    [
        (0.0, "less than 2 % of the cores"),
        (0.019, "less than 2 % of the cores"),
        (0.3, "30 % of the cores"),
    ],
)
def test_negligible_other_work_is_described_alike(others: float, told: str) -> None:
    assert machine._share(others) == told
