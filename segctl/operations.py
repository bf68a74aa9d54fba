"""The use cases: what a command asks for, done with everything that it needs.

``cli/`` calls these and prints what they give back; nothing here prints.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from segctl import planfile, recording
from segctl import workspace as workspaces
from segctl.backends.base import Backend
from segctl.backends.local import LocalBackend
from segctl.clock import Clock
from segctl.errors import (
    AppliedInPart,
    CredentialsRefused,
    GuardRefused,
    Interrupted,
    InvalidInput,
    StalePlan,
    Stop,
    WrongAccount,
)
from segctl.events import ApplyEnded, Observer, Recovered, ignore
from segctl.journal import Journal
from segctl.manifests.desired import Desired
from segctl.outcomes import Ledger
from segctl.packing import Limits
from segctl.plan import codec as plans
from segctl.plan.model import Plan
from segctl.state.advance import Run, is_complete, record_of
from segctl.state.model import State
from segctl.stopping import StopSignal

if TYPE_CHECKING:
    from segctl.applier import Sent
    from segctl.engine.base import Engine
    from segctl.planner import Made

_JOURNAL_MARGIN = 16 << 20
"""Bytes that a journal's log, and the files folded from it, may need beyond the plan's own."""


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

    def backend(self) -> Backend:
        """Give the place where the workspace's state is kept."""
        return LocalBackend(self.root, clock=self.clock)

    @property
    def account(self) -> str | None:
        """The account named in the environment, if any."""
        return self.environment.get("CLEVERTAP_ACCOUNT_ID") or None


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan, and what an interrupted apply left to be recovered by the next one."""

    plan: Plan
    recovered: Recovered | None = None


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What an apply did; ``ended`` is ``None`` where there was nothing to send."""

    plan: Plan
    approved: bool
    ended: ApplyEnded | None = None


def initialise(folder: Path) -> tuple[str, ...]:
    """Make a workspace that plans cleanly; give the files written.

    Raises ``Stop`` where one of them is there already.
    """
    files = workspaces.scaffold()
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise Stop(
            f"{folder / there[0]} is there already; nothing was written",
            hint="Choose an empty folder: `segctl init DIR`.",
        )
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Stop(f"{error.filename or folder}: {(error.strerror or '').lower()}") from error
    return tuple(files)


def validate(context: Context, *, variables: Mapping[str, str]) -> workspaces.Loaded:
    """Read and check the workspace."""
    return workspaces.load(context.root, variables=variables, environment=context.environment)


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
    desired = _desired(context, variables)
    backend = context.backend()
    with _scratch() as scratch:
        desk = _Desk(scratch)
        try:
            held = recording.read(backend, desk.engine)
            made = _make(context, desired, held, desk, targets=targets, destroy=destroy)
        finally:
            desk.close()
        if out is not None:
            planfile.save(out, plan=made.plan, delta=made.delta, batches=made.batches)
    return Planned(plan=made.plan, recovered=held.recovered)


def read_plan(file: Path) -> Plan:
    """Read a saved plan, without its members."""
    return planfile.read(file)


def read_state(context: Context) -> State:
    """Read the state, an interrupted apply folded in; ``EMPTY`` where there is none."""
    with _scratch() as scratch:
        desk = _Desk(scratch)
        try:
            return recording.read(context.backend(), desk.engine).state
        finally:
            desk.close()


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
    # A saved plan is pinned to the values that its variables had.
    desired = _desired(context, planfile.read(file).variables if file else variables)
    backend = context.backend()
    with backend.lock(command=context.command, timeout=lock_timeout), _scratch() as scratch:
        desk = _Desk(scratch)
        try:
            held = recording.recover(backend, desk.engine)
            if held.recovered:
                observe(held.recovered)
            if file:
                made = _take(context, file, desired, held, desk)
            else:
                made = _make(context, desired, held, desk, targets=targets, destroy=destroy)
            base_url = desired.project.base_url
            return _Apply(context, backend, held, desk, made, base_url, observe, stop).run(approve)
        finally:
            desk.close()


def force_unlock(context: Context, lock_id: str) -> None:
    """Break the lock of that id."""
    context.backend().force_unlock(lock_id)


# Parts


class _Desk:
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

    def close(self) -> None:
        """Close all engines."""
        while self._engines:
            self._engines.pop().close()


@contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="segctl-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
            hint="Correct spec.provider in segctl.yaml, or CLEVERTAP_BASE_URL.",
        )


def _make(
    context: Context,
    desired: Desired,
    held: recording.Held,
    desk: _Desk,
    *,
    targets: tuple[str, ...],
    destroy: bool,
) -> "Made":
    from segctl import planner  # noqa: PLC0415 - heavy

    host = _host(desired)
    _check_belongs(held.state, context.account, host)
    return planner.make(
        desired,
        held.state,
        planner.Aim(account=context.account, host=host, patterns=targets, destroy=destroy),
        engine=desk.engine(),
        recorded_at=held.recorded(),
        root=context.root,
        scratch=desk.scratch,
        limits=Limits(),
    )


def _take(
    context: Context, file: Path, desired: Desired, held: recording.Held, desk: _Desk
) -> "Made":
    """Load a saved plan, or what is left of one that was applied in part."""
    from segctl import planner  # noqa: PLC0415 - heavy

    loaded = planfile.load(file, scratch=desk.scratch)
    saved, state = loaded.plan, held.state
    _check_fresh(saved, state, desired, context.account, _host(desired))
    if (saved.lineage, saved.serial) == (state.lineage, state.serial):
        return planner.Made(plan=saved, delta=loaded.delta, batches=loaded.batches)
    return planner.rest_of(
        saved,
        state,
        loaded.delta,
        engine=desk.engine(),
        recorded_at=held.recorded(),
        scratch=desk.scratch,
        limits=Limits(),
    )


def _check_fresh(
    saved: Plan, state: State, desired: Desired, account: str | None, host: str
) -> None:
    """Raise ``StalePlan`` unless the plan fits what is there now; see ``StalePlan``."""
    advice = "Run `segctl plan --out` again, review it, and apply the new plan."
    if saved.host != host:
        raise StalePlan(f"the plan was made for {saved.host}, and this is {host}", hint=advice)
    if saved.account and account and saved.account != account:
        raise StalePlan(
            f"the plan was made for account {saved.account}, and this is {account}", hint=advice
        )
    if saved.workspace_digest != desired.digest:
        raise StalePlan("the manifests changed since the plan was made", hint=advice)
    goes_on = state.unfinished == saved.digest
    if saved.lineage != state.lineage and not (goes_on and not saved.lineage):
        raise StalePlan("the plan was made from the history of another state", hint=advice)
    if saved.serial != state.serial and not goes_on:
        raise StalePlan(
            f"the plan was made from serial {saved.serial} of the state, which is at serial "
            f"{state.serial} now",
            hint=advice,
        )


@dataclass(frozen=True)
class _Apply:
    """One apply of one plan, with everything at hand and the lock held."""

    context: Context
    backend: Backend
    held: recording.Held
    desk: _Desk
    made: "Made"
    base_url: str
    observe: Observer
    stop: StopSignal

    def run(self, approve: Callable[[Plan], bool]) -> Applied:
        """Ask, send and record; see ``apply``."""
        plan = self.made.plan
        if plan.refusals:
            count = len(plan.refusals)
            raise GuardRefused(
                f"{count} guard{'' if count == 1 else 's'} refused the plan",
                findings=plan.refusals,
                hint=plan.refusals[0].detail,
            )
        if plan.is_empty:
            if self.held.state.unfinished:  # nothing is left of it
                recording.write(self.backend, self.held, self.held.state.next(unfinished=None))
            return Applied(plan=plan, approved=True)
        if not approve(plan):
            return Applied(plan=plan, approved=False)
        self._check_writable()
        if not plan.requests.create and not plan.requests.update:
            self._record(Ledger(), None)
            return Applied(plan=plan, approved=True)
        return self._send()

    def _check_writable(self) -> None:
        """Check what can fail before the first request leaves."""
        sizes = sum(file.stat().st_size for file in (self.made.delta, self.made.batches))
        self.backend.check_writable(needed_bytes=3 * sizes + _JOURNAL_MARGIN)

    def _credentials(self) -> tuple[str, str]:
        values = [
            self.context.environment.get(name, "")
            for name in ("CLEVERTAP_ACCOUNT_ID", "CLEVERTAP_PASSCODE")
        ]
        if not all(values):
            raise CredentialsRefused(
                "CLEVERTAP_ACCOUNT_ID and CLEVERTAP_PASSCODE are not both set",
                hint="Set them in the environment; nothing was sent.",
            )
        return values[0], values[1]

    def _send(self) -> Applied:
        plan = self.made.plan
        account, _ = self._credentials()
        state = self.held.state
        journal = Journal.create(
            self.backend.journal_folder(),
            header={
                "lineage": state.lineage,
                "serial": state.serial,
                "account": account,
                "host": plan.host,
                "at": self.context.clock.now(),
                "plan": plans.encode(plan),
            },
            delta=self.made.delta,
            batches=self.made.batches,
        )
        try:
            sent = asyncio.run(self._deliver(journal))
        finally:
            journal.close()
        if sent.ledger.updates or sent.ledger.creates:
            self._record(sent.ledger, journal)
        journal.remove()
        return self._concluded(sent)

    async def _deliver(self, journal: Journal) -> "Sent":
        from segctl.applier import Applier  # noqa: PLC0415 - heavy
        from segctl.events import RateLimited  # noqa: PLC0415
        from segctl.provider.client import CleverTapProvider  # noqa: PLC0415 - heavy

        account, passcode = self._credentials()
        plan = self.made.plan
        unsure = frozenset(
            place
            for place, target in enumerate(plan.targets)
            if target.create
            and (record := record_of(self.held.state, target))
            and record.remote_name == target.display_name
        )
        provider = CleverTapProvider(
            base_url=self.base_url,
            account_id=account,
            passcode=passcode,
            clock=self.context.clock,
            chance=self.context.chance,
            concurrency=plan.concurrency,
            on_rate_limited=lambda call, seconds: self.observe(
                RateLimited(call=call, seconds=seconds)
            ),
        )
        entries = self.desk.engine().entries(journal.batches)
        async with provider:
            applier = Applier(
                plan,
                provider=provider,
                log=journal,
                clock=self.context.clock,
                observe=self.observe,
                stop=self.stop,
                unsure=unsure,
            )
            return await applier.run(entries)

    def _record(self, ledger: Ledger, journal: Journal | None) -> None:
        """Advance the state by what was acknowledged, durably."""
        plan = self.made.plan
        run = Run(
            journal=journal.id if journal else self.held.state.folded,
            now=self.context.clock.now(),
            account=self.context.account,
            host=plan.host,
        )
        state = recording.take_in(
            self.held,
            plan,
            ledger,
            delta=journal.delta if journal else None,
            engine=self.desk.engine(),
            keep=lambda scratch, rows: self.backend.add_file(scratch, rows=rows),
            run=run,
        )
        recording.write(self.backend, self.held, state)

    def _concluded(self, sent: "Sent") -> Applied:
        """Give the result, or raise what keeps it from being a success."""
        applied = Applied(plan=self.made.plan, approved=True, ended=sent.ended)
        again = "Run the same command again; it goes on from there."
        if sent.refused_credentials:
            if not sent.ended.acknowledged:
                raise CredentialsRefused(sent.refused_credentials, hint="Nothing was applied.")
            raise AppliedInPart(sent.refused_credentials, result=applied, hint=again)
        if self.stop.is_set and not is_complete(self.made.plan, sent.ledger):
            raise Interrupted("interrupted; what was acknowledged is recorded", hint=again)
        if sent.gave_up:
            raise AppliedInPart(
                f"stopped after many requests in a row without success: {sent.gave_up}",
                result=applied,
                hint=again,
            )
        if not is_complete(self.made.plan, sent.ledger):
            raise AppliedInPart(_left_over(sent), result=applied, hint=again)
        return applied


def _left_over(sent: "Sent") -> str:
    """Say what is left of an apply, most telling first."""
    ended = sent.ended
    failed_creates = [o for o in sent.ledger.creates.values() if o.outcome != "acknowledged"]
    parts = [
        f"{count:,} {what}"
        for count, what in (
            (len(failed_creates), "segments not created"),
            (ended.quarantined, "memberships refused and quarantined"),
            (ended.refused, "requests refused"),
            (ended.failed, "requests failed"),
            (ended.uncertain, "requests without an answer"),
            (ended.not_tried, "requests not tried"),
        )
        if count
    ]
    detail = next((o.detail for o in failed_creates if o.detail), "") or next(
        (o.detail for o in sent.ledger.updates.values() if o.detail), ""
    )
    return "applied in part: " + ", ".join(parts) + (f" ({detail})" if detail else "")
