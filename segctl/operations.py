"""The use cases: what a command asks for, done with everything that it needs.

``cli/`` calls these and prints what they give back; nothing here prints.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import segctl.workspace as workspaces
from segctl.clock import Clock
from segctl.events import ApplyEnded, Observer, Recovered, ignore
from segctl.plan.model import Plan
from segctl.state.model import State
from segctl.stopping import StopSignal


@dataclass(frozen=True, kw_only=True)
class Context:
    """Everything outside of a run: where it works, and what varies from run to run.

    ``root`` is the workspace; ``environment`` the process's variables; ``chance``
    gives numbers in [0, 1).
    """

    root: Path
    environment: Mapping[str, str] = field(repr=False)
    clock: Clock
    chance: Callable[[], float]
    command: str = "segctl"


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan, and what an interrupted apply left to be recovered by the next one."""

    plan: Plan
    recovered: Recovered | None = None


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What an apply did; ``ended`` is ``None`` where there was nothing to do."""

    plan: Plan
    approved: bool
    ended: ApplyEnded | None = None


def initialise(folder: Path) -> tuple[str, ...]:
    """Make a workspace that plans cleanly; give the files written.

    Raises ``Stop`` where one of them is there already.
    """
    raise NotImplementedError(folder)


def validate(context: Context, *, variables: Mapping[str, str]) -> workspaces.Loaded:
    """Read and check the workspace."""
    raise NotImplementedError(context, variables)


def plan(
    context: Context,
    *,
    variables: Mapping[str, str],
    targets: tuple[str, ...] = (),
    destroy: bool = False,
    out: Path | None = None,
) -> Planned:
    """Compare the workspace with the state; write the plan to ``out`` where given.

    Takes no lock and changes nothing else.  Guards that tripped are findings of
    severity error in the plan (``Plan.refusals``); the screen decides the exit.
    """
    raise NotImplementedError(context, variables, targets, destroy, out)


def read_plan(file: Path) -> Plan:
    """Read a saved plan, without its members."""
    raise NotImplementedError(file)


def read_state(context: Context) -> State:
    """Read the state; ``state.model.EMPTY`` where there is none."""
    raise NotImplementedError(context)


def apply(
    context: Context,
    *,
    file: Path | None = None,
    variables: Mapping[str, str],
    targets: tuple[str, ...] = (),
    destroy: bool = False,
    lock_timeout: float = 0.0,
    approve: Callable[[Plan], bool],
    observe: Observer = ignore,
    stop: StopSignal,
) -> Applied:
    """Plan under the lock (or load ``file``), ask ``approve``, send, record.

    Raises ``GuardRefused``, ``StalePlan``, ``StateLocked``, ``CredentialsRefused``,
    ``AppliedInPart``, ``Interrupted``.
    """
    raise NotImplementedError(
        context, file, variables, targets, destroy, lock_timeout, approve, observe, stop
    )


def force_unlock(context: Context, lock_id: str) -> None:
    """Break the lock of that id."""
    raise NotImplementedError(context, lock_id)
