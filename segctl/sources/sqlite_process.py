"""Read SQLite files in a limited child process."""

from dataclasses import replace
from pathlib import Path

from segctl.core.codec import to_plain
from segctl.engine.limited_process import LimitedProcess, out_of_memory, out_of_scratch
from segctl.engine.model import CopiedRows, SourceError
from segctl.manifests.desired import QueryLimits, SqliteSource


class SqliteProcess:
    """One child process for all SQLite sources of a run. It starts with the first one.

    ``memory`` limits it in bytes, as ``limits`` of a source do.
    """

    def __init__(self, scratch: Path, *, memory: int | None = None) -> None:
        self._memory = memory
        self._child = LimitedProcess("segctl.sources.sqlite_child", scratch / "sqlite_spill")

    def fetch(
        self,
        source: SqliteSource,
        file: Path,
        into: Path,
        *,
        limits: QueryLimits,
        segment_column: str | None = None,
    ) -> CopiedRows:
        """Copy the rows of a source into the new file ``into``; see ``sqlite.fetch``.

        Raises ``SourceError``, also for a source that exceeds a limit.
        """
        rows = self._request(source, file, into, limits, segment_column, only_check=False)
        return CopiedRows(path=into, rows=rows)

    def check(
        self,
        source: SqliteSource,
        file: Path,
        unused: Path,
        *,
        limits: QueryLimits,
        segment_column: str | None = None,
    ) -> None:
        """Check that SQLite can prepare the statement of a source; see ``sqlite.check``.

        ``unused`` is the path of a file that does not exist. Raises ``SourceError``.
        """
        self._request(source, file, unused, limits, segment_column, only_check=True)

    def _request(
        self,
        source: SqliteSource,
        file: Path,
        into: Path,
        limits: QueryLimits,
        segment_column: str | None,
        *,
        only_check: bool,
    ) -> int:
        """Return the number of rows that the child copied."""
        request = {
            "only_check": only_check,
            # The keys of patterns are no text, and the engine applies them.
            "source": to_plain(replace(source, patterns={})),
            "file": str(file.resolve()),
            "into": str(into.resolve()),
            "segment_column": segment_column,
        }
        if self._memory:
            limits = replace(limits, memory=min(limits.memory, self._memory))
        answer = self._child.request(request, limits=limits, result=into)
        if problem := answer.get("problem"):
            raise SourceError(*problem)
        if limit := answer.get("limit"):
            into.unlink(missing_ok=True)
            raise out_of_memory(limits.memory) if limit == "memory" else out_of_scratch()
        return int(answer["rows"])

    def close(self) -> None:
        """End the child process."""
        self._child.close()
