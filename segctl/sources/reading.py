"""From a declared source to rows that an engine can read."""

from segctl.engine.base import Engine, Inline, Rows, Scan
from segctl.manifests.desired import FileSource, InlineSource, QuerySource, Source
from segctl.sources import query
from segctl.sources.paths import Reach


def rows_of(
    source: Source, reach: Reach, engine: Engine, *, segment_column: str | None = None
) -> Rows:
    """Resolve a source's files and check its query; raises ``RowsUnreadable``."""
    match source:
        case InlineSource(kind=kind, values=values):
            return Inline(kind=kind, values=values)
        case FileSource():
            return Scan(
                path=reach.resolve(source.path),
                format=source.format,
                column=source.column,
                kind=source.kind,
                segment_column=segment_column,
            )
        case QuerySource(sql=sql, parameters=parameters):
            return query.prepare(
                sql, parameters, reach, engine.syntax_tree, segment_column=segment_column
            )
