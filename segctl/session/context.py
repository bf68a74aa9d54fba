"""What every run works with: its surroundings, and a desk to work on."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from segctl.backends.base import Backend
from segctl.backends.local import FOLDER, HEAD, LocalBackend
from segctl.core.clock import Clock
from segctl.core.disk import Disk
from segctl.core.resources import ResourceLimits
from segctl.core.scratch import scratch_folder
from segctl.manifests.workspace import require_workspace

if TYPE_CHECKING:
    from segctl.engine.base import Engine
    from segctl.provider.client import Transport


@dataclass(frozen=True, kw_only=True)
class Context:
    """Everything outside of a run: where it works, and what varies from run to run.

    ``root`` is the workspace; ``environment`` the process's variables; ``chance``
    gives numbers in [0, 1).  ``disk`` takes everything that must last, ``transport``
    carries requests to the service (``None``: the network).  ``limits`` bounds what the
    run may take of the machine.
    """

    root: Path
    environment: Mapping[str, str] = field(repr=False)
    clock: Clock
    chance: Callable[[], float]
    command: str = "segctl"
    disk: Disk = field(default_factory=Disk)
    transport: "Transport | None" = None
    limits: ResourceLimits = field(default_factory=ResourceLimits)

    def backend(self) -> Backend:
        """Return the backend of the workspace; raises ``OperationError`` outside of a workspace."""
        # A state is looked at even where the file beside it was lost.
        if not any((self.root / name).exists() for name in (HEAD, FOLDER)):
            require_workspace(self.root)
        return LocalBackend(self.root, clock=self.clock, disk=self.disk)

    @property
    def account(self) -> str | None:
        """The account named in the environment, if any."""
        return self.environment.get("CLEVERTAP_ACCOUNT_ID") or None


class EngineSession:
    """A scratch folder and the engine that works in it, opened when it is needed.

    An engine serves one plan or one fold, so each use gets a fresh one; it closes the one
    before, since each may fill all the memory that there is.  What does not fit goes to
    ``spill``.
    """

    def __init__(self, scratch: Path, *, limits: ResourceLimits, spill: Path) -> None:
        self.scratch = scratch
        self._limits = limits
        self._spill = spill
        self._engine: Engine | None = None

    def engine(self) -> "Engine":
        """Open an engine; the one before must have done its work."""
        from segctl.core.resources import memory_of, threads_for  # noqa: PLC0415 - engines alone need it
        from segctl.engine.duckdb import DuckEngine  # noqa: PLC0415 - heavy

        self.clear()
        memory = memory_of(self._limits)
        self._engine = DuckEngine(
            self.scratch, threads=threads_for(memory), memory=memory, spill=self._spill
        )
        return self._engine

    def clear(self) -> None:
        """Close the engine."""
        if self._engine:
            self._engine.close()
        self._engine = None


@contextmanager
def engine_session(limits: ResourceLimits, folder: Path | None = None) -> Iterator[EngineSession]:
    """Set up a desk in ``folder``, by default one for temporary files; clear it afterwards.

    What is to be taken into the state is made in the state's scratch folder: from
    there it is a rename away.  What spills goes there too, unless the room has a folder.
    """
    with ExitStack() as stack:
        scratch = stack.enter_context(scratch_folder(folder or limits.folder))
        spill = scratch
        if folder and limits.folder:
            spill = stack.enter_context(scratch_folder(limits.folder))
        made = EngineSession(scratch, limits=limits, spill=spill)
        stack.callback(made.clear)
        yield made
