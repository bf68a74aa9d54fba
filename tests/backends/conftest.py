"""Backends under test, on a fake clock that moves only when code sleeps."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segctl.backends.base import Backend
from segctl.backends.local import LocalBackend


class FakeClock:
    """A clock that moves only in ``pass_``, which then calls ``alarm``."""

    def __init__(self) -> None:
        self.time = 1_767_323_045.0
        self.slept: list[float] = []
        self.alarm: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.pass_(seconds)

    def pass_(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        self.alarm()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    return root


@pytest.fixture(params=["local"])
def another(request: pytest.FixtureRequest, root: Path, clock: FakeClock) -> Callable[[], Backend]:
    """Return a function that opens the same state again, as another process would."""
    numbers: Iterator[int] = iter(range(1, 100))

    def local() -> LocalBackend:
        return LocalBackend(
            root, clock=clock, sleep=clock.pass_, new_id=lambda: f"id-{next(numbers)}"
        )

    return {"local": local}[request.param]


@pytest.fixture
def backend(another: Callable[[], Backend]) -> Backend:
    return another()
