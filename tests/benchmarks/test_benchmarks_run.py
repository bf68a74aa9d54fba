"""Every benchmark runs, at a tiny size, and finds what its data is known to hold."""

import os
from pathlib import Path

import pytest

from benchmarks import (
    apply_throughput,
    composed,
    emulator_scale,
    emulator_throughput,
    packing,
    reconcile,
    startup,
    store,
)
from benchmarks.contenders import PYTHON_SETS, SEGCTL_PLAN, TERRAFORM_EACH, TERRAFORM_MAP
from benchmarks.job import Job
from benchmarks.measuring import BenchmarkFailed
from benchmarks.store import Document
from benchmarks.suites import IN_MEMORY, SUITES, cases

TERRAFORM = """\
#!/bin/sh
[ "$1" = plan ] || exit 0
echo 'Plan: 10 to add, 0 to change, 10 to destroy.'
echo '      ~ input = {'
for n in 0 1 2 3 4 5 6 7 8 9; do
  echo "          + \\"a$n\\" = 1"
  echo "          - \\"b$n\\" = 1"
done
echo '        }'
"""
"""Stands in for a program that is not on every machine, and takes its time."""

TAKING_PART = {
    "sizes": 2,
    "first": 4,
    "imports": 2,
    "segments": 6,
    "formats": 4,
    "keys": 6,
    "peers": 7,
    "unchanged": 1,
}


@pytest.fixture(autouse=True)
def terraform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = tmp_path / "bin" / "terraform"
    stub.parent.mkdir()
    stub.write_text(TERRAFORM, encoding="utf-8")
    stub.chmod(0o700)
    monkeypatch.setenv("PATH", f"{stub.parent}{os.pathsep}{os.environ['PATH']}")


def measured(folder: Path, suite: str) -> Document:
    """Run a suite with 1,000 rows, of which 10 change; give what it kept."""
    tiny = ["--sizes", "1e3", "--rates", "1", "--runs", "1", "--segments", "3"]
    reconcile.main([*tiny, "--only", suite, "--json", str(folder)])
    return store.load(folder, suite)


@pytest.mark.parametrize("suite", TAKING_PART)
def test_every_contender_of_a_suite_finds_the_changes(suite: str, tmp_path: Path) -> None:
    found = [m for m in measured(tmp_path, suite)["measurements"] if m["suite"] == suite]
    assert len(found) == TAKING_PART[suite]
    for measurement in found:
        assert min(measurement["seconds"] + measurement["peak_mib"]) > 0, measurement


def test_starting_is_measured_next_to_the_least_it_can_take(tmp_path: Path) -> None:
    small = ["--members", "10", "--segments", "25"]
    startup.main(["--runs", "1", *small, "--json", str(tmp_path)])
    measured = store.load(tmp_path, "startup")["startup"]
    assert [each["program"] for each in measured] == [
        "segctl --help",
        "segctl plan, quickstart, no changes",
        "segctl validate, 10 inline members",
        "segctl plan, 10 inline members",
        "segctl plan, 25 inline segments",
        "segctl plan, 5 disjoint rules over 3 segments",
    ]
    assert all(each["cpu_seconds"] > 0 and each["limit_cpu_seconds"] > 0 for each in measured)


def test_a_composed_segment_is_measured_next_to_a_plain_one(tmp_path: Path) -> None:
    kind = "read by another"
    composed.main([kind, "--rows", "1e3", "--runs", "1", "--json", str(tmp_path)])
    (measured,) = store.load(tmp_path, "composed")["composed"]
    assert (measured["kind"], measured["add"], measured["remove"]) == (kind, 20, 20)
    assert min(measured["seconds"], measured["plain_seconds"]) > 0


def test_an_apply_writes_members_head_and_journal(tmp_path: Path) -> None:
    (state,) = measured(tmp_path, "state")["states"]
    assert state["requests"] == 1
    assert min(state["members"], state["head"], state["journal"], state["before"]) > 0


def test_every_suite_is_tested_here() -> None:
    assert {*TAKING_PART, "state"} == set(SUITES)


def test_a_wrong_answer_has_no_figure(tmp_path: Path) -> None:
    job = Job(folder=tmp_path, rows=100, rate=2, format="csv")
    job.recorded.parent.mkdir(parents=True)
    job.recorded.write_text("identity\nann\nbob\n", encoding="utf-8")
    job.desired.write_text("identity\nann\ncat\n", encoding="utf-8")
    with pytest.raises(BenchmarkFailed, match=r"Python sets finds \(1, 1\), not 2 to add"):
        PYTHON_SETS.run(job)


def test_a_contender_that_takes_too_long_is_ended_and_marked(tmp_path: Path) -> None:
    job = Job(folder=tmp_path, rows=1_000)
    assert SEGCTL_PLAN.run(job, longest=0.01).capped


def test_terraform_is_asked_in_two_ways() -> None:
    assert TERRAFORM_EACH.name == "Terraform, a resource a member"
    assert TERRAFORM_MAP.name == "Terraform, one resource"


def test_an_apply_is_measured_next_to_a_bare_client(tmp_path: Path) -> None:
    apply_throughput.main(
        ["--requests", "9", "--latency-ms", "10", "--changes", "900", "--json", str(tmp_path)]
    )
    applied = store.load(tmp_path, "apply")["applied"]
    assert [(each["client"], each["latency_ms"], each["requests"]) for each in applied] == [
        ("bare client", 10, 9),
        ("segctl", 10, 9),
        ("bare client", 0, 9),
        ("segctl", 0, 9),
    ]
    assert all(0 < each["requests_a_second"] <= 300 for each in applied[:2])


def test_packing_is_measured_and_checked(tmp_path: Path) -> None:
    packing.main(["tiers", "--scale", "0.001", "--json", str(tmp_path)])
    (tiers,) = store.load(tmp_path, "packing")["packed"]
    assert (tiers["workload"], tiers["changes"], tiers["plain"]) == ("tiers", 400, 2)


def test_the_emulator_is_measured(tmp_path: Path) -> None:
    emulator_throughput.main(["--seconds", "0.1", "--profiles", "200", "--json", str(tmp_path)])
    parts = store.load(tmp_path, "emulator")["parts"]
    assert [part["changes_a_second"] > 0 for part in parts] == [True] * 6


def test_the_emulator_is_measured_with_many_memberships(tmp_path: Path) -> None:
    emulator_scale.main(["--seconds", "0.05", "--users", "1000", "--json", str(tmp_path)])
    document = store.load(tmp_path, "emulator_scale")
    assert [each["updates"] > 0 for each in document["readers"]] == [True] * 3
    assert [each["data"] for each in document["starts"]] == ["1,000 users × 1", "100 users × 10"]


@pytest.mark.parametrize("suite", ["sizes", "segments", "unchanged"])
def test_large_jobs_are_measured_under_a_memory_limit(suite: str, tmp_path: Path) -> None:
    sizes = [IN_MEMORY, 10 * IN_MEMORY]
    found = cases(Job(folder=tmp_path, rows=1), suite=suite, sizes=sizes, rates=[0, 1, 100])
    limits = {(case.job.rows, case.job.memory_limit) for case in found}
    assert limits == {(IN_MEMORY, ""), (10 * IN_MEMORY, "2GB")}
