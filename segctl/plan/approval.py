"""Compare today's plan with the approved one: whether it is the same, a part of it, or more.

Only membership changes may go beyond, up to the tolerance, in a segment whose definition is the
approved one. Everything else that is sent or recorded has to be in the approved plan.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

from segctl.core.approval import NO_TOLERANCE, ApprovalCheck, PairCounts, SegmentApproval
from segctl.manifests.desired import PlanGuards
from segctl.plan.model import Action, Attributes, Change, Plan, Target

ChangeCounts = Mapping[tuple[str, str], PairCounts]
"""Membership changes of both plans by the key of the segment and the action, ADD or REMOVE."""

_PARTS_OF: Mapping[Action, tuple[Action, ...]] = {
    Action.CREATE: (Action.CREATE, Action.UPDATE),
    Action.ADOPT: (Action.ADOPT, Action.UPDATE),
    Action.UPDATE: (Action.UPDATE,),
    Action.REPLACE: (Action.REPLACE, Action.UPDATE),
    Action.DESTROY: (Action.DESTROY,),
    Action.FORGET: (Action.FORGET,),
    Action.NO_OP: (),
}
"""The actions that can remain of an approved one after a part of it was applied."""

_PARTICIPLES: Mapping[Action, str] = {
    Action.CREATE: "created",
    Action.ADOPT: "adopted",
    Action.UPDATE: "updated",
    Action.REPLACE: "replaced",
    Action.DESTROY: "destroyed",
    Action.FORGET: "forgotten",
}


def check_approval(approved: Plan, today: Plan, counts: ChangeCounts) -> ApprovalCheck:
    """Return how today's plan differs from the approved one.

    Both plans are for the same account, host, environment and state.
    """
    comparison = _Comparison(
        approved=approved,
        today=today,
        counts=counts,
        before={change.address: change for change in approved.changes},
        now={change.address: change for change in today.changes},
    )
    addresses = dict.fromkeys((*comparison.before, *comparison.now))
    segments = (comparison.check_segment(address) for address in addresses)
    return ApprovalCheck(
        digest=approved.digest,
        segments=tuple(segment for segment in segments if segment),
        problems=tuple(_plan_problems(approved, today)),
    )


def _plan_problems(approved: Plan, today: Plan) -> Iterator[str]:
    if today.rules_digest != approved.rules_digest:
        yield "the rules are not those that were approved"
    if today.max_destroys > approved.max_destroys:
        yield (
            f"spec.guards.maxDestroys is {today.max_destroys:,}, and {approved.max_destroys:,} was "
            "approved"
        )
    if _are_looser(today.guards, approved.guards):
        yield "a limit of spec.guards is higher than was approved, or missing"
    if today.allow not in (None, approved.allow):
        yield "spec.allow is not the override that was approved"
    if not set(approved.freezes) <= set(today.freezes):
        yield "a change freeze that was approved is missing"


def _are_looser(today: PlanGuards, approved: PlanGuards) -> bool:
    for field in fields(approved):
        limit, was = getattr(today, field.name), getattr(approved, field.name)
        if was is not None and (limit is None or limit > was):
            return True
    return False


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """Both plans, and the changes of each by address."""

    approved: Plan
    today: Plan
    counts: ChangeCounts
    before: Mapping[str, Change]
    now: Mapping[str, Change]

    def check_segment(self, address: str) -> SegmentApproval | None:
        """Return how a segment differs, ``None`` if exactly the approved changes are sent."""
        before, now = self.before.get(address), self.now.get(address)
        targets = (*_targets(self.approved, before), *_targets(self.today, now))
        keys = {target.key for target in targets}
        add, remove = self._count(keys, "ADD"), self._count(keys, "REMOVE")
        problems = tuple(self._problems(before, now)) if now else ()
        approved_action = before.action if before else Action.NO_OP
        differs = add.beyond or add.dropped or remove.beyond or remove.dropped or problems
        is_done = approved_action is not Action.NO_OP and not (
            now and now.action is approved_action
        )
        if not (differs or is_done):
            return None
        tolerance = self.approved.tolerance
        intolerance = _intolerance(before, now) if tolerance != NO_TOLERANCE else ""
        size = max(before.members.before, before.members.after) if before else 0
        return SegmentApproval(
            address=address,
            add=add,
            remove=remove,
            tolerance=0 if intolerance else tolerance.limit(size),
            intolerance=intolerance,
            problems=problems,
        )

    def _count(self, keys: set[str], action: str) -> PairCounts:
        found = [self.counts[key, action] for key in keys if (key, action) in self.counts]
        return PairCounts(
            approved=sum(counts.approved for counts in found),
            sent=sum(counts.sent for counts in found),
            beyond=sum(counts.beyond for counts in found),
        )

    def _problems(self, before: Change | None, now: Change) -> Iterator[str]:
        """Yield what was not approved of a change, besides its members."""
        if now.action is Action.NO_OP:
            return
        is_members_only = now.action is Action.UPDATE and not now.attributes
        is_known = before is not None and (
            is_members_only or now.action in _PARTS_OF[before.action]
        )
        if before is None or not is_known:
            yield f"it would be {_PARTICIPLES[now.action]}, which was not approved"
            return
        if now.after and now.after.allow not in (None, before.after and before.after.allow):
            yield "its override is not the one that was approved"
        if not is_members_only and _without_override(now) != _without_override(before):
            yield "its manifest is not the one that was approved"
        if now.moved_from not in (None, before.moved_from):
            yield f"it would move from {now.moved_from}, which was not approved"
        if now.imported not in (None, before.imported):
            yield "the members with which it would be imported are not those that were approved"
        known = {target.key: target for target in _targets(self.approved, before)}
        for target in _targets(self.today, now):
            was = known.get(target.key)
            if was is None:
                yield "its id in CleverTap is not the one that was approved"
            elif target.create and not (was.create and was.display_name == target.display_name):
                yield "it would be created, which was not approved"


def _intolerance(before: Change | None, now: Change | None) -> str:
    """Return why a segment has no tolerance, empty if it has one."""
    if before is None:
        return "the approved plan does not have it"
    if before.after is None or (now and now.after is None):
        return "it is not declared"
    if before.old_target is not None or (now and now.old_target is not None):
        return "it is replaced"
    if now and now.definition != before.definition:
        return "its sources are not those that were approved"
    return ""


def _without_override(change: Change) -> Attributes | None:
    return replace(change.after, allow=None) if change.after else None


def _targets(plan: Plan, change: Change | None) -> Iterator[Target]:
    for index in (change.target, change.old_target) if change else ():
        if index is not None:
            yield plan.targets[index]
