"""Blocks compared with the state: each case has a defined result."""

from dataclasses import replace

import pytest

from segctl.core.diagnostics import Location, Severity
from segctl.core.errors import InvalidInput
from segctl.manifests.desired import (
    Blocks,
    DesiredSegment,
    ImportBlock,
    Lifecycle,
    MovedBlock,
    RemovedBlock,
)
from segctl.manifests.limits import Guards
from segctl.plan.blocks import REMOVABLE, ResolvedBlocks, resolve_blocks
from segctl.state.model import SegmentRecord, State, Tombstone

PLACE = Location(file="refactoring.yaml", line=4, column=7)


def declared(name: str, key: str = "") -> DesiredSegment:
    return DesiredSegment(
        address=f"segment.{name}",
        display_name=name,
        customer_segment_id=key or name,
        labels={},
        managed=True,
        guards=Guards(),
        lifecycle=Lifecycle(),
        location=Location(file="segments.yaml", line=1),
    )


def record(key: str | None, number: int | None = None) -> SegmentRecord:
    return SegmentRecord(
        customer_segment_id=key, ct_segment_id=number, declared_name="n", remote_name="n"
    )


def state(buried: str = "", /, **records: SegmentRecord) -> State:
    tombstones = (
        (Tombstone(address=f"segment.{buried}", record=record(buried), destroyed_at=1.0),)
        if buried
        else ()
    )
    segments = {f"segment.{name}": known for name, known in records.items()}
    return State(lineage="l", serial=1, segments=segments, tombstones=tombstones)


def move(source: str, destination: str) -> Blocks:
    block = MovedBlock(
        source=f"segment.{source}", destination=f"segment.{destination}", location=PLACE
    )
    return Blocks(moves=(block,))


def adopt(name: str, key: str = "", number: int | None = None) -> Blocks:
    block = ImportBlock(
        address=f"segment.{name}",
        customer_segment_id=key or name,
        ct_segment_id=number,
        location=PLACE,
    )
    return Blocks(imports=(block,))


def remove(name: str) -> Blocks:
    block = RemovedBlock(address=f"segment.{name}", on_remove="forget", location=PLACE)
    return Blocks(removals=(block,))


def codes(resolved: ResolvedBlocks) -> list[str]:
    return [finding.code for finding in resolved.findings]


def test_a_record_moves_with_everything_that_it_has() -> None:
    known = replace(record("a"), labels={"team": "growth"})
    resolved = resolve_blocks(move("a", "b"), [declared("b", "a")], state(a=known))
    assert resolved.state.segments == {"segment.b": known}
    assert resolved.moves == {"segment.b": ("segment.a", PLACE)}
    assert codes(resolved) == []


def test_a_chain_of_moves_is_followed_from_the_middle() -> None:
    chain = Blocks(moves=(*move("a", "b").moves, *move("b", "c").moves))
    resolved = resolve_blocks(chain, [declared("c", "a")], state(b=record("a")))
    assert list(resolved.state.segments) == ["segment.c"]
    assert codes(resolved) == [REMOVABLE]


@pytest.mark.parametrize("occupied", ["b", "c"])
def test_no_step_of_a_chain_may_be_recorded(occupied: str) -> None:
    chain = Blocks(moves=(*move("a", "b").moves, *move("b", "c").moves))
    there = state(**{"a": record("a"), occupied: record("other")})
    with pytest.raises(InvalidInput) as caught:
        resolve_blocks(chain, [declared("c", "a")], there)
    assert "moved-onto-record" in [d.code for d in caught.value.diagnostics]


def test_a_move_of_a_segment_without_an_id_checks_the_id_that_it_would_get() -> None:
    there = state(a=record(None, 7), other=record("b"))
    with pytest.raises(InvalidInput) as caught:
        resolve_blocks(move("a", "b"), [declared("b")], there)
    assert "is recorded at segment.other" in caught.value.diagnostics[0].summary


def test_an_import_of_what_is_recorded_can_be_removed() -> None:
    assert codes(resolve_blocks(adopt("a"), [declared("a")], state(a=record("a")))) == [REMOVABLE]
    by_number = state(a=record("a", 7))
    assert codes(resolve_blocks(adopt("a", number=7), [declared("a")], by_number)) == [REMOVABLE]


@pytest.mark.parametrize("known", [record("other"), record(None, 8), record("other", 8)])
def test_an_import_of_another_segment_at_the_address_is_an_error(known: SegmentRecord) -> None:
    for blocks in (adopt("a"), adopt("a", number=7)):
        with pytest.raises(InvalidInput) as caught:
            resolve_blocks(blocks, [declared("a")], state(a=known))
        assert caught.value.diagnostics[0].code == "imported-other-id"


def test_an_import_of_what_another_address_has_is_an_error() -> None:
    for blocks, there in (
        (adopt("a"), state(b=record("a"))),
        (adopt("a", number=7), state(b=record("b", 7))),
        (adopt("a", number=7), state(b=record("a", 8))),
    ):
        with pytest.raises(InvalidInput) as caught:
            resolve_blocks(blocks, [declared("a")], there)
        assert caught.value.diagnostics[0].code == "imported-twice"


def test_an_import_takes_the_place_of_a_tombstone() -> None:
    resolved = resolve_blocks(adopt("a"), [declared("a")], state("a"))
    assert list(resolved.state.segments) == ["segment.a"]
    assert resolved.state.tombstones == ()


def test_a_removal_of_what_is_not_recorded_can_be_removed() -> None:
    for there in (state(), state("old"), state(unlike=record("unlike"))):
        resolved = resolve_blocks(remove("old"), [], there)
        assert (codes(resolved), resolved.removals) == ([REMOVABLE], {})


def test_a_removal_that_may_have_a_typing_error_is_a_warning() -> None:
    resolved = resolve_blocks(remove("silvr"), [], state(silver=record("silver")))
    assert [f.severity for f in resolved.findings] == [Severity.WARNING]
    assert resolved.findings[0].detail.startswith('Did you mean "segment.silver"?')


def test_findings_are_about_the_targets() -> None:
    there = state(a=record("a"))
    assert codes(resolve_blocks(adopt("a"), [declared("a")], there, patterns=["b*"])) == []
    assert codes(resolve_blocks(adopt("a"), [declared("a")], there, patterns=["a"])) == [REMOVABLE]
