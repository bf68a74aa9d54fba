from pathlib import Path

import pytest

from tests.workflows.rejects_kit import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A workspace with one segment, gold, of four members, as applied."""
    shop = Shop(root=tmp_path / "shop")
    shop.declare("gold", "a", "b", "c", "d")
    return shop
