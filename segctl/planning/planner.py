"""Make a plan: read the sources, compare them with the state, pack what differs."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from segctl import __version__
from segctl.engine.base import Engine, PackingSummary, Recorded, TargetDiff
from segctl.manifests.dependencies import needed, rules_about
from segctl.manifests.desired import Desired
from segctl.plan.diff import Draft, attribute_changes, build_drafts
from segctl.plan.findings import build_findings
from segctl.plan.guards import GuardedChange, check_guards
from segctl.plan.model import (
    Action,
    Change,
    Estimate,
    MemberCounts,
    Plan,
    Requests,
    Target,
)
from segctl.planning.compare import Comparison, compare_nothing
from segctl.planning.load import find_sources
from segctl.planning.unchanged import select_reads
from segctl.session.advance import record_of
from segctl.sources.context import SourceContext
from segctl.sources.object_store import Objects
from segctl.sources.path_policy import PathPolicy
from segctl.state.model import SegmentRecord, State

SECONDS_PER_REQUEST = 0.8
"""A guess for estimates: the vendor's pages say only that a call may take a second or more."""

SEGMENTS_PER_CREATE_REQUEST = 100
"""Segments in one createSegment request, by the vendor's page on API Segments."""


PlanPurpose = Literal["show", "save", "send"]
"""What a plan is made for: one to show has no columns, one to send has them unless it is empty."""


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What a plan is made for: which segments, and in which account of the service.

    Memberships refused before ``retry_before`` (seconds since 1970) are sent again.
    Sources are read though they did not change where ``reread``.
    """

    account: str | None
    host: str
    patterns: tuple[str, ...] = ()
    destroy: bool = False
    retry_before: float | None = None
    reread: bool = False


@dataclass(frozen=True, kw_only=True)
class PlanBundle:
    """A plan with its member columns, as files in the scratch folder; see ``PlanPurpose``."""

    plan: Plan
    delta: Path
    batches: Path


@dataclass(frozen=True, kw_only=True)
class _Numbered:
    """Drafts with their places among the plan's targets."""

    drafts: tuple[Draft, ...]
    targets: tuple[Target, ...]
    own: Mapping[int, int]
    old: Mapping[int, int]


def build_plan(
    desired: Desired,
    state: State,
    options: PlanOptions,
    *,
    engine: Callable[[], Engine],
    recorded_files: Mapping[str, Recorded],
    root: Path,
    scratch: Path,
    environment: Mapping[str, str],
    purpose: PlanPurpose,
) -> PlanBundle:
    """Plan from ``state`` to ``desired``; see ``Plan``.

    ``engine`` opens one, where members must be compared.  ``recorded_files`` says for each
    recorded segment, by its name on the wire, where its members stand on this machine;
    sources may look into ``environment``.  Raises ``InvalidInput`` with all problems of all
    sources at once.
    """
    numbered = _numbered(
        build_drafts(desired.segments, state, patterns=options.patterns, destroy=options.destroy)
    )
    places = {d.address: numbered.own[n] for n, d in enumerate(numbered.drafts) if d.wanted}
    folders = desired.project.allowed_folders
    reach = PathPolicy(root=root, allowed=folders, objects=Objects(scratch))
    at = SourceContext(
        reach=reach,
        open_engine=cache(engine),
        scratch=scratch,
        environment=environment,
        connections=desired.project.connections,
    )
    rules = rules_about(desired, places)
    extra = needed(desired, places, rules)
    everyone = places | {a: len(numbered.targets) + n for n, a in enumerate(extra)}
    found = select_reads(
        find_sources(desired, everyone.keys(), at, extra),
        numbered.drafts,
        state,
        at,
        declared=desired.segments,
        unplanned=extra.keys(),
        rules=rules,
        reread=options.reread,
    )
    compared = Comparison(
        desired=desired,
        places=everyone,
        unplanned=extra,
        recorded=_recorded(numbered, recorded_files),
        keys=[target.key for target in numbered.targets],
        rules=rules,
        retry_before=options.retry_before,
    ).run(found, at)
    changes, weighed = _changes(numbered, compared.diffs)
    findings = [*compared.findings, *build_findings(changes, numbered.drafts)]
    findings += check_guards(weighed, max_destroys=desired.project.max_destroys)
    plan = Plan(
        lineage=state.lineage,
        serial=state.serial,
        account=state.account or options.account,
        host=options.host,
        workspace_digest=desired.digest,
        digest="",
        segctl_version=__version__,
        variables=desired.variables,
        destroy=options.destroy,
        targeted=options.patterns,
        changes=changes,
        targets=_with_sources(numbered, compared.segments),
        findings=tuple(sorted(findings, key=lambda f: (f.severity, f.address or "", f.summary))),
        max_destroys=desired.project.max_destroys,
        settle_seconds=desired.project.settle_seconds,
        max_refused_percent=desired.project.max_refused_percent,
        counting=desired.project.counting,
        concurrency=desired.project.concurrency,
        sources=compared.sources,
        rules=compared.rules,
    )
    plan = replace(plan, digest=_digest(plan, str(compared.digest)))
    delta, batches = scratch / "delta.parquet", scratch / "batches.parquet"
    if purpose == "save" or (purpose == "send" and not plan.is_empty):
        used = compared.engine or compare_nothing(at.engine, desired.project)
        used.save(delta, batches)
    return PlanBundle(plan=with_requests(plan, compared.packed), delta=delta, batches=batches)


def remaining_plan(
    saved: Plan,
    state: State,
    delta: Path,
    *,
    engine: Engine,
    recorded_files: Mapping[str, Recorded],
    scratch: Path,
) -> PlanBundle:
    """Give what is left of a saved plan that was applied in part, packed anew.

    A row is left where the state does not show it as done; a segment is created
    where the state does not show it as there.
    """
    records = [record_of(state, target) for target in saved.targets]
    targets = tuple(
        replace(
            target,
            create=target.create and not (record and record.created),
            ct_segment_id=record.ct_segment_id if record else target.ct_segment_id,
        )
        for target, record in zip(saved.targets, records, strict=True)
    )
    nothing = Recorded()
    where = {
        place: recorded_files.get(record.key, nothing) if record else nothing
        for place, record in enumerate(records)
    }
    engine.take_delta(delta, where)
    keys = [target.key for target in targets]
    packed = engine.pack(keys, counting=saved.counting, settle_seconds=saved.settle_seconds)
    rest, batches = scratch / "rest.parquet", scratch / "rest_batches.parquet"
    engine.save(rest, batches)
    changes = tuple(_rest_of(change, records) for change in saved.changes)
    plan = replace(saved, targets=targets, changes=changes)
    return PlanBundle(plan=with_requests(plan, packed), delta=rest, batches=batches)


def _rest_of(change: Change, records: Sequence[SegmentRecord | None]) -> Change:
    """Give a change without the part of it that the state shows as done."""
    record = records[change.target] if change.target is not None else None
    if change.action is Action.CREATE and record and record.created:
        return replace(change, action=Action.UPDATE, reason="it was created already")
    return change


def with_requests(plan: Plan, packed: PackingSummary) -> Plan:
    """Give the plan with what its packing needs, and what that costs."""
    creates = sum(target.create for target in plan.targets)
    create_requests = -(-creates // SEGMENTS_PER_CREATE_REQUEST)
    rounds = -(-packed.requests // plan.concurrency) + -(-create_requests // plan.concurrency)
    changes = sum(change.members.add + change.members.remove for change in plan.changes)
    return replace(
        plan,
        requests=Requests(
            create=create_requests,
            update=packed.requests,
            naive=packed.naive,
            floor=packed.floor,
        ),
        estimate=Estimate(
            seconds=round(rounds * SECONDS_PER_REQUEST, 1),
            billable_events=changes,
        ),
        settle_from=packed.settle_from if packed.settle_from < packed.requests else None,
        settled_at=packed.settled_at,
    )


def _numbered(drafts: Sequence[Draft]) -> _Numbered:
    targets: list[Target] = []
    own: dict[int, int] = {}
    old: dict[int, int] = {}
    for place, item in enumerate(drafts):
        if item.action is not Action.FORGET:
            own[place] = len(targets)
            targets.append(item.to_target())
        if item.old_record:
            old[place] = len(targets)
            targets.append(
                replace(item, record=item.old_record, segment=None, old_record=None).to_target()
            )
    return _Numbered(drafts=tuple(drafts), targets=tuple(targets), own=own, old=old)


def _recorded(
    numbered: _Numbered, recorded_files: Mapping[str, Recorded]
) -> Mapping[int, tuple[Recorded, bool]]:
    """Give where each target to compare is recorded, and whether it is wanted."""
    nothing = Recorded()
    found = {}
    for place, item in enumerate(numbered.drafts):
        if item.wanted is not None:
            where = recorded_files.get(item.record.key, nothing) if item.record else nothing
            found[numbered.own[place]] = (where, item.wanted)
        if item.old_record and not item.old_record.missing:
            found[numbered.old[place]] = (recorded_files.get(item.old_record.key, nothing), False)
    return found


def _with_sources(numbered: _Numbered, segments: Mapping[str, str]) -> tuple[Target, ...]:
    """Give the targets with what the members of each were computed from."""
    found = {
        numbered.own[place]: segments.get(draft.address)
        for place, draft in enumerate(numbered.drafts)
        if draft.wanted
    }
    return tuple(replace(t, sources=found.get(n)) for n, t in enumerate(numbered.targets))


# Changes


def _changes(
    numbered: _Numbered, diffs: Mapping[int, TargetDiff]
) -> tuple[tuple[Change, ...], list[GuardedChange]]:
    changes: list[Change] = []
    weighed: list[GuardedChange] = []
    for place, item in enumerate(numbered.drafts):
        own, old = numbered.own.get(place), numbered.old.get(place)
        change, leaving = _change(item, diffs.get(own) if own is not None else None)
        if old is not None:
            change = _replaced(change, diffs.get(old) or _untouched(item.old_record))
        change = replace(change, target=own, old_target=old)
        changes.append(change)
        recorded = item.old_record or item.record
        weighed.append(
            GuardedChange(
                change=change,
                members_removed=leaving,
                is_protected=bool(recorded and recorded.lifecycle.prevent_destroy),
                is_tombstone=item.is_tombstone,
            )
        )
    return tuple(changes), weighed


def _change(item: Draft, diff: TargetDiff | None) -> tuple[Change, int]:
    if diff is None:
        diff = _untouched(item.record)
    members = MemberCounts(
        before=diff.recorded,
        after=diff.desired,
        add=diff.add,
        remove=diff.remove,
        reasserted=diff.reasserted,
        quarantined=diff.quarantined,
        held_out=diff.held_out,
        suppressed=diff.suppressed,
    )
    differing = attribute_changes(item.before, item.after)
    action, reason = item.action, item.reason
    if action is Action.UPDATE and not reason:
        reason = _reason(members, bool(differing))
        action = action if members.sent or differing else Action.NO_OP
    if item.is_tombstone and not members.sent:
        action = Action.NO_OP  # all that is left in it was refused
    change = Change(
        address=item.address,
        action=action,
        reason=reason,
        before=item.before,
        after=item.after,
        attributes=differing,
        members=members,
        sample=diff.sample,
    )
    return change, diff.leaving


def _untouched(record: SegmentRecord | None) -> TargetDiff:
    """Give the difference of a segment that nothing is sent to."""
    count = record.members.digest.count if record else 0
    return TargetDiff(desired=count, recorded=count)


def _reason(members: MemberCounts, differs: bool) -> str:
    parts = []
    if members.add or members.remove:
        parts.append("its members differ")
    if members.reasserted:
        parts.append("requests without an answer are sent again")
    if differs:
        parts.append("its manifest differs")
    return " and ".join(parts)


def _replaced(change: Change, old: TargetDiff) -> Change:
    """Count the emptying of the segment that is replaced into the change."""
    members = change.members
    return replace(
        change,
        members=replace(
            members,
            before=old.recorded,
            remove=members.remove + old.remove,
            reasserted=members.reasserted + old.reasserted,
            quarantined=members.quarantined + old.quarantined,
        ),
        sample=replace(change.sample, remove=old.sample.remove),
    )


def _digest(plan: Plan, delta: str) -> str:
    """Identify a plan by what it does and to what, not by how it is packed or told."""
    told = {
        "account": plan.account,
        "host": plan.host,
        "lineage": plan.lineage,
        "serial": plan.serial,
        "workspace": plan.workspace_digest,
        "destroy": plan.destroy,
        "delta": delta,
        "changes": [
            {
                "address": change.address,
                "action": change.action,
                "before": asdict(change.before) if change.before else None,
                "after": asdict(change.after) if change.after else None,
                "members": asdict(change.members),
            }
            for change in plan.changes
        ],
        "targets": [target.key for target in plan.targets],
    }
    text = json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
