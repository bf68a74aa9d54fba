from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.outside_service import OutsideService, running
from tests.e2e.workshop import Workshop


@pytest.fixture
def service() -> Iterator[OutsideService]:
    with running() as service:
        yield service


@pytest.fixture
def shop(tmp_path: Path, service: OutsideService) -> Workshop:
    return Workshop(root=tmp_path / "shop", scratch=tmp_path / "scratch", service=service)
