"""What fetching a source needs: permissions, the engine, scratch files, connections."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from segctl.core.dataclass import dataclass
from segctl.engine.model import CheckedQuery, FileScan, Rows, SourceError
from segctl.engine.protocols import Engine
from segctl.manifests.desired import DEFAULT_TIME_ZONE, Connection, QueryLimits
from segctl.sources.path_policy import PathPolicy

if TYPE_CHECKING:
    from segctl.sources.sqlite_process import SqliteProcess


@dataclass(frozen=True, kw_only=True)
class SourceContext:
    """What the sources of one run share.

    ``open_engine`` returns the run's engine and opens it on the first call. ``scratch`` is
    a private folder that is removed after the run. ``environment`` holds the variables of
    the process, ``connections`` the databases that ``segctl.yaml`` declares. Queries run in
    ``time_zone``, within ``query_limits``, and none uses more ``memory`` (bytes). Unless
    ``is_trusted``, no program is run and no database is asked.
    """

    policy: PathPolicy
    open_engine: Callable[[], Engine]
    scratch: Path
    environment: Mapping[str, str] = field(repr=False)
    connections: Mapping[str, Connection] = field(default_factory=dict)
    time_zone: str = DEFAULT_TIME_ZONE
    query_limits: QueryLimits = QueryLimits()
    is_trusted: bool = True
    memory: int | None = None
    _numbers: Iterator[int] = field(default_factory=count, repr=False)
    _processes: "list[SqliteProcess]" = field(default_factory=list, repr=False)
    _failures: dict[str, SourceError] = field(default_factory=dict, repr=False)

    @property
    def engine(self) -> Engine:
        """The engine that loads the rows. Opened when first used: most plans need none."""
        return self.open_engine()

    def open_sqlite(self) -> "SqliteProcess":
        """Return the process that reads SQLite files; opens it on the first call."""
        if not self._processes:
            from segctl.sources.sqlite_process import SqliteProcess  # noqa: PLC0415 - rarely needed

            self._processes.append(SqliteProcess(self.scratch, memory=self.memory))
        return self._processes[0]

    @contextmanager
    def remember_failure(self, service: str, codes: Collection[str]) -> Iterator[None]:
        """Raise the error of the first attempt again for a service that failed in this run.

        A failure with one of the ``codes`` is one of every source that needs the service, so the
        block is not tried again.
        """
        if service in self._failures:
            raise self._failures[service]
        try:
            yield
        except SourceError as error:
            if error.code in codes:
                error.service = service
                self._failures[service] = error
            raise

    def close(self) -> None:
        """End the process that reads SQLite files. The next source starts it again."""
        for process in self._processes:
            process.close()

    def download(self, rows: Rows) -> None:
        """Download the objects that rows are read from. Raises ``SourceError``."""
        match rows:
            case FileScan(paths=files) | CheckedQuery(files=files):
                self.policy.download(files)

    def new_file(self, suffix: str) -> Path:
        """Return the path of a new scratch file with this suffix. It does not exist yet."""
        return self.scratch / f"fetched_{next(self._numbers)}{suffix}"
