"""One apply, from a checked plan to the new state, with the lock held.

``Apply.run`` reads top to bottom: refuse, approve, check, journal, send, record, report.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from segctl.applying.imports import record_plan_imports
from segctl.applying.unfinished import SAME_COMMAND, refused_credentials, unfinished
from segctl.backends.journal import Journal
from segctl.core.errors import AppliedInPart, GuardRefused, Interrupted
from segctl.core.events import ApplyEnded, Observer, RateLimited
from segctl.core.outcomes import Ledger
from segctl.core.stop_signal import StopSignal
from segctl.manifests.desired import ProjectSettings
from segctl.plan import codec as plan_codec
from segctl.plan.freezes import (
    describe_freeze,
    find_plan_freeze,
    frozen_finding,
    next_plan_freeze,
)
from segctl.plan.holding import HOLD_HINT, can_hold
from segctl.plan.model import Finding, Plan
from segctl.plan.overrides import expired_overrides
from segctl.plan.rules import RULE_CODES
from segctl.session.advance import (
    ApplyInfo,
    find_record,
    is_complete,
    is_finished,
    record_approval,
    record_source_facts,
)
from segctl.session.context import Context
from segctl.session.loaded_state import write_head
from segctl.session.locked_state import LockedState
from segctl.session.merge import merge_outcomes
from segctl.session.recovery import archive_journal

if TYPE_CHECKING:
    from segctl.applying.sender import SendResult
    from segctl.planning.planner import PlanBundle
    from segctl.provider.client import CleverTapProvider

JOURNAL_MARGIN = 16 << 20
"""Bytes that a journal's log, and the files folded from it, may need beyond the plan's size."""

REQUEST_SECONDS = 60.0
"""How long one request may take."""


@dataclass(frozen=True, kw_only=True)
class ApplyResult:
    """What an apply did. ``ended`` is ``None`` if there was nothing to send."""

    plan: Plan
    approved: bool
    ended: ApplyEnded | None = None


@dataclass(frozen=True)
class Apply:
    """One apply of one plan, to the ``service``. ``locked`` is the state under the lock.

    Nothing is sent after ``deadline``, a time of the context's clock (monotonic).
    """

    context: Context
    locked: LockedState
    bundle: "PlanBundle"
    service: ProjectSettings
    observe: Observer
    stop: StopSignal
    deadline: float | None = None

    def run(self, approve: Callable[[Plan], bool]) -> ApplyResult:
        """Run the apply; see ``workflows.apply.apply_workspace`` for its errors."""
        plan = self.bundle.plan
        _refuse(plan.error_findings, hint=HOLD_HINT if can_hold(plan) else "")
        if plan.is_empty:
            self._record_empty_plan()
            return ApplyResult(plan=plan, approved=True)
        self._check_time()
        if not approve(plan):
            return ApplyResult(plan=plan, approved=False)
        self._check_time()  # the answer may have taken a while
        self._check_writable()
        return self._with_imports_recorded().finish()

    def finish(self) -> ApplyResult:
        """Send an approved plan whose imports are recorded, and record the outcomes."""
        plan = self.bundle.plan
        if not plan.requests.create and not plan.requests.update:
            self._record(Ledger(), None)
            return ApplyResult(plan=plan, approved=True)
        sent = self._send_and_record()
        return self._result(sent)

    def _check_time(self) -> None:
        """Raise ``GuardRefused`` in a change freeze, or if an override that is used has expired."""
        plan, now = self.bundle.plan, self.context.clock.now()
        findings = list(expired_overrides(plan, now=now))
        if frozen := find_plan_freeze(plan, now):
            findings.append(frozen_finding(plan, frozen, now=now))
        _refuse(findings)

    def _next_freeze(self) -> float | None:
        """Return when the next change freeze begins (monotonic), ``None`` if none is known."""
        now = self.context.clock.now()
        begins_at = next_plan_freeze(self.bundle.plan, now)
        return None if begins_at is None else self.context.clock.monotonic() + begins_at - now

    def _with_imports_recorded(self) -> "Apply":
        """Record the segments that blocks import, with their members. Nothing is sent.

        After a crash from here on, the same plan continues from this head.
        """
        loaded = record_plan_imports(self.locked, self.bundle.plan, self.bundle.imported)
        return replace(self, locked=replace(self.locked, loaded=loaded))

    def _record_empty_plan(self) -> None:
        """Record what an empty plan shows: unchanged sources, and that no apply is unfinished."""
        loaded = self.locked.loaded
        plan, now = self.bundle.plan, self.context.clock.now()
        state = record_source_facts(loaded.state, plan)
        if plan.approved:
            finished = is_finished(plan, Ledger())
            approvals = record_approval(state, plan, Ledger(), now=now, finished=finished)
            state = replace(state, approvals=approvals)
        if state.unfinished:
            state = state.next(unfinished=None)
        is_encrypted = state.sealed_with == self.locked.backend.key_id()
        if (state != loaded.state or not is_encrypted) and state.lineage:
            write_head(self.locked.backend, loaded, state)

    def _check_writable(self) -> None:
        """Raise before the first request if the state cannot be written."""
        files = (self.bundle.delta, *self.bundle.imported.values())
        sizes = sum(file.stat().st_size for file in files)
        self.locked.backend.check_writable(needed_bytes=3 * sizes + JOURNAL_MARGIN)

    def _send_and_record(self) -> "SendResult":
        """Write the journal, send every request, and merge the outcomes into the state."""
        account, passcode = self.context.credentials()
        # Opened before the journal: a bad certificate or proxy must leave nothing behind.
        provider = self._open_provider(account, passcode)
        journal = self._create_journal(account)
        try:
            import asyncio  # noqa: PLC0415 - a plan needs none

            sent = asyncio.run(self._send(provider, journal))
        finally:
            journal.close()
        if sent.ledger.has_no_effect:
            journal.remove()
        else:
            self._record(sent.ledger, journal)
            archive_journal(journal)
        return sent

    def _open_provider(self, account: str, passcode: str) -> "CleverTapProvider":
        """Open the client. Raises for settings and certificates that cannot work."""
        from segctl.provider.client import CleverTapProvider  # noqa: PLC0415 - heavy

        return CleverTapProvider(
            base_url=self.service.base_url,
            allow_plain_http=self.service.allow_plain_http,
            body_form=self.service.create_body,
            account_id=account,
            passcode=passcode,
            clock=self.context.clock,
            chance=self.context.chance,
            concurrency=self.bundle.plan.concurrency,
            timeout=min(REQUEST_SECONDS, self.locked.backend.max_request_seconds()),
            transport=self.context.transport,
            before_attempt=self.locked.backend.check_lock,
            stop=self.stop,
            on_rate_limited=lambda call, seconds: self.observe(
                RateLimited(call=call, seconds=seconds)
            ),
        )

    def _create_journal(self, account: str) -> Journal:
        state, plan = self.locked.loaded.state, self.bundle.plan
        return self.locked.backend.journals.create(
            header={
                "lineage": state.lineage,
                "serial": state.serial,
                "account": account,
                "host": plan.host,
                "at": self.context.clock.now(),
                "plan": plan_codec.encode(plan),
            },
            delta=self.bundle.delta,
        )

    async def _send(self, provider: "CleverTapProvider", journal: Journal) -> "SendResult":
        from segctl.applying.sender import send_requests  # noqa: PLC0415 - heavy

        ends = [end for end in (self.deadline, self._next_freeze()) if end is not None]
        async with provider:
            return await send_requests(
                self.bundle.plan,
                self.locked.session.open_engine().iter_entries(journal.delta),
                provider=provider,
                log=journal,
                clock=self.context.clock,
                observe=self.observe,
                stop=self.stop,
                unconfirmed=self._unconfirmed_creates(),
                deadline=min(ends, default=None),
            )

    def _unconfirmed_creates(self) -> frozenset[int]:
        """Return the targets that the state has with this name, from a create without answer."""
        state = self.locked.loaded.state
        return frozenset(
            index
            for index, target in enumerate(self.bundle.plan.targets)
            if target.create
            and (record := find_record(state, target))
            and record.remote_name == target.display_name
        )

    def _record(self, ledger: Ledger, journal: Journal | None) -> None:
        """Merge the outcomes into the state and write the new head."""
        loaded, plan = self.locked.loaded, self.bundle.plan
        state = merge_outcomes(
            loaded,
            plan,
            ledger,
            # Also without requests: a pair that is no longer desired leaves quarantine.
            delta=journal.delta if journal else self.bundle.delta,
            engine=self.locked.session.open_engine(),
            store_file=lambda scratch, rows: self.locked.backend.add_file(scratch, rows=rows),
            run=ApplyInfo(
                journal=journal.id if journal else loaded.state.folded,
                now=self.context.clock.now(),
                account=self.context.account,
                host=plan.host,
            ),
        )
        write_head(self.locked.backend, loaded, state)

    def _result(self, sent: "SendResult") -> ApplyResult:
        """Return the result, or raise why the apply is not complete."""
        result = ApplyResult(plan=self.bundle.plan, approved=True, ended=sent.ended)
        complete = is_complete(self.bundle.plan, sent.ledger)
        if sent.refused_credentials:
            raise refused_credentials(sent, result)
        if self.stop.is_set and not complete:
            raise Interrupted("interrupted; what was acknowledged is recorded", hint=SAME_COMMAND)
        if sent.is_time_over and not complete:
            raise AppliedInPart(
                f"{self._time_over()}; what was acknowledged is recorded",
                result=result,
                hint="The next run goes on from there.",
            )
        if sent.stop_reason or not complete:
            raise unfinished(self.bundle.plan, sent, result, base_url=self.service.base_url)
        return result

    def _time_over(self) -> str:
        """Return why the apply stops: the time of the run is over, or a change freeze begins."""
        clock, plan = self.context.clock, self.bundle.plan
        # The two clocks agree only roughly. A second later, the freeze has begun on both.
        frozen = find_plan_freeze(plan, clock.now() + 1)
        if frozen and (self.deadline is None or clock.monotonic() < self.deadline):
            return describe_freeze(frozen, plan.time_zone)
        return "the time that --max-duration gives is over"


def _refuse(findings: Sequence[Finding], *, hint: str = "") -> None:
    """Raise ``GuardRefused`` if there are error findings."""
    if findings:
        raise GuardRefused(
            f"{_count_refusals(findings)} refused the plan",
            findings=findings,
            hint=hint or findings[0].detail,
        )


def _count_refusals(findings: Sequence[Finding]) -> str:
    """Return how many rules and guards refuse a plan: ``1 rule and 2 guards``."""
    rules = sum(finding.code in RULE_CODES for finding in findings)
    counts = {"rule": rules, "guard": len(findings) - rules}
    return " and ".join(f"{n} {kind}{'' if n == 1 else 's'}" for kind, n in counts.items() if n)
