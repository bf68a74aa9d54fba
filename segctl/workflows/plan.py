"""Compare the workspace with the state; nothing is sent and nothing in the state changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from segctl.backends.base import LockInfo
from segctl.core.errors import StateLocked, WrongAccount
from segctl.core.events import Recovered
from segctl.manifests.desired import DesiredState
from segctl.plan import file as plan_file
from segctl.plan.model import Plan
from segctl.session.context import Context
from segctl.session.engine_session import EngineSession, engine_session
from segctl.session.load import load_state, read_stable
from segctl.session.loaded_state import LoadedState
from segctl.state.model import State
from segctl.workflows.validate import load_desired

if TYPE_CHECKING:
    from segctl.planning.planner import PlanBundle, PlanPurpose

_SECONDS_A_DAY = 86_400.0


@dataclass(frozen=True, kw_only=True)
class PlanResult:
    """A plan, and what an interrupted apply left to be recovered by the next one."""

    plan: Plan
    recovered: Recovered | None = None


def plan_workspace(
    context: Context,
    *,
    variables: Mapping[str, str],
    targets: tuple[str, ...] = (),
    destroy: bool = False,
    reread: bool = False,
    out: Path | None = None,
) -> PlanResult:
    """Compare the workspace with the state; write the plan to ``out`` where given.

    Files that did not change since their members were recorded are recognised by their
    content, and their rows are read only where ``reread``.
    Takes no lock and changes nothing else; raises ``StateLocked`` where a plan is to be
    saved while an apply sends.  Guards that tripped are findings of
    severity error in the plan (``Plan.error_findings``); the screen decides the exit.
    """
    desired = load_desired(context, variables)
    backend = context.backend()

    def look() -> PlanResult:
        # Asked before the state is read: nobody at work now means that what is read stays so.
        holder = backend.lock_holder() if out else None
        with engine_session(context.limits) as at:
            loaded = load_state(backend, at.open_engine, now=context.clock.now())
            if holder and loaded.recovered:
                raise _at_work(holder)
            made = build_bundle(
                context,
                desired,
                loaded,
                at,
                targets=targets,
                destroy=destroy,
                reread=reread,
                purpose="save" if out else "show",
            )
            if out is not None:
                plan_file.save_plan(
                    out, plan=made.plan, delta=made.delta, batches=made.batches, disk=context.disk
                )
        return PlanResult(plan=made.plan, recovered=loaded.recovered)

    return read_stable(backend, look)


def _at_work(holder: LockInfo) -> StateLocked:
    return StateLocked(
        f"an apply is at work (process {holder.pid}, `{holder.command}`), and a plan "
        "saved now would not fit what it leaves",
        holder=holder,
        hint="Save the plan when that apply has ended.",
    )


def read_saved_plan(file: Path) -> Plan:
    """Read a saved plan, without its members."""
    return plan_file.read_plan(file)


def build_bundle(
    context: Context,
    desired: DesiredState,
    loaded: LoadedState,
    at: EngineSession,
    *,
    targets: tuple[str, ...],
    destroy: bool,
    reread: bool,
    purpose: "PlanPurpose",
) -> "PlanBundle":
    """Build the plan from the loaded state; raises ``WrongAccount`` and ``InvalidInput``."""
    from segctl.planning.planner import PlanOptions, build_plan  # noqa: PLC0415 - heavy

    host = host_of(desired)
    days = desired.project.retry_after_days
    _check_belongs(loaded.state, context.account, host)
    return build_plan(
        desired,
        loaded.state,
        PlanOptions(
            account=context.account,
            host=host,
            patterns=targets,
            destroy=destroy,
            retry_before=None if days is None else context.clock.now() - days * _SECONDS_A_DAY,
            reread=reread,
        ),
        engine=at.open_engine,
        recorded_files=loaded.recorded(),
        root=context.root,
        scratch=at.scratch,
        environment=context.environment,
        purpose=purpose,
    )


def host_of(desired: DesiredState) -> str:
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
