"""Write member files of every format and compression, and read them as a source."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import duckdb

from segctl.core.diagnostics import Location
from segctl.core.identity import Kind
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import FileScan, LoadStats, RecordedFiles
from segctl.manifests.desired import FileSource
from segctl.manifests.file_formats import infer_format
from segctl.sources.files import scan
from segctl.sources.path_policy import PathPolicy

FORMATS = ("csv", "tsv", "jsonl", "parquet", "txt")
KINDS_OF_FILE = [f"{form}{packed}" for form in FORMATS for packed in ("", ".gz", ".zst")
                 if not (form == "parquet" and packed)]  # fmt: skip


def write(path: Path, values: Sequence[str], *, column: str = "identity", mark: str = "") -> Path:
    """Write members to a file. Its name determines the format and the compression.

    Text begins with ``mark``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    format_ = infer_format(path.name)
    if format_ == "parquet":
        with duckdb.connect() as db:
            db.execute(f"CREATE TABLE t AS SELECT unnest($1::VARCHAR[]) AS {column}", [values])
            db.execute(f"COPY t TO '{path}'")
        return path
    lines = [json.dumps({column: v}) for v in values] if format_ == "jsonl" else list(values)
    text = "".join(f"{line}\n" for line in [*([column] * (format_ in ("csv", "tsv"))), *lines])
    write_packed(path, (mark + text).encode())
    return path


def write_packed(path: Path, content: bytes) -> None:
    """Write bytes, compressed according to the file's name."""
    if path.suffix == ".zst":
        path.write_bytes(zstd(content, path.parent))
    else:
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def zstd(content: bytes, folder: Path) -> bytes:
    """Compress text with zstd, which the standard library of Python 3.11 lacks."""
    file = folder / ".packed.csv"
    lines = content.decode().removesuffix("\n").split("\n")
    with duckdb.connect() as db:
        db.execute("CREATE TABLE t AS SELECT unnest($1::VARCHAR[]) AS line", [lines])
        db.execute(f"COPY t TO '{file}' (HEADER false, QUOTE '', DELIM '\x01', COMPRESSION zstd)")
    packed = file.read_bytes()
    file.unlink()
    return packed


def file_source(path: str, **fields: object) -> FileSource:
    """Return a file source as a manifest would declare it, with ``fields`` changed."""
    declared = {"format": infer_format(path), "column": "identity", "kind": Kind.IDENTITY, **fields}
    return FileSource(path=path, location=Location(file="a.yaml"), **declared)  # type: ignore[arg-type]  # any field


def scan_files(root: Path, path: str, **fields: object) -> FileScan:
    """Find the files of a file source in a workspace."""
    column = fields.pop("segment_column", None)
    return scan(file_source(path, **fields), PathPolicy(root=root), segment_column=column)  # type: ignore[arg-type]  # text


def read(engine: DuckEngine, rows: FileScan) -> tuple[LoadStats, list[str]]:
    """Load rows. Return their counts, and the first ten members."""
    number = engine.load(rows, targets=[0])
    engine.set_recorded(0, RecordedFiles(), wanted=True)
    diff = engine.diff()
    return diff.loads[number], [value for _, value in diff.targets[0].sample.add]
