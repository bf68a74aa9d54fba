"""Check the blocks of Refactoring documents against each other and the declared segments.

What the state records is not known here; ``plan/blocks.py`` compares it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from segctl.core.address import is_address, segment_address
from segctl.core.dataclass import dataclass
from segctl.core.diagnostics import Diagnostic, Location, Severity
from segctl.core.suggestions import did_you_mean_address
from segctl.manifests.declarations import SegmentDeclaration, kind_of
from segctl.manifests.references import MAX_SUGGESTIONS, shorten_steps
from segctl.manifests.yaml_tree import Document, Map, Seq, Value, lookup


@dataclass(frozen=True, kw_only=True)
class _Block:
    """One block: its document, its kind, its index in the list of that kind, and its fields."""

    document: Document
    kind: str
    index: int
    fields: Map

    def text(self, field: str) -> str | None:
        """Return the text of a field, ``None`` if it has none."""
        value: Value = self.fields.get(field)
        return str(value) if isinstance(value, str) else None

    def address(self, field: str) -> str | None:
        """Return the address in a field, ``None`` if it is not an address."""
        value = self.text(field)
        return value if value is not None and is_address(value) else None

    def locate(self, *path: str | int) -> Location:
        """Return where the block is, or the value at a path below it."""
        return self.document.locate(("spec", self.kind, self.index, *path))


class _Advice:
    """Reports addresses without a manifest, the first few of them with a suggestion."""

    def __init__(self, declared: Iterable[str]) -> None:
        self._declared = list(declared)
        self._suggestions_left = MAX_SUGGESTIONS

    def not_declared(self, block: _Block, field: str, address: str) -> Diagnostic:
        """Return the diagnostic for an address without a manifest."""
        suggestion = ""
        if self._suggestions_left:
            self._suggestions_left -= 1
            suggestion = did_you_mean_address(address, self._declared)
        return Diagnostic(
            code="block-without-manifest",
            summary=f"{address} is not declared.",
            detail=f"{suggestion} Declare it, or remove this block.".strip(),
            location=block.locate(field),
        )


def check_blocks(
    documents: Sequence[Document], segments: Sequence[SegmentDeclaration]
) -> Iterator[Diagnostic]:
    """Check all blocks. A field of the wrong type is skipped; its model reports it."""
    declared = {segment_address(segment.name): segment for segment in segments}
    imports = list(_find_blocks(documents, "import"))
    moves = list(_find_blocks(documents, "moved"))
    removals = list(_find_blocks(documents, "removed"))
    yield from _check_empty(documents)
    yield from _check_repeated(imports, "address")
    yield from _check_repeated(imports, "ctSegmentId")
    yield from _check_repeated(moves, "from")
    yield from _check_repeated(moves, "to")
    yield from _check_repeated(removals, "address")
    advice = _Advice(declared)
    for block in imports:
        yield from _check_import(block, declared, advice)
    yield from _check_moves(moves, declared, advice)
    yield from _check_removals(removals, moves, declared)
    yield from _check_imported_and_moved(imports, moves)


def _find_blocks(documents: Sequence[Document], kind: str) -> Iterator[_Block]:
    for document in documents:
        if kind_of(document) == "Refactoring":
            items = lookup(document.data, "spec", kind)
            for index, item in enumerate(items if isinstance(items, Seq) else ()):
                if isinstance(item, Map):
                    yield _Block(document=document, kind=kind, index=index, fields=item)


def _check_empty(documents: Sequence[Document]) -> Iterator[Diagnostic]:
    for document in documents:
        spec = lookup(document.data, "spec")
        if kind_of(document) == "Refactoring" and isinstance(spec, Map) and not any(spec.values()):
            yield Diagnostic(
                code="no-blocks",
                summary="this Refactoring has no blocks.",
                detail="Add a block under import, moved or removed, or remove the document.",
                location=document.locate(("spec",)),
                severity=Severity.WARNING,
            )


def _check_repeated(blocks: Sequence[_Block], field: str) -> Iterator[Diagnostic]:
    first: dict[str, _Block] = {}
    for block in blocks:
        value = block.text(field)
        if value is not None and first.setdefault(value, block) is not block:
            yield Diagnostic(
                code="repeated-block",
                summary=f"two {block.kind} blocks have {field}: {value}.",
                detail=f"The first is at {first[value].locate()}. Remove one of them.",
                location=block.locate(field),
            )


def _check_import(
    block: _Block, declared: Mapping[str, SegmentDeclaration], advice: _Advice
) -> Iterator[Diagnostic]:
    address = block.address("address")
    own, by_number = block.text("customerSegmentId"), block.text("ctSegmentId")
    if own is not None and by_number is not None:
        yield Diagnostic(
            code="two-ids",
            summary="an import block has customerSegmentId and ctSegmentId.",
            detail="Keep customerSegmentId if the segment has one in CleverTap.",
            location=block.locate("ctSegmentId"),
        )
    if address is not None and address not in declared:
        yield advice.not_declared(block, "address", address)
    elif address is not None:
        segment = declared[address]
        if own is not None and own != segment.customer_segment_id:
            yield Diagnostic(
                code="other-customer-segment-id",
                summary=f'{address} is declared with customerSegmentId "'
                f'{segment.customer_segment_id}", and this block imports "{own}".',
                detail=f"Write the same in both; the segment is declared at {segment.location}.",
                location=block.locate("customerSegmentId"),
            )
        if segment.unmanaged and "members" in block.fields:
            yield Diagnostic(
                code="unmanaged-segment",
                summary=f"{address} has members: unmanaged, so its members are not recorded.",
                detail="Remove members here.",
                location=block.locate("members"),
            )
    sources = block.fields.get("members")
    for index, source in enumerate(sources if isinstance(sources, Seq) else ()):
        if isinstance(source, Map) and "segment" in source:
            yield Diagnostic(
                code="import-from-segment",
                summary="the members of another segment do not say who is in this one today.",
                detail="Use a list, a file, a query or a database.",
                location=block.locate("members", index, "segment"),
            )


def _check_moves(
    moves: Sequence[_Block], declared: Mapping[str, SegmentDeclaration], advice: _Advice
) -> Iterator[Diagnostic]:
    following: dict[str, _Block] = {}
    for block in moves:
        if (source := block.address("from")) is not None:
            following.setdefault(source, block)
    cycles = _find_cycles(following)
    for cycle in cycles:
        yield Diagnostic(
            code="moved-circle",
            summary=f"these moves form a cycle: {' → '.join(shorten_steps([*cycle, cycle[0]]))}.",
            detail="Remove one of the blocks.",
            location=following[cycle[0]].locate(),
        )
    in_cycles = {address for cycle in cycles for address in cycle}
    for block in moves:
        source, destination = block.address("from"), block.address("to")
        if source is None or destination is None or source in in_cycles:
            continue
        if source in declared:
            yield Diagnostic(
                code="moved-is-declared",
                summary=f"{source} moved to {destination}, and is still declared.",
                detail=f"It is declared at {declared[source].location}. Remove that manifest or "
                "this block.",
                location=block.locate("from"),
            )
        if destination not in declared and destination not in following:
            yield advice.not_declared(block, "to", destination)


def _find_cycles(following: Mapping[str, _Block]) -> list[list[str]]:
    """Return the addresses of each cycle of moves."""
    cycles: list[list[str]] = []
    done: set[str] = set()
    for start in following:
        chain: dict[str, int] = {}
        step: str | None = start
        while step is not None and step not in done and step not in chain:
            chain[step] = len(chain)
            block = following.get(step)
            step = block.address("to") if block else None
        if step in chain:
            cycles.append(list(chain)[chain[step] :])
        done.update(chain)
    return cycles


def _check_removals(
    removals: Sequence[_Block], moves: Sequence[_Block], declared: Mapping[str, SegmentDeclaration]
) -> Iterator[Diagnostic]:
    moved = {block.address(field): block for block in moves for field in ("from", "to")}
    for block in removals:
        address = block.address("address")
        if address is None:
            continue
        if address in declared:
            yield Diagnostic(
                code="removed-is-declared",
                summary=f"{address} is removed here, and is still declared.",
                detail=f"It is declared at {declared[address].location}. Remove that manifest or "
                "this block.",
                location=block.locate("address"),
            )
        elif address in moved:
            yield _both(block, "removed", "moved", moved[address])


def _check_imported_and_moved(
    imports: Sequence[_Block], moves: Sequence[_Block]
) -> Iterator[Diagnostic]:
    moved = {block.address("to"): block for block in moves}
    for block in imports:
        address = block.address("address")
        if address is not None and address in moved:
            yield _both(block, "imported", "moved", moved[address])


def _both(block: _Block, this: str, other: str, where: _Block) -> Diagnostic:
    address = block.address("address")
    return Diagnostic(
        code="two-blocks",
        summary=f"{address} is {this} here and {other} by another block.",
        detail=f"The other block is at {where.locate()}. Remove the one that was applied, or that "
        "is wrong.",
        location=block.locate("address"),
    )
