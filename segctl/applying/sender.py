"""Send a plan's requests and record what becomes of each.

Creates go first, then updates, ``concurrency`` at a time.  A request is in the
journal before it leaves; what is not there afterwards was never sent.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol

from segctl.applying.entries import RequestEntry, entry_pairs, size, split_in_half
from segctl.core.clock import Clock
from segctl.core.events import (
    ApplyEnded,
    ApplyStarted,
    CreateDone,
    Observer,
    RequestDone,
    Settling,
)
from segctl.core.outcomes import Answer, Ledger, Outcome, Record, fold_records
from segctl.core.stop_signal import StopSignal, loop_callback
from segctl.engine.model import PackedEntry
from segctl.plan.model import Action, Plan, Target
from segctl.planning.planner import SEGMENTS_PER_CREATE_REQUEST
from segctl.provider.client import Provider
from segctl.provider.wire import NewSegment

MAX_CONSECUTIVE_FAILURES = 8
"""After so many requests in a row without an acknowledgement, the rest is not tried."""

LONG_SYNC = 0.001
"""Seconds that answers may wait for the disk; a thread of its own costs a part of that."""

MIN_CONSECUTIVE_REFUSALS = 3
"""So many requests refused in a row are more than a bad one among good ones."""

MIN_SAMPLE = 20
"""How many requests are answered before the share of refused ones says anything."""


class Log(Protocol):
    """What the applier needs of a journal."""

    def append(self, record: Record, *, durable: bool) -> None:
        """Write one record; on the disk when this returns, where ``durable``."""

    def sync(self) -> None:
        """Bring what was written to the disk; may run in a thread beside ``append``."""

    def records(self) -> Iterator[Record]:
        """Give the records in order."""


@dataclass(frozen=True, kw_only=True)
class SendResult:
    """What an apply's requests came to; ``stopped`` says why it ended early, if it did."""

    ledger: Ledger
    ended: ApplyEnded
    refused_credentials: str = ""
    gave_up: str = ""


@dataclass
class _Tally:
    """Counts kept while requests come back."""

    in_row: int = 0
    answered: int = 0
    refused: int = 0
    taken: int = 0
    refused_in_row: int = 0
    changes: int = 0


class Applier:
    """One apply of one plan; ``unsure`` are targets whose create was sent before, unanswered."""

    def __init__(
        self,
        plan: Plan,
        *,
        provider: Provider,
        log: Log,
        clock: Clock,
        observe: Observer,
        stop: StopSignal,
        unsure: frozenset[int] = frozenset(),
    ) -> None:
        self._plan = plan
        self._provider = provider
        self._log = log
        self._clock = clock
        self._observe = observe
        self._stop = stop
        self._unsure = set(unsure)
        self._blocked: set[int] = set()
        self._why: dict[int, str] = {}
        self._halt = asyncio.Event()
        self._refused_credentials = ""
        self._gave_up = ""
        self._tally = _Tally()
        self._slow_disk = False

    async def run(self, entries: Iterable[PackedEntry]) -> SendResult:
        """Send everything; ``entries`` come in sending order."""
        loop = asyncio.get_running_loop()
        self._stop.on_set(loop_callback(loop, self._halt.set))
        begun = self._clock.monotonic()
        plan = self._plan
        changes = sum(change.members.sent for change in plan.changes)
        self._observe(
            ApplyStarted(
                creates=sum(t.create for t in plan.targets),
                requests=plan.requests.update,
                changes=changes,
            )
        )
        await self._create_all()
        await self._update_all(entries)
        self._log.append({"type": "ended", "at": self._clock.now()}, durable=True)
        ledger = fold_records(self._log.records())
        ended = self._ended(ledger, seconds=self._clock.monotonic() - begun)
        self._observe(ended)
        return SendResult(
            ledger=ledger,
            ended=ended,
            refused_credentials=self._refused_credentials,
            gave_up=self._gave_up,
        )

    def _ended(self, ledger: Ledger, *, seconds: float) -> ApplyEnded:
        tried = len(ledger.updates)
        created = {p for p, o in ledger.creates.items() if o.outcome is Outcome.ACKNOWLEDGED}
        return ApplyEnded(
            acknowledged=ledger.count(Outcome.ACKNOWLEDGED),
            refused=ledger.count(Outcome.REFUSED),
            failed=ledger.count(Outcome.FAILED),
            uncertain=ledger.count(Outcome.UNCERTAIN),
            not_tried=self._plan.requests.update - tried,
            changes=self._tally.changes,
            seconds=seconds,
            quarantined=sum(p.outcome is Outcome.REFUSED for p in ledger.exceptions),
            not_created=sum(
                target.create and place not in created
                for place, target in enumerate(self._plan.targets)
            ),
            interrupted=self._stop.is_set,
        )

    def _halted(self) -> bool:
        return self._stop.is_set or self._halt.is_set()

    # Creating

    async def _create_all(self) -> None:
        places = [place for place, target in enumerate(self._plan.targets) if target.create]
        chunks = [
            places[start : start + SEGMENTS_PER_CREATE_REQUEST]
            for start in range(0, len(places), SEGMENTS_PER_CREATE_REQUEST)
        ]
        await self._in_parallel(
            (self._create(chunk) for chunk in chunks), most=self._plan.concurrency
        )
        created = {
            place
            for place, outcome in fold_records(self._log.records()).creates.items()
            if outcome.outcome is Outcome.ACKNOWLEDGED
        }
        self._blocked = set(places) - created
        self._blocked |= {
            change.old_target
            for change in self._plan.changes
            if change.action is Action.REPLACE
            and change.target in self._blocked
            and change.old_target is not None
        }
        if self._blocked:
            # Nothing may go to a segment that is not there: the service would accept the
            # request and skip the entries, and we would take them for done.
            record = {"type": "blocked", "targets": sorted(self._blocked)}
            self._log.append(record, durable=True)

    async def _create(self, places: Sequence[int]) -> None:
        """Create some segments; halve a refused request until the bad one stands alone."""
        if self._halted():
            return
        segments = [_new_segment(self._plan.targets[place]) for place in places]
        sent = {"type": "create_sent", "targets": list(places), "at": self._clock.now()}
        self._log.append(sent, durable=True)
        answer = await self._provider.create(segments)
        made = [p for p in places if self._plan.targets[p].customer_segment_id in answer.ids]
        if answer.doubted and not (made and answer.outcome is Outcome.REFUSED):
            self._unsure.update(places)
        if answer.outcome is Outcome.REFUSED and len(places) > 1:
            rest = [place for place in places if place not in made]
            self._log_create(rest, answer, Outcome.REFUSED)
            if made:
                self._log_created(made, answer, Outcome.ACKNOWLEDGED)
                self._tell_created(made, Outcome.ACKNOWLEDGED)
                await self._create(rest)
            else:
                middle = len(rest) // 2
                await self._create(rest[:middle])
                await self._create(rest[middle:])
            return
        outcome = answer.outcome
        if outcome is Outcome.REFUSED and answer.exists and self._unsure.issuperset(places):
            # Our own journal or state shows an unfinished create of this very id and name.
            outcome = Outcome.ACKNOWLEDGED
        self._log_create(places, answer, outcome)
        self._note(answer)
        self._tell_created(places, outcome, _advice(answer, outcome))

    def _tell_created(self, places: Sequence[int], outcome: Outcome, detail: str = "") -> None:
        addresses = tuple(self._plan.targets[place].address for place in places)
        self._observe(CreateDone(addresses=addresses, outcome=outcome, detail=detail))

    def _log_create(self, places: Sequence[int], answer: Answer, outcome: Outcome) -> None:
        """Write what became of some segments; a doubt stays until an answer resolves it."""
        resolved = outcome is Outcome.ACKNOWLEDGED or (
            outcome is Outcome.REFUSED and len(places) == 1
        )
        doubted = [] if resolved else [place for place in places if place in self._unsure]
        certain = [place for place in places if place not in doubted]
        for some, known in ((certain, outcome), (doubted, Outcome.UNCERTAIN)):
            if some:
                self._log_created(some, answer, known)

    def _log_created(self, places: Sequence[int], answer: Answer, outcome: Outcome) -> None:
        ids = {
            str(place): answer.ids[key]
            for place in places
            if (key := self._plan.targets[place].customer_segment_id) in answer.ids and key
        }
        record = {
            "type": "create_outcome",
            "targets": list(places),
            "outcome": str(outcome),
            "at": self._clock.now(),
            "ids": ids,
            "detail": _advice(answer, outcome),
        }
        self._log.append(record, durable=True)

    # Updating

    async def _update_all(self, entries: Iterable[PackedEntry]) -> None:
        requests = groupby(entries, key=attrgetter("request"))
        # One more than may be in flight: it is ready, its record on the disk, when a slot
        # comes free.
        await self._in_parallel(
            (self._update(number, rows) async for number, rows in self._paced(requests)),
            most=self._plan.concurrency + 1,
        )

    async def _paced(
        self, requests: Iterable[tuple[int, Iterable[PackedEntry]]]
    ) -> AsyncIterator[tuple[int, list[PackedEntry]]]:
        """Give the requests one by one, and let the settle time pass where it must."""
        settled = False
        for number, rows in requests:
            late = self._plan.settle_from is not None and number >= self._plan.settle_from
            if late and not settled:
                await self._settle()
                settled = True
            yield number, list(rows)

    async def _settle(self) -> None:
        """Wait until an unanswered request of the opposite direction cannot be on its way."""
        left = self._plan.settled_at - self._clock.now()
        # A clock that was set back must not hold up an apply for longer than ever needed.
        seconds = min(left, self._plan.settle_seconds)
        if seconds > 0 and not self._halted():
            self._observe(Settling(seconds=seconds))
            await self._pause(seconds)

    async def _pause(self, seconds: float) -> None:
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        halt = asyncio.ensure_future(self._halt.wait())
        _, pending = await asyncio.wait({sleep, halt}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def _update(self, number: int, rows: Sequence[PackedEntry]) -> None:
        entries = [entry for row in rows if (entry := self._parcel(row))]
        if self._halted() or not entries:
            return
        sent = {"type": "sent", "request": number, "at": self._clock.now()}
        self._log.append(sent, durable=False)
        await self._sync()
        answer, exceptions = await self._deliver(entries)
        if self._halted() and not answer.attempts:
            self._log.append({"type": "kept_back", "request": number}, durable=False)
            return
        record = {
            "type": "outcome",
            "request": number,
            "outcome": str(answer.outcome),
            "at": self._clock.now(),
            "detail": answer.detail,
        }
        if exceptions:
            record["except"] = exceptions
        # Not synced: if it is lost, the pairs are asserted once more, which is safe.
        self._log.append(record, durable=False)
        changes = size(entries) - len(exceptions)
        if answer.outcome is Outcome.ACKNOWLEDGED:
            self._tally.changes += changes
        self._observe(
            RequestDone(
                request=number,
                outcome=answer.outcome,
                changes=size(entries),
                attempts=answer.attempts,
                throttled=answer.throttled,
                detail=answer.detail,
            )
        )

    async def _sync(self) -> None:
        """Bring the journal to the disk; where that takes long, while answers are taken in."""
        begun = self._clock.monotonic()
        if self._slow_disk:
            await asyncio.to_thread(self._log.sync)
        else:
            self._log.sync()
        self._slow_disk = self._clock.monotonic() - begun > LONG_SYNC

    async def _deliver(
        self, entries: Sequence[RequestEntry]
    ) -> tuple[Answer, list[dict[str, Any]]]:
        """Send entries; give what became of them, and of the pairs that fared otherwise."""
        answer = await self._provider.update([entry.wire for entry in entries])
        self._note(answer)
        self._weigh(answer)
        if answer.outcome is not Outcome.REFUSED:
            return answer, []
        if size(entries) > 1:
            return await self._sift(entries, answer)
        if answer.doubted:
            return replace(answer, outcome=Outcome.UNCERTAIN), []
        return replace(answer, outcome=Outcome.ACKNOWLEDGED), entry_pairs(entries, answer)

    async def _sift(
        self, entries: Sequence[RequestEntry], refused: Answer
    ) -> tuple[Answer, list[dict[str, Any]]]:
        """Halve a refused request until each bad pair stands alone, largest parts first.

        Where pair after pair is refused and nothing taken, the fault may not be with the
        pairs, and none is named, unless the service takes other requests.  Where an
        attempt got no answer before the refusal, what is not taken now may have been then,
        and stays uncertain.
        """
        doubt = Outcome.UNCERTAIN if refused.doubted else None
        parts = deque(split_in_half(entries))
        exceptions: list[dict[str, Any]] = []
        refusals = 0
        taken = False
        while parts and not self._halted():
            if not taken and refusals >= MAX_CONSECUTIVE_FAILURES and not self._takes_others():
                break
            part = parts.popleft()
            answer = await self._provider.update([entry.wire for entry in part])
            if answer.outcome is Outcome.REFUSED and size(part) > 1:
                parts.extend(split_in_half(part))
                continue
            if answer.outcome is Outcome.REFUSED:
                refusals += 1
            else:
                self._note(answer)
            if answer.outcome is Outcome.ACKNOWLEDGED:
                taken = True
            else:
                exceptions += entry_pairs(part, replace(answer, outcome=doubt or answer.outcome))
        if parts and not taken and refusals == len(exceptions):
            return replace(refused, outcome=doubt or Outcome.REFUSED), []
        for part in parts:
            exceptions += entry_pairs(part, replace(refused, outcome=doubt or Outcome.FAILED))
        return replace(refused, outcome=Outcome.ACKNOWLEDGED), exceptions

    def _parcel(self, row: PackedEntry) -> RequestEntry | None:
        """Give an entry without the segments that do not exist; ``None`` where none is left."""
        actions = tuple(a for a in row.actions if a[0] not in self._blocked)
        if not actions:
            return None
        return RequestEntry.of(row.users, actions, self._plan.targets)

    # Common to both

    def _note(self, answer: Answer) -> None:
        """Stop where going on is pointless."""
        if answer.stop:
            self._refused_credentials = answer.detail
            self._give_up()
        if answer.outcome is Outcome.ACKNOWLEDGED:
            self._tally.in_row = 0
            return
        self._tally.in_row += 1
        if self._tally.in_row >= MAX_CONSECUTIVE_FAILURES and not self._gave_up:
            self._gave_up = answer.detail or str(answer.outcome)
            self._give_up()

    def _weigh(self, answer: Answer) -> None:
        """Stop where so many requests are refused that the fault is hardly in the entries."""
        tally = self._tally
        tally.answered += 1
        if answer.outcome is Outcome.REFUSED:
            tally.refused += 1
            tally.refused_in_row += 1
        elif answer.outcome is Outcome.ACKNOWLEDGED:
            tally.taken += 1
            tally.refused_in_row = 0
        share = 100 * tally.refused / tally.answered
        if tally.answered >= MIN_SAMPLE and share > self._plan.max_refused_percent:
            self._gave_up = self._gave_up or f"{share:.0f}% of the requests were refused"
            self._give_up()

    def _takes_others(self) -> bool:
        """Tell whether the service took a request lately, so that a refusal is of its content."""
        return bool(self._tally.taken) and self._tally.refused_in_row < MIN_CONSECUTIVE_REFUSALS

    def _give_up(self) -> None:
        """Let nothing leave any more; what is in flight comes back."""
        self._halt.set()
        self._provider.hold()

    async def _in_parallel(self, jobs: Any, *, most: int) -> None:
        """Run jobs, ``most`` at a time, taking each only when its turn comes."""
        source = jobs if hasattr(jobs, "__anext__") else _asynchronous(jobs)
        turn = asyncio.Lock()

        async def work() -> None:
            while True:
                async with turn:
                    job = await anext(source, None)
                if job is None:
                    return
                await job

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(most):
                    group.create_task(work())
        except BaseExceptionGroup as failed:
            # The journal takes no more, for one reason.  What was in flight is given up:
            # its outcome could not be written, and the journal knows that it was sent.
            raise failed.exceptions[0] from None


def _new_segment(target: Target) -> NewSegment:
    return NewSegment(
        segment_name=target.display_name, customer_segment_id=target.customer_segment_id or ""
    )


def _advice(answer: Answer, outcome: Outcome) -> str:
    if answer.exists and outcome is Outcome.REFUSED:
        return (
            f"{answer.detail}; a segment with this customerSegmentId or name exists already: "
            "choose another customerSegmentId, or adopt the segment with `segctl import`"
        )
    return answer.detail


async def _asynchronous(jobs: Iterable[Any]) -> AsyncIterator[Any]:
    for job in jobs:
        yield job
