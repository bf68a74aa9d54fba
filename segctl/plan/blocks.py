"""What the blocks of manifests do to the recorded segments: adopt, move or remove them.

A block is applied once. Afterwards the state is as the block says, so the block does nothing, and
a finding says that it can be removed. Nothing here touches the service.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace

from segctl.core.address import is_targeted
from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.core.errors import InvalidInput
from segctl.core.suggestions import did_you_mean_address
from segctl.manifests.desired import (
    Blocks,
    DesiredSegment,
    ImportBlock,
    MovedBlock,
    RemovedBlock,
)
from segctl.plan.model import Figures, Finding
from segctl.state.model import EMPTY_STATE, SegmentRecord, State

REMOVABLE = "removable-block"
"""The code of the finding about a block that was applied."""


@dataclass(frozen=True, kw_only=True)
class ResolvedBlocks:
    """The state after the blocks are applied, and the block that applies to each segment.

    Imported segments are in ``state`` without members. ``moves`` are by new address, each with the
    old address and the place of the block; ``imports`` and ``removals`` are by address.
    ``findings`` are about the blocks that do nothing.
    """

    state: State = EMPTY_STATE
    moves: Mapping[str, tuple[str, Location]] = field(default_factory=dict)
    imports: Mapping[str, ImportBlock] = field(default_factory=dict)
    removals: Mapping[str, RemovedBlock] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


NO_BLOCKS = ResolvedBlocks()


def resolve_blocks(
    blocks: Blocks,
    segments: Sequence[DesiredSegment],
    state: State,
    *,
    patterns: Sequence[str] = (),
    excluded: Sequence[str] = (),
) -> ResolvedBlocks:
    """Compare the blocks with the state, and return what they do to it.

    ``patterns`` select the addresses that findings are about, without ``excluded`` ones. Raises
    ``InvalidInput`` with all blocks that contradict the state.
    """
    resolver = _Resolver(segments, state)
    resolver.move(blocks.moves)
    for imported in blocks.imports:
        resolver.add(imported)
    resolver.remove(blocks.removals)
    if resolver.problems:
        raise InvalidInput(sorted(resolver.problems, key=lambda p: str(p.location)))
    return ResolvedBlocks(
        state=replace(
            state,
            segments=dict(sorted(resolver.segments.items())),
            tombstones=tuple(t for t in state.tombstones if t.record.key not in resolver.adopted),
        ),
        moves=resolver.moves,
        imports=resolver.imports,
        removals=resolver.removals,
        findings=tuple(
            finding
            for finding in resolver.findings
            if is_targeted(address := finding.address or "", patterns)
            and not (excluded and is_targeted(address, excluded))
        ),
    )


def imported_record(segment: DesiredSegment, *, ct_segment_id: int | None = None) -> SegmentRecord:
    """Return the record, without members, of a segment that segctl did not create.

    With ``ct_segment_id``, requests name the segment by that number.
    """
    return SegmentRecord(
        customer_segment_id=segment.customer_segment_id if ct_segment_id is None else None,
        ct_segment_id=ct_segment_id,
        declared_name=segment.display_name,
        remote_name=segment.display_name,
        managed=segment.managed,
        labels=dict(segment.labels),
        guards=segment.guards,
        lifecycle=segment.lifecycle,
    )


class _Resolver:
    """Applies blocks to the recorded segments, and collects the problems and the findings."""

    def __init__(self, segments: Sequence[DesiredSegment], state: State) -> None:
        self._declared = {segment.address: segment for segment in segments}
        self._state = state
        self._by_id = {r.customer_segment_id: a for a, r in state.segments.items()}
        self._by_number = {r.ct_segment_id: a for a, r in state.segments.items()}
        self.segments = dict(state.segments)
        self.moves: dict[str, tuple[str, Location]] = {}
        self.imports: dict[str, ImportBlock] = {}
        self.removals: dict[str, RemovedBlock] = {}
        self.adopted: set[str] = set()
        self.problems: list[Diagnostic] = []
        self.findings: list[Finding] = []

    def move(self, blocks: Sequence[MovedBlock]) -> None:
        """Move each record to the last address of its chain of moves."""
        following = {block.source: block for block in blocks}
        used: set[str] = set()
        for block in blocks:
            if block.source in self._state.segments:
                path = list(_chain(block, following))
                used.update(step.source for step in path)
                self._move(block, path)
        for block in blocks:
            if block.source not in used:
                self._report_idle_move(block, list(_chain(block, following))[-1].destination)

    def _move(self, block: MovedBlock, path: Sequence[MovedBlock]) -> None:
        source, destination = block.source, path[-1].destination
        record, segment = self._state.segments[source], self._declared[destination]
        for step in path:
            if step.destination in self._state.segments:
                self._problem(
                    "moved-onto-record",
                    f"{source} and {step.destination} are both recorded, so {source} cannot move "
                    "there.",
                    "Remove this block if they are two segments. If one of the records is wrong, "
                    "forget it with `segctl state rm`.",
                    step.location,
                )
                return
        own = segment.customer_segment_id
        if record.customer_segment_id not in (None, own):
            self._problem(
                "moved-other-id",
                f'{source} is recorded with customerSegmentId "{record.customer_segment_id}", and '
                f'{destination} is declared with "{own}", so it would be emptied and another '
                "segment created.",
                f"Write customerSegmentId: {record.customer_segment_id} in the manifest of "
                f"{destination}, at {segment.location}. Or remove this block to replace the "
                "segment.",
                block.location,
            )
            return
        if (owner := self._owner(own)) not in (None, source):
            self._problem(
                "moved-onto-record",
                f'the customerSegmentId "{own}" of {destination} is recorded at {owner}, so '
                f"{source} cannot move there.",
                f"Remove this block, or give {destination} another customerSegmentId.",
                block.location,
            )
            return
        self.segments.pop(source, None)
        self.segments[destination] = record
        self.moves[destination] = (source, block.location)

    def _report_idle_move(self, block: MovedBlock, destination: str) -> None:
        if destination in self.segments:
            self._removable("moved", destination, block.location)
            return
        self._warn(
            "nothing-to-move",
            destination,
            block.location,
            f"{block.source} is not recorded, so nothing moves to {destination}",
            did_you_mean_address(block.source, self._undeclared()),
        )

    def add(self, block: ImportBlock) -> None:
        """Record a segment that exists in CleverTap, unless it is recorded already."""
        address, recorded = block.address, self.segments.get(block.address)
        if recorded and _is_same(recorded, block):
            self._removable("import", address, block.location)
            return
        shown = _id_of(block)
        if recorded:
            self._problem(
                "imported-other-id",
                f"{address} is recorded with {_id_of_record(recorded)}, and this block imports "
                f"{shown}.",
                f"Remove this block. To record another segment, forget this one first: "
                f"`segctl state rm {address}`.",
                block.location,
            )
            return
        own = self._declared[address].customer_segment_id
        owner = None
        if block.ct_segment_id is not None:
            owner = self._by_number.get(block.ct_segment_id)
        if owner is None and (owner := self._owner(own)):
            shown = f'customerSegmentId "{own}"'
        if owner:
            self._problem(
                "imported-twice",
                f"the segment with {shown} is recorded as {owner}, so {address} cannot import it.",
                f"If {owner} is {address} now, remove this block: the plan then moves the segment.",
                block.location,
            )
            return
        record = imported_record(self._declared[address], ct_segment_id=block.ct_segment_id)
        self.segments[address] = record
        self.adopted.add(record.key)
        self.imports[address] = block

    def remove(self, blocks: Sequence[RemovedBlock]) -> None:
        """Select the blocks that remove a recorded segment, and report those that remove none."""
        self.removals = {b.address: b for b in blocks if b.address in self.segments}
        destroyed = {tombstone.address for tombstone in self._state.tombstones}
        rest = [address for address in self._undeclared() if address not in self.removals]
        for block in blocks:
            address = block.address
            if address in self.removals:
                continue
            # The state has nothing of a forgotten segment. A similar recorded one may be meant.
            if address in destroyed or not did_you_mean_address(address, rest):
                self._removable("removed", address, block.location)
                continue
            self._warn(
                "nothing-to-remove",
                address,
                block.location,
                f"{address} is not recorded, so this block removes nothing",
                did_you_mean_address(address, rest),
            )

    def _owner(self, key: str) -> str | None:
        """Return the address at which a ``customerSegmentId`` is recorded."""
        return self._by_id.get(key)

    def _undeclared(self) -> list[str]:
        return [address for address in self.segments if address not in self._declared]

    def _problem(self, code: str, summary: str, detail: str, location: Location) -> None:
        self.problems.append(
            Diagnostic(code=code, summary=summary, detail=detail, location=location)
        )

    def _removable(self, kind: str, address: str, location: Location) -> None:
        self.findings.append(
            Finding(
                severity=Severity.INFO,
                code=REMOVABLE,
                address=address,
                summary=f"{location}: the {kind} block of {address} has nothing left to do, and "
                "can be removed",
                figures=Figures(count=1, segments=(address,), place=str(location)),
            )
        )

    def _warn(
        self, code: str, address: str, location: Location, summary: str, suggestion: str
    ) -> None:
        self.findings.append(
            Finding(
                severity=Severity.WARNING,
                code=code,
                address=address,
                summary=f"{location}: {summary}",
                detail=f"{suggestion} Correct the block, or remove it.".strip(),
                figures=Figures(count=1, segments=(address,), place=str(location)),
            )
        )


def _chain(block: MovedBlock, following: Mapping[str, MovedBlock]) -> Iterator[MovedBlock]:
    """Yield a block and the moves that follow it. Manifests with a cycle of moves are refused."""
    step: MovedBlock | None = block
    while step:
        yield step
        step = following.get(step.destination)


def _is_same(record: SegmentRecord, block: ImportBlock) -> bool:
    """Whether a block imports the segment of a record."""
    if block.ct_segment_id is not None:
        return record.ct_segment_id == block.ct_segment_id
    return record.customer_segment_id == block.customer_segment_id


def _id_of(block: ImportBlock) -> str:
    if block.ct_segment_id is not None:
        return f"ctSegmentId {block.ct_segment_id}"
    return f'customerSegmentId "{block.customer_segment_id}"'


def _id_of_record(record: SegmentRecord) -> str:
    if record.customer_segment_id is None:
        return f"ctSegmentId {record.ct_segment_id}"
    return f'customerSegmentId "{record.customer_segment_id}"'
