"""The output of `make demo`."""

import subprocess
import sys
from pathlib import Path

import pytest

from examples import demo

ROOT = Path(demo.__file__).parents[1]


@pytest.fixture(scope="module")
def output() -> str:
    """Run the demo once and return what it prints. Its exit code must be 0."""
    run = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    return run.stdout


def test_the_demo_finds_the_expected_members_in_both_months(output: str) -> None:
    assert output.count("All segments have exactly the expected members.") == len(demo.MONTH_ENDS)


def test_the_demo_shows_a_plan_and_then_no_changes_in_both_months(output: str) -> None:
    assert output.count("segctl will perform the following actions:") == len(demo.MONTH_ENDS)
    assert output.count("No changes.") == len(demo.MONTH_ENDS)


def test_the_demo_leaves_no_state_in_the_example(output: str) -> None:
    assert output
    assert list(demo.CDNOW.glob("segctl.state*")) == []
