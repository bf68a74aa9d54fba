"""Match declared segments with recorded ones, and choose an action for each.

``customerSegmentId`` identifies a segment, because it is the only name the service
knows. The address is only its place in the manifests. So the same ``customerSegmentId``
at a new address is a move, and a new ``customerSegmentId`` at the same address is a
replacement.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

from segctl.core import address as addresses
from segctl.core.dataclass import dataclass
from segctl.core.errors import WrongUsage
from segctl.manifests.desired import DesiredSegment, RemovedBlock
from segctl.plan.blocks import NO_BLOCKS, ResolvedBlocks
from segctl.plan.model import Action, AttributeChange, Attributes, Target
from segctl.plan.targeting import check_patterns
from segctl.state.model import SegmentRecord, State

TOMBSTONE_REASON = "it was destroyed before all its members were removed"
"""Why a plan has a change for a segment that an earlier plan destroyed."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """The change of one segment before its members are compared.

    ``record`` is the state's record of the segment that gets the members, and
    ``old_record`` that of the segment it replaces. ``wanted`` says what to do with the
    members: fill the segment from its sources (True), empty it (False), or leave them
    unchanged (None), as for an unmanaged or missing segment. ``is_tombstone`` marks a
    destroyed segment that may still have members, ``is_imported`` one that a block adopts.
    """

    address: str
    action: Action
    reason: str
    segment: DesiredSegment | None = None
    record: SegmentRecord | None = None
    old_record: SegmentRecord | None = None
    moved_from: str | None = None
    wanted: bool | None = None
    is_tombstone: bool = False
    is_imported: bool = False

    @property
    def before(self) -> Attributes | None:
        """The segment's recorded attributes, ``None`` for a segment that is new or adopted."""
        record = self.old_record or self.record
        return recorded_attributes(record) if record and self.action is not Action.ADOPT else None

    @property
    def after(self) -> Attributes | None:
        """The segment's declared attributes, ``None`` if it has no manifest."""
        return declared_attributes(self.segment) if self.segment else None

    def to_target(self) -> Target:
        """Return the target that this segment's members are sent to."""
        record, segment = self.record, self.segment
        if record and (segment is None or record.customer_segment_id is None):
            key = record.customer_segment_id
        else:
            key = segment.customer_segment_id if segment else None
        return Target(
            address=self.address,
            customer_segment_id=key,
            ct_segment_id=record.ct_segment_id if record else None,
            display_name=segment.display_name if segment else record.remote_name if record else "",
            create=segment is not None and (record is None or not record.created),
        )


def declared_attributes(segment: DesiredSegment) -> Attributes:
    """Return the attributes of a declared segment."""
    return _attributes(segment, segment.display_name)


def recorded_attributes(record: SegmentRecord) -> Attributes:
    """Return the attributes of a recorded segment, as they were last declared."""
    return _attributes(record, record.declared_name)


def _attributes(segment: DesiredSegment | SegmentRecord, display_name: str) -> Attributes:
    return Attributes(
        display_name=display_name,
        customer_segment_id=segment.customer_segment_id,
        labels=dict(segment.labels),
        managed=segment.managed,
        guards=segment.guards,
        lifecycle=segment.lifecycle,
        allow=segment.allow if isinstance(segment, DesiredSegment) else None,
    )


def build_drafts(
    segments: Sequence[DesiredSegment],
    state: State,
    *,
    blocks: ResolvedBlocks = NO_BLOCKS,
    patterns: Sequence[str] = (),
    excluded: Sequence[str] = (),
    destroy: bool = False,
) -> tuple[Draft, ...]:
    """Match declared segments with recorded ones. Return one draft each, sorted by address.

    ``state`` is as the ``blocks`` make it.
    ``patterns`` select addresses; segments that exchange an address with a selected one are
    included. What matches ``excluded`` is left out. ``destroy`` treats every manifest as deleted.
    Raises ``WrongUsage`` for a pattern that matches nothing.
    """
    declared = () if destroy else tuple(segments)
    address_by_key = {record.key: address for address, record in state.segments.items()}
    matched = {
        address_by_key[segment.customer_segment_id]
        for segment in declared
        if segment.customer_segment_id in address_by_key
    }
    drafts = [_declared_draft(segment, state, address_by_key, matched) for segment in declared]
    kept = {d.moved_from or d.address for d in drafts if d.record and d.action is not Action.ADOPT}
    kept |= {d.address for d in drafts if d.old_record}
    kept |= blocks.imports.keys()
    drafts = [_with_block(draft, blocks) for draft in drafts]
    drafts += [
        _undeclared_draft(address, record, blocks.removals.get(address), destroy=destroy)
        for address, record in state.segments.items()
        if address not in kept
    ]
    drafts += _tombstone_drafts(state, drafts)
    # The service would accept every request for a deleted segment, and skip its entries.
    drafts = [replace(d, wanted=None) if d.record and d.record.missing else d for d in drafts]
    selected = _exclude(drafts, _select(drafts, patterns), excluded)
    return tuple(sorted(selected, key=lambda d: (d.address, d.segment is None, d.to_target().key)))


def _tombstone_drafts(state: State, drafts: Sequence[Draft]) -> list[Draft]:
    """Return a draft for every destroyed segment whose members are not all removed yet."""
    reused = {
        draft.record.key
        for draft in drafts
        if draft.action in (Action.ADOPT, Action.REPLACE) and draft.record
    }
    return [
        Draft(
            address=tombstone.address,
            action=Action.DESTROY,
            reason=TOMBSTONE_REASON,
            record=tombstone.record,
            wanted=False,
            is_tombstone=True,
        )
        for tombstone in state.tombstones
        if tombstone.record.key not in reused
        and not tombstone.record.is_empty
        and not tombstone.record.missing
    ]


def _select(drafts: Sequence[Draft], patterns: Sequence[str]) -> Sequence[Draft]:
    """Return the drafts that match a pattern, and those that must be planned with them.

    The state records one segment per address. When a selected segment takes over an
    address, the segment recorded there must leave it in the same plan, or its record would
    be lost. Raises ``WrongUsage`` for a pattern that matches nothing.
    """
    if not patterns:
        return drafts
    check_patterns(
        patterns,
        [draft.address for draft in drafts],
        kind="declared or recorded",
        moves={draft.moved_from: draft.address for draft in drafts if draft.moved_from},
    )
    return with_exchanged(
        drafts, [d.address for d in drafts if addresses.is_targeted(d.address, patterns)]
    )


def with_exchanged(
    drafts: Sequence[Draft], start: Sequence[str], *, left_out: bool = False
) -> Sequence[Draft]:
    """Return the drafts at these addresses, and those that must be planned with them.

    A segment that takes over an address needs the one that is recorded there to leave it. With
    ``left_out``, the drafts are not planned: a segment that stays where it is recorded keeps others
    from taking over that address.
    """
    by_address: dict[str, list[Draft]] = {}
    for draft in drafts:
        by_address.setdefault(draft.address, []).append(draft)
        if draft.moved_from:
            by_address.setdefault(draft.moved_from, []).append(draft)
    todo = list(start)
    selected: dict[int, Draft] = {}
    while todo:
        for draft in by_address.pop(todo.pop(), ()):
            selected[id(draft)] = draft
            todo.append(draft.address)
            if left_out and draft.moved_from:
                todo.append(draft.moved_from)
    return list(selected.values())


def _exclude(
    drafts: Sequence[Draft], selected: Sequence[Draft], patterns: Sequence[str]
) -> Sequence[Draft]:
    """Return the selected drafts that match no pattern.

    Raises ``WrongUsage`` for a pattern that matches nothing, and for one that leaves out only one
    of two segments that exchange an address.
    """
    if not patterns:
        return selected
    check_patterns(
        patterns,
        [draft.address for draft in drafts],
        kind="declared or recorded",
        option="--exclude",
        moves={draft.moved_from: draft.address for draft in drafts if draft.moved_from},
    )
    left_out = [d.address for d in selected if addresses.is_targeted(d.address, patterns)]
    for draft in with_exchanged(selected, left_out, left_out=True):
        if draft.address not in left_out:
            raise WrongUsage(
                f"{draft.address} exchanges its address with a segment that --exclude leaves out",
                hint=f"Exclude both, with --exclude {draft.address}, or neither.",
            )
    return [draft for draft in selected if draft.address not in left_out]


def _declared_draft(
    segment: DesiredSegment, state: State, address_by_key: Mapping[str, str], matched: set[str]
) -> Draft:
    key = segment.customer_segment_id
    wanted = True if segment.managed else None
    owner = address_by_key.get(key)
    recorded = state.segments.get(segment.address)
    if owner is None and recorded and recorded.customer_segment_id is None:
        owner = segment.address  # imported by its CleverTap id: the state knows no other id
    if owner is not None:
        return _recorded_draft(segment, state.segments[owner], owner, wanted)
    tombstone = state.find_tombstone(key)
    record = tombstone.record if tombstone else None
    old_record = None
    if recorded and segment.address not in matched:
        action, old_record = Action.REPLACE, recorded
        reason = "customerSegmentId changed, and the service cannot rename a segment"
    elif record:
        action, reason = Action.ADOPT, "the service still has its shell"
    else:
        action, reason = Action.CREATE, "it is declared and not recorded"
    return Draft(
        address=segment.address,
        action=action,
        reason=reason,
        segment=segment,
        record=record,
        old_record=old_record,
        wanted=wanted,
    )


def _recorded_draft(
    segment: DesiredSegment, record: SegmentRecord, owner: str, wanted: bool | None
) -> Draft:
    moved = owner != segment.address
    if not record.created:
        action, reason = Action.CREATE, "an earlier create got no answer, and is sent again"
    elif moved:
        action, reason = Action.UPDATE, f"it was {owner}"
    else:
        action, reason = Action.UPDATE, ""
    return Draft(
        address=segment.address,
        action=action,
        reason=reason,
        segment=segment,
        record=record,
        moved_from=owner if moved else None,
        wanted=wanted,
    )


def _with_block(draft: Draft, blocks: ResolvedBlocks) -> Draft:
    """Return the draft of a declared segment with what a block says of it."""
    if block := blocks.imports.get(draft.address):
        return replace(
            draft,
            action=Action.ADOPT,
            reason=f"imported by {block.location}",
            is_imported=True,
        )
    if draft.address in blocks.moves:
        old, place = blocks.moves[draft.address]
        reason = f"it was {old}, moved by {place}"
        if draft.action is Action.CREATE:
            reason = draft.reason
        return replace(draft, moved_from=old, reason=reason)
    return draft


def _undeclared_draft(
    address: str, record: SegmentRecord, block: RemovedBlock | None, *, destroy: bool
) -> Draft:
    on_remove = block.on_remove if block else record.lifecycle.on_remove
    if on_remove == "forget" and not destroy:
        decided = f"{block.location} says" if block else "lifecycle.onRemove is"
        return Draft(
            address=address,
            action=Action.FORGET,
            reason=f"its manifest is gone, and {decided} forget",
            record=record,
        )
    reason = f"its manifest is gone, and {block.location} says empty" if block else ""
    return Draft(
        address=address,
        action=Action.DESTROY,
        reason="the whole workspace is destroyed" if destroy else reason or "its manifest is gone",
        record=record,
        wanted=False,
    )


def attribute_changes(
    before: Attributes | None, after: Attributes | None
) -> tuple[AttributeChange, ...]:
    """Return the attributes that differ, sorted by path. Empty if either side is ``None``.

    An override is not recorded, so it never differs.
    """
    if before is None or after is None or before == after:
        return ()
    before, after = replace(before, allow=None), replace(after, allow=None)
    if before == after:
        return ()
    from deepdiff import DeepDiff  # noqa: PLC0415 - heavy, and rarely needed

    if before.customer_segment_id is None:
        before = replace(before, customer_segment_id=after.customer_segment_id)
    tree = DeepDiff(asdict(before), asdict(after), view="tree")
    return tuple(sorted(_leaves(tree), key=lambda change: change.path))


def _leaves(tree: Mapping[str, object]) -> Iterator[AttributeChange]:
    for nodes in tree.values():
        for node in nodes:  # type: ignore[attr-defined]  # deepdiff's tree view has no types
            path = ".".join(_manifest_name(str(step)) for step in node.path(output_format="list"))
            yield AttributeChange(path=path, before=_value(node.t1), after=_value(node.t2))


def _value(node: object) -> object:
    return None if type(node).__name__ == "NotPresent" else node


def _manifest_name(step: str) -> str:
    """Return an attribute's name as manifests spell it: ``displayName``."""
    head, *rest = step.split("_")
    return head + "".join(word.capitalize() for word in rest) if step in _ATTRIBUTE_NAMES else step


_ATTRIBUTE_NAMES = frozenset(
    "display_name customer_segment_id max_remove_percent from_members allow_empty"
    " prevent_destroy on_remove max_add_percent max_add max_new_shapes_percent".split()
)
