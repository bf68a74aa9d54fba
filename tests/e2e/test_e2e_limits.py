"""Sources that exceed the space for temporary files: the error names the folder and the option."""

import resource
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from segctl.core.errors import OperationError
from tests.e2e.workshop import Workshop, segment
from tests.sources.stub_store import NAME, stubbed

SOURCES = {
    "sqlite": "sqlite: {path: crm.db, table: users}",
    "command": "command: {run: [seq, '9', '9999'], format: txt}",
    "object": f"file: {{path: '{NAME}'}}",
}


@contextmanager
def small_files() -> Iterator[None]:
    """Limit every file of this process to four kilobytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def shop(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    shop.project("{allowCommands: [seq]}")
    with closing(sqlite3.connect(shop.root / "crm.db")) as db:
        db.execute("CREATE TABLE users (identity TEXT)")
        db.executemany("INSERT INTO users VALUES (?)", [(f"u{n}",) for n in range(5_000)])
        db.commit()
    with stubbed() as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        yield shop


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_that_does_not_fit_names_the_folder_and_the_option(
    shop: Workshop, kind: str
) -> None:
    shop.declare(segment("gold", spec=f"members: [{{{SOURCES[kind]}}}]"))
    with small_files(), pytest.raises(OperationError) as caught:
        shop.plan()
    assert caught.value.message == (
        f"no space for scratch files in {tempfile.gettempdir()}: File too large"
    )
    assert caught.value.hint == (
        "Free some space there, or set --temp-dir or SEGCTL_TEMP_DIR to a folder with more "
        "space. Then run the same command again."
    )
