from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from segctl.engine.duckdb import DuckEngine

if TYPE_CHECKING:
    from tests.sources.postgres_kit import Server
    from tests.sources.postgres_reader import Reader


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


@pytest.fixture
def reader(postgres: "Server", tmp_path: Path) -> "Iterator[Reader]":
    from tests.sources.postgres_reader import Reader  # noqa: PLC0415 - few tests need psycopg

    reader = Reader(postgres, tmp_path)
    yield reader
    reader.engine.close()
