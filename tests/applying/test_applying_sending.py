import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import pytest

from segctl.applying.sender import SendResult, send_requests
from segctl.core.events import CreateDone, Event, RequestDone, Settling
from segctl.core.identity import Kind
from segctl.core.outcomes import Answer, Outcome, Record
from segctl.core.stop_signal import StopSignal
from segctl.engine.model import PackedEntry
from segctl.plan.model import Action, Change, Plan, Requests, Target
from segctl.provider.wire import Entry, NewSegment

OK = Answer(outcome=Outcome.ACKNOWLEDGED)
REFUSED = Answer(outcome=Outcome.REFUSED, detail="bad entry")
UNSURE = Answer(outcome=Outcome.UNCERTAIN, detail="no answer", doubted=True)
FAILED = Answer(outcome=Outcome.FAILED, detail="busy")
KEPT_BACK = Answer(outcome=Outcome.FAILED, detail="interrupted", attempts=0)
EXISTS = Answer(outcome=Outcome.REFUSED, detail="it exists", exists=True)


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.time = now
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)


class Log:
    """A journal in memory; ``synced`` lines are on the disk."""

    window = 1

    def __init__(self) -> None:
        self.lines: list[Record] = []
        self.synced = 0

    def append(self, record: Record, *, durable: bool) -> None:
        self.lines.append(record)
        if durable:
            self.sync()

    def sync(self) -> None:
        self.synced = len(self.lines)

    def records(self) -> Iterator[Record]:
        return iter(self.lines)


def always(answer: Answer) -> Callable[[object], Answer]:
    """Answer every request alike."""

    def give(sent: object) -> Answer:
        del sent
        return answer

    return give


ACCEPT = always(OK)


class Service:
    """Answers creates and updates as a test says, three at a time; counts what is in flight."""

    def __init__(
        self,
        create: Callable[[Sequence[NewSegment]], Answer] = ACCEPT,
        update: Callable[[Sequence[Entry]], Answer] = ACCEPT,
    ) -> None:
        self.answer_create, self.answer_update = create, update
        self.creates: list[list[str]] = []
        self.updates: list[list[tuple[str, str, str]]] = []
        self.in_flight = self.most = 0
        self.slots = asyncio.Semaphore(3)
        self.held = False

    def hold(self) -> None:
        self.held = True

    async def create(self, segments: Sequence[NewSegment]) -> Answer:
        self.creates.append([s.customer_segment_id for s in segments])
        return await self._during(lambda: self.answer_create(segments))

    async def update(self, entries: Sequence[Entry]) -> Answer:
        async with self.slots:
            if self.held:
                return KEPT_BACK
            self.updates.append(
                [
                    (a.action, str(a.customer_segment_id or a.ct_segment_id), value)
                    for e in entries
                    for _, value in e.users
                    for a in e.actions
                ]
            )
            return await self._during(lambda: self.answer_update(entries))

    async def _during(self, answer: Callable[[], Answer]) -> Answer:
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        for _ in range(3):
            await asyncio.sleep(0)
        self.in_flight -= 1
        return answer()


def target(key: str, *, create: bool = False) -> Target:
    return Target(
        address=f"segment.{key}", customer_segment_id=key, display_name=key.title(), create=create
    )


def plan(*targets: Target, requests: int = 1, changes: tuple[Change, ...] = ()) -> Plan:
    return Plan(
        lineage="l",
        serial=1,
        account="A",
        host="h",
        workspace_digest="w",
        digest="d",
        segctl_version="0",
        targets=targets,
        changes=changes,
        requests=Requests(update=requests),
    )


def row(
    request: int, *users: str, actions: tuple[tuple[int, str], ...] = ((0, "ADD"),)
) -> PackedEntry:
    return PackedEntry(
        request=request, users=tuple((Kind.IDENTITY, u) for u in users), actions=actions
    )


class Run:
    """One apply in memory, and everything that it left."""

    def __init__(
        self,
        plan: Plan,
        service: Service,
        rows: Iterable[PackedEntry] | None = None,
        *,
        clock: Clock | None = None,
        stop: StopSignal | None = None,
        unconfirmed: frozenset[int] = frozenset(),
    ) -> None:
        self.log = Log()
        self.events: list[Event] = []
        self.clock = clock or Clock()
        stop = stop or StopSignal()
        stop.on_set(service.hold)
        self._send = partial(
            send_requests,
            plan,
            provider=service,
            log=self.log,
            clock=self.clock,
            observe=self.events.append,
            stop=stop,
            unconfirmed=unconfirmed,
        )
        if rows is not None:
            self.go(rows)

    def go(self, rows: Iterable[PackedEntry]) -> None:
        self.sent: SendResult = asyncio.run(self._send(entries=rows))


def test_every_request_is_durable_in_the_journal_before_it_leaves() -> None:
    known: list[list[int]] = []

    def update(entries: Sequence[Entry]) -> Answer:
        on_disk = run.log.lines[: run.log.synced]
        known.append([r["request"] for r in on_disk if r["type"] == "sent"])
        return OK if entries else FAILED

    run = Run(plan(target("G"), requests=9), Service(update=update))
    run.go(row(n, f"u{n}") for n in range(9))
    assert all(n in known[n] for n in range(9))
    assert run.log.synced == len(run.log.lines)
    assert run.log.lines[-1]["type"] == "ended"


def test_a_request_that_was_ready_and_kept_back_is_not_tried() -> None:
    stop = StopSignal()

    def update(entries: Sequence[Entry]) -> Answer:
        stop.set()
        return OK if entries else FAILED

    run = Run(plan(target("G"), requests=9), Service(update=update), stop=stop)
    run.go(row(n, f"u{n}") for n in range(9))
    told = [(r["type"], r.get("request")) for r in run.log.lines]
    assert ("sent", 3) in told
    assert ("kept_back", 3) in told
    assert (run.sent.ended.acknowledged, run.sent.ended.not_tried) == (3, 6)


def test_three_requests_are_in_flight_while_there_is_work() -> None:
    service = Service()
    rows = [row(n, f"u{n}") for n in range(20)]
    run = Run(plan(target("G"), requests=20), service, rows)
    assert service.most == 3
    assert run.sent.ended.acknowledged == 20
    assert run.sent.ended.changes == 20


def test_entries_of_one_request_travel_together() -> None:
    service = Service()
    rows = [row(0, "a"), row(0, "b", actions=((1, "REMOVE"),)), row(1, "c")]
    Run(plan(target("G"), target("S"), requests=2), service, rows)
    assert sorted(service.updates) == [
        [("ADD", "G", "a"), ("REMOVE", "S", "b")],
        [("ADD", "G", "c")],
    ]


def test_segments_are_created_a_hundred_a_request_before_anybody_joins_them() -> None:
    order: list[str] = []

    def noted(call: str, size: int) -> Answer:
        order.append(call)
        return OK if size else FAILED

    service = Service(
        create=lambda segments: noted("create", len(segments)),
        update=lambda entries: noted("update", len(entries)),
    )
    targets = [target(f"s{n:03d}", create=True) for n in range(201)]
    Run(plan(*targets), service, [row(0, "a")])
    assert sorted(map(len, service.creates)) == [1, 100, 100]
    assert order == ["create", "create", "create", "update"]


def test_nothing_is_sent_to_a_segment_that_was_not_created() -> None:
    def create(segments: Sequence[NewSegment]) -> Answer:
        return REFUSED if any(s.customer_segment_id == "bad" for s in segments) else OK

    service = Service(create=create)
    rows = [row(0, "a", "b", actions=((0, "ADD"), (1, "ADD"))), row(1, "c", actions=((0, "ADD"),))]
    run = Run(
        plan(target("bad", create=True), target("good", create=True), requests=2), service, rows
    )
    assert service.updates == [[("ADD", "good", "a"), ("ADD", "good", "b")]]
    assert run.sent.ledger.blocked == {0}
    assert run.sent.ended.not_tried == 1


def test_a_replacement_that_cannot_be_created_leaves_the_old_segment_full() -> None:
    change = Change(address="segment.x", action=Action.REPLACE, reason="", target=0, old_target=1)
    service = Service(create=always(REFUSED))
    rows = [row(0, "a", actions=((0, "ADD"), (1, "REMOVE")))]
    run = Run(plan(target("new", create=True), target("old"), changes=(change,)), service, rows)
    assert service.updates == []
    assert run.sent.ledger.blocked == {0, 1}


def test_a_refused_create_of_many_is_halved_until_the_bad_one_stands_alone() -> None:
    def create(segments: Sequence[NewSegment]) -> Answer:
        return REFUSED if any(s.customer_segment_id == "s3" for s in segments) else OK

    service = Service(create=create)
    run = Run(plan(*(target(f"s{n}", create=True) for n in range(8))), service, [])
    created = {n for n, o in run.sent.ledger.creates.items() if o.outcome is Outcome.ACKNOWLEDGED}
    assert created == {0, 1, 2, 4, 5, 6, 7}
    assert run.sent.ended.parts == len(service.creates) - 1
    assert not run.sent.is_nothing_applied


def test_an_existing_segment_is_ours_only_if_its_create_was_sent_before_without_an_answer() -> None:
    service = Service(create=always(EXISTS))
    both = plan(target("mine", create=True), target("theirs", create=True))
    run = Run(both, service, [], unconfirmed=frozenset({0}))
    outcomes = {n: o.outcome for n, o in run.sent.ledger.creates.items()}
    assert outcomes == {0: Outcome.ACKNOWLEDGED, 1: Outcome.REFUSED}
    [theirs] = [e for e in run.events if isinstance(e, CreateDone) and "theirs" in e.addresses[0]]
    assert "segctl import" in theirs.detail


def test_an_existing_segment_is_ours_after_an_unanswered_attempt_of_this_very_request() -> None:
    doubted = Answer(outcome=Outcome.REFUSED, exists=True, doubted=True)
    run = Run(plan(target("mine", create=True)), Service(create=always(doubted)), [])
    assert run.sent.ledger.creates[0].outcome is Outcome.ACKNOWLEDGED


def test_a_create_without_an_answer_blocks_its_members_and_is_remembered() -> None:
    service = Service(create=always(UNSURE))
    run = Run(plan(target("G", create=True)), service, [row(0, "a")])
    assert run.sent.ledger.creates[0].outcome is Outcome.UNCERTAIN
    assert service.updates == []


def test_a_refused_update_is_halved_until_the_bad_pair_stands_alone() -> None:
    def update(entries: Sequence[Entry]) -> Answer:
        pairs = {(v, a.customer_segment_id) for e in entries for _, v in e.users for a in e.actions}
        return REFUSED if ("bad", "S") in pairs else OK

    service = Service(update=update)
    rows = [
        row(0, "a", "bad", "c", actions=((0, "ADD"), (1, "ADD"))),
        row(0, "bad", "e", actions=((0, "ADD"),)),
    ]
    run = Run(plan(target("G"), target("S")), service, rows)
    [odd] = run.sent.ledger.exceptions
    assert (odd.target_index, odd.value, odd.outcome, odd.detail) == (
        1,
        "bad",
        Outcome.REFUSED,
        "bad entry",
    )
    assert run.sent.ended.acknowledged == 1
    assert run.sent.ended.quarantined == 1
    assert run.sent.ended.parts == len(service.updates) - 1
    [done] = (event for event in run.events if isinstance(event, RequestDone))
    assert done.parts == run.sent.ended.parts
    assert done.segments == {
        "segment.G": {Outcome.ACKNOWLEDGED: 5},
        "segment.S": {Outcome.ACKNOWLEDGED: 2, Outcome.REFUSED: 1},
    }


@pytest.mark.parametrize("users", [["bad"], ["bad", "worse"]])
def test_nothing_is_applied_if_every_membership_is_refused(users: list[str]) -> None:
    run = Run(plan(target("G")), Service(update=always(REFUSED)), [row(0, *users)])
    assert run.sent.is_nothing_applied


def test_a_part_of_a_halved_request_without_an_answer_stays_uncertain() -> None:
    def update(entries: Sequence[Entry]) -> Answer:
        values = {v for e in entries for _, v in e.users}
        return REFUSED if len(values) > 1 else UNSURE if "a" in values else OK

    run = Run(plan(target("G")), Service(update=update), [row(0, "a", "b")])
    assert [(p.value, p.outcome) for p in run.sent.ledger.exceptions] == [("a", Outcome.UNCERTAIN)]


def test_refused_credentials_stop_everything() -> None:
    stop = Answer(outcome=Outcome.FAILED, stop=True, detail="credentials or region")
    service = Service(update=always(stop))
    run = Run(plan(target("G"), requests=50), service, [row(n, f"u{n}") for n in range(50)])
    assert run.sent.refused_credentials == "credentials or region"
    assert len(service.updates) <= 3


def test_many_requests_in_a_row_without_success_end_the_apply() -> None:
    service = Service(update=always(FAILED))
    run = Run(plan(target("G"), requests=100), service, [row(n, f"u{n}") for n in range(100)])
    assert run.sent.stop_reason == "busy"
    assert len(service.updates) <= 10
    assert run.sent.ended.not_tried == 100 - len(service.updates)


def test_refusals_that_look_systematic_quarantine_nearly_nobody() -> None:
    service = Service(update=always(REFUSED))
    rows = [row(n, *(f"u{n}-{m}" for m in range(100))) for n in range(50)]
    run = Run(plan(target("G"), requests=50), service, rows)
    assert run.sent.stop_reason == "bad entry"
    assert sum(p.outcome is Outcome.REFUSED for p in run.sent.ledger.exceptions) <= 3


def test_a_request_all_of_whose_pairs_are_bad_is_quarantined_where_others_are_taken() -> None:
    def update(entries: Sequence[Entry]) -> Answer:
        return REFUSED if any(v.startswith("bad") for e in entries for _, v in e.users) else OK

    rows = [row(0, *(f"bad{n}" for n in range(40))), *(row(n, f"u{n}") for n in range(1, 9))]
    run = Run(plan(target("G"), requests=9), Service(update=update), rows)
    refused = {p.value for p in run.sent.ledger.exceptions if p.outcome is Outcome.REFUSED}
    assert refused == {f"bad{n}" for n in range(40)}
    assert (run.sent.ended.acknowledged, run.sent.stop_reason) == (9, "")


def test_refusals_that_begin_half_way_quarantine_nearly_nobody() -> None:
    def update(entries: Sequence[Entry]) -> Answer:
        return OK if len(service.updates) < 200 and entries else REFUSED

    service = Service(update=update)
    rows = [row(n, *(f"u{n}-{m}" for m in range(100))) for n in range(400)]
    run = Run(plan(target("G"), requests=400), service, rows)
    assert run.sent.stop_reason
    assert sum(p.outcome is Outcome.REFUSED for p in run.sent.ledger.exceptions) <= 3


def test_a_share_of_refused_requests_beyond_the_setting_ends_the_apply() -> None:
    def update(entries: Sequence[Entry]) -> Answer:
        values = {value for entry in entries for _, value in entry.users}
        return REFUSED if "bad" in values else OK

    rows = [row(n, *(["bad", f"u{n}"] if n % 3 == 0 else [f"u{n}"])) for n in range(100)]
    run = Run(plan(target("G"), requests=100), Service(update=update), rows)
    assert "% of the requests were refused" in run.sent.stop_reason
    assert 20 <= len(run.sent.ledger.updates) <= 24


def test_a_request_to_stop_lets_what_is_in_flight_finish_and_sends_no_more() -> None:
    stop = StopSignal()

    def update(entries: Sequence[Entry]) -> Answer:
        stop.set()
        return OK if entries else FAILED

    service = Service(update=update)
    run = Run(
        plan(target("G"), requests=50), service, [row(n, f"u{n}") for n in range(50)], stop=stop
    )
    assert len(service.updates) == 3
    assert run.sent.ended.acknowledged == 3
    assert run.sent.ended.interrupted


def test_pairs_that_turn_round_wait_until_their_settle_time() -> None:
    service = Service()
    late = replace(plan(target("G"), requests=2), settle_from=1, settled_at=1012.0)
    run = Run(late, service, [row(0, "a"), row(1, "b")])
    assert run.clock.slept == [12.0]
    assert [e for e in run.events if isinstance(e, Settling)] == [Settling(seconds=12.0)]
    assert service.updates[1] == [("ADD", "G", "b")]


def test_a_clock_that_was_set_back_holds_nothing_up_for_longer_than_the_settle_time() -> None:
    late = replace(plan(target("G")), settle_from=0, settled_at=9_999_999.0, settle_seconds=30.0)
    run = Run(late, Service(), [row(0, "a")])
    assert run.clock.slept == [30.0]


def test_each_request_that_ends_is_reported() -> None:
    answers = iter([OK, UNSURE])
    run = Run(
        plan(target("G"), requests=2),
        Service(update=lambda entries: next(answers) if entries else FAILED),
        [row(0, "a", "b"), row(1, "c")],
    )
    told = [(e.request, e.outcome, e.changes) for e in run.events if isinstance(e, RequestDone)]
    assert told == [(0, Outcome.ACKNOWLEDGED, 2), (1, Outcome.UNCERTAIN, 1)]
