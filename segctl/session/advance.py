"""The next state: what a plan and the outcomes of its requests make of the current one.

Pure functions. The state never claims what was not acknowledged, and never forgets what was.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from segctl.core.approval import MAX_APPROVALS, ApprovalUse
from segctl.core.dataclass import dataclass
from segctl.core.fingerprints import Basis, SourceCounts
from segctl.core.outcomes import Ledger, Outcome
from segctl.plan.model import Action, Attributes, Change, Plan, Target
from segctl.state.model import MemberSet, Pairs, SegmentRecord, State, Tombstone
from segctl.state.shapes import Shapes
from segctl.state.usage import add_usage


@dataclass(frozen=True, kw_only=True)
class StoredMembers:
    """The stored files of one target after an apply.

    ``is_complete`` is true if every planned change of its members was acknowledged. ``shapes`` are
    those of the members, ``None`` if they were not counted.
    """

    members: MemberSet
    pairs: Pairs
    is_complete: bool = False
    shapes: Shapes | None = None


@dataclass(frozen=True, kw_only=True)
class ApplyInfo:
    """The apply that changes the state: its journal's id, its time, its account and host."""

    journal: str | None
    now: float
    account: str | None
    host: str


def find_records(state: State, targets: Sequence[Target]) -> Sequence[SegmentRecord | None]:
    """Return the record of the segment that each target names, or ``None``."""
    by_key: dict[str, SegmentRecord] = {}
    by_number: dict[int | None, SegmentRecord] = {}
    for _, record in state.records():
        by_key.setdefault(record.key, record)
        if record.customer_segment_id is None:
            by_number.setdefault(record.ct_segment_id, record)
    return [by_key.get(t.key) or by_number.get(t.ct_segment_id) for t in targets]


def find_record(state: State, target: Target) -> SegmentRecord | None:
    """Return the record of the segment that a target names, or ``None``."""
    return find_records(state, [target])[0]


def is_complete(plan: Plan, ledger: Ledger) -> bool:
    """Return whether every request of the plan was acknowledged."""
    creates = {index for index, target in enumerate(plan.targets) if target.create}
    created = {i for i, o in ledger.creates.items() if o.outcome is Outcome.ACKNOWLEDGED}
    acknowledged = ledger.count(Outcome.ACKNOWLEDGED)
    return (
        creates <= created
        and acknowledged == plan.requests.update
        and not ledger.exceptions
        and not ledger.blocked
    )


def is_finished(plan: Plan, ledger: Ledger) -> bool:
    """Return whether nothing is left to send: every change was acknowledged or refused.

    Segments that are held back are left.
    """
    ended = (Outcome.ACKNOWLEDGED, Outcome.REFUSED)
    creates = {index for index, target in enumerate(plan.targets) if target.create}
    created = {i for i, o in ledger.creates.items() if o.outcome is Outcome.ACKNOWLEDGED}
    return (
        creates <= created
        and sum(ledger.count(outcome) for outcome in ended) == plan.requests.update
        and all(pair.outcome in ended for pair in ledger.exceptions)
        and not ledger.blocked
        and not plan.held
    )


def advance_state(
    state: State,
    plan: Plan,
    ledger: Ledger,
    stored: Mapping[int, StoredMembers],
    run: ApplyInfo,
    *,
    events: Mapping[int, int] | None = None,
) -> State:
    """Return the state after an apply of ``plan``; ``stored`` holds files by target index.

    ``events`` are the changes that may be billed, by the quarter of an hour since 1970.
    """
    records = _NextRecords(state, plan, ledger, stored, run)
    for change in plan.changes:
        records.record_change(change)
    segments = {**records.segments, **records.placed}
    return state.next(
        segments=dict(sorted(segments.items())),
        tombstones=tuple(sorted(records.tombstones.values(), key=lambda t: t.record.key)),
        account=state.account or run.account,
        host=state.host or run.host,
        folded=run.journal,
        unfinished=None if is_complete(plan, ledger) else plan.digest,
        applied=plan.digest if is_complete(plan, ledger) else state.applied,
        sources=_known_sources(state, plan),
        rules=_known_rules(state, plan),
        restrictions=plan.restrictions,
        approvals=record_approval(
            state, plan, ledger, now=run.now, finished=is_finished(plan, ledger)
        ),
        usage=add_usage(state.usage, ledger, events or {}, plan.time_zone),
    )


def record_approval(
    state: State, plan: Plan, ledger: Ledger, *, now: float, finished: bool
) -> Mapping[str, ApprovalUse]:
    """Return what was sent on approvals, after an apply of ``plan``; the latest are remembered.

    Changes beyond the approved plan count if their request was sent, whatever became of it. What
    is sent again counts again.
    """
    if not plan.approved:
        return state.approvals
    known = state.approvals.get(plan.approved, ApprovalUse(at=now))
    beyond = Counter(known.beyond)
    for changes in plan.beyond:
        outcome = ledger.updates.get(changes.request)
        if outcome and outcome.outcome not in (Outcome.FAILED, Outcome.NOT_TRIED):
            beyond[changes.name] += changes.count
    use = ApprovalUse(at=now, finished=finished, beyond=dict(sorted(beyond.items())))
    used = sorted({**state.approvals, plan.approved: use}.items(), key=lambda item: item[1].at)
    return dict(sorted(used[-MAX_APPROVALS:]))


def reopen_approval(state: State, plan: Plan) -> State:
    """Return the state in which the approval of ``plan`` is not finished."""
    use = state.approvals.get(plan.approved)
    if use is None:
        return state
    return replace(
        state, approvals={**state.approvals, plan.approved: replace(use, finished=False)}
    )


def record_imports(state: State, plan: Plan, members: Mapping[int, MemberSet]) -> State:
    """Return the state with the segments that a plan imports, the same if all are recorded.

    ``members`` are by target index. The plan can then be applied, or continued, from this state.
    """
    segments = dict(state.segments)
    known = {record.key for record in segments.values()}
    adopted: set[str] = set()
    for change in plan.changes:
        if change.imported is None or change.target is None or change.after is None:
            continue
        target = plan.targets[change.target]
        if target.key not in known:
            adopted.add(target.key)
            record = SegmentRecord(
                customer_segment_id=target.customer_segment_id,
                ct_segment_id=target.ct_segment_id,
                declared_name=change.after.display_name,
                remote_name=change.after.display_name,
                members=members.get(change.target, MemberSet()),
            )
            segments[change.address] = _with_attributes(record, change.after)
    if not adopted:
        return state
    return state.next(
        segments=dict(sorted(segments.items())),
        tombstones=tuple(t for t in state.tombstones if t.record.key not in adopted),
        account=state.account or plan.account,
        host=state.host or plan.host,
        unfinished=plan.digest,
    )


def record_source_facts(state: State, plan: Plan) -> State:
    """Return the state with the facts about sources that an empty ``plan`` found.

    Nothing else changes, the serial included.
    """
    segments = dict(state.segments)
    for change in plan.changes:
        record = segments.get(change.address)
        sources = plan.targets[change.target].sources if change.target is not None else None
        if record and sources and not record.pairs.file:
            basis = _basis(sources, record.members, change)
            segments[change.address] = replace(record, basis=basis)
    return replace(
        state,
        segments=segments,
        sources=_known_sources(state, plan),
        rules=_known_rules(state, plan),
        restrictions=plan.restrictions,
    )


def record_rejects(
    state: State,
    stored: Mapping[str, StoredMembers],
    *,
    missing: frozenset[str] = frozenset(),
    found: frozenset[str] = frozenset(),
) -> State:
    """Return the state after rejects were loaded or released.

    ``stored`` holds the files that changed. ``missing`` are segments that the service does not
    find, ``found`` those that are no longer recorded as missing. All are by ``SegmentRecord.key``.
    """

    def updated(record: SegmentRecord) -> SegmentRecord:
        files = stored.get(record.key, StoredMembers(members=record.members, pairs=record.pairs))
        return replace(
            record,
            members=files.members,
            pairs=files.pairs,
            missing=(record.missing or record.key in missing) and record.key not in found,
        )

    segments = {address: updated(record) for address, record in state.segments.items()}
    tombstones = tuple(replace(t, record=updated(t.record)) for t in state.tombstones)
    if (segments, tombstones) == (dict(state.segments), state.tombstones):
        return state
    # A plan that was applied in part was reviewed before this was known, so it is stale now.
    return state.next(segments=segments, tombstones=tombstones, unfinished=None)


def _basis(sources: str, members: MemberSet, change: Change) -> Basis:
    return Basis(
        sources=sources,
        members=members.digest,
        held_out=change.members.held_out,
        suppressed=change.members.suppressed,
    )


def _known_rules(state: State, plan: Plan) -> tuple[str, ...]:
    """Return the fingerprints of rules that hold; a partial plan knows only some of them."""
    return tuple(sorted({*(state.rules if plan.is_partial else ()), *plan.rules}))


def _known_sources(state: State, plan: Plan) -> Mapping[str, SourceCounts]:
    """Return the row counts of sources; a partial plan knows only some of them."""
    return dict(sorted({**(state.sources if plan.is_partial else {}), **plan.sources}.items()))


class _NextRecords:
    """The records of the next state, changed by one change of the plan after the other.

    ``placed`` are the changed segments by address. They are kept apart from ``segments`` until
    the end, so that two segments can swap their addresses.
    """

    def __init__(
        self,
        state: State,
        plan: Plan,
        ledger: Ledger,
        stored: Mapping[int, StoredMembers],
        run: ApplyInfo,
    ) -> None:
        self._state = state
        self._plan = plan
        self._records = find_records(state, plan.targets)
        self._ledger = ledger
        self._stored = stored
        self._run = run
        self.segments = dict(state.segments)
        self.tombstones = {tombstone.record.key: tombstone for tombstone in state.tombstones}
        self.placed: dict[str, SegmentRecord] = {}

    def record_change(self, change: Change) -> None:
        """Record what became of one change."""
        if change.target is None:  # the segment is only forgotten
            self.segments.pop(change.address, None)
        elif change.action is Action.DESTROY:
            self._record_destroyed(change, change.target)
        else:
            self._record_declared(change, change.target)

    def _record_destroyed(self, change: Change, target_index: int) -> None:
        record = self._find_record(target_index)
        if record is None:
            return
        known = self.tombstones.get(record.key)
        self.tombstones[record.key] = Tombstone(
            address=change.address,
            record=self._with_files(record, target_index),
            destroyed_at=known.destroyed_at if known else self._run.now,
        )
        if self.segments.get(change.address) is record:
            del self.segments[change.address]

    def _record_declared(self, change: Change, target_index: int) -> None:
        key = self._plan.targets[target_index].key
        record = self._find_record(target_index)
        after = self._declared_record(change, target_index, record)
        if after is None:
            return  # it was not created; a segment that it would replace stays as it is
        if change.action is Action.REPLACE:
            if not after.created:
                # It may exist. The old segment stays, and the tombstone lets a later plan adopt
                # the new one.
                self.tombstones[key] = Tombstone(
                    address=change.address, record=after, destroyed_at=self._run.now
                )
                return
            self._record_replaced(change)
        else:
            self._remove_from_old_address(record)
        self.tombstones.pop(key, None)
        self.placed[change.address] = after

    def _record_replaced(self, change: Change) -> None:
        index = change.old_target
        if index is not None and (old := self._find_record(index)):
            self.tombstones[old.key] = Tombstone(
                address=change.address,
                record=self._with_files(old, index),
                destroyed_at=self._run.now,
            )
        self.segments.pop(change.address, None)

    def _remove_from_old_address(self, record: SegmentRecord | None) -> None:
        addresses = (a for a, known in self._state.segments.items() if known is record)
        if (old_address := next(addresses, None)) is not None:
            self.segments.pop(old_address, None)

    def _find_record(self, target_index: int) -> SegmentRecord | None:
        return self._records[target_index]

    def _declared_record(
        self, change: Change, target_index: int, record: SegmentRecord | None
    ) -> SegmentRecord | None:
        """Return the next record of a declared segment, or ``None`` if it does not exist."""
        target, after = self._plan.targets[target_index], change.after
        if after is None:
            return None
        if target.create:
            created = self._ledger.creates.get(target_index)
            outcome = created.outcome if created else Outcome.NOT_TRIED
            if outcome not in (Outcome.ACKNOWLEDGED, Outcome.UNCERTAIN):
                return record
            record = SegmentRecord(
                customer_segment_id=target.customer_segment_id,
                declared_name=after.display_name,
                remote_name=target.display_name,
            )
            if outcome is Outcome.UNCERTAIN:
                return replace(_with_attributes(record, after), created=False)
            record = replace(record, ct_segment_id=created.ct_segment_id if created else None)
        elif record is None:
            return None
        return replace(
            _with_attributes(self._with_files(record, target_index), after),
            basis=self._next_basis(record, change, target_index),
            created=True,
        )

    def _next_basis(self, record: SegmentRecord, change: Change, target_index: int) -> Basis | None:
        """Return what the sources produced, if that is certainly what is recorded now."""
        stored, sources = self._stored.get(target_index), self._plan.targets[target_index].sources
        if not stored or not stored.is_complete or stored.pairs.file or not sources:
            return record.basis
        return _basis(sources, stored.members, change)

    def _with_files(self, record: SegmentRecord, target_index: int) -> SegmentRecord:
        stored = self._stored.get(target_index)
        if not stored:
            return record
        shapes = stored.shapes or record.shapes
        return replace(record, members=stored.members, pairs=stored.pairs, shapes=shapes)


def _with_attributes(record: SegmentRecord, after: Attributes) -> SegmentRecord:
    return replace(
        record,
        declared_name=after.display_name,
        managed=after.managed,
        labels=after.labels,
        guards=after.guards,
        lifecycle=after.lifecycle,
    )
