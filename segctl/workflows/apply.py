"""Apply: plan under the lock or load a saved plan, then ask, send and record."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from segctl.applying.apply import REQUEST_SECONDS, Apply, ApplyResult
from segctl.backends.base import LockInfo
from segctl.core.approval import ApprovalCheck
from segctl.core.errors import BeyondApproval, StalePlan, WrongState
from segctl.core.events import ApprovalChecked, Observer, ignore_event
from segctl.core.stop_signal import StopSignal
from segctl.manifests.desired import DesiredState
from segctl.plan import file as plan_file
from segctl.plan.file import LoadedPlan
from segctl.plan.model import Plan
from segctl.session.context import Context
from segctl.session.locked_state import LockedState, locked_state
from segctl.session.open_state import open_plan_sealer
from segctl.state.model import State
from segctl.workflows.plan import build_bundle, service_host
from segctl.workflows.saved_plans import (
    SavedPlanName,
    load_proved_plan,
    saved_plan_file,
)
from segctl.workflows.validate import load_desired

if TYPE_CHECKING:
    from segctl.planning.planner import PlanBundle


RECORDING_SECONDS = 30.0
"""How long merging the outcomes into the state may take."""


def apply_workspace(
    context: Context,
    *,
    saved: SavedPlanName | None = None,
    approved: SavedPlanName | None = None,
    variables: Mapping[str, str],
    targets: tuple[str, ...] = (),
    excluded: tuple[str, ...] = (),
    hold: bool = False,
    destroy: bool = False,
    reread: bool = False,
    lock_timeout: float = 0.0,
    max_seconds: float | None = None,
    approve: Callable[[Plan], bool],
    observe: Observer = ignore_event,
    stop: StopSignal,
    on_member_key: Callable[[str], None] = lambda _: None,
) -> ApplyResult:
    """Plan under the lock, or load the ``saved`` plan; ask ``approve``, send, record.

    Needs the credentials, also if nothing turns out to be left to send.
    With ``approved``, the plan that is made under the lock is applied only if it is the approved
    one, a part of it, or within its tolerance; ``observe`` gets the comparison.

    Segments that match ``excluded`` are left out; with ``hold``, those that are refused are too.
    With ``max_seconds``, sending stops so early that the run ends within that time.
    ``on_member_key`` gets the key of the hashes that name members, before ``approve`` is called.

    Raises ``GuardRefused``, ``StalePlan``, ``BeyondApproval``, ``StateLocked``,
    ``CredentialsRefused``, ``NothingApplied``, ``SegmentsExist``, ``AppliedInPart``,
    ``SegmentsHeld``, ``Interrupted``.
    """
    deadline = None
    if max_seconds is not None:
        margin = min(REQUEST_SECONDS + RECORDING_SECONDS, max_seconds / 2)
        deadline = context.clock.monotonic() + max_seconds - margin
        lock_timeout = min(lock_timeout, max_seconds)
    with ExitStack() as stack:
        name = saved or approved
        file = stack.enter_context(saved_plan_file(context, name)) if name else None
        if file:
            plan = plan_file.read_plan(file, sealer=open_plan_sealer(context))
            context = _in_environment(context, plan)
            if saved:
                variables = plan.variables  # the values that they had
            else:
                targets, excluded, destroy = plan.targeted, plan.excluded, plan.destroy
        desired = load_desired(context, variables)
        context.credentials()  # before a row is read and a plan is approved
        locked = stack.enter_context(_locked(context, lock_timeout, observe, is_saved=bool(name)))
        on_member_key(locked.loaded.state.member_key)
        approved_plan = (
            _load_approved_plan(context, approved, file, service_host(desired), locked)
            if approved and file
            else None
        )
        if saved and file:
            bundle = _load_saved_plan(context, saved, file, desired, locked)
        else:
            bundle = build_bundle(
                context,
                desired,
                locked.loaded,
                locked.session,
                targets=targets,
                excluded=excluded,
                hold=hold,
                approved=approved_plan.plan if approved_plan else None,
                destroy=destroy,
                reread=reread,
                purpose="send",
            )
        if approved_plan:
            bundle = _check_approved(approved_plan, bundle, locked, observe)
        apply = Apply(context, locked, bundle, desired.project, observe, stop, deadline)
        try:
            return apply.run(approve)
        except Exception:
            # If the lock was broken, that is the cause: another run removes this one's files.
            locked.backend.check_lock()
            raise


def _in_environment(context: Context, saved: Plan) -> Context:
    """Return the context in the environment of a saved plan. Raises ``StalePlan`` for another."""
    if context.env_name and context.env_name != saved.env_name:
        raise StalePlan(
            f"the plan was made for {saved.env_name or 'no environment'}, and this is "
            f"{context.env_name}",
            hint="Leave -e and SEGCTL_ENV out: the plan says where it goes.",
        )
    return replace(context, env_name=saved.env_name)


@contextmanager
def _locked(
    context: Context, timeout: float, observe: Observer, *, is_saved: bool
) -> Iterator[LockedState]:
    """Lock the state. A saved plan is stale if it is the wrong one."""
    with ExitStack() as stack:
        try:
            locked = stack.enter_context(locked_state(context, timeout=timeout, observe=observe))
        except WrongState as error:
            if is_saved:
                raise StalePlan(error.message, hint=error.hint) from error
            raise
        yield locked


def _load_approved_plan(
    context: Context, name: SavedPlanName, file: Path, host: str, locked: LockedState
) -> LoadedPlan:
    """Load the approved plan; raises ``StalePlan`` and ``GuardRefused`` if it cannot count."""
    from segctl.planning.approval import check_usable  # noqa: PLC0415 - heavy

    folder = locked.session.scratch / "approved"
    folder.mkdir()
    approved = load_proved_plan(context, name, file, locked.session, folder=folder)
    check_usable(
        approved.plan,
        locked.loaded.state,
        account=context.account,
        host=host,
        now=context.clock.now(),
    )
    return approved


def _check_approved(
    approved: LoadedPlan, bundle: "PlanBundle", locked: LockedState, observe: Observer
) -> "PlanBundle":
    """Return today's plan for the approved one; raises ``BeyondApproval``."""
    from segctl.planning.approval import compare_with_approved  # noqa: PLC0415 - heavy

    use = locked.loaded.state.approvals.get(approved.plan.digest)
    check, bundle = compare_with_approved(approved, bundle, use, locked.session.open_engine())
    if check.is_beyond:
        raise _beyond_approval(check)
    observe(ApprovalChecked(check=check))
    return bundle


def _beyond_approval(check: ApprovalCheck) -> BeyondApproval:
    parts = list(check.problems)
    if count := len(check.beyond):
        parts.append(f"{count:,} segment{'' if count == 1 else 's'} changed beyond it")
    return BeyondApproval(
        f"today's plan is more than the approved plan {check.digest}: {'; '.join(parts)}",
        check=check,
        hint="Nothing was sent. Plan again, and have the new plan approved.",
    )


def _load_saved_plan(
    context: Context, name: SavedPlanName, file: Path, desired: DesiredState, locked: LockedState
) -> "PlanBundle":
    """Load a saved plan, or the rest of one that was applied in part."""
    from segctl.planning.approval import check_age  # noqa: PLC0415 - heavy
    from segctl.planning.planner import PlanBundle  # noqa: PLC0415 - as above
    from segctl.planning.proof import (  # noqa: PLC0415 - as above
        prove_record,
        prove_settings,
        prove_start,
    )
    from segctl.planning.remaining import remaining_plan  # noqa: PLC0415 - as above

    loaded, session = locked.loaded, locked.session
    saved_plan = load_proved_plan(context, name, file, session, folder=session.scratch)
    state = loaded.state
    saved = replace(saved_plan.plan, approved=saved_plan.plan.digest, beyond=())
    if name.digest:
        check_age(saved, now=context.clock.now())
    abandoned = locked.backend.abandoned_lock()
    _check_fresh(
        saved, state, abandoned, desired, account=context.account, host=service_host(desired)
    )
    prove_settings(saved, desired)
    locked.backend.record_plan(saved.digest)
    if (saved.lineage, saved.serial) == (state.lineage, state.serial):
        prove_record(saved, state)
        prove_start(saved_plan, state, loaded.recorded(), session.open_engine())
        return PlanBundle(
            plan=saved,
            delta=saved_plan.delta,
            imported=saved_plan.imported,
        )
    return remaining_plan(
        saved,
        state,
        saved_plan.delta,
        engine=session.open_engine(),
        recorded_files=loaded.recorded(),
        scratch=session.scratch,
    )


def _check_fresh(
    saved: Plan,
    state: State,
    abandoned: LockInfo | None,
    desired: DesiredState,
    *,
    account: str | None,
    host: str,
) -> None:
    """Raise ``StalePlan`` unless the plan matches account, host, manifests and state.

    It also matches the state that an unfinished apply of this very plan left, including an
    ``abandoned`` one, since nobody was told that it is done.
    """
    from segctl.planning.approval import check_unused  # noqa: PLC0415 - heavy

    advice = "Run `segctl plan --out FILE` again, review it, and apply the new plan."
    if saved.host != host:
        raise StalePlan(f"the plan was made for {saved.host}, and this is {host}", hint=advice)
    if saved.account and account and saved.account != account:
        raise StalePlan(
            f"the plan was made for account {saved.account}, and this is {account}", hint=advice
        )
    if saved.workspace_digest != desired.digest:
        raise StalePlan("the manifests changed since the plan was made", hint=advice)
    continues = saved.digest in (state.unfinished, abandoned and abandoned.plan)
    if saved.digest == state.applied and not continues:
        raise StalePlan(
            f"this plan was applied already; the state is at serial {state.serial} since",
            hint="Nothing is left to do. For what changed since, plan again.",
        )
    if not continues:
        check_unused(saved, state)
    if not saved.lineage and state.lineage and not continues:
        raise StalePlan(
            "the plan was made when nothing was recorded; the state is at serial "
            f"{state.serial} now",
            hint=advice,
        )
    if saved.lineage != state.lineage and not (continues and not saved.lineage):
        raise StalePlan("the plan was made from the history of another state", hint=advice)
    if saved.serial != state.serial and not continues:
        raise StalePlan(
            f"the plan was made from serial {saved.serial} of the state, which is at serial "
            f"{state.serial} now",
            hint=advice,
        )
