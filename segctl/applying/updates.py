"""Send the update requests of a plan, and quarantine the memberships that the service refuses."""

from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import Any

from segctl.applying.entries import RequestEntry, count_changes, entry_pairs, split_in_half
from segctl.applying.parallel import run_in_parallel
from segctl.applying.send_context import SendContext
from segctl.applying.send_window import SendWindow
from segctl.applying.stop_rules import MAX_CONSECUTIVE_FAILURES
from segctl.core.events import RequestDone, Settling
from segctl.core.outcomes import Answer, Outcome
from segctl.engine.model import PackedEntry


class UpdateSender:
    """The updates of one apply. ``blocked`` are targets that must get no members.

    ``changes`` counts acknowledged membership changes, ``parts`` the requests that were sent
    because another was refused as a whole.
    """

    def __init__(self, context: SendContext, *, blocked: frozenset[int]) -> None:
        self.changes = self.parts = 0
        self._context = context
        self._plan = context.plan
        self._blocked = blocked
        self._window = SendWindow(context)

    async def send(self, entries: Iterable[PackedEntry]) -> None:
        """Send all requests. ``entries`` are in sending order, those of a request together."""
        requests = groupby(entries, key=attrgetter("request"))
        async with self._window.open():
            # One more than may be in flight: the next request is ready, with its record stored,
            # when a slot becomes free.
            await run_in_parallel(
                (self._update(number, rows) async for number, rows in self._paced(requests)),
                limit=self._plan.concurrency + 1,
            )

    async def _paced(
        self, requests: Iterable[tuple[int, Iterable[PackedEntry]]]
    ) -> AsyncIterator[tuple[int, list[PackedEntry]]]:
        """Yield the requests, and wait for the settle time before the first that needs it."""
        is_settled = False
        for number, rows in requests:
            is_late = self._plan.settle_from is not None and number >= self._plan.settle_from
            if is_late and not is_settled:
                await self._settle()
                is_settled = True
            yield number, list(rows)

    async def _settle(self) -> None:
        """Wait until an unanswered request of the opposite direction cannot arrive any more."""
        left = self._plan.settled_at - self._context.clock.now()
        # A clock that was set back must not delay an apply for longer than the settle time.
        seconds = min(left, self._plan.settle_seconds)
        if seconds > 0 and not self._context.rules.is_stopped():
            self._context.observe(Settling(seconds=seconds))
            await self._context.rules.sleep(self._context.clock, seconds)

    async def _update(self, number: int, rows: Sequence[PackedEntry]) -> None:
        """Log one request as sent, send it, and log its outcome."""
        entries = [entry for row in rows if (entry := self._request_entry(row))]
        if self._context.rules.is_stopped() or not entries:
            return
        await self._window.enter(number)
        answer, exceptions, parts = await self._deliver(entries)
        self.parts += parts
        if self._context.rules.is_stopped() and not answer.attempts:
            self._context.log.append({"type": "kept_back", "request": number}, durable=False)
            return
        record = {
            "type": "outcome",
            "request": number,
            "outcome": str(answer.outcome),
            "at": self._context.clock.now(),
            "detail": answer.detail,
        }
        if exceptions:
            record["except"] = exceptions
        # Not synced: if it is lost, the changes are sent once more, which is safe.
        self._context.log.append(record, durable=False)
        if answer.outcome is Outcome.ACKNOWLEDGED:
            self.changes += count_changes(entries) - len(exceptions)
        self._context.observe(
            RequestDone(
                request=number,
                outcome=answer.outcome,
                changes=count_changes(entries),
                attempts=answer.attempts,
                parts=parts,
                throttled=answer.throttled,
                detail=answer.detail,
                segments=self._count_by_segment(entries, answer.outcome, exceptions),
            )
        )

    def _count_by_segment(
        self,
        entries: Sequence[RequestEntry],
        outcome: Outcome,
        exceptions: Sequence[Mapping[str, Any]],
    ) -> dict[str, Counter[Outcome]]:
        """Count the changes of a request by address and outcome."""
        counts: dict[str, Counter[Outcome]] = {}
        targets = self._plan.targets
        for entry in entries:
            for index, _ in entry.actions:
                counts.setdefault(targets[index].address, Counter())[outcome] += len(entry.users)
        for pair in exceptions:
            counted = counts[targets[pair["target"]].address]
            counted[outcome] -= 1
            counted[Outcome(pair["outcome"])] += 1
        return counts

    def _request_entry(self, row: PackedEntry) -> RequestEntry | None:
        """Return an entry without blocked targets, or ``None`` if no action is left."""
        actions = tuple(action for action in row.actions if action[0] not in self._blocked)
        if not actions:
            return None
        return RequestEntry.build(row.users, actions, self._plan.targets)

    async def _deliver(
        self, entries: Sequence[RequestEntry]
    ) -> tuple[Answer, list[dict[str, Any]], int]:
        """Send entries.

        Return the answer, the pairs with an outcome of their own, and in how many parts the entries
        were sent again.
        """
        answer = await self._context.provider.update([entry.wire for entry in entries])
        self._context.rules.record_update(answer)
        if answer.outcome is not Outcome.REFUSED:
            return answer, [], 0
        if count_changes(entries) > 1:
            return await self._isolate_refused(entries, answer)
        if answer.doubted:
            return replace(answer, outcome=Outcome.UNCERTAIN), [], 0
        return replace(answer, outcome=Outcome.ACKNOWLEDGED), entry_pairs(entries, answer), 0

    async def _isolate_refused(
        self, entries: Sequence[RequestEntry], refused: Answer
    ) -> tuple[Answer, list[dict[str, Any]], int]:
        """Halve a refused request until each refused pair is alone, largest parts first.

        If every pair so far is refused and nothing is accepted, the pairs may not be the
        cause, and none is quarantined, unless the service accepts other requests. If an
        attempt got no answer before the refusal, it may have been applied, so pairs that are
        not accepted now stay uncertain. Returns what ``_deliver`` does.
        """
        doubt = Outcome.UNCERTAIN if refused.doubted else None
        parts = deque(split_in_half(entries))
        exceptions: list[dict[str, Any]] = []
        refusals = sent = 0
        any_accepted = False
        while parts and not self._context.rules.is_stopped():
            if (
                not any_accepted
                and refusals >= MAX_CONSECUTIVE_FAILURES
                and not self._context.rules.accepts_other_requests()
            ):
                break
            part = parts.popleft()
            answer = await self._context.provider.update([entry.wire for entry in part])
            sent += answer.attempts > 0
            if answer.outcome is Outcome.REFUSED and count_changes(part) > 1:
                parts.extend(split_in_half(part))
                continue
            if answer.outcome is Outcome.REFUSED:
                refusals += 1
            else:
                self._context.rules.record_answer(answer)
            if answer.outcome is Outcome.ACKNOWLEDGED:
                any_accepted = True
            else:
                exceptions += entry_pairs(part, replace(answer, outcome=doubt or answer.outcome))
        if parts and not any_accepted and refusals == len(exceptions):
            return replace(refused, outcome=doubt or Outcome.REFUSED), [], sent
        for part in parts:
            exceptions += entry_pairs(part, replace(refused, outcome=doubt or Outcome.FAILED))
        return replace(refused, outcome=Outcome.ACKNOWLEDGED), exceptions, sent
