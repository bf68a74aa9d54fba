"""Check sources for ``validate``: queries, files and columns, without reading rows.

Only files of the workspace and of allowed folders are looked at. No bucket and no database is
reached, and no program is run, so a check needs no credentials.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from segctl.core.diagnostics import Diagnostic, Severity
from segctl.core.suggestions import did_you_mean
from segctl.engine.beginnings import first_keys, surely_has_columns
from segctl.engine.model import CheckedQuery, FileScan, SourceError
from segctl.engine.protocols import Engine
from segctl.engine.source_errors import join_names
from segctl.manifests.desired import (
    DesiredState,
    FileSource,
    Load,
    MemberLoad,
    QuerySource,
    SqliteSource,
    TableLoad,
)
from segctl.planning.source_context import open_source_context
from segctl.planning.source_diagnostics import source_diagnostic
from segctl.sources.context import SourceContext
from segctl.sources.object_store import ObjectFetcher
from segctl.sources.reader import resolve_rows

_NOT_LOOKED_AT = ("not-looked-at", "untrusted")
"""The codes of errors about what is outside: a bucket, or a folder that a pull request adds."""


class _UnopenedObjects(ObjectFetcher):
    """Stands for buckets, which are not reached."""

    def find(self, path: str) -> tuple[str, ...]:
        """Raise ``SourceError``."""
        raise SourceError("not-looked-at", f"{path} is not looked at")


def check_sources(
    desired: DesiredState,
    *,
    engine: Callable[[], Engine],
    root: Path,
    scratch: Path,
    environment: Mapping[str, str],
    memory: int | None = None,
    checked: set[str],
) -> Iterator[Diagnostic]:
    """Yield the problems with the files and queries of a workspace.

    ``engine`` opens an engine; it is called only for what the first line of a file does not show.
    ``checked`` are sources that need no check, as text; those that are checked are added.
    """
    context = open_source_context(
        desired.project,
        scratch,
        engine=engine,
        root=root,
        environment=environment,
        memory=memory,
    )
    policy = replace(context.policy, objects=_UnopenedObjects(scratch))
    with closing(replace(context, policy=policy)) as context:
        for load in _loads(desired):
            column = load.segment_column if isinstance(load, TableLoad) else None
            key = f"{load.source!r} {column!r}"
            if key not in checked:
                checked.add(key)
                yield from _check(load, column, context)


def _loads(desired: DesiredState) -> Iterator[Load]:
    yield from desired.loads
    for block in desired.blocks.imports:
        yield from (MemberLoad(source=source, addresses=()) for source in block.sources or ())


def _check(load: Load, column: str | None, context: SourceContext) -> Iterator[Diagnostic]:
    source = load.source
    try:
        if isinstance(source, FileSource | QuerySource):
            rows = resolve_rows(source, context, segment_column=column)
            if isinstance(rows, FileScan):
                yield from _check_files(load, rows, context)
            elif isinstance(rows, CheckedQuery):
                context.engine.check_columns(rows)
        elif isinstance(source, SqliteSource):
            context.open_sqlite().check(
                source,
                context.policy.locate(source.path),
                context.new_file(".copy"),
                limits=context.query_limits,
                segment_column=column,
            )
    except SourceError as error:
        if error.code not in _NOT_LOOKED_AT:
            yield source_diagnostic(load, error, context.policy)


def _check_files(load: Load, scan: FileScan, context: SourceContext) -> Iterator[Diagnostic]:
    unsure = [path for path in scan.paths if not surely_has_columns(scan, path)]
    if not unsure:
        return
    if scan.format == "jsonl":
        for path in unsure if scan.encoding == "utf-8" else ():
            keys = first_keys(path)
            if keys is not None:
                yield from _check_keys(load, context.policy.display_name(path), scan, keys)
        return
    try:
        context.engine.check_columns(replace(scan, paths=tuple(unsure)))
    except SourceError as error:
        if len(unsure) == 1 < len(scan.paths):
            error.file = unsure[0]
        raise


def _check_keys(
    load: Load, name: str, scan: FileScan, keys: Collection[str]
) -> Iterator[Diagnostic]:
    """Warn of a key that the first line does not have. Other lines may have it."""
    listed = f"Its keys are: {join_names(list(keys))}." if keys else "It has no key."
    for column in scan.file_columns:
        if column not in keys:
            yield Diagnostic(
                code="missing-column",
                summary=f'{name}:1: the first line has no key "{column}".',
                detail=did_you_mean(column, keys) or listed,
                location=load.source.location,
                severity=Severity.WARNING,
            )
