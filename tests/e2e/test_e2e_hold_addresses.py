"""Segments that are left out while they, or their addresses, move."""

from dataclasses import replace

import pytest

from segctl.core.errors import OperationError, WrongUsage
from segctl.planning.proof import prove_record
from segctl.workflows.state import read_state
from tests.e2e.test_e2e_blocks import moved
from tests.e2e.test_e2e_hold import held
from tests.e2e.workshop import Workshop, many, segment


def take_over(shop: Workshop) -> None:
    """Declare the recorded gold, which loses most members, as renamed, and another one as gold."""
    shop.declare(segment("gold", *many(100)), segment("vip", "a@x.de"))
    shop.apply()
    shop.declare(
        segment("renamed", *many(10), spec="customerSegmentId: gold"),
        segment("gold", "n@x.de", spec="customerSegmentId: gold2"),
        segment("vip", "b@x.de"),
    )


def test_no_segment_takes_over_the_address_where_a_held_one_stays(shop: Workshop) -> None:
    take_over(shop)
    before = read_state(shop.context()).segments["segment.gold"]
    assert held(shop.apply(hold=True).plan) == {
        "segment.renamed": "max-remove-percent",
        "segment.gold": "exchanges-address",
    }
    assert read_state(shop.context()).segments["segment.gold"] == before


def test_no_segment_takes_over_the_address_where_an_excluded_one_stays(shop: Workshop) -> None:
    take_over(shop)
    with pytest.raises(WrongUsage, match=r"segment\.gold exchanges its address"):
        shop.plan(excluded=("renamed",))
    assert len(shop.plan(excluded=("renamed", "gold")).changes) == 1


def test_a_saved_plan_that_loses_a_record_is_refused(shop: Workshop) -> None:
    take_over(shop)
    plan, state = shop.plan(), read_state(shop.context())
    prove_record(plan, state)
    [left] = [change for change in plan.changes if change.address == "segment.renamed"]
    changes = [change for change in plan.changes if change is not left]
    targets = [plan.targets[c.target] for c in changes if c.target is not None]
    forged = replace(
        plan,
        changes=tuple(replace(c, target=index) for index, c in enumerate(changes)),
        targets=tuple(targets),
    )
    with pytest.raises(OperationError, match="other figures of the past"):
        prove_record(forged, state)


@pytest.mark.parametrize("left_out", ["hold", "target", "exclude"])
def test_what_is_known_of_an_opt_out_stays_if_the_move_of_its_segment_waits(
    shop: Workshop, left_out: str
) -> None:
    def declare(name: str, *members: str, vip: str) -> None:
        shop.declare(
            segment(
                name,
                *members,
                spec="customerSegmentId: gold\nexclude: [{file: {path: out.txt}}]",
            ),
            segment("vip", vip),
            *([moved("gold", "renamed")] if name == "renamed" else []),
        )

    shop.write("out.txt", "x@x.de\n")
    declare("gold", *many(100), "x@x.de", vip="a@x.de")
    shop.apply()
    declare("renamed", *many(10), "x@x.de", vip="b@x.de")
    shop.apply(
        hold=left_out == "hold",
        targets=("vip",) if left_out == "target" else (),
        excluded=("renamed",) if left_out == "exclude" else (),
    )
    shop.write("out.txt", "other@x.de\n")
    declare("renamed", *many(100), "x@x.de", vip="b@x.de")
    assert [finding.code for finding in shop.plan().error_findings] == ["max-shrink-percent"]
