"""Plan: compare the workspace with the state. Sends nothing and does not change the state."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from segctl.backends.base import Backend, LockInfo
from segctl.core.ci import commit_of
from segctl.core.dataclass import dataclass
from segctl.core.errors import OperationError, StateLocked, WrongAccount
from segctl.core.events import Recovered
from segctl.core.loopback import is_loopback
from segctl.core.scratch import scratch_folder
from segctl.manifests.desired import DesiredState
from segctl.plan import file as plan_file
from segctl.plan.holding import refusals_of_approved
from segctl.plan.model import Plan
from segctl.session.context import Context
from segctl.session.engine_session import EngineSession, engine_session
from segctl.session.load import load_state, read_stable
from segctl.session.loaded_state import LoadedState
from segctl.state.model import State
from segctl.workflows.saved_plans import keep_plan
from segctl.workflows.validate import load_desired

if TYPE_CHECKING:
    from segctl.planning.planner import PlanBundle, PlanPurpose

_SECONDS_PER_DAY = 86_400.0
_POLL_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class PlanResult:
    """A plan, and what the journal of an unfinished apply holds.

    If that apply is ``running``, this is who runs it. Otherwise it was interrupted, and the next
    apply recovers it. ``is_kept`` says that the plan is kept with the state under its digest;
    ``keep_problem`` is why it should be and is not. ``member_key`` is the key of the hashes that
    name members, empty if the state has none.
    """

    plan: Plan
    recovered: Recovered | None = None
    running: LockInfo | None = None
    is_kept: bool = False
    keep_problem: str = ""
    member_key: str = field(default="", repr=False)


def plan_workspace(
    context: Context,
    *,
    variables: Mapping[str, str],
    targets: tuple[str, ...] = (),
    excluded: tuple[str, ...] = (),
    hold: bool = False,
    destroy: bool = False,
    reread: bool = False,
    out: Path | None = None,
    save: bool = False,
    lock_timeout: float = 0.0,
) -> PlanResult:
    """Compare the workspace with the state, and save the plan to ``out`` if given.

    Segments that match ``excluded`` are left out; with ``hold``, those that are refused are too.

    With ``save``, keep it with the state, too. A plan saved to ``out`` is kept if the state is in a
    bucket; an error of that is ``PlanResult.keep_problem``. A plan that is refused is not kept.

    Files whose content has not changed since their members were recorded are read only with
    ``reread``. Takes no lock. If the plan is saved, waits at most ``lock_timeout`` seconds for an
    apply that is running, then raises ``StateLocked``. A guard that refuses the plan is
    one of ``Plan.error_findings``, not an error.
    """
    desired = load_desired(context, variables)
    state = context.open_state()
    state.check()
    backend = state.backend
    saves = save or out is not None

    if saves and lock_timeout:
        _wait_for_apply(context, backend, lock_timeout)

    def read_and_plan(file: Path | None) -> PlanResult:
        # Read before the state: without a holder now, the state read next is not half-applied.
        holder = backend.lock_holder()
        with engine_session(context.limits) as session:
            loaded = load_state(backend, session.open_engine, now=context.clock.now())
            if holder and loaded.recovered and saves and (living := backend.living_holder()):
                raise _apply_is_running(living)
            bundle = build_bundle(
                context,
                desired,
                loaded,
                session,
                targets=targets,
                excluded=excluded,
                hold=hold,
                destroy=destroy,
                reread=reread,
                purpose="save" if saves else "show",
            )
            if file is not None:
                plan_file.save_plan(
                    file,
                    plan=bundle.plan,
                    delta=bundle.delta,
                    imported=bundle.imported,
                    disk=context.disk,
                    sealer=state.sealer,
                )
        return PlanResult(
            plan=bundle.plan,
            recovered=loaded.recovered,
            running=holder,
            member_key=loaded.state.member_key,
        )

    with ExitStack() as stack:
        file = out
        if save and file is None:
            folder = stack.enter_context(scratch_folder(context.limits.folder))
            file = folder / "kept.segplan"
        result = read_stable(backend, lambda: read_and_plan(file))
        if file is None or result.plan.error_findings or not (save or state.is_remote):
            return result
        try:
            keep_plan(backend, result.plan, file, now=context.clock.now())
        except OperationError as error:
            if save:
                raise
            return replace(result, keep_problem=error.message)
        return replace(result, is_kept=True)


def _wait_for_apply(context: Context, backend: Backend, seconds: float) -> None:
    """Wait until no living run holds the lock, or until the time is over."""
    deadline = context.clock.monotonic() + seconds
    while backend.living_holder() and context.clock.monotonic() < deadline:
        context.sleep(_POLL_SECONDS)
    backend.refresh()


def _apply_is_running(holder: LockInfo) -> StateLocked:
    return StateLocked(
        f"an apply is running (process {holder.pid}, `{holder.command}`), and a plan saved now "
        "would not match the state it leaves",
        holder=holder,
        hint="Save the plan when that apply has finished, or wait for it with --lock-timeout 10m.",
    )


def build_bundle(
    context: Context,
    desired: DesiredState,
    loaded: LoadedState,
    session: EngineSession,
    *,
    targets: tuple[str, ...],
    excluded: tuple[str, ...] = (),
    hold: bool = False,
    approved: Plan | None = None,
    destroy: bool,
    reread: bool,
    purpose: "PlanPurpose",
) -> "PlanBundle":
    """Build the plan from the loaded state; raises ``WrongAccount`` and ``InvalidInput``.

    With ``hold``, segments that are refused are held back. What the ``approved`` plan held back
    is held back again: its changes were not approved.
    """
    from segctl.planning.planner import PlanOptions, build_plan  # noqa: PLC0415 - heavy

    host = service_host(desired)
    days = desired.project.retry_after_days
    check_account(loaded.state, context.account, host)
    return build_plan(
        desired,
        loaded.state,
        PlanOptions(
            account=context.account,
            host=host,
            patterns=targets,
            excluded=excluded,
            hold=hold,
            held=refusals_of_approved(approved) if approved else (),
            destroy=destroy,
            retry_before=None if days is None else context.clock.now() - days * _SECONDS_PER_DAY,
            reread=reread,
            memory=context.limits.memory,
            made_at=context.clock.now(),
            commit=commit_of(context.environment),
        ),
        engine=session.open_engine,
        recorded_files=loaded.recorded(),
        root=context.root,
        scratch=session.scratch,
        environment=context.environment,
        purpose=purpose,
    )


def service_host(desired: DesiredState) -> str:
    """Return the service's host. An account is in one region, so the host identifies it too."""
    return urlsplit(desired.project.base_url).netloc.lower()


def check_account(state: State, account: str | None, host: str) -> None:
    """Raise ``WrongAccount`` if the state belongs to another account or host."""
    if state.account and account and state.account != account:
        raise WrongAccount(
            f"the state belongs to account {state.account}, and CLEVERTAP_ACCOUNT_ID is {account}",
            hint="Each account needs its own state: use the workspace of that account.",
        )
    if state.host and state.host != host:
        raise WrongAccount(
            f"the state belongs to {state.host}, and this run would go to {host}",
            hint="Correct spec.provider in segctl.yaml, or CLEVERTAP_BASE_URL."
            + (_START_OVER if is_loopback(urlsplit(f"//{state.host}").hostname or "") else ""),
        )


_START_OVER = (
    " If the workspace was only tried on the emulator, move segctl.state.json, segctl.state.d and "
    "segctl.lock.yaml away and start over."
)
