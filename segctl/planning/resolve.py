"""Resolve the sources of a plan to rows, once for all attempts to build the plan."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from segctl.core.scratch import link_or_copy
from segctl.engine.model import CopiedRows, Rows, SourceError
from segctl.engine.protocols import Engine
from segctl.manifests.desired import Load, SegmentSource, TableLoad
from segctl.sources.context import SourceContext
from segctl.sources.reader import resolve_rows


class SourceResolver:
    """Resolves each source once: a database could give other rows the second time.

    ``engine`` opens an engine for each attempt. If there can be several (``repeats``), rows that
    were fetched are kept for the next.
    """

    def __init__(
        self, context: SourceContext, engine: Callable[[], Engine], *, repeats: bool = False
    ) -> None:
        self._context = context
        self._engine = engine
        self._repeats = repeats
        self._resolved: dict[int, Rows | SourceError] = {}

    def open_context(self) -> SourceContext:
        """Return the context for one attempt, with an engine of its own."""
        return replace(self._context, open_engine=cache(self._engine))

    def resolve_load(self, load: Load, context: SourceContext) -> Rows | SourceError:
        """Return the rows of a source that is not another segment, or why there are none."""
        if id(load) not in self._resolved:
            self._resolved[id(load)] = resolve_load(load, context)
        resolved = self._resolved[id(load)]
        if self._repeats and isinstance(resolved, CopiedRows):
            # The engine removes the file that it gets.
            file = context.new_file(resolved.path.suffix)
            link_or_copy(resolved.path, file)
            return replace(resolved, path=file)
        return resolved


def resolve_load(load: Load, context: SourceContext) -> Rows | SourceError:
    """Return the rows of a source that is not another segment, or why there are none."""
    column = load.segment_column if isinstance(load, TableLoad) else None
    try:
        match load.source:
            case SegmentSource():
                raise AssertionError("another segment has no rows of its own")
            case source:
                return resolve_rows(source, context, segment_column=column)
    except SourceError as error:
        return error
