"""What every run works with: its surroundings, and a desk to work on."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from segctl.backends.base import Backend
from segctl.backends.local import LocalBackend
from segctl.clock import Clock
from segctl.durable import Disk, explained

if TYPE_CHECKING:
    from segctl.engine.base import Engine
    from segctl.provider.client import Transport


@dataclass(frozen=True, kw_only=True)
class Context:
    """Everything outside of a run: where it works, and what varies from run to run.

    ``root`` is the workspace; ``environment`` the process's variables; ``chance``
    gives numbers in [0, 1).  ``disk`` takes everything that must last, ``transport``
    carries requests to the service (``None``: the network).
    """

    root: Path
    environment: Mapping[str, str] = field(repr=False)
    clock: Clock
    chance: Callable[[], float]
    command: str = "segctl"
    disk: Disk = field(default_factory=Disk)
    transport: "Transport | None" = None

    def backend(self) -> Backend:
        """Give the place where the workspace's state is kept."""
        return LocalBackend(self.root, clock=self.clock, disk=self.disk)

    @property
    def account(self) -> str | None:
        """The account named in the environment, if any."""
        return self.environment.get("CLEVERTAP_ACCOUNT_ID") or None


class Desk:
    """A scratch folder with the engines that work in it; each is opened when it is needed.

    An engine serves one plan or one fold, so each use gets a fresh one.
    """

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._engines: list[Engine] = []

    def engine(self) -> "Engine":
        """Open an engine."""
        from segctl.engine.duckdb import DuckEngine  # noqa: PLC0415 - heavy

        engine = DuckEngine(self.scratch)
        self._engines.append(engine)
        return engine

    def clear(self) -> None:
        """Close all engines and remove the scratch folder."""
        while self._engines:
            self._engines.pop().close()
        shutil.rmtree(self.scratch, ignore_errors=True)


@contextmanager
def desk(folder: Path | None = None) -> Iterator[Desk]:
    """Set up a desk in ``folder``, by default the one for temporary files; clear it afterwards.

    What is to be taken into the state is made in the state's scratch folder: from
    there it is a rename away, and what a killed run leaves is cleared by the next.
    """
    with explained("make a folder for scratch files"):
        made = Desk(Path(tempfile.mkdtemp(prefix="segctl-", dir=folder)))
    try:
        yield made
    finally:
        made.clear()
