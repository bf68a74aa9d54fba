"""The engine of one run and the scratch folder that it works in."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from segctl.core.resources import ResourceLimits, memory_limit, thread_count
from segctl.core.scratch import scratch_folder

if TYPE_CHECKING:
    from segctl.engine.database import Database
    from segctl.engine.protocols import Engine


class EngineSession:
    """A scratch folder, and an engine that is opened when it is needed.

    An engine serves one plan or one fold. Opening the next one closes the one before, since
    each may use all the memory of the run. All of them work in one database, which is opened for
    the first. What does not fit in memory spills to ``spill``.
    """

    def __init__(self, scratch: Path, *, limits: ResourceLimits, spill: Path) -> None:
        self.scratch = scratch
        self._limits = limits
        self._spill = spill
        self._database: Database | None = None
        self._engine: Engine | None = None

    def open_engine(self) -> "Engine":
        """Open a new engine; closes the previous one."""
        from segctl.engine.database import Database  # noqa: PLC0415 - heavy
        from segctl.engine.duckdb import DuckEngine  # noqa: PLC0415 - heavy

        self._close_engine()
        if self._database is None:
            memory = memory_limit(self._limits)
            self._database = Database(self._spill, threads=thread_count(memory), memory=memory)
        self._engine = DuckEngine(self.scratch, database=self._database)
        return self._engine

    def close(self) -> None:
        """Close the engine and the database, if they are open."""
        try:
            self._close_engine()
        finally:
            if self._database:
                self._database.close()
            self._database = None

    def _close_engine(self) -> None:
        engine, self._engine = self._engine, None
        if engine:
            engine.close()


@contextmanager
def engine_session(limits: ResourceLimits, folder: Path | None = None) -> Iterator[EngineSession]:
    """Open a session with a scratch folder in ``folder``; remove the scratch folder afterwards.

    ``folder`` defaults to the folder for temporary files. A run that writes passes the scratch
    folder of the state: files made there become member files by a rename. The engine spills to
    the same place, unless ``limits`` names a folder for temporary files.
    """
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_folder(folder or limits.folder))
        spill = scratch
        if folder and limits.folder:
            spill = stack.enter_context(scratch_folder(limits.folder))
        session = EngineSession(scratch, limits=limits, spill=spill)
        stack.callback(session.close)
        yield session
