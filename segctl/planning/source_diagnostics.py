"""Say in a diagnostic why a source cannot be read: its name, and the place in a file or query."""

import re

from segctl.core.diagnostics import Diagnostic, Location
from segctl.engine.model import SourceError
from segctl.manifests.desired import (
    CommandSource,
    FileSource,
    InlineSource,
    Load,
    PostgresSource,
    QuerySource,
    SegmentSource,
    SqliteSource,
    SqlSource,
)
from segctl.sources.path_policy import PathPolicy

_LINE_OF_QUERY = re.compile(r", in line \d+ of the query$")
_CODES_OF_RESULTS = ("both-keys", "column-not-text", "missing-column")
"""Errors about the columns of a result, besides those whose code begins with ``query-``."""


def source_diagnostic(load: Load, error: SourceError, policy: PathPolicy) -> Diagnostic:
    """Return the diagnostic for a source that cannot be read, with its location."""
    summary, detail = error.summary, error.detail
    if isinstance(load.source, CommandSource):
        name = source_name(load)
        if name not in summary:
            line = f" (line {error.line})" if error.line else ""
            summary = f"{name}: {summary.replace('the file', 'its output', 1)}{line}"
        if error.code == "column-not-text":
            detail = "Change the command to write the column as text."
    elif isinstance(load.source, FileSource):
        line = f":{error.line}" if error.line else ""
        name = policy.display_name(error.file) if error.file else load.source.path
        if name not in summary:
            summary = f"{name}{line}: {summary}"
    elif isinstance(load.source, SqliteSource):
        summary = summary if load.source.path in summary else f"{load.source.path}: {summary}"
    elif isinstance(load.source, PostgresSource):
        summary = f'connection "{load.source.connection}": {summary}'
    elif error.line or error.file:
        line = f"line {error.line} of " if error.line else ""
        file = policy.display_name(error.file) if error.file else "a file that it reads"
        summary += f" ({line}{file})"
    source, location = load.source, load.source.location
    if isinstance(source, SqlSource) and source.sql_file and _is_about_sql(source, error):
        detail = f"{detail} {location} uses this file.".strip()
        at = error.query_position or (0, 0)
        location = Location(file=source.sql_file, line=at[0], column=at[1])
        summary = _LINE_OF_QUERY.sub("", summary)
    return Diagnostic(code=error.code, summary=summary, detail=detail, location=location)


def _is_about_sql(source: SqlSource, error: SourceError) -> bool:
    """Whether a problem is in the text of a query, and not in a file or in the database."""
    if error.query_position:
        return True
    if isinstance(source, QuerySource):
        return error.file is None and not error.line
    return error.code.startswith("query-") or error.code in _CODES_OF_RESULTS


def source_name(load: Load) -> str:
    """Name a source by its path, its table and connection, or its command."""
    match load.source:
        case FileSource(path=name) | SegmentSource(address=name):
            return name
        case QuerySource(sql_file=file):
            return file or "the query"
        case PostgresSource(connection=database, table=table, sql_file=file):
            return f"{table or file or 'the query'} of {database}"
        case SqliteSource(path=database, table=table, sql_file=file):
            return f"{table or file or 'the query'} of {database}"
        case CommandSource(run=run):
            return f"the command {run[0]}"
        case InlineSource():
            return "the list"
