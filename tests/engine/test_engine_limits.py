"""With little memory the engine spills; errors about memory and disk say what to do."""

import errno
from pathlib import Path

import duckdb
import pytest

from segctl.core.errors import OperationError
from segctl.core.identity import Kind
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import FileScan, RecordedFiles
from segctl.engine.resource_errors import to_operation_error, translate_resource_errors

MEMORY_LIMIT = 512_000_000
SPILL_FOLDER = Path("/scratch")
ROWS = 1_000_000


def duckdb_error(statement: str, **settings: str) -> duckdb.Error:
    """Return the error that DuckDB raises for a statement."""
    with duckdb.connect(config=dict(settings)) as db, pytest.raises(duckdb.Error) as caught:
        db.execute(statement)
    return caught.value


def translate(error: duckdb.Error) -> OperationError:
    translated = to_operation_error(error, memory_limit=MEMORY_LIMIT, spill_folder=SPILL_FOLDER)
    assert translated
    return translated


def test_what_does_not_fit_in_memory_is_spilled(tmp_path: Path) -> None:
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


def test_the_error_of_a_full_spill_folder_names_it() -> None:
    error = duckdb.OutOfMemoryException(
        "Out of Memory Error: failed to offload data block of size 256.0 KiB (17.9 MiB/18.0 MiB "
        "used).\nThis limit was set by the 'max_temp_directory_size' setting."
    )
    translated = translate(error)
    assert translated.message == "no space for scratch files in /scratch: No space left on device"
    assert translated.hint == (
        "Free some space there, or set --temp-dir or SEGCTL_TEMP_DIR to a folder with more "
        "space. Then run the same command again."
    )


def test_the_error_of_a_full_disk_names_the_spill_folder() -> None:
    error = duckdb_error("COPY (SELECT range AS v FROM range(1000000)) TO '/dev/full' (FORMAT csv)")
    assert translate(error).message == (
        "no space for scratch files in /scratch: No space left on device"
    )


def test_the_error_of_too_little_memory_names_the_limit(tmp_path: Path) -> None:
    error = duckdb_error(
        "SELECT list(range) FROM range(100000000)",
        memory_limit="20MB",
        temp_directory=str(tmp_path),
    )
    translated = translate(error)
    assert translated.message == "not enough memory: the limit is 512 MB"
    assert translated.hint == (
        "Raise --memory-limit or SEGCTL_MEMORY_LIMIT, then run the same command again."
    )


def test_the_error_of_a_failing_disk_has_the_reason() -> None:
    error = duckdb.IOException(f"Could not read file: {errno.EIO} Input/output error")
    assert translate(error).message == (
        "cannot use the folder for scratch files, /scratch: Input/output error"
    )


def test_decorated_methods_translate_errors_about_resources_and_no_others() -> None:
    class Worker:
        memory_limit: int | None = MEMORY_LIMIT
        spill_folder = SPILL_FOLDER

        @translate_resource_errors
        def work(self, error: duckdb.Error) -> None:
            raise error

    with pytest.raises(duckdb.BinderException):
        Worker().work(duckdb.BinderException("no such column"))
    with pytest.raises(duckdb.IOException):
        Worker().work(duckdb.IOException("something else"))
    with pytest.raises(OperationError, match="not enough memory"):
        Worker().work(duckdb.OutOfMemoryException("could not allocate"))
