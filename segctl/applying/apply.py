"""One apply: a plan is checked, approved, sent and recorded, with the lock held."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segctl.backends.journal import Journal
from segctl.core.errors import AppliedInPart, CredentialsRefused, GuardRefused, Interrupted
from segctl.core.events import ApplyEnded, Observer, RateLimited
from segctl.core.outcomes import Ledger
from segctl.core.stop_signal import StopSignal
from segctl.plan import codec as plan_codec
from segctl.plan.model import Plan
from segctl.session.advance import ApplyInfo, find_record, is_complete, record_source_facts
from segctl.session.context import Context
from segctl.session.loaded_state import write_head
from segctl.session.locked_state import LockedState
from segctl.session.merge import merge_outcomes
from segctl.session.recovery import archive_journal
from segctl.state.model import State

if TYPE_CHECKING:
    from segctl.applying.sender import SendResult
    from segctl.planning.planner import PlanBundle
    from segctl.provider.client import CleverTapProvider

JOURNAL_MARGIN = 16 << 20
"""Bytes that a journal's log, and the files folded from it, may need beyond the plan's own."""


@dataclass(frozen=True, kw_only=True)
class ApplyResult:
    """What an apply did; ``ended`` is ``None`` where there was nothing to send."""

    plan: Plan
    approved: bool
    ended: ApplyEnded | None = None


@dataclass(frozen=True)
class Apply:
    """One apply of one plan, with everything at hand and the lock held."""

    context: Context
    work: LockedState
    made: "PlanBundle"
    base_url: str
    observe: Observer
    stop: StopSignal

    def run(self, approve: Callable[[Plan], bool]) -> ApplyResult:
        """Ask, send and record; see ``apply_workspace``."""
        plan = self.made.plan
        if plan.error_findings:
            count = len(plan.error_findings)
            raise GuardRefused(
                f"{count} guard{'' if count == 1 else 's'} refused the plan",
                findings=plan.error_findings,
                hint=plan.error_findings[0].detail,
            )
        if plan.is_empty:
            self._conclude()
            return ApplyResult(plan=plan, approved=True)
        if not approve(plan):
            return ApplyResult(plan=plan, approved=False)
        self._check_writable()
        if not plan.requests.create and not plan.requests.update:
            self._record(Ledger(), None)
            return ApplyResult(plan=plan, approved=True)
        return self._send()

    def _conclude(self) -> None:
        """Record what a plan without changes still tells: what is over, what was recognised."""
        state = record_source_facts(self.work.loaded.state, self.made.plan)
        if state.unfinished:  # nothing is left of it
            state = state.next(unfinished=None)
        if state != self.work.loaded.state and state.lineage:
            write_head(self.work.backend, self.work.loaded, state)

    def _check_writable(self) -> None:
        """Check what can fail before the first request leaves."""
        sizes = sum(file.stat().st_size for file in (self.made.delta, self.made.batches))
        self.work.backend.check_writable(needed_bytes=3 * sizes + JOURNAL_MARGIN)

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

    def _send(self) -> ApplyResult:
        plan = self.made.plan
        account, passcode = self._credentials()
        provider = self._provider(account, passcode)
        state = self.work.loaded.state
        journal = Journal.create(
            self.work.backend.journal_folder(),
            header={
                "lineage": state.lineage,
                "serial": state.serial,
                "account": account,
                "host": plan.host,
                "at": self.context.clock.now(),
                "plan": plan_codec.encode(plan),
            },
            delta=self.made.delta,
            batches=self.made.batches,
            disk=self.context.disk,
        )
        try:
            import asyncio  # noqa: PLC0415 - a plan needs none

            sent = asyncio.run(self._deliver(provider, journal))
        finally:
            journal.close()
        if not sent.ledger.has_no_effect:
            self._record(sent.ledger, journal)
            archive_journal(self.work.backend, journal)
        else:
            journal.remove()
        return self._concluded(sent)

    def _provider(self, account: str, passcode: str) -> "CleverTapProvider":
        """Give our side of the service; raises for what can be told to fail beforehand."""
        from segctl.provider.client import CleverTapProvider  # noqa: PLC0415 - heavy

        return CleverTapProvider(
            base_url=self.base_url,
            account_id=account,
            passcode=passcode,
            clock=self.context.clock,
            chance=self.context.chance,
            concurrency=self.made.plan.concurrency,
            transport=self.context.transport,
            before=self.work.backend.check_lock,
            stop=self.stop,
            on_rate_limited=lambda call, seconds: self.observe(
                RateLimited(call=call, seconds=seconds)
            ),
        )

    async def _deliver(self, provider: "CleverTapProvider", journal: Journal) -> "SendResult":
        from segctl.applying.sender import Applier  # noqa: PLC0415 - heavy

        plan = self.made.plan
        unsure = frozenset(
            place
            for place, target in enumerate(plan.targets)
            if target.create
            and (record := find_record(self.work.loaded.state, target))
            and record.remote_name == target.display_name
        )
        entries = self.work.session.open_engine().iter_entries(journal.batches)
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
        run = ApplyInfo(
            journal=journal.id if journal else self.work.loaded.state.folded,
            now=self.context.clock.now(),
            account=self.context.account,
            host=plan.host,
        )
        state = merge_outcomes(
            self.work.loaded,
            plan,
            ledger,
            # Without requests too: what is asked for no more leaves quarantine.
            delta=journal.delta if journal else self.made.delta,
            engine=self.work.session.open_engine(),
            store_file=lambda scratch, rows: self.work.backend.add_file(scratch, rows=rows),
            run=run,
        )
        self._write(state)

    def _write(self, state: State) -> None:
        write_head(self.work.backend, self.work.loaded, state)

    def _concluded(self, sent: "SendResult") -> ApplyResult:
        """Give the result, or raise what keeps it from being a success."""
        applied = ApplyResult(plan=self.made.plan, approved=True, ended=sent.ended)
        again = "Run the same command again; it goes on from there."
        if sent.refused_credentials:
            created = any(o.outcome == "acknowledged" for o in sent.ledger.creates.values())
            if not sent.ended.acknowledged and not created:
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
        if sent.ledger.has_no_effect:
            again = "Check network and region; then run the same command again."
        if not is_complete(self.made.plan, sent.ledger):
            raise AppliedInPart(_left_over(sent), result=applied, hint=again)
        return applied


def _left_over(sent: "SendResult") -> str:
    """Say what is left of an apply, most telling first."""
    ended = sent.ended
    failed_creates = [o for o in sent.ledger.creates.values() if o.outcome != "acknowledged"]
    parts = [
        f"{count:,} {noun}{'' if count == 1 else 's'} {what}"
        for count, noun, what in (
            (ended.not_created, "segment", "not created"),
            (ended.quarantined, "membership", "refused and quarantined"),
            (ended.refused, "request", "refused"),
            (ended.failed, "request", "failed"),
            (ended.uncertain, "request", "without an answer"),
            (ended.not_tried, "request", "not tried"),
        )
        if count
    ]
    detail = next((o.detail for o in failed_creates if o.detail), "") or next(
        (o.detail for o in sent.ledger.updates.values() if o.detail), ""
    )
    done = "nothing was applied" if sent.ledger.has_no_effect else "applied in part"
    return f"{done}: {', '.join(parts)}" + (f" ({detail})" if detail else "")
