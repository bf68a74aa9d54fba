"""Check the guards: limits on how much one plan may change.

Guards protect recorded members, so a create is exempt, except from the limits on whole plans. A
segment recorded with ``preventDestroy`` stays protected until a plan that turns it off has
been applied. What a guard refuses, an override can allow for a time: see ``overrides.py``.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field

from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Severity
from segctl.core.listing import list_first
from segctl.manifests.limits import PlanGuards, PlanOverride
from segctl.plan.model import Action, Change, Figures, Finding, Plan
from segctl.plan.overrides import Excess, OverrideClock, OverridePlace, check_override, resolve
from segctl.state.shapes import most_frequent
from segctl.state.usage import MonthUsage

MAX_LISTED = 3
"""How many new shapes a refusal lists."""

_CHECK_SOURCES = "If not, check its sources."


@dataclass(frozen=True, kw_only=True)
class GuardedChange:
    """A change, and the facts about its segment that guards depend on.

    ``members_removed`` counts the recorded members that the segment loses, ``members_added`` those
    that it gains, and ``new_shapes`` those among them whose shape no recorded member has, by shape.
    ``is_protected`` is the recorded ``preventDestroy``. ``is_tombstone`` marks a segment that was
    destroyed by an earlier plan, and ``is_created`` one that the plan creates. ``path`` and
    ``place`` say where its fields are in the manifests.
    """

    change: Change
    members_removed: int
    members_added: int = 0
    new_shapes: Mapping[str, int] = field(default_factory=dict)
    is_protected: bool
    is_tombstone: bool = False
    is_created: bool = False
    path: str = "spec"
    place: str | None = None


@dataclass(frozen=True, kw_only=True)
class GuardedPlan:
    """What guards on a whole plan depend on: the limits, the override, and how much is sent.

    ``events`` counts the changes that may be billed, repeated ones included. ``month`` is what was
    sent in this calendar month before. A plan ``is_partial`` if it may leave out what an override
    is for.
    """

    max_destroys: int = 5
    guards: PlanGuards = PlanGuards()
    allow: PlanOverride | None = None
    events: int = 0
    requests: int = 0
    month: MonthUsage | None = None
    is_partial: bool = False
    place: str = "segctl.yaml"


def guarded_plan(plan: Plan, *, place: str = "segctl.yaml") -> GuardedPlan:
    """Return what the guards on a whole plan depend on. ``place`` is that of its settings."""
    return GuardedPlan(
        max_destroys=plan.max_destroys,
        guards=plan.guards,
        allow=plan.allow,
        events=plan.members_changed,
        requests=plan.requests.create + plan.requests.update,
        month=plan.month,
        is_partial=plan.is_partial,
        place=place,
    )


def check_guards(
    changes: Iterable[GuardedChange],
    plan: GuardedPlan,
    clock: OverrideClock,
    *,
    others: Collection[Finding] = (),
) -> tuple[Finding, ...]:
    """Return an error for each guard that the changes violate, and what overrides allow.

    ``others`` are the findings of other guards that overrides are for.
    """
    items = tuple(changes)
    findings = [finding for item in items for finding in _check_segment(item, clock, others)]
    at = OverridePlace(override=plan.allow, path="spec", place=plan.place)
    found = list(resolve([*_count_segments(items, plan), *_count_sent(plan)], at, clock))
    findings += found
    is_partial = plan.is_partial or bool(plan.allow and plan.allow.freeze)
    findings += check_override(at, clock, findings=[*found, *others], is_partial=is_partial)
    return tuple(findings)


# One segment


def _check_segment(
    item: GuardedChange, clock: OverrideClock, others: Collection[Finding]
) -> Iterator[Finding]:
    change = item.change
    if item.is_protected and change.action in (Action.DESTROY, Action.REPLACE):
        yield _protected(item)
    if change.after is None:
        return
    at = OverridePlace(
        override=change.after.allow, path=item.path, place=item.place, address=change.address
    )
    found: list[Finding] = []
    if change.action in (Action.UPDATE, Action.ADOPT):
        found += resolve([*_check_removals(item), *_check_additions(item)], at, clock)
        yield from found
    yield from check_override(at, clock, findings=[*found, *others], is_partial=False)


def _protected(item: GuardedChange) -> Finding:
    """Return the refusal to destroy a segment that was recorded with ``preventDestroy``."""
    change = item.change
    detail = "If this is intended, first apply its manifest with preventDestroy: false."
    if item.place:
        detail = (
            f"If this is intended, first apply lifecycle: {{preventDestroy: false}} in {item.path} "
            f"({item.place}), with nothing else changed."
        )
    elif change.reason.startswith("its manifest is gone"):
        detail = (
            "Its manifest is gone, and the state keeps its guards. If this is intended, restore "
            "the manifest, apply it with lifecycle: {preventDestroy: false}, and then remove it. "
            f"To stop managing it and keep its members, run `segctl state rm {change.address}`."
        )
    return Finding(
        severity=Severity.ERROR,
        code="prevent-destroy",
        address=change.address,
        summary=f"{change.address} is protected: it was applied with preventDestroy: true",
        detail=detail,
        figures=Figures(count=change.members.before, segments=(change.address,), place=item.place),
    )


def _check_removals(item: GuardedChange) -> Iterator[Excess]:
    change, removed = item.change, item.members_removed
    before, after = change.members.before, change.members.after
    if not removed or change.after is None:
        return
    guards, address = change.after.guards, change.address
    if after == 0:
        if not guards.allow_empty:
            yield Excess(
                code="allow-empty",
                text=f"{address} loses all of its {before:,} recorded members",
                guard=f"and {item.path}.guards.allowEmpty is false",
                figures=Figures(count=removed, of=before, segments=(address,), place=item.place),
                needs={"empty": True, "removals": removed},
                advice=_CHECK_SOURCES,
            )
        return
    percent = 100 * removed / before
    if before >= guards.from_members and percent > guards.max_remove_percent:
        yield Excess(
            code="max-remove-percent",
            text=f"{address} loses {removed:,} of {before:,} members ({percent:.1f}%)",
            guard=f"more than {item.path}.guards.maxRemovePercent allows "
            f"({guards.max_remove_percent:g}%)",
            figures=Figures(
                count=removed,
                of=before,
                limit=int(before * guards.max_remove_percent / 100),
                segments=(address,),
                place=item.place,
            ),
            needs={"removals": removed},
            advice=_CHECK_SOURCES,
        )


def _check_additions(item: GuardedChange) -> Iterator[Excess]:
    change, added, before = item.change, item.members_added, item.change.members.before
    if not added or change.after is None:
        return
    guards, address = change.after.guards, change.address
    gains = f"{address} gains {added:,} members and has {before:,}"
    setting = f"{item.path}.guards"
    if guards.max_add is not None and added > guards.max_add:
        yield Excess(
            code="max-add",
            text=gains,
            guard=f"more than {setting}.maxAdd allows ({guards.max_add:,})",
            figures=Figures(
                count=added, of=before, limit=guards.max_add, segments=(address,), place=item.place
            ),
            needs={"additions": added},
            advice=_CHECK_SOURCES,
        )
    if not before or before < guards.from_members:
        return
    limit = guards.max_add_percent
    if limit is not None and 100 * added / before > limit:
        yield Excess(
            code="max-add-percent",
            text=f"{gains} ({100 * added / before:.1f}%)",
            guard=f"more than {setting}.maxAddPercent allows ({limit:g}%)",
            figures=Figures(
                count=added,
                of=before,
                limit=int(before * limit / 100),
                segments=(address,),
                place=item.place,
            ),
            needs={"additions": added},
            advice=_CHECK_SOURCES,
        )
    limit, new = guards.max_new_shapes_percent, sum(item.new_shapes.values())
    if limit is not None and 100 * new / added > limit:
        yield Excess(
            code="max-new-shapes-percent",
            text=f"{address} gains {added:,} members, of which {new:,} ({100 * new / added:.1f}%) "
            f"look like no recorded member: {_list_shapes(item.new_shapes)}",
            guard=f"more than {setting}.maxNewShapesPercent allows ({limit:g}%)",
            figures=Figures(
                count=new,
                of=added,
                limit=int(added * limit / 100),
                segments=(address,),
                place=item.place,
            ),
            needs={"new_shapes": new},
            advice="If not, check that its sources have the right column.",
        )


def _list_shapes(shapes: Mapping[str, int]) -> str:
    """Return the most frequent shapes with their numbers; they show nothing of user keys."""
    listed = [f"{shape} ({count:,})" for shape, count in most_frequent(shapes).items()]
    return list_first(listed, MAX_LISTED)


# The whole plan


def _count_segments(items: Sequence[GuardedChange], plan: GuardedPlan) -> Iterator[Excess]:
    destroyed = tuple(
        item.change.address
        for item in items
        if item.change.action in (Action.DESTROY, Action.REPLACE) and not item.is_tombstone
    )
    created = tuple(item.change.address for item in items if item.is_created)
    if len(destroyed) > plan.max_destroys:
        yield Excess(
            code="max-destroys",
            text=f"the plan destroys {len(destroyed):,} segments",
            guard=f"more than spec.guards.maxDestroys allows ({plan.max_destroys:,})",
            figures=Figures(count=len(destroyed), limit=plan.max_destroys, segments=destroyed),
            needs={"destroys": len(destroyed)},
            advice="Or destroy a few segments at a time with --target.",
        )
    limit = plan.guards.max_creates
    if limit is not None and len(created) > limit:
        yield Excess(
            code="max-creates",
            text=f"the plan creates {len(created):,} segments",
            guard=f"more than spec.guards.maxCreates allows ({limit:,})",
            figures=Figures(count=len(created), limit=limit, segments=created),
            needs={"creates": len(created)},
            advice="Or create a few segments at a time with --target.",
        )


def _count_sent(plan: GuardedPlan) -> Iterator[Excess]:
    guards, month = plan.guards, plan.month
    sums = (
        ("billable events", "BillableEvents", guards.max_billable_events, plan.events, None),
        ("requests", "Requests", guards.max_requests, plan.requests, None),
        (
            "billable events",
            "BillableEventsPerMonth",
            guards.max_billable_events_per_month,
            plan.events,
            month.events if month else 0,
        ),
        (
            "requests",
            "RequestsPerMonth",
            guards.max_requests_per_month,
            plan.requests,
            month.requests if month else 0,
        ),
    )
    for noun, name, limit, own, earlier in sums:
        total = own + (earlier or 0)
        # A plan that sends nothing is never refused for what others sent.
        if limit is None or not own or total <= limit:
            continue
        text = f"the plan has {own:,} {noun}"
        if earlier is not None and month:
            text += f", and with the {earlier:,} of earlier plans {total:,} in {month.month}"
        setting = f"max{name}"
        yield Excess(
            code=_code(setting),
            text=text,
            guard=f"more than spec.guards.{setting} allows ({limit:,})",
            figures=Figures(count=total, limit=limit),
            needs={_code(name, "_"): total},
            advice="Or apply a few segments at a time with --target.",
        )


def _code(name: str, separator: str = "-") -> str:
    """Return the name of a setting in lower case: ``max-requests``."""
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in name).split()
    return separator.join(words)
