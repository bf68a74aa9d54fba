"""Prove a saved plan: everything that it shows or sends fits everything else in it.

``engine.saved_plan`` proves the files; here the document is compared with them.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import get_args

from segctl.core.certificate import CheckedPacking
from segctl.core.diagnostics import Severity
from segctl.core.errors import OperationError
from segctl.core.identity import SetDigest
from segctl.core.local_time import is_hours, is_time_zone
from segctl.core.request_limits import Counting
from segctl.engine.model import (
    PackingSummary,
    RecordedFiles,
    SavedChanges,
    SavedPlanError,
    SavedPlanFacts,
    SavedPlanFiles,
)
from segctl.engine.protocols import PlanProver
from segctl.manifests.desired import DesiredState
from segctl.plan.diff import (
    TOMBSTONE_REASON,
    attribute_changes,
    declared_attributes,
    recorded_attributes,
)
from segctl.plan.file import LoadedPlan
from segctl.plan.guards import GuardedChange
from segctl.plan.holding import HELD_BACK, held_summary
from segctl.plan.model import Action, Change, Plan, Target
from segctl.planning.compare import files_of
from segctl.planning.digest import plan_digest
from segctl.planning.flows import build_flows, number_segments
from segctl.planning.limits import check_limits
from segctl.planning.planner import with_requests
from segctl.session.advance import find_records
from segctl.state.model import SegmentRecord, State
from segctl.state.shapes import find_new_shapes
from segctl.state.usage import usage_of

_HINT = "Nothing was sent. Make a new plan with `segctl plan --out FILE`."
_LATEST = 32_503_680_000.0
"""The begin of the year 3000, in seconds since 1970."""

_WITH_MEMBERS = (Action.CREATE, Action.ADOPT, Action.UPDATE, Action.REPLACE, Action.NO_OP)


def prove_plan(saved: LoadedPlan, prover: PlanProver) -> None:
    """Raise ``OperationError`` unless the parts of a saved plan fit each other."""
    plan = saved.plan
    try:
        _check_values(plan)
        _check_targets(plan)
        _check_held(plan)
        facts = prover.prove_saved_plan(_files_of(saved))
        _check_blocks(saved)
        _check_changes(plan, facts)
        _require(plan.flows == build_flows(plan.changes, facts.flows), "it shows other moves")
        _check_totals(plan, facts)
        _check_refusals(plan, facts)
    except SavedPlanError as error:
        raise OperationError(
            f"the parts of the saved plan do not fit: {error}", hint=_HINT
        ) from error


def _files_of(saved: LoadedPlan) -> SavedPlanFiles:
    plan = saved.plan
    return SavedPlanFiles(
        delta=saved.delta,
        keys=tuple(target.key for target in plan.targets),
        requests=plan.requests.update,
        settle_from=plan.requests.update if plan.settle_from is None else plan.settle_from,
        counting=plan.counting,
        values=tuple(v for c in plan.changes for _, v in (*c.sample.add, *c.sample.remove)),
        segments=number_segments(plan.changes, plan.targets),
        shaped=tuple(
            c.target
            for c in plan.changes
            if c.target is not None
            and c.address in plan.shapes
            and plan.shapes[c.address].members.count
        ),
        imported={
            change.target: (change.imported, saved.imported.get(change.target))
            for change in plan.changes
            if change.imported is not None and change.target is not None
        },
    )


def check_packing(saved: LoadedPlan, prover: PlanProver) -> CheckedPacking:
    """Return what the changes of a proved plan prove of its requests.

    Raises ``OperationError`` if its certificates cannot be those of its changes.
    """
    try:
        return prover.check_packing(_files_of(saved), saved.plan.certificates)
    except SavedPlanError as error:
        raise OperationError(
            f"the lower bound of the saved plan is not proven: {error}", hint=_HINT
        ) from error


def _require(is_true: object, problem: str) -> None:
    if not is_true:
        raise SavedPlanError(problem)


def _check_values(plan: Plan) -> None:
    """Check what a manifest could not say, and what no clock shows."""
    _require(1 <= plan.concurrency <= 100, "it sends too many requests at once, or none")
    _require(plan.counting in get_args(Counting), "it counts in an unknown way")
    _require(0 <= plan.made_at < _LATEST and 0 <= plan.settled_at < _LATEST, "a time is impossible")
    _require(is_time_zone(plan.time_zone), "its time zone is unknown")
    for freeze in plan.freezes:
        hours, begins, ends = freeze.hours, freeze.begins_at, freeze.ends_at
        _require(not hours or is_hours(hours), "the hours of a freeze are impossible")
        _require(
            all(0 <= at < _LATEST for at in (begins, ends) if at is not None),
            "the time of a freeze is impossible",
        )
    for change in plan.changes:
        shown = attribute_changes(change.before, change.after)
        _require(change.attributes == shown, f"{change.address} shows other attributes")


def _check_targets(plan: Plan) -> None:
    """Check which segment each change creates, fills or empties, and under which name."""
    count = len(plan.targets)
    named = [i for c in plan.changes for i in (c.target, c.old_target) if i is not None]
    _require(len({t.key for t in plan.targets}) == count, "it names a segment twice")
    _require(sorted(named) == list(range(count)), "its segments and its changes do not match")
    _require(
        all((t.customer_segment_id is None) != (t.ct_segment_id is None) or not t.create
            for t in plan.targets),
        "a segment has no id",
    )  # fmt: skip
    for change in plan.changes:
        if change.target is None:
            _require(change.action is Action.FORGET, "a change has no segment")
        else:
            _check_target(change, plan.targets[change.target])
        if change.old_target is not None:
            old = plan.targets[change.old_target]
            _require(change.action is Action.REPLACE and not old.create, "it replaces wrongly")


def _check_held(plan: Plan) -> None:
    """Check that nothing is sent for what is held back, and that all of it is shown."""
    planned = {change.address for change in plan.changes}
    _require(planned.isdisjoint(plan.held_segments), "it sends what it holds back")
    _require(all(held.segments for held in plan.held), "it holds back nothing for a reason")
    shown = sorted(f.summary for f in plan.findings if f.code == HELD_BACK)
    _require(
        shown == sorted(map(held_summary, plan.held)),
        "it shows other segments that are held back than it has",
    )


def _check_blocks(saved: LoadedPlan) -> None:
    """Check the segments that the plan moves or imports."""
    addresses = [change.moved_from for change in saved.plan.changes if change.moved_from]
    _require(len(set(addresses)) == len(addresses), "two segments move from one address")
    for change in saved.plan.changes:
        if change.moved_from is not None:
            _require(change.after is not None, "a segment without a manifest moves")
            _require(change.moved_from != change.address, "a segment moves to its own address")
        if change.imported is not None:
            _require(
                change.target is not None
                and change.action is Action.ADOPT
                and change.before is None
                and not saved.plan.targets[change.target].create,
                "it imports a segment that it does not adopt",
            )
            _require(
                change.members.before == change.imported.count,
                f"{change.address} shows another number of members than it imports",
            )


def _check_target(change: Change, target: Target) -> None:
    after = change.after
    _require(target.address == change.address, "a change and its segment have other addresses")
    if after is None:
        _require(not target.create, "it creates a segment that is not declared")
        _require(change.action in (Action.DESTROY, Action.NO_OP), "a change has no declaration")
        return
    _require(change.action in _WITH_MEMBERS, "a declared segment is destroyed")
    if target.create:
        _require(target.display_name == after.display_name, "a segment is created by another name")
    if target.customer_segment_id is not None:
        _require(
            target.customer_segment_id == after.customer_segment_id,
            "members are sent to another segment than the one that is shown",
        )


def _check_changes(plan: Plan, facts: SavedPlanFacts) -> None:
    """Compare the counts and the examples of each change with the changes that are sent."""
    for change in plan.changes:
        own = _changes_of(facts.changes, change.target)
        old = _changes_of(facts.changes, change.old_target)
        members = change.members
        _require(
            (members.add, members.remove, members.reasserted)
            == (own.add + old.add, own.remove + old.remove, own.reasserted + old.reasserted),
            f"{change.address} shows other numbers of members than are sent",
        )
        if change.old_target is None and change.target is not None:
            _require(
                members.after == members.before + own.growth,
                f"{change.address} shows another number of members than it will have",
            )
        targets = {index for index in (change.target, change.old_target) if index is not None}
        for action, sample in (("ADD", change.sample.add), ("REMOVE", change.sample.remove)):
            for kind, value in sample:
                _require(
                    any((t, action, str(kind), value) in facts.named for t in targets),
                    f"{change.address} shows users who are not sent",
                )


def _changes_of(changes: Mapping[int, SavedChanges], index: int | None) -> SavedChanges:
    return changes.get(index, SavedChanges()) if index is not None else SavedChanges()


def _check_totals(plan: Plan, facts: SavedPlanFacts) -> None:
    """Compare the digest, the requests and the estimate."""
    _require(
        plan_digest(plan, str(facts.digest)) == plan.digest, "its digest is not that of its content"
    )
    requests = plan.requests
    waits = plan.settle_from is not None
    _require(waits == (facts.last_asked is not None), "it waits for other changes than it has")
    _require(requests.floor <= requests.update, "its lower bound is above its requests")
    packing = PackingSummary(
        requests=requests.update,
        naive=requests.naive,
        certificates=plan.certificates,
        settle_from=requests.update if plan.settle_from is None else plan.settle_from,
        settled_at=0.0 if facts.last_asked is None else facts.last_asked + plan.settle_seconds,
    )
    _require(with_requests(plan, packing) == plan, "it shows other requests than it sends")


def _check_refusals(plan: Plan, facts: SavedPlanFacts) -> None:
    """Check that no refusal of a guard, and no use of an override, was taken out of the plan.

    They are computed for the time at which the plan was made.
    """
    guarded = [_guarded_change(plan, change, facts) for change in plan.changes]
    known = {(finding.code, finding.address) for finding in plan.findings}
    refused = {(finding.code, finding.address) for finding in plan.error_findings}
    for finding in check_limits(plan, guarded, others=plan.findings):
        is_error = finding.severity is Severity.ERROR
        what = "refusal" if is_error else "finding"
        _require(
            (finding.code, finding.address) in (refused if is_error else known),
            f"the {what} {finding.code} is missing",
        )


def _guarded_change(plan: Plan, change: Change, facts: SavedPlanFacts) -> GuardedChange:
    changes = _changes_of(facts.changes, change.target)
    target = change.target
    new_shapes: Mapping[str, int] = {}
    if change.after and change.after.guards.max_new_shapes_percent is not None:
        has_shapes = change.address in plan.shapes or not changes.growth + changes.leaving
        _require(has_shapes, f"the recorded shapes of {change.address} are missing")
    if change.address in plan.shapes and target is not None:
        added = facts.added_shapes.get(target, {})
        new_shapes = find_new_shapes(plan.shapes[change.address], added)
    return GuardedChange(
        change=change,
        members_removed=changes.leaving,
        members_added=changes.growth + changes.leaving,
        new_shapes=new_shapes,
        is_protected=bool(change.before and change.before.lifecycle.prevent_destroy),
        is_tombstone=change.reason == TOMBSTONE_REASON,
        is_created=target is not None and plan.targets[target].create,
    )


def prove_settings(plan: Plan, desired: DesiredState) -> None:
    """Raise ``OperationError`` unless a saved plan has the limits of the manifests.

    The plan was made from these manifests, so other limits mean that it was changed.
    """
    project = desired.project
    segments = {segment.address: segment for segment in desired.segments}
    is_same = (
        (plan.max_destroys, plan.guards, plan.allow, plan.freezes, plan.time_zone)
        == (project.max_destroys, project.guards, project.allow, project.freezes, project.time_zone)
    ) and all(
        change.after is None
        or (
            change.address in segments
            and change.after == declared_attributes(segments[change.address])
        )
        for change in plan.changes
    )
    if not is_same:
        raise OperationError(
            "the saved plan has other limits or attributes than the manifests", hint=_HINT
        )


def prove_record(plan: Plan, state: State) -> None:
    """Raise ``OperationError`` unless a saved plan has the shapes and the usage of the state.

    The state is the one that the plan was made from.
    """
    month = plan.month
    is_same = month is None or month == usage_of(state.usage, month.month)
    records = find_records(state, plan.targets)
    destroyed = {tombstone.record.key for tombstone in state.tombstones}
    is_same &= all(_is_as_recorded(c, state, records, destroyed) for c in plan.changes)
    is_same &= _keeps_records(plan, state, records)
    for change in plan.changes:
        shapes = plan.shapes.get(change.address)
        if shapes is None or change.target is None:
            continue
        record = records[change.target]
        if change.imported is not None:
            record = None  # it is recorded by the apply, with the members that the plan holds
        members = change.imported or (record.members.digest if record else SetDigest())
        known = record.shapes if record else None
        is_same &= shapes.members == members
        is_same &= known is None or known.members != members or known == shapes
    if not is_same:
        raise OperationError(
            "the saved plan shows other figures of the past than the state",
            hint=_HINT,
        )


def prove_start(
    saved: LoadedPlan, state: State, recorded: Mapping[str, RecordedFiles], prover: PlanProver
) -> None:
    """Raise ``OperationError`` unless the changes of a saved plan start from the recorded members.

    The state is the one that the plan was made from. What an apply records of a change depends on
    whether its user was a member, so a wrong start would make the record wrong.
    """
    plan, start = saved.plan, dict[int, RecordedFiles]()
    records = find_records(state, plan.targets)
    for change in plan.changes:
        for index in (change.target, change.old_target):
            if index is None or not change.members.sent:
                continue
            if change.imported is not None:
                start[index] = RecordedFiles(base=saved.imported.get(index))
            else:
                start[index] = files_of(records[index], recorded)
    if start and not prover.starts_from(saved.delta, start):
        raise OperationError(
            "the parts of the saved plan do not fit: its changes do not start from the recorded "
            "members",
            hint=_HINT,
        )


def _keeps_records(plan: Plan, state: State, records: Sequence[SegmentRecord | None]) -> bool:
    """Whether no segment takes the address of one that the plan leaves where it is recorded."""
    planned = {record.key for record in records if record}
    forgotten = {change.address for change in plan.changes if change.target is None}
    taken = {change.address for change in plan.changes if change.after} - forgotten
    return all(
        record.key in planned for address, record in state.segments.items() if address in taken
    )


def _is_as_recorded(
    change: Change,
    state: State,
    records: Sequence[SegmentRecord | None],
    destroyed: Collection[str],
) -> bool:
    """Whether a change shows its segment as the state records it; guards depend on that."""
    if change.imported is not None:
        return True  # it is recorded by the apply, with the members that the plan holds
    index = change.target if change.old_target is None else change.old_target
    record = state.segments.get(change.address) if index is None else records[index]
    recorded = recorded_attributes(record) if record else None
    return (
        change.before == (None if change.action is Action.ADOPT else recorded)
        and change.members.before == (record.members.digest.count if record else 0)
        and (change.reason != TOMBSTONE_REASON or (record is not None and record.key in destroyed))
    )
