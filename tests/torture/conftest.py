"""What the torture tests share, and the summary line of covered points."""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.torture.torture_kit import Place, Victims, running_victims
from tests.torture.torture_service import TortureService, running_service

ALL_POINTS = bool(os.environ.get("SEGCTL_TORTURE"))
"""Whether every point is taken, or a sample of them."""

Covered = Callable[[str, int], None]


def some_of(count: int, name: str, *, sample: int) -> list[int]:
    """Return points from 1 to ``count``: all, or a sample fixed by the name."""
    every = range(1, count + 1)
    chance = random.Random(f"torture {name}")  # noqa: S311 - a sample, not a secret
    return sorted(every if ALL_POINTS else chance.sample(every, min(sample, count)))


_PROPERTY = "points covered"


@pytest.fixture(scope="session")
def _service() -> Iterator[TortureService]:
    with running_service() as service:
        yield service


@pytest.fixture(scope="session")
def victims() -> Iterator[Victims]:
    """The warm process whose children are killed."""
    with running_victims() as process:
        yield process


@pytest.fixture
def service(_service: TortureService) -> TortureService:
    """An empty service."""
    _service.forget()
    return _service


@pytest.fixture
def place(tmp_path: Path, service: TortureService) -> Place:
    """An empty workspace."""
    return Place(folder=tmp_path / "place", service=service)


@pytest.fixture
def covered(record_property: Callable[[str, object], None]) -> Covered:
    """Count the points that a test covers, by kind."""
    return lambda kind, count: record_property(_PROPERTY, [kind, count])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many points were covered."""
    counts: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == _PROPERTY:
                counts[value[0]] += value[1]
    if counts:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(counts.items()))
        scope = "all" if ALL_POINTS else "a sample; `make torture` takes all"
        terminalreporter.write_line(f"torture: {counts.total():,} points ({scope}): {kinds}")
