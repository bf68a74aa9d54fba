"""What all tests share: how Hypothesis works, and that nothing is skipped."""

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.sources.buckets_kit import Store
    from tests.sources.postgres_kit import Server

_SLOW_MACHINES = [HealthCheck.too_slow]

settings.register_profile("dev", deadline=None, database=None, suppress_health_check=_SLOW_MACHINES)
settings.register_profile(
    "ci", deadline=None, database=None, suppress_health_check=_SLOW_MACHINES, derandomize=True
)
settings.register_profile("torture", settings.get_profile("dev"), max_examples=2_000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
)


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
