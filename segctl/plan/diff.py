"""What becomes of each segment: desired ones matched with recorded ones.

A segment's name on the wire says which one it is, since that is all the service
knows it by; its address only says where it stands in the manifests.  So a new
address for the same ``customerSegmentId`` is a move, and a new
``customerSegmentId`` at the same address a replacement.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from segctl.core import address as addresses
from segctl.manifests.desired import DesiredSegment
from segctl.plan.model import Action, AttributeChange, Attributes, Target
from segctl.state.model import SegmentRecord, State


@dataclass(frozen=True, kw_only=True)
class Draft:
    """One segment's change before its members are compared.

    ``record`` is what is recorded of the segment that members go to, ``old_record`` of the
    one that it replaces.  ``wanted`` says whether its sources fill it (True), it is
    to be emptied (False), or its members are left alone (None).  ``is_tombstone`` marks a
    tombstone with members left.  Nothing goes to a segment that is missing.
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

    @property
    def before(self) -> Attributes | None:
        """The segment's attributes as recorded."""
        record = self.old_record or self.record
        return recorded_attributes(record) if record and self.action is not Action.ADOPT else None

    @property
    def after(self) -> Attributes | None:
        """The segment's attributes as declared."""
        return declared_attributes(self.segment) if self.segment else None

    def to_target(self) -> Target:
        """Give where this segment's members go."""
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
    """Give what is compared of a declared segment."""
    return Attributes(
        display_name=segment.display_name,
        customer_segment_id=segment.customer_segment_id,
        labels=dict(segment.labels),
        managed=segment.managed,
        guards=segment.guards,
        lifecycle=segment.lifecycle,
    )


def recorded_attributes(record: SegmentRecord) -> Attributes:
    """Give what is compared of a recorded segment."""
    return Attributes(
        display_name=record.declared_name,
        customer_segment_id=record.customer_segment_id,
        labels=dict(record.labels),
        managed=record.managed,
        guards=record.guards,
        lifecycle=record.lifecycle,
    )


def build_drafts(
    segments: Sequence[DesiredSegment],
    state: State,
    *,
    patterns: Sequence[str] = (),
    destroy: bool = False,
) -> tuple[Draft, ...]:
    """Match declared with recorded segments; give one draft each, sorted by address.

    ``patterns`` pick some of them, with those that trade places with them; ``destroy``
    takes all manifests for absent.
    """
    declared = () if destroy else tuple(segments)
    owners = {record.key: address for address, record in state.segments.items()}
    claimed = {owners[key] for key in map(_key, declared) if key in owners}
    drafts = [_declared(segment, state, owners, claimed) for segment in declared]
    kept = {d.moved_from or d.address for d in drafts if d.record and d.action is not Action.ADOPT}
    kept |= {d.address for d in drafts if d.old_record}
    drafts += [
        _undeclared(address, record, destroy=destroy)
        for address, record in state.segments.items()
        if address not in kept
    ]
    adopted = {d.record.key for d in drafts if d.action is Action.ADOPT and d.record}
    adopted |= {d.record.key for d in drafts if d.action is Action.REPLACE and d.record}
    drafts += [
        Draft(
            address=tombstone.address,
            action=Action.DESTROY,
            reason="it was destroyed, and members are left to remove",
            record=tombstone.record,
            wanted=False,
            is_tombstone=True,
        )
        for tombstone in state.tombstones
        if tombstone.record.key not in adopted
        and not tombstone.record.is_empty
        and not tombstone.record.missing
    ]
    # The service would accept every request for a deleted segment, and skip its entries.
    drafts = [replace(d, wanted=None) if d.record and d.record.missing else d for d in drafts]
    picked = _picked(drafts, patterns)
    return tuple(sorted(picked, key=lambda d: (d.address, d.segment is None, d.to_target().key)))


def _picked(drafts: Sequence[Draft], patterns: Sequence[str]) -> Sequence[Draft]:
    """Give the drafts that patterns match, and those that must go along.

    An address stands for one segment in the state.  So whoever is recorded there has
    to leave in the same plan in which another one comes, or its record would be lost.
    """
    if not patterns:
        return drafts
    at: dict[str, list[Draft]] = {}
    for draft in drafts:
        at.setdefault(draft.address, []).append(draft)
        if draft.moved_from:
            at.setdefault(draft.moved_from, []).append(draft)
    todo = [d.address for d in drafts if addresses.matches(d.address, patterns)]
    picked: dict[int, Draft] = {}
    while todo:
        for draft in at.pop(todo.pop(), ()):
            picked[id(draft)] = draft
            todo.append(draft.address)
    return list(picked.values())


def _key(segment: DesiredSegment) -> str:
    return segment.customer_segment_id


def _declared(
    segment: DesiredSegment, state: State, owners: Mapping[str, str], claimed: set[str]
) -> Draft:
    key = segment.customer_segment_id
    wanted = True if segment.managed else None
    owner = owners.get(key)
    here = state.segments.get(segment.address)
    if owner is None and here and here.customer_segment_id is None:
        owner = segment.address  # imported by CleverTap's id alone, which is all that it has
    if owner is not None:
        return _known(segment, state.segments[owner], owner, wanted)
    tombstone = state.tombstone_of(key)
    record = tombstone.record if tombstone else None
    if here and segment.address not in claimed:
        return Draft(
            address=segment.address,
            action=Action.REPLACE,
            reason="customerSegmentId changed, and the service cannot rename a segment",
            segment=segment,
            record=record,
            old_record=here,
            wanted=wanted,
        )
    if record:
        return Draft(
            address=segment.address,
            action=Action.ADOPT,
            reason="the service still has its shell",
            segment=segment,
            record=record,
            wanted=wanted,
        )
    return Draft(
        address=segment.address,
        action=Action.CREATE,
        reason="it is declared and not recorded",
        segment=segment,
        wanted=wanted,
    )


def _known(
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


def _undeclared(address: str, record: SegmentRecord, *, destroy: bool) -> Draft:
    if record.lifecycle.on_remove == "forget" and not destroy:
        return Draft(
            address=address,
            action=Action.FORGET,
            reason="its manifest is gone, and lifecycle.onRemove is forget",
            record=record,
        )
    return Draft(
        address=address,
        action=Action.DESTROY,
        reason="the whole workspace is to be destroyed" if destroy else "its manifest is gone",
        record=record,
        wanted=False,
    )


def attribute_changes(
    before: Attributes | None, after: Attributes | None
) -> tuple[AttributeChange, ...]:
    """Give the attributes that differ, by path; nothing where one side is absent."""
    if before is None or after is None or before == after:
        return ()
    from deepdiff import DeepDiff  # noqa: PLC0415 - heavy, and needed only where something differs

    if before.customer_segment_id is None:
        before = replace(before, customer_segment_id=after.customer_segment_id)
    tree = DeepDiff(asdict(before), asdict(after), view="tree")
    return tuple(sorted(_leaves(tree), key=lambda change: change.path))


def _leaves(tree: Mapping[str, object]) -> Iterator[AttributeChange]:
    for nodes in tree.values():
        for node in nodes:  # type: ignore[attr-defined]  # deepdiff's tree view has no types
            path = ".".join(_camel(str(step)) for step in node.path(output_format="list"))
            absent = type(node.t1).__name__ == "NotPresent", type(node.t2).__name__ == "NotPresent"
            yield AttributeChange(
                path=path,
                before=None if absent[0] else node.t1,
                after=None if absent[1] else node.t2,
            )


def _camel(step: str) -> str:
    """Give an attribute's name as manifests spell it."""
    head, *rest = step.split("_")
    return head + "".join(word.capitalize() for word in rest) if step in _FIELDS else step


_FIELDS = frozenset(
    "display_name customer_segment_id max_remove_percent from_members allow_empty"
    " prevent_destroy on_remove".split()
)
