"""Files as a source: one file, all files of a folder, or those that match a pattern.

Folders named as Hive does, ``day=2026-01-31``, add a partition column that the files
themselves do not have. Its values are text exactly as written in the name.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote

from segctl.engine.model import FileScan, SourceError
from segctl.engine.source_errors import did_you_mean, join_names
from segctl.manifests.desired import FileSource
from segctl.manifests.file_formats import SAVE_AS_CSV, Format, infer_format, is_spreadsheet
from segctl.sources.path_policy import PathPolicy

_NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
"""How Hive, Spark and DuckDB name the folder of rows whose partition column is NULL."""

PartitionValues = Mapping[str, str | None]


def scan(source: FileSource, policy: PathPolicy, *, segment_column: str | None = None) -> FileScan:
    """Find a source's files and check that each may be read. Raises ``SourceError``."""
    found: Mapping[str, PartitionValues] = {
        name: partition_values(name) for name in policy.find(source.path)
    }
    for column, value in source.where.items():
        found = _select_partition(found, column, value, source.path)
    paths = {name: policy.locate(name) for name in found}
    wanted = {column for column in (source.column, segment_column) if column}
    partition_columns = sorted(wanted & {column for values in found.values() for column in values})
    for column in partition_columns:
        _check_all_have(found, column)
    format_ = source.format or _detect_format(source.path, list(found))
    if format_ == "parquet":
        check_not_compressed(found)
    _check_settings(source, format_)
    return FileScan(
        paths=tuple(paths.values()),
        format=format_,
        column=source.column,
        kind=source.kind,
        comments=source.comments,
        encoding=source.encoding,
        delimiter=source.delimiter,
        segment_column=segment_column,
        partitions={
            column: {paths[name]: values[column] for name, values in found.items()}
            for column in partition_columns
        },
    )


def partition_values(name: str) -> dict[str, str | None]:
    """Return the partition columns that a file's folders define, decoded. None is NULL."""
    pairs = (part.partition("=") for part in PurePosixPath(name).parts[:-1])
    return {
        unquote(column): None if value == _NULL_FOLDER else unquote(value)
        for column, equals, value in pairs
        if column and equals
    }


def _select_partition(
    found: Mapping[str, PartitionValues], column: str, value: str, path: str
) -> dict[str, PartitionValues]:
    """Return the files of one partition."""
    known = sorted({name for values in found.values() for name in values})
    if column not in known:
        hint = did_you_mean(column, known) or f"Its partition columns are: {join_names(known)}."
        raise SourceError(
            "no-partition",
            f'{path} has no partition column "{column}"',
            hint if known else "Name its folders like day=2026-01-31, or remove the field where.",
        )
    _check_all_have(found, column)
    selected = {name: values for name, values in found.items() if values[column] == value}
    if not selected:
        existing = sorted({values[column] or _NULL_FOLDER for values in found.values()})
        raise SourceError(
            "no-partition",
            f"no file of {path} is in a folder {column}={value}",
            f"{column} has {len(existing):,} values, from {existing[0]} to {existing[-1]}.",
        )
    return selected


def _check_all_have(found: Mapping[str, PartitionValues], column: str) -> None:
    """Refuse a file outside the partitions: its rows would have no value in the column."""
    for name, values in found.items():
        if column not in values:
            raise SourceError(
                "no-partition",
                f"{name} is not in a folder {column}=…, unlike other files",
                "Move it into one, or change the path so that it does not match the file.",
            )


def _check_settings(source: FileSource, format_: Format) -> None:
    """Refuse a setting that the format, now that it is known, does not have."""
    if source.delimiter is not None and format_ != "csv":
        summary = f"{source.path}: delimiter has no effect in {format_}"
        raise SourceError("no-effect", summary, "Remove it, or set format: csv.")
    if source.encoding != "utf-8" and format_ == "parquet":
        summary = f"{source.path}: encoding has no effect in parquet"
        raise SourceError("no-effect", summary, "Remove it.")


def check_not_compressed(names: Iterable[str]) -> None:
    """Refuse a Parquet file that is compressed as a whole."""
    for name in names:
        if name.lower().endswith((".gz", ".zst")):
            raise SourceError(
                "unreadable-file",
                f"{name} is a compressed Parquet file",
                "Decompress it. Parquet files are already compressed inside.",
            )


def _detect_format(path: str, names: Sequence[str]) -> Format:
    """Return the format of all files, according to their names."""
    first: Format | None = None
    for name in names:
        format_ = infer_format(name)
        if format_ is None:
            raise SourceError(
                "unknown-format",
                f"the format of {name} cannot be inferred from its name",
                SAVE_AS_CSV
                if is_spreadsheet(name)
                else "End the name in .csv, .tsv, .jsonl, .parquet or .txt, which .gz or .zst may "
                "follow. In a manifest, you can set format instead.",
            )
        if first is not None and format_ != first:
            raise SourceError(
                "mixed-formats",
                f"{path} contains several formats: {names[0]} is {first}, {name} is {format_}",
                "Use one source for each format, such as a pattern that ends in *.csv.",
            )
        first = format_
    if first is None:
        raise AssertionError("a source has at least one file")
    return first
