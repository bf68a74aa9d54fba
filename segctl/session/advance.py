"""The next state: what a plan and the outcomes of its requests make of the present one.

Pure.  The state never claims what was not acknowledged and never forgets what was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from segctl.core.fingerprints import Basis, SourceCounts
from segctl.core.outcomes import Ledger, Outcome
from segctl.plan.model import Action, Attributes, Change, Plan, Target
from segctl.state.model import MemberSet, Pairs, SegmentRecord, State, Tombstone

_LEFT_OVER = frozenset({Outcome.FAILED, Outcome.UNCERTAIN, Outcome.NOT_TRIED, Outcome.REFUSED})


@dataclass(frozen=True, kw_only=True)
class StoredMembers:
    """The files of one target after an apply; ``complete``: all that was planned is done."""

    members: MemberSet
    pairs: Pairs
    complete: bool = False


@dataclass(frozen=True, kw_only=True)
class ApplyInfo:
    """Which run advances the state: its journal's id, when, in which account and host."""

    journal: str | None
    now: float
    account: str | None
    host: str


def find_record(state: State, target: Target) -> SegmentRecord | None:
    """Give what is recorded of the segment that a target names on the wire."""
    for _, record in state.records():
        if record.key == target.key:
            return record
        if record.customer_segment_id is None and record.ct_segment_id == target.ct_segment_id:
            return record
    return None


def is_complete(plan: Plan, ledger: Ledger) -> bool:
    """Tell whether every request of the plan was acknowledged."""
    creates = {place for place, target in enumerate(plan.targets) if target.create}
    created = {p for p, o in ledger.creates.items() if o.outcome is Outcome.ACKNOWLEDGED}
    acknowledged = ledger.count(Outcome.ACKNOWLEDGED)
    return (
        creates <= created
        and acknowledged == plan.requests.update
        and not ledger.exceptions
        and not ledger.blocked
    )


def advance_state(
    state: State, plan: Plan, ledger: Ledger, kept: Mapping[int, StoredMembers], run: ApplyInfo
) -> State:
    """Give the state after an apply of ``plan``; ``kept`` holds the files by target."""
    segments = dict(state.segments)
    tombstones = {tombstone.record.key: tombstone for tombstone in state.tombstones}
    placed: dict[str, SegmentRecord] = {}
    for change in plan.changes:
        _Step(state, plan, ledger, kept, run).take(change, segments, tombstones, placed)
    segments.update(placed)
    return state.next(
        segments=dict(sorted(segments.items())),
        tombstones=tuple(sorted(tombstones.values(), key=lambda t: t.record.key)),
        account=state.account or run.account,
        host=state.host or run.host,
        folded=run.journal,
        unfinished=None if is_complete(plan, ledger) else plan.digest,
        sources=_sources(state, plan),
        rules=_rules(state, plan),
    )


def record_source_facts(state: State, plan: Plan) -> State:
    """Give the state with what an empty ``plan`` found out about its sources.

    Nothing else changes: members, serial and all that is told of the state stay.
    """
    segments = dict(state.segments)
    for change in plan.changes:
        record = segments.get(change.address)
        found = plan.targets[change.target].sources if change.target is not None else None
        if record and found and not record.pairs.file:
            segments[change.address] = replace(record, basis=_basis(found, record.members, change))
    return replace(
        state, segments=segments, sources=_sources(state, plan), rules=_rules(state, plan)
    )


def _basis(sources: str, members: MemberSet, change: Change) -> Basis:
    return Basis(
        sources=sources,
        members=members.digest,
        held_out=change.members.held_out,
        suppressed=change.members.suppressed,
    )


def _rules(state: State, plan: Plan) -> tuple[str, ...]:
    """Keep what is known to hold among the rules that are still in use."""
    return tuple(sorted({*(state.rules if plan.targeted else ()), *plan.rules}))


def _sources(state: State, plan: Plan) -> Mapping[str, SourceCounts]:
    """Keep what is known of the sources that are still in use."""
    others = state.sources if plan.targeted else {}
    return dict(sorted({**others, **plan.sources}.items()))


def record_rejects(
    state: State,
    kept: Mapping[str, StoredMembers],
    *,
    missing: frozenset[str] = frozenset(),
    found: frozenset[str] = frozenset(),
) -> State:
    """Give the state after rejects were loaded, or are to be sent again.

    ``kept`` holds the files that change, ``missing`` and ``found`` the segments that are
    now taken for deleted or no longer so, all by their names on the wire.
    """

    def after(record: SegmentRecord) -> SegmentRecord:
        files = kept.get(record.key, StoredMembers(members=record.members, pairs=record.pairs))
        return replace(
            record,
            members=files.members,
            pairs=files.pairs,
            missing=(record.missing or record.key in missing) and record.key not in found,
        )

    segments = {address: after(record) for address, record in state.segments.items()}
    tombstones = tuple(replace(t, record=after(t.record)) for t in state.tombstones)
    if (segments, tombstones) == (dict(state.segments), state.tombstones):
        return state
    # A plan that was applied in part was reviewed before this was known.
    return state.next(segments=segments, tombstones=tombstones, unfinished=None)


@dataclass(frozen=True)
class _Step:
    state: State
    plan: Plan
    ledger: Ledger
    kept: Mapping[int, StoredMembers]
    run: ApplyInfo

    def take(
        self,
        change: Change,
        segments: dict[str, SegmentRecord],
        tombstones: dict[str, Tombstone],
        placed: dict[str, SegmentRecord],
    ) -> None:
        """Record one change; moved segments go to ``placed``, so that two can swap."""
        match change.action:
            case Action.FORGET:
                segments.pop(change.address, None)
            case Action.DESTROY:
                self._destroy(change, segments, tombstones)
            case Action.REPLACE:
                self._replace(change, segments, tombstones, placed)
            case _:
                self._keep(change, segments, tombstones, placed)

    def _keep(
        self,
        change: Change,
        segments: dict[str, SegmentRecord],
        tombstones: dict[str, Tombstone],
        placed: dict[str, SegmentRecord],
    ) -> None:
        target, record = self._recorded(change.target)
        after = self._record(change, target, record)
        if after is None:
            return
        tombstones.pop(target.key, None)
        moved_from = next((a for a, r in self.state.segments.items() if r is record), None)
        if moved_from is not None:
            segments.pop(moved_from, None)
        placed[change.address] = after

    def _destroy(
        self,
        change: Change,
        segments: dict[str, SegmentRecord],
        tombstones: dict[str, Tombstone],
    ) -> None:
        _, record = self._recorded(change.target)
        if record is None:
            return
        known = tombstones.get(record.key)
        tombstones[record.key] = Tombstone(
            address=change.address,
            record=self._with_files(record, change.target),
            destroyed_at=known.destroyed_at if known else self.run.now,
        )
        if segments.get(change.address) is record:
            del segments[change.address]

    def _replace(
        self,
        change: Change,
        segments: dict[str, SegmentRecord],
        tombstones: dict[str, Tombstone],
        placed: dict[str, SegmentRecord],
    ) -> None:
        target, record = self._recorded(change.target)
        after = self._record(change, target, record)
        if after is None:
            return  # the new segment does not exist, so the old one stays as it is
        if not after.created:
            # It may exist.  The old one stays, and a shell is remembered to come back to.
            tombstones[target.key] = Tombstone(
                address=change.address, record=after, destroyed_at=self.run.now
            )
            return
        _, old = self._recorded(change.old_target)
        if old is not None:
            tombstones[old.key] = Tombstone(
                address=change.address,
                record=self._with_files(old, change.old_target),
                destroyed_at=self.run.now,
            )
        tombstones.pop(target.key, None)
        segments.pop(change.address, None)
        placed[change.address] = after

    def _recorded(self, place: int | None) -> tuple[Target, SegmentRecord | None]:
        target = self.plan.targets[place if place is not None else 0]
        return target, find_record(self.state, target)

    def _record(
        self, change: Change, target: Target, record: SegmentRecord | None
    ) -> SegmentRecord | None:
        """Give the record of a segment that is declared, ``None`` where it is not there."""
        after = change.after
        if after is None:
            return None
        if not target.create:
            return self._declared(record, after, change) if record else None
        created = self.ledger.creates.get(change.target or 0)
        match created.outcome if created else Outcome.NOT_TRIED:
            case Outcome.ACKNOWLEDGED:
                new = SegmentRecord(
                    customer_segment_id=target.customer_segment_id,
                    ct_segment_id=created.ct_segment_id if created else None,
                    declared_name=after.display_name,
                    remote_name=target.display_name,
                )
                return self._declared(new, after, change)
            case Outcome.UNCERTAIN:
                return SegmentRecord(
                    customer_segment_id=target.customer_segment_id,
                    declared_name=after.display_name,
                    remote_name=target.display_name,
                    created=False,
                    managed=after.managed,
                    labels=after.labels,
                    guards=after.guards,
                    lifecycle=after.lifecycle,
                )
            case _:
                return record

    def _declared(self, record: SegmentRecord, after: Attributes, change: Change) -> SegmentRecord:
        return replace(
            self._with_files(record, change.target),
            basis=self._basis(record, change),
            created=True,
            declared_name=after.display_name,
            managed=after.managed,
            labels=after.labels,
            guards=after.guards,
            lifecycle=after.lifecycle,
        )

    def _basis(self, record: SegmentRecord, change: Change) -> Basis | None:
        """Say what the sources came to, where that is surely what is now recorded."""
        place = change.target
        kept = self.kept.get(place) if place is not None else None
        found = self.plan.targets[place].sources if place is not None else None
        if not kept or not kept.complete or kept.pairs.file or not found:
            return record.basis
        return _basis(found, kept.members, change)

    def _with_files(self, record: SegmentRecord, place: int | None) -> SegmentRecord:
        kept = self.kept.get(place) if place is not None else None
        return replace(record, members=kept.members, pairs=kept.pairs) if kept else record
