"""Files as a source: one, all of a folder, or those that a pattern matches.

Folders named ``day=2026-01-31``, as Hive and its kin write them, part the files by a
column that does not stand in them.  Its values are text as they stand, and only what a
plan asks for is opened.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import PurePosixPath
from urllib.parse import unquote

from segctl.engine.base import FileScan, SourceError
from segctl.manifests.desired import FileSource
from segctl.manifests.file_formats import Format, infer_format
from segctl.sources.path_policy import PathPolicy

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What Hive, Spark and DuckDB name the folder of rows whose partition column is NULL."""

Partitions = Mapping[str, str | None]


def scan(source: FileSource, policy: PathPolicy, *, segment_column: str | None = None) -> FileScan:
    """Find a source's files and judge each; raises ``SourceError``."""
    found: Mapping[str, Partitions] = {n: partitions(n) for n in policy.find(source.path)}
    for column, value in source.where.items():
        found = _pruned(found, column, value, source.path)
    paths = {name: policy.locate(name) for name in found}
    wanted = {column for column in (source.column, segment_column) if column}
    known = sorted(wanted & {column for parts in found.values() for column in parts})
    for column in known:
        _check_everywhere(found, column)
    format_ = source.format or _format(source.path, list(found))
    if format_ == "parquet":
        _check_not_packed(found)
    return FileScan(
        paths=tuple(paths.values()),
        format=format_,
        column=source.column,
        kind=source.kind,
        segment_column=segment_column,
        partitions={
            column: {paths[name]: parts[column] for name, parts in found.items()}
            for column in known
        },
    )


def partitions(name: str) -> dict[str, str | None]:
    """Give the columns that the folders of a file name, decoded; ``None`` for NULL."""
    pairs = (part.partition("=") for part in PurePosixPath(name).parts[:-1])
    return {
        unquote(column): None if value == _NO_VALUE else unquote(value)
        for column, equals, value in pairs
        if column and equals
    }


def _pruned(
    found: Mapping[str, Partitions], column: str, value: str, path: str
) -> dict[str, Partitions]:
    """Leave the files of one partition."""
    there = sorted({name for parts in found.values() for name in parts})
    if column not in there:
        near = get_close_matches(column, there, n=1)
        advice = f'Did you mean "{near[0]}"?' if near else f"It has: {', '.join(there)}."
        raise SourceError(
            "no-partition",
            f'{path} has no partition column "{column}"',
            advice if there else "Its files lie in no folder named such as day=2026-01-31.",
        )
    _check_everywhere(found, column)
    left = {name: parts for name, parts in found.items() if parts[column] == value}
    if not left:
        values = sorted({parts[column] or _NO_VALUE for parts in found.values()})
        raise SourceError(
            "no-partition",
            f"no file of {path} has {column}={value}",
            f"It has {len(values):,}, from {values[0]} to {values[-1]}.",
        )
    return left


def _check_everywhere(found: Mapping[str, Partitions], column: str) -> None:
    """Refuse a file beside the partitions, whose rows would have no value."""
    for name, parts in found.items():
        if column not in parts:
            raise SourceError(
                "no-partition",
                f"{name} lies in no folder {column}=…, as others do",
                "Move it into one, or leave it out of the pattern.",
            )


def _check_not_packed(names: Iterable[str]) -> None:
    for name in names:
        if name.lower().endswith((".gz", ".zst")):
            raise SourceError(
                "unreadable-file",
                f"{name} is Parquet that was compressed once more",
                "Unpack it: Parquet is compressed inside.",
            )


def _format(path: str, names: Sequence[str]) -> Format:
    """Give the format that all names tell."""
    first: Format | None = None
    for name in names:
        told = infer_format(name)
        if told is None:
            raise SourceError(
                "unknown-format",
                f"the format of {name} cannot be told from its name",
                "Name it .csv, .tsv, .jsonl, .parquet or .txt, after which .gz or .zst may stand; "
                "in a manifest, format: may tell it instead.",
            )
        if first is not None and told != first:
            raise SourceError(
                "mixed-formats",
                f"{path} holds files of several formats: {names[0]} is {first}, {name} is {told}",
                "Give each format a source of its own, such as a pattern with *.csv at its end.",
            )
        first = told
    if first is None:
        raise AssertionError("a source has one file at least")
    return first
