"""What all tests share: Hypothesis profiles, default signals, and no skipped test."""

import gc
import os
import signal
from collections.abc import Callable, Generator, Iterator
from types import FrameType
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.sources.buckets_kit import Store
    from tests.sources.postgres_kit import Server

_SLOW_MACHINES = [HealthCheck.too_slow]

# Young values are many here, and looking through them takes a tenth of the time of a test.
gc.set_threshold(100_000, 50, 100)

settings.register_profile("dev", deadline=None, database=None, suppress_health_check=_SLOW_MACHINES)
settings.register_profile(
    "ci", deadline=None, database=None, suppress_health_check=_SLOW_MACHINES, derandomize=True
)
settings.register_profile("torture", settings.get_profile("dev"), max_examples=2_000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Run each test, and the processes it starts, with the signals of a foreground job.

    A shell that starts the tests in the background makes them ignore SIGINT; nohup, SIGHUP.
    """
    defaults: dict[signal.Signals, Callable[[int, FrameType | None], object] | signal.Handlers] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    inherited = {number: signal.getsignal(number) for number in defaults}
    for number, default in defaults.items():
        signal.signal(number, default)
    try:
        return (yield)
    finally:
        for number, handler in inherited.items():
            signal.signal(number, handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that skips: a check that did not run proves nothing."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped ({report.longrepr}); no test may be"
    return report


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Server]":
    """Run a PostgreSQL server, once where a test asks for it."""
    from tests.sources import postgres_kit  # noqa: PLC0415 - for the tests that ask alone

    with postgres_kit.running() as server:
        yield server


@pytest.fixture(scope="session")
def buckets() -> "Iterator[Store]":
    """Run a store with S3's API, once where a test asks for it."""
    from tests.sources import buckets_kit  # noqa: PLC0415 - as above

    with buckets_kit.running() as store:
        yield store
