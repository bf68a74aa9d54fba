"""What sources are fetched with: what they may read, and where they put what they bring."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from segctl.engine.base import Engine
from segctl.manifests.desired import Connection
from segctl.sources.paths import Reach


@dataclass(frozen=True, kw_only=True)
class Fetching:
    """The surroundings of a source.

    ``scratch`` is a folder that nobody else may look into, cleared after the run;
    ``environment`` holds the variables of the process; ``connections`` are the databases
    that ``segctl.yaml`` declares.
    """

    reach: Reach
    engine: Engine
    scratch: Path
    environment: Mapping[str, str] = field(repr=False)
    connections: Mapping[str, Connection] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count, repr=False)

    def new_file(self, suffix: str) -> Path:
        """Name a scratch file that does not exist yet, ``suffix`` at its end."""
        return self.scratch / f"fetched_{next(self._numbers)}{suffix}"
