"""Little memory, little disk: the engine spills, and says what is missing where it cannot."""

import errno
from pathlib import Path

import duckdb
import pytest

from segctl.core.errors import OperationError
from segctl.core.identity import Kind
from segctl.engine.duckdb import DuckEngine
from segctl.engine.memory_limit import MemoryLimits, explained, told
from segctl.engine.model import FileScan, RecordedFiles

MEANS = MemoryLimits(memory=512_000_000, folder=Path("/scratch"))
ROWS = 1_000_000


def failure(statement: str, **settings: str) -> duckdb.Error:
    """Give the error that DuckDB itself raises."""
    with duckdb.connect(config=dict(settings)) as db, pytest.raises(duckdb.Error) as caught:
        db.execute(statement)
    return caught.value


def test_what_does_not_fit_into_memory_is_spilled(tmp_path: Path) -> None:
    source = tmp_path / "long.parquet"
    with duckdb.connect() as db:
        db.execute(
            f"COPY (SELECT repeat(md5(i::VARCHAR), 3) AS identity FROM range({ROWS}) AS t(i)) "
            f"TO '{source}' (FORMAT parquet)"
        )
    engine = DuckEngine(tmp_path, threads=1, memory=128 << 20)
    scan = FileScan(paths=(source,), format="parquet", column="identity", kind=Kind.IDENTITY)
    number = engine.load(scan, targets=[0])
    engine.set_recorded(0, RecordedFiles(), wanted=True)
    diff = engine.diff()
    engine.close()
    assert (diff.targets[0].add, diff.loads[number].duplicates) == (ROWS, 0)


def test_a_full_folder_for_what_spills_is_named() -> None:
    error = duckdb.OutOfMemoryException(
        "Out of Memory Error: failed to offload data block of size 256.0 KiB (17.9 MiB/18.0 MiB "
        "used).\nThis limit was set by the 'max_temp_directory_size' setting."
    )
    found = told(error, MEANS)
    assert found
    assert found.message == "no space for scratch files in /scratch: No space left on device"
    assert found.hint == (
        "Free some space there, or set --temp-dir or SEGCTL_TEMP_DIR to a folder with more "
        "space. Then run the same command again."
    )


def test_a_full_disk_is_told() -> None:
    error = failure("COPY (SELECT range AS v FROM range(1000000)) TO '/dev/full' (FORMAT csv)")
    found = told(error, MEANS)
    assert found
    assert found.message == "no space for scratch files in /scratch: No space left on device"


def test_too_little_memory_is_told(tmp_path: Path) -> None:
    error = failure(
        "SELECT list(range) FROM range(100000000)",
        memory_limit="20MB",
        temp_directory=str(tmp_path),
    )
    found = told(error, MEANS)
    assert found
    assert found.message == "there is not enough memory for this run: it may hold 512 MB"
    assert found.hint == (
        "Allow it more with --memory-limit or SEGCTL_MEMORY_LIMIT, then run the same command again."
    )


def test_a_disk_that_fails_is_told() -> None:
    error = duckdb.IOException(f"Could not read file: {errno.EIO} Input/output error")
    found = told(error, MEANS)
    assert found
    assert found.message == (
        "cannot work in the folder for scratch files, /scratch: Input/output error"
    )


def test_other_errors_pass_and_methods_raise_what_is_told() -> None:
    class Worker:
        means = MEANS

        @explained
        def work(self, error: duckdb.Error) -> None:
            raise error

    with pytest.raises(duckdb.BinderException):
        Worker().work(duckdb.BinderException("no such column"))
    with pytest.raises(duckdb.IOException):
        Worker().work(duckdb.IOException("something else"))
    with pytest.raises(OperationError, match="not enough memory"):
        Worker().work(duckdb.OutOfMemoryException("could not allocate"))
