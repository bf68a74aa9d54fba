"""pytest fixtures: an emulator for the tests of a GitOps repository.

Installed with the package's ``emulator`` extra and found by pytest through its entry point;
nothing heavy is imported until a fixture is asked for.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from segctl.emulator.testing import RunningEmulator


@pytest.fixture(scope="session")
def clevertap_emulator_server() -> "Iterator[RunningEmulator]":
    """Run one emulator for the whole session; it keeps what tests put into it."""
    from segctl.emulator.testing import running_emulator  # noqa: PLC0415 - only when asked for

    with running_emulator() as emulator:
        yield emulator


@pytest.fixture
def clevertap_emulator(
    clevertap_emulator_server: "RunningEmulator", monkeypatch: pytest.MonkeyPatch
) -> "RunningEmulator":
    """Give an empty emulator with default settings, and the environment that points at it."""
    emulator = clevertap_emulator_server
    emulator.restart()
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    return emulator
