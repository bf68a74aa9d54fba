from collections.abc import Iterator
from pathlib import Path

import pytest

from segctl.engine.duckdb import DuckEngine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckEngine]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    engine = DuckEngine(scratch, threads=1)
    yield engine
    engine.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    return root
