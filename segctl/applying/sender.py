"""Send a plan's requests: creates first, then updates, a few at a time.

A request is in the journal before it leaves, so what the journal does not have was never sent.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from segctl.applying.creates import CreateSender
from segctl.applying.send_context import SendContext, SendLog
from segctl.applying.stop_rules import StopRules
from segctl.applying.updates import UpdateSender
from segctl.core.clock import Clock
from segctl.core.events import ApplyEnded, ApplyStarted, Observer
from segctl.core.outcomes import Ledger, Outcome, fold_records
from segctl.core.stop_signal import StopSignal
from segctl.engine.model import PackedEntry
from segctl.plan.model import Plan
from segctl.provider.client import Provider


@dataclass(frozen=True, kw_only=True)
class SendResult:
    """The outcomes of an apply's requests.

    If sending stopped early, ``refused_credentials``, ``stop_reason`` or ``is_time_over`` says why.
    """

    ledger: Ledger
    ended: ApplyEnded
    refused_credentials: str = ""
    stop_reason: str = ""
    is_time_over: bool = False

    @property
    def is_nothing_applied(self) -> bool:
        """Whether the service certainly changed nothing. It may have refused memberships."""
        outcomes = {
            *(create.outcome for create in self.ledger.creates.values()),
            *(pair.outcome for pair in self.ledger.exceptions),
        }
        may_be_applied = {Outcome.ACKNOWLEDGED, Outcome.UNCERTAIN}
        # An acknowledged request can consist of memberships that were refused one by one.
        return not (self.ended.changes or self.ended.uncertain or outcomes & may_be_applied)


async def send_requests(
    plan: Plan,
    entries: Iterable[PackedEntry],
    *,
    provider: Provider,
    log: SendLog,
    clock: Clock,
    observe: Observer,
    stop: StopSignal,
    unconfirmed: frozenset[int] = frozenset(),
    deadline: float | None = None,
) -> SendResult:
    """Send everything. ``entries`` are in sending order.

    Nothing leaves after ``deadline``, a time of the clock (monotonic). ``unconfirmed`` are target
    indexes whose create was sent earlier and got no answer.
    """
    begun = clock.monotonic()
    observe(
        ApplyStarted(
            creates=sum(target.create for target in plan.targets),
            requests=plan.requests.update,
            changes=plan.members_to_send,
        )
    )
    rules = StopRules(
        stop=stop,
        hold_requests=provider.hold,
        max_refused_percent=plan.max_refused_percent,
        clock=clock,
        deadline=deadline,
    )
    context = SendContext(
        plan=plan, provider=provider, log=log, clock=clock, observe=observe, rules=rules
    )
    creates = CreateSender(context, unconfirmed=unconfirmed)
    blocked = await creates.send()
    updates = UpdateSender(context, blocked=blocked)
    await updates.send(entries)
    log.append({"type": "ended", "at": clock.now()}, durable=True)
    ledger = fold_records(log.records())
    ended = _ended(
        plan,
        ledger,
        changes=updates.changes,
        parts=creates.parts + updates.parts,
        seconds=clock.monotonic() - begun,
        interrupted=stop.is_set,
    )
    observe(ended)
    return SendResult(
        ledger=ledger,
        ended=ended,
        refused_credentials=rules.refused_credentials,
        stop_reason=rules.reason,
        is_time_over=rules.is_time_over,
    )


def _ended(
    plan: Plan, ledger: Ledger, *, changes: int, parts: int, seconds: float, interrupted: bool
) -> ApplyEnded:
    """Count the outcomes. ``changes`` and ``parts`` are those of ``ApplyEnded``."""
    created = {i for i, create in ledger.creates.items() if create.outcome is Outcome.ACKNOWLEDGED}
    return ApplyEnded(
        acknowledged=ledger.count(Outcome.ACKNOWLEDGED),
        refused=ledger.count(Outcome.REFUSED),
        failed=ledger.count(Outcome.FAILED),
        uncertain=ledger.count(Outcome.UNCERTAIN),
        not_tried=plan.requests.update - len(ledger.updates),
        changes=changes,
        parts=parts,
        seconds=seconds,
        quarantined=sum(pair.outcome is Outcome.REFUSED for pair in ledger.exceptions),
        not_created=sum(
            target.create and index not in created for index, target in enumerate(plan.targets)
        ),
        interrupted=interrupted,
    )
