"""Turn any declared source into rows that an engine can read.

Rows that are not in files, such as those of a database, are fetched into a scratch file
first. Each kind of source has a module of its own.
"""

from dataclasses import replace

from segctl.engine.model import InlineRows, Rows
from segctl.engine.source_errors import untrusted
from segctl.manifests.desired import (
    CommandSource,
    ExternalSource,
    FileSource,
    InlineSource,
    PostgresSource,
    QuerySource,
    SqliteSource,
)
from segctl.sources import files, query
from segctl.sources.context import SourceContext

_CONNECTION_PROBLEMS = frozenset(
    (
        "connection-without-url",
        "connection-url",
        "connection-failed",
        "missing-library",
        "untrusted",
    )
)
"""The codes of errors that every source of a connection has."""

_FILE_PROBLEMS = frozenset(("database-locked", "missing-file"))
"""The codes of errors that every source of an SQLite file has."""


def resolve_rows(
    source: InlineSource | ExternalSource,
    context: SourceContext,
    *,
    segment_column: str | None = None,
) -> Rows:
    """Find a source's files, check its query, or fetch its rows. Raises ``SourceError``."""
    match source:
        case InlineSource(kind=kind, values=values):
            return InlineRows(kind=kind, values=values)
        case FileSource():
            return files.scan(source, context.policy, segment_column=segment_column)
        case QuerySource(sql=sql, parameters=parameters):
            return query.prepare(
                sql,
                parameters,
                context.policy,
                context.engine.parse_select,
                time_zone=context.time_zone,
                limits=context.query_limits,
                segment_column=segment_column,
            )
        case SqliteSource(path=path):
            with context.remember_failure(f"file {path}", _FILE_PROBLEMS):
                return context.open_sqlite().fetch(
                    source,
                    context.policy.locate(path),
                    context.new_file(".copy"),
                    limits=context.query_limits,
                    segment_column=segment_column,
                )
        case CommandSource():
            from segctl.sources import command  # noqa: PLC0415 - few workspaces need it

            if not context.is_trusted:
                raise untrusted(f"the program {source.run[0]} is not run")
            return command.fetch(
                source,
                context.new_file(f".{source.format}"),
                root=context.policy.root,
                environment=context.environment,
                segment_column=segment_column,
            )
        case PostgresSource():
            from segctl.sources import postgres  # noqa: PLC0415 - as above

            with context.remember_failure(f"connection {source.connection}", _CONNECTION_PROBLEMS):
                if not context.is_trusted:
                    raise untrusted(f"the database {source.connection} is not asked")
                database = postgres.find_database(
                    source.connection, context.connections, context.environment
                )
                return postgres.fetch(
                    source,
                    replace(database, time_zone=context.time_zone),
                    context.new_file(".copy"),
                    segment_column=segment_column,
                )
