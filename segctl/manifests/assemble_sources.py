"""Build the sources of the desired state from the models of validated documents."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from segctl.core.address import segment_address
from segctl.core.diagnostics import Location
from segctl.core.identity import Kind
from segctl.core.normalize import normalization_order
from segctl.manifests import desired
from segctl.manifests.file_formats import infer_format
from segctl.manifests.project_models import ProjectSpec
from segctl.manifests.source_models import (
    Command,
    MemberSource,
    Postgres,
    RowSource,
    Sqlite,
    TableSource,
    sql_text,
)
from segctl.manifests.sql_parameters import find_parameters


def build_source(
    source: MemberSource, location: Location, variables: Mapping[str, str]
) -> desired.Source:
    """Return the source that a model declares, with the values of its parameters."""
    inline = {Kind.IDENTITY: source.identities, Kind.GUID: source.guids}
    for kind, values in inline.items():
        if values is not None:
            return desired.InlineSource(kind=kind, values=tuple(values), location=location)
    if source.segment is not None:
        return desired.SegmentSource(address=segment_address(source.segment), location=location)
    return build_external_source(source, location, variables)


def build_external_source(
    source: MemberSource | TableSource, location: Location, variables: Mapping[str, str]
) -> desired.ExternalSource:
    """Return the source that a model declares, for one that is neither a list nor a segment."""
    if file := source.file:
        return desired.FileSource(
            path=file.path,
            format=file.format or infer_format(file.path),
            column=file.column,
            kind=Kind(file.kind),
            where=file.where,
            comments=file.comments,
            encoding=file.encoding,
            delimiter=file.delimiter,
            **_row_settings(file),
            location=location,
        )
    if query := source.query:
        return desired.QuerySource(
            sql=sql_text(query.sql),
            parameters=_bound_parameters(sql_text(query.sql), variables),
            **_row_settings(query),
            location=location,
        )
    if sqlite := source.sqlite:
        rows = _database_rows(sqlite, variables)
        return desired.SqliteSource(path=sqlite.path, location=location, **rows)
    if postgres := source.postgres:
        rows = _database_rows(postgres, variables)
        return desired.PostgresSource(connection=postgres.connection, location=location, **rows)
    if source.command is not None:
        return _command(source.command, location)
    raise AssertionError("a validated source has exactly one form")


def _database_rows(source: Sqlite | Postgres, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields that all database sources have."""
    sql = sql_text(source.sql)
    return {
        "sql": sql,
        "parameters": _bound_parameters(sql, variables),
        "table": source.table or "",
        "column": source.column,
        "kind": Kind(source.kind),
        **_row_settings(source),
    }


def _bound_parameters(sql: str, variables: Mapping[str, str]) -> dict[str, str]:
    return {name: variables[name] for name in find_parameters(sql)}


def _command(written: list[str] | Command, location: Location) -> desired.CommandSource:
    command = Command(run=written) if isinstance(written, list) else written
    return desired.CommandSource(
        run=tuple(command.run),
        format=command.format,
        column=command.column,
        kind=Kind(command.kind),
        timeout_seconds=command.timeout_seconds,
        comments=command.comments,
        encoding=command.encoding,
        delimiter=command.delimiter,
        **_row_settings(command),
        location=location,
    )


def _row_settings(source: RowSource) -> dict[str, Any]:
    """Return the fields that all sources of rows have."""
    percent, shrink = source.max_invalid_percent, source.max_shrink_percent
    return {
        "tolerance": desired.Tolerance(
            skip=source.on_invalid == "skip",
            max_invalid_percent=100.0 if percent is None else percent,
        ),
        "limits": desired.SizeLimits(
            min_rows=source.min_rows or 0,
            max_shrink_percent=(desired.DEFAULT_MAX_SHRINK_PERCENT if shrink is None else shrink),
        ),
        "patterns": dict.fromkeys(Kind, source.pattern) if source.pattern is not None else {},
        "normalize": normalization_order(source.normalize),
    }


def kind_patterns(spec: ProjectSpec) -> dict[Kind, str]:
    """Return the patterns of the workspace by the kind of identity."""
    return {Kind(kind): pattern for kind, pattern in spec.patterns.items()}


def with_patterns(load: desired.Load, patterns: Mapping[Kind, str]) -> desired.Load:
    """Return a load with the patterns of the workspace, unless its source has its own."""
    source = load.source
    if isinstance(source, desired.SegmentSource) or source.patterns or not patterns:
        return load
    changes: dict[str, Any] = {"source": replace(source, patterns=patterns)}
    return replace(load, **changes)
