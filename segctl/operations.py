"""The use cases: what a command asks for, done with everything that it needs.

``cli/`` calls these and prints what they give back; nothing here prints.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from segctl import planfile, recording
from segctl import workspace as workspaces
from segctl.applying import Applied, Apply
from segctl.backends.base import LockInfo
from segctl.checking import check
from segctl.context import Context, Desk, desk
from segctl.errors import InvalidInput, StalePlan, StateLocked, WrongAccount
from segctl.events import Observer, Recovered, ignore
from segctl.importing import MembersFile, import_segment
from segctl.locked import Locked, locked
from segctl.manifests.desired import Desired
from segctl.plan.model import Plan
from segctl.probing.running import Aim, aim_probe, keep_files, make_folder, probe
from segctl.pushing import push
from segctl.rejecting import load_rejects, refused, retry_rejects
from segctl.state.model import State
from segctl.statekeeping import collect, history, move, pull, remove
from segctl.stopping import StopSignal

if TYPE_CHECKING:
    from segctl.planner import Made, Use

__all__ = [
    "Aim",
    "Applied",
    "Context",
    "MembersFile",
    "Planned",
    "aim_probe",
    "apply",
    "check",
    "collect",
    "force_unlock",
    "history",
    "import_segment",
    "initialise",
    "keep_files",
    "load_rejects",
    "make_folder",
    "manifests",
    "move",
    "plan",
    "probe",
    "pull",
    "push",
    "read_plan",
    "read_state",
    "refused",
    "remove",
    "retry_rejects",
    "rewrite",
    "validate",
]


_SECONDS_A_DAY = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan, and what an interrupted apply left to be recovered by the next one."""

    plan: Plan
    recovered: Recovered | None = None


def initialise(folder: Path) -> tuple[str, ...]:
    """Make a workspace that plans cleanly; give the files written.

    Raises ``Stop`` where one of them is there already.
    """
    return workspaces.initialise(folder)


def validate(context: Context, *, variables: Mapping[str, str]) -> workspaces.Loaded:
    """Read and check the workspace."""
    return workspaces.load(context.root, variables=variables, environment=context.environment)


def manifests(context: Context) -> workspaces.ManifestFiles:
    """Read the text of every manifest of the workspace."""
    return workspaces.read_manifests(context.root)


def rewrite(context: Context, file: str, text: str) -> None:
    """Put ``text`` in place of a manifest; raises ``Stop``."""
    workspaces.rewrite(context.root, file, text)


def plan(
    context: Context,
    *,
    variables: Mapping[str, str],
    targets: tuple[str, ...] = (),
    destroy: bool = False,
    reread: bool = False,
    out: Path | None = None,
) -> Planned:
    """Compare the workspace with the state; write the plan to ``out`` where given.

    Files that did not change since their members were recorded are recognised by their
    content, and their rows are read only where ``reread``.
    Takes no lock and changes nothing else; raises ``StateLocked`` where a plan is to be
    saved while an apply sends.  Guards that tripped are findings of
    severity error in the plan (``Plan.refusals``); the screen decides the exit.
    """
    desired = _desired(context, variables)
    backend = context.backend()

    def look() -> Planned:
        # Asked before the state is read: nobody at work now means that what is read stays so.
        holder = backend.holder() if out else None
        with desk(context.room) as at:
            held = recording.read(backend, at.engine, now=context.clock.now())
            if holder and held.recovered:
                raise _at_work(holder)
            made = _make(
                context,
                desired,
                held,
                at,
                targets=targets,
                destroy=destroy,
                reread=reread,
                use="save" if out else "show",
            )
            if out is not None:
                planfile.save(
                    out, plan=made.plan, delta=made.delta, batches=made.batches, disk=context.disk
                )
        return Planned(plan=made.plan, recovered=held.recovered)

    return recording.steady(backend, look)


def _at_work(holder: LockInfo) -> StateLocked:
    return StateLocked(
        f"an apply is at work (process {holder.pid}, `{holder.command}`), and a plan "
        "saved now would not fit what it leaves",
        holder=holder,
        hint="Save the plan when that apply has ended.",
    )


def read_plan(file: Path) -> Plan:
    """Read a saved plan, without its members."""
    return planfile.read(file)


def read_state(context: Context) -> State:
    """Read the state, an interrupted apply folded in; ``EMPTY`` where there is none."""
    backend = context.backend()

    def look() -> State:
        with desk(context.room) as at:
            return recording.read(backend, at.engine, now=context.clock.now()).state

    return recording.steady(backend, look)


def apply(
    context: Context,
    *,
    file: Path | None = None,
    variables: Mapping[str, str],
    targets: tuple[str, ...] = (),
    destroy: bool = False,
    reread: bool = False,
    lock_timeout: float = 0.0,
    approve: Callable[[Plan], bool],
    observe: Observer = ignore,
    stop: StopSignal,
) -> Applied:
    """Plan under the lock (or load ``file``), ask ``approve``, send, record.

    Raises ``GuardRefused``, ``StalePlan``, ``StateLocked``, ``CredentialsRefused``,
    ``AppliedInPart``, ``Interrupted``.
    """
    # A saved plan is pinned to the values that its variables had.
    desired = _desired(context, planfile.read(file).variables if file else variables)
    with locked(context, timeout=lock_timeout, observe=observe) as work:
        if file:
            made = _take(context, file, desired, work)
        else:
            made = _make(
                context,
                desired,
                work.held,
                work.desk,
                targets=targets,
                destroy=destroy,
                reread=reread,
                use="send",
            )
        run = Apply(context, work, made, desired.project.base_url, observe, stop)
        try:
            return run.run(approve)
        except Exception:
            # Whatever it met, a broken lock explains it: another run clears away its files.
            work.backend.check_held()
            raise


def force_unlock(context: Context, lock_id: str) -> None:
    """Break the lock of that id."""
    context.backend().force_unlock(lock_id)


# Parts


def _desired(context: Context, variables: Mapping[str, str]) -> Desired:
    """Compile the workspace; raises ``InvalidInput``."""
    loaded = workspaces.load(context.root, variables=variables, environment=context.environment)
    if loaded.desired is None:
        raise InvalidInput(loaded.diagnostics)
    return loaded.desired


def _host(desired: Desired) -> str:
    """Name the service's host; an account lives in one region, so the host tells it apart."""
    return urlsplit(desired.project.base_url).netloc.lower()


def _check_belongs(state: State, account: str | None, host: str) -> None:
    """Refuse to work on one account with the record of another."""
    if state.account and account and state.account != account:
        raise WrongAccount(
            f"the state belongs to account {state.account}, and CLEVERTAP_ACCOUNT_ID is {account}",
            hint="Each account needs a state of its own: use the workspace of that account.",
        )
    if state.host and state.host != host:
        raise WrongAccount(
            f"the state belongs to {state.host}, and this run would go to {host}",
            hint="Correct spec.provider in segctl.yaml, or CLEVERTAP_BASE_URL."
            + (_TRIED_OUT if _is_local(state.host) else ""),
        )


_TRIED_OUT = (
    " If the workspace was only tried out on the emulator: move segctl.state.json and "
    "segctl.state.d away, and begin anew."
)


def _is_local(host: str) -> bool:
    """Tell an emulator's host, by which a state is bound to this machine."""
    return urlsplit(f"//{host}").hostname in {"localhost", "127.0.0.1", "::1"}


def _make(
    context: Context,
    desired: Desired,
    held: recording.Held,
    at: Desk,
    *,
    targets: tuple[str, ...],
    destroy: bool,
    reread: bool,
    use: "Use",
) -> "Made":
    from segctl.planner import Aim, make  # noqa: PLC0415 - heavy

    host = _host(desired)
    days = desired.project.retry_after_days
    _check_belongs(held.state, context.account, host)
    return make(
        desired,
        held.state,
        Aim(
            account=context.account,
            host=host,
            patterns=targets,
            destroy=destroy,
            retry_before=None if days is None else context.clock.now() - days * _SECONDS_A_DAY,
            reread=reread,
        ),
        engine=at.engine,
        recorded_at=held.recorded(),
        root=context.root,
        scratch=at.scratch,
        environment=context.environment,
        use=use,
    )


def _take(context: Context, file: Path, desired: Desired, work: Locked) -> "Made":
    """Load a saved plan, or what is left of one that was applied in part."""
    from segctl.planner import Made, rest_of  # noqa: PLC0415 - heavy

    held, at = work.held, work.desk
    loaded = planfile.load(file, scratch=at.scratch)
    saved, state = loaded.plan, held.state
    abandoned = work.backend.abandoned()
    _check_fresh(saved, state, abandoned, desired, account=context.account, host=_host(desired))
    work.backend.note(saved.digest)
    if (saved.lineage, saved.serial) == (state.lineage, state.serial):
        return Made(plan=saved, delta=loaded.delta, batches=loaded.batches)
    return rest_of(
        saved,
        state,
        loaded.delta,
        engine=at.engine(),
        recorded_at=held.recorded(),
        scratch=at.scratch,
    )


def _check_fresh(
    saved: Plan,
    state: State,
    abandoned: LockInfo | None,
    desired: Desired,
    *,
    account: str | None,
    host: str,
) -> None:
    """Raise ``StalePlan`` unless the plan fits what is there now; see ``StalePlan``.

    It also fits what an apply of it left, in part or whole, that was ``abandoned`` or
    could not finish: nobody was told that it is done.
    """
    advice = "Run `segctl plan --out` again, review it, and apply the new plan."
    if saved.host != host:
        raise StalePlan(f"the plan was made for {saved.host}, and this is {host}", hint=advice)
    if saved.account and account and saved.account != account:
        raise StalePlan(
            f"the plan was made for account {saved.account}, and this is {account}", hint=advice
        )
    if saved.workspace_digest != desired.digest:
        raise StalePlan("the manifests changed since the plan was made", hint=advice)
    goes_on = saved.digest in (state.unfinished, abandoned and abandoned.plan)
    if saved.lineage != state.lineage and not (goes_on and not saved.lineage):
        raise StalePlan("the plan was made from the history of another state", hint=advice)
    if saved.serial != state.serial and not goes_on:
        raise StalePlan(
            f"the plan was made from serial {saved.serial} of the state, which is at serial "
            f"{state.serial} now",
            hint=advice,
        )
