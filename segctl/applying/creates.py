"""Send the create requests of a plan, and find out which segments exist afterwards."""

from collections.abc import Sequence

from segctl.applying.parallel import run_in_parallel
from segctl.applying.send_context import SendContext
from segctl.core.events import CreateDone
from segctl.core.outcomes import EXISTS_ALREADY, Answer, Outcome, fold_records
from segctl.plan.model import Action, Target
from segctl.provider.wire import NewSegment
from segctl.state.usage import SEGMENTS_PER_CREATE_REQUEST


class CreateSender:
    """The creates of one apply.

    ``unconfirmed`` are the targets whose create was sent earlier and got no answer: for them
    "exists already" means that the earlier request succeeded. ``parts`` counts the requests that
    were sent because another was refused as a whole.
    """

    def __init__(self, context: SendContext, *, unconfirmed: frozenset[int]) -> None:
        self.parts = 0
        self._context = context
        self._plan = context.plan
        self._unconfirmed = set(unconfirmed)

    async def send(self) -> frozenset[int]:
        """Create every new segment. Return the indexes of targets that must get no members.

        The service accepts requests for a segment that does not exist and skips the entries,
        which would then count as done. So nothing is sent to a segment that was not created.
        """
        indexes = [index for index, target in enumerate(self._plan.targets) if target.create]
        requests = [
            indexes[start : start + SEGMENTS_PER_CREATE_REQUEST]
            for start in range(0, len(indexes), SEGMENTS_PER_CREATE_REQUEST)
        ]
        await run_in_parallel(map(self._create, requests), limit=self._plan.concurrency)
        created = {
            index
            for index, outcome in fold_records(self._context.log.records()).creates.items()
            if outcome.outcome is Outcome.ACKNOWLEDGED
        }
        missing = set(indexes) - created
        # A replaced segment keeps its members until the new one exists.
        missing |= {
            change.old_target
            for change in self._plan.changes
            if change.action is Action.REPLACE
            and change.target in missing
            and change.old_target is not None
        }
        if missing:
            self._context.log.append({"type": "blocked", "targets": sorted(missing)}, durable=True)
        return frozenset(missing)

    async def _create(self, indexes: Sequence[int], *, is_part: bool = False) -> None:
        """Create some segments. A refused request is halved until the bad segment is alone."""
        if self._context.rules.is_stopped():
            return
        segments = [_new_segment(self._plan.targets[index]) for index in indexes]
        sent = {"type": "create_sent", "targets": list(indexes), "at": self._context.clock.now()}
        self._context.log.append(sent, durable=True)
        answer = await self._context.provider.create(segments)
        self.parts += is_part and answer.attempts > 0
        created = [i for i in indexes if self._plan.targets[i].customer_segment_id in answer.ids]
        if answer.doubted and not (created and answer.outcome is Outcome.REFUSED):
            self._unconfirmed.update(indexes)
        if answer.outcome is Outcome.REFUSED and len(indexes) > 1:
            rest = [index for index in indexes if index not in created]
            self._log_outcome(rest, answer, Outcome.REFUSED)
            if created:
                self._append_outcome(created, answer, Outcome.ACKNOWLEDGED)
                self._report(created, Outcome.ACKNOWLEDGED)
                await self._create(rest, is_part=True)
            else:
                middle = len(rest) // 2
                await self._create(rest[:middle], is_part=True)
                await self._create(rest[middle:], is_part=True)
            return
        outcome = answer.outcome
        if outcome is Outcome.REFUSED and answer.exists and self._unconfirmed.issuperset(indexes):
            # The journal or the state has an unfinished create with this id and name.
            outcome = Outcome.ACKNOWLEDGED
        self._log_outcome(indexes, answer, outcome)
        self._context.rules.record_answer(answer)
        # Refused credentials are the error of the run, which says it once.
        self._report(indexes, outcome, "" if answer.stop else _detail(answer, outcome))

    def _report(self, indexes: Sequence[int], outcome: Outcome, detail: str = "") -> None:
        addresses = tuple(self._plan.targets[index].address for index in indexes)
        self._context.observe(CreateDone(addresses=addresses, outcome=outcome, detail=detail))

    def _log_outcome(self, indexes: Sequence[int], answer: Answer, outcome: Outcome) -> None:
        """Log an outcome. An unconfirmed create stays uncertain until an answer resolves it."""
        is_resolved = outcome is Outcome.ACKNOWLEDGED or (
            outcome is Outcome.REFUSED and len(indexes) == 1
        )
        uncertain = [] if is_resolved else [i for i in indexes if i in self._unconfirmed]
        certain = [index for index in indexes if index not in uncertain]
        for part, known in ((certain, outcome), (uncertain, Outcome.UNCERTAIN)):
            if part:
                self._append_outcome(part, answer, known)

    def _append_outcome(self, indexes: Sequence[int], answer: Answer, outcome: Outcome) -> None:
        ids = {
            str(index): answer.ids[key]
            for index in indexes
            if (key := self._plan.targets[index].customer_segment_id) in answer.ids and key
        }
        record = {
            "type": "create_outcome",
            "targets": list(indexes),
            "outcome": str(outcome),
            "at": self._context.clock.now(),
            "ids": ids,
            "detail": _detail(answer, outcome),
        }
        self._context.log.append(record, durable=True)


def _new_segment(target: Target) -> NewSegment:
    return NewSegment(
        segment_name=target.display_name, customer_segment_id=target.customer_segment_id or ""
    )


def _detail(answer: Answer, outcome: Outcome) -> str:
    if answer.exists and outcome is Outcome.REFUSED:
        return (
            f"{answer.detail}; {EXISTS_ALREADY}: restore the state if it was lost, or adopt the "
            "segment with `segctl import`"
        )
    return answer.detail
