"""pytest fixtures: an emulator for the tests of a repository of manifests.

pytest finds them through the package's entry point.  They need the ``emulator`` extra,
and import nothing heavy until a test uses one.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from segctl.emulator.extra import INSTALL, missing_library

if TYPE_CHECKING:
    from segctl.emulator.testing import RunningEmulator


@pytest.fixture(scope="session")
def clevertap_emulator_server() -> "Iterator[RunningEmulator]":
    """Run one emulator for the whole session. It keeps its data between tests.

    Every worker of pytest-xdist has its own.
    """
    try:
        from segctl.emulator.testing import running_emulator  # noqa: PLC0415 - only when used
    except ModuleNotFoundError as error:
        library = missing_library(error)
        if library is None:
            raise
        pytest.fail(
            f"the emulator needs {library}, which is not installed: {INSTALL}", pytrace=False
        )

    with running_emulator() as emulator:
        yield emulator


@pytest.fixture
def clevertap_emulator(
    clevertap_emulator_server: "RunningEmulator", monkeypatch: pytest.MonkeyPatch
) -> "RunningEmulator":
    """Return an empty emulator with default settings, to which the environment points."""
    emulator = clevertap_emulator_server
    emulator.restart()
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    return emulator
