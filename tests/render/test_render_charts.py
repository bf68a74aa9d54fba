"""The charts: what is gathered still counts, and every band and bar has the right size."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.plan.model import Change, Flow
from segctl.render.charts import MAX_BARS, composition, draw_flows, size_bars
from tests.render.report_plans import COUNCIL, FLOWS, GOLD, LOYAL, SILVER, SPRING, large_plan

names = st.integers(0, 30).map(lambda n: f"segment.s{n}")
flows = st.lists(
    st.builds(Flow, leaves=names, joins=names, users=st.integers(1, 10**6)),
    min_size=1,
    unique_by=lambda flow: (flow.leaves, flow.joins),
)


@given(flows)
def test_the_diagram_counts_every_user_once_a_side(drawn: list[Flow]) -> None:
    diagram = draw_flows(drawn)
    assert diagram
    total = sum(flow.users for flow in drawn)
    for part in (diagram.left, diagram.right, diagram.bands):
        assert sum(item.users for item in part) == total


@given(flows)
def test_nodes_do_not_overlap_and_stay_in_the_picture(drawn: list[Flow]) -> None:
    diagram = draw_flows(drawn)
    assert diagram
    for nodes in (diagram.left, diagram.right):
        for upper, lower in pairwise(nodes):
            assert upper.y + upper.height <= lower.y
        assert nodes[0].y >= 0
        assert nodes[-1].y + nodes[-1].height <= diagram.height + 0.1


def test_a_small_diagram_names_every_segment() -> None:
    diagram = draw_flows(FLOWS)
    assert diagram
    assert [node.address for node in diagram.left] == [
        "segment.bronze",
        "segment.silver",
        "segment.spring-sale",
        "segment.gold",
    ]
    assert len(diagram.bands) == len(FLOWS)


def test_small_moves_are_gathered() -> None:
    diagram = draw_flows(large_plan().flows or ())
    assert diagram
    assert diagram.left[-1].address is diagram.right[-1].address is None
    assert len(diagram.left) <= 11


def test_no_moves_make_no_diagram() -> None:
    assert draw_flows(()) is None


def test_the_sizes_of_the_most_changed_segments_are_drawn() -> None:
    bars = size_bars([GOLD, LOYAL, SPRING])
    assert [(bar.index, bar.before, bar.after) for bar in bars] == [
        (2, 64.32, 0.0),
        (0, 95.15, 100.0),
    ]
    assert len(size_bars(large_plan().changes)) == MAX_BARS


@pytest.mark.parametrize("change", [GOLD, SILVER, SPRING, COUNCIL])
def test_the_shares_of_a_segment_are_a_whole(change: Change) -> None:
    shares = composition(change)
    assert shares
    assert shares.kept + shares.gone + shares.new == pytest.approx(100, abs=0.02)


def test_a_segment_whose_members_stay_has_no_shares() -> None:
    assert composition(LOYAL) is None
