"""From a declared source to rows that an engine can read.

What lies outside of the files of the workspace is brought into a scratch file first,
each kind of source in its own module.
"""

from segctl.engine.base import InlineRows, Rows
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


def resolve_rows(
    source: InlineSource | ExternalSource, at: SourceContext, *, segment_column: str | None = None
) -> Rows:
    """Resolve a source's files, check its query, or fetch it; raises ``SourceError``."""
    match source:
        case InlineSource(kind=kind, values=values):
            return InlineRows(kind=kind, values=values)
        case FileSource():
            return files.scan(source, at.policy, segment_column=segment_column)
        case QuerySource(sql=sql, parameters=parameters):
            return query.prepare(
                sql, parameters, at.policy, at.engine.syntax_tree, segment_column=segment_column
            )
        case SqliteSource():
            from segctl.sources import sqlite  # noqa: PLC0415 - few workspaces need it

            file = at.policy.locate(source.path)
            return sqlite.fetch(source, file, at.new_file(".copy"), segment_column=segment_column)
        case CommandSource():
            from segctl.sources import command  # noqa: PLC0415 - as above

            return command.fetch(
                source,
                at.new_file(f".{source.format}"),
                root=at.policy.root,
                environment=at.environment,
                segment_column=segment_column,
            )
        case PostgresSource():
            from segctl.sources import postgres  # noqa: PLC0415 - as above

            return postgres.fetch(
                source,
                postgres.database(source.connection, at.connections, at.environment),
                at.new_file(".copy"),
                segment_column=segment_column,
            )
