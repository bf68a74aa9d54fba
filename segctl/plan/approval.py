"""Compare today's plan with the approved one: whether it is the same, a part of it, or more.

Only membership changes may go beyond, up to the tolerance, in a segment whose definition is the
approved one. Everything else that is sent or recorded has to be in the approved plan.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace

from segctl.core.approval import NO_TOLERANCE, ApprovalCheck, PairCounts, SegmentApproval
from segctl.manifests.limits import PlanGuards
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
"""What can be left of an approved action once a part of it was applied."""

_PARTICIPLES: Mapping[Action, str] = {
    Action.CREATE: "created",
    Action.ADOPT: "adopted",
    Action.UPDATE: "updated",
    Action.REPLACE: "replaced",
    Action.DESTROY: "destroyed",
    Action.FORGET: "forgotten",
}


def check_approval(
    approved: Plan, today: Plan, counts: ChangeCounts, used: Mapping[str, int]
) -> ApprovalCheck:
    """Return how today's plan differs from the approved one.

    Both plans are for the same account, host, environment and state. ``used`` are the changes that
    earlier runs sent beyond it, see ``ApprovalUse.beyond``.
    """
    comparison = _Comparison(approved=approved, today=today, counts=counts, used=used)
    return ApprovalCheck(
        digest=approved.digest,
        segments=tuple(comparison.check_segments()),
        problems=(*_plan_problems(approved, today), *comparison.uncounted()),
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
    if today.time_zone != approved.time_zone:
        yield f"spec.timeZone is {today.time_zone}, and {approved.time_zone} was approved"


def _are_looser(today: PlanGuards, approved: PlanGuards) -> bool:
    for field in fields(approved):
        limit, was = getattr(today, field.name), getattr(approved, field.name)
        if was is not None and (limit is None or limit > was):
            return True
    return False


class _Comparison:
    """Both plans, with the changes of each by the segments in CleverTap that they are about.

    An address can have several changes: the segment, and the tombstones of earlier ones.
    """

    def __init__(
        self, *, approved: Plan, today: Plan, counts: ChangeCounts, used: Mapping[str, int]
    ) -> None:
        self._approved = approved
        self._today = today
        self._counts = counts
        self._used = used
        self._owners = {
            target.key: change
            for change in approved.changes
            for target in _targets(approved, change)
        }
        self._todays_keys = {
            target.key for change in today.changes for target in _targets(today, change)
        }
        self._forgotten = {c.address: c for c in approved.changes if c.target is None}

    def uncounted(self) -> Iterator[str]:
        """Yield a problem if today's plan sends a change that belongs to no segment."""
        if any(c.sent and key not in self._todays_keys for (key, _), c in self._counts.items()):
            yield "it sends changes of a segment that it does not show"

    def check_segments(self) -> Iterator[SegmentApproval]:
        """Yield how each segment differs; those of which exactly what was approved is sent do not.

        What is left of an approved change counts with the first change of the same segment.
        """
        seen: set[int] = set()
        for now in self._today.changes:
            before = self._find_approved(now)
            keys = {target.key for target in _targets(self._today, now)}
            if before is not None and id(before) not in seen:
                seen.add(id(before))
                keys |= self._dropped_keys(before)
            problems = tuple(self._problems(before, now))
            is_done = before is not None and _is_done(before, now)
            yield from self._difference(now.address, keys, before, now, problems, is_done=is_done)
        for before in self._approved.changes:
            if id(before) not in seen:
                keys = self._dropped_keys(before)
                is_done = before.action is not Action.NO_OP
                yield from self._difference(before.address, keys, before, None, (), is_done=is_done)

    def _find_approved(self, now: Change) -> Change | None:
        """Return the approved change of the same segment in CleverTap."""
        if now.target is None:
            return self._forgotten.get(now.address)
        return self._owners.get(self._today.targets[now.target].key)

    def _dropped_keys(self, before: Change) -> set[str]:
        keys = {target.key for target in _targets(self._approved, before)}
        return keys - self._todays_keys

    def _difference(
        self,
        address: str,
        keys: set[str],
        before: Change | None,
        now: Change | None,
        problems: tuple[str, ...],
        *,
        is_done: bool,
    ) -> Iterator[SegmentApproval]:
        add, remove = self._count(keys, "ADD"), self._count(keys, "REMOVE")
        differs = add.beyond or add.dropped or remove.beyond or remove.dropped or problems
        if not (differs or is_done):
            return
        tolerance = self._approved.tolerance
        intolerance = _intolerance(before, now) if tolerance != NO_TOLERANCE else ""
        size = max(before.members.before, before.members.after) if before else 0
        yield SegmentApproval(
            address=address,
            add=add,
            remove=remove,
            tolerance=0 if intolerance else tolerance.limit(size),
            intolerance=intolerance,
            problems=problems,
        )

    def _count(self, keys: set[str], action: str) -> PairCounts:
        found = [self._counts[key, action] for key in keys if (key, action) in self._counts]
        return PairCounts(
            approved=sum(counts.approved for counts in found),
            sent=sum(counts.sent for counts in found),
            beyond=sum(counts.beyond for counts in found),
            earlier=sum(self._used.get(f"{action} {key}", 0) for key in keys),
        )

    def _problems(self, before: Change | None, now: Change) -> Iterator[str]:
        """Yield what today's change does that was not approved, besides its members."""
        if now.action is Action.NO_OP:
            return
        if before is None or not self._is_part(before, now):
            yield f"it would be {_PARTICIPLES[now.action]}, which was not approved"
            return
        if now.address != before.address:
            yield f"it would move from {before.address}, which was not approved"
        if now.after and now.after.allow not in (None, before.after and before.after.allow):
            yield "its override is not the one that was approved"
        if (
            not _is_members_only(now)
            and _is_declared(now)
            and (_without_override(now) != _without_override(before))
        ):
            yield "its manifest is not the one that was approved"
        if now.moved_from not in (None, before.moved_from):
            yield f"it would move from {now.moved_from}, which was not approved"
        if now.imported not in (None, before.imported):
            yield "the members with which it would be imported are not those that were approved"
        yield from self._target_problems(before, now)

    def _target_problems(self, before: Change, now: Change) -> Iterator[str]:
        known = {target.key: target for target in _targets(self._approved, before)}
        for target in _targets(self._today, now):
            was = known.get(target.key)
            if was is None:
                yield "its id in CleverTap is not the one that was approved"
            elif target.create and not (was.create and was.display_name == target.display_name):
                yield "it would be created, which was not approved"

    def _is_part(self, before: Change, now: Change) -> bool:
        """Whether a change is one that can be left of an approved one, if its members are."""
        if now.target is None or before.target is None:
            # Only the recorded attributes say which segment is forgotten.
            return (now.action, now.before) == (before.action, before.before)
        key = self._today.targets[now.target].key
        if key != self._approved.targets[before.target].key:
            return now.action is Action.DESTROY  # the old segment of a replacement
        return _is_members_only(now) or now.action in _PARTS_OF[before.action]


def _is_done(before: Change, now: Change) -> bool:
    """Whether an approved change has nothing left, or less than was approved."""
    return before.action not in (Action.NO_OP, now.action)


def _is_members_only(change: Change) -> bool:
    return change.action is Action.UPDATE and not change.attributes


def _is_declared(change: Change) -> bool:
    return change.action not in (Action.DESTROY, Action.FORGET)


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


def _targets(plan: Plan, change: Change) -> Iterator[Target]:
    for index in (change.target, change.old_target):
        if index is not None:
            yield plan.targets[index]
