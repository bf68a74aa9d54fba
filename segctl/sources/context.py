"""What sources are fetched with: what they may read, and where they put what they bring."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from segctl.engine.base import CheckedQuery, Engine, FileScan, Rows
from segctl.manifests.desired import Connection
from segctl.sources.path_policy import PathPolicy


@dataclass(frozen=True, kw_only=True)
class SourceContext:
    """The surroundings of a source.

    ``open_engine`` gives the engine, opening it the first time.  ``scratch`` is a folder
    that nobody else may look into, cleared after the run; ``environment`` holds the
    variables of the process; ``connections`` are the databases that ``segctl.yaml``
    declares.
    """

    policy: PathPolicy
    open_engine: Callable[[], Engine]
    scratch: Path
    environment: Mapping[str, str] = field(repr=False)
    connections: Mapping[str, Connection] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count, repr=False)

    @property
    def engine(self) -> Engine:
        """The engine that takes the rows in; opened only by those who need it."""
        return self.open_engine()

    def download(self, rows: Rows) -> None:
        """Have the files of rows there that lie in buckets; raises ``SourceError``."""
        match rows:
            case FileScan(paths=files) | CheckedQuery(files=files):
                self.policy.download(files)

    def new_file(self, suffix: str) -> Path:
        """Name a scratch file that does not exist yet, ``suffix`` at its end."""
        return self.scratch / f"fetched_{next(self._numbers)}{suffix}"
