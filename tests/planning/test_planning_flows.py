"""The flows between segments that a plan shows."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from segctl.engine import flows
from segctl.plan.model import Action, Change, Flow, Target
from segctl.planning.flows import build_flows, number_segments
from tests.planning.unchanged_kit import Workspace

SEGMENT = """\
---
apiVersion: segctl/v1
kind: Segment
metadata: {{name: {name}}}
spec:
  displayName: {name}
  customerSegmentId: {key}
  guards: {{maxRemovePercent: 100, allowEmpty: true}}
  members: [{kind}: [{users}]]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "shop")


def declare(
    shop: Workspace, kind: str = "identities", keys: Mapping[str, str] | None = None, **users: str
) -> None:
    """Write a manifest for each segment; a word of ``users`` lists its users, one letter each."""
    documents = [
        SEGMENT.format(
            name=name, key=(keys or {}).get(name, name), kind=kind, users=", ".join(letters)
        )
        for name, letters in users.items()
    ]
    shop.write("segments.yaml", "".join(documents))


def shown(shop: Workspace) -> list[tuple[str, str, int]] | None:
    found = shop.plan().flows
    return None if found is None else [(f.leaves, f.joins, f.users) for f in found]


def test_the_largest_flows_come_first(shop: Workspace) -> None:
    declare(shop, silver="abcd", gold="e", bronze="fg")
    shop.apply()
    declare(shop, silver="df", gold="eabcg", bronze="")
    assert shown(shop) == [
        ("segment.silver", "segment.gold", 3),
        ("segment.bronze", "segment.gold", 1),
        ("segment.bronze", "segment.silver", 1),
    ]


def test_a_first_plan_and_an_unchanged_one_have_no_flows(shop: Workspace) -> None:
    declare(shop, silver="ab", gold="c")
    assert shown(shop) == []
    shop.apply()
    assert shown(shop) == []


def test_who_stays_in_a_replaced_segment_did_not_leave_it(shop: Workspace) -> None:
    declare(shop, silver="abc", gold="d")
    shop.apply()
    declare(shop, keys={"silver": "other-id"}, silver="ab", gold="dca")
    assert shop.plan().count(Action.REPLACE) == 1
    assert shown(shop) == [("segment.silver", "segment.gold", 1)]


def test_a_segment_at_a_new_address_is_left_by_nobody(shop: Workspace) -> None:
    declare(shop, silver="abc")
    shop.apply()
    declare(shop, keys={"argent": "silver"}, argent="abc")
    assert shown(shop) == []


def test_users_of_another_kind_are_other_users(shop: Workspace) -> None:
    declare(shop, silver="ab")
    shop.apply()
    declare(shop, "guids", silver="", gold="ab")
    assert shown(shop) == []


def test_requests_that_are_sent_again_are_no_flows(shop: Workspace) -> None:
    declare(shop, silver="ab", gold="c")
    shop.apply()
    declare(shop, silver="", gold="abc")
    shop.apply(lost=(0,))
    plan = shop.plan()
    assert plan.reasserted == 4
    assert plan.flows == ()


def test_too_many_flows_are_not_counted(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(shop, silver="ab", gold="c")
    shop.apply()
    declare(shop, silver="", gold="abc")
    monkeypatch.setattr(flows, "MAX_FLOWS", 0)
    assert shown(shop) is None


def change(address: str, target: int, action: Action = Action.UPDATE) -> Change:
    return Change(address=address, action=action, reason="", target=target)


def test_two_segments_of_an_address_that_have_members_are_left_out() -> None:
    target = Target(address="segment.a", customer_segment_id="a", display_name="A")
    twice = (change("segment.a", 0), change("segment.a", 1, Action.DESTROY))
    both = (target, replace(target, customer_segment_id="old"))
    assert number_segments(twice, both) == (-1, -1)
    assert number_segments(twice, (replace(target, create=True), both[1])) == (0, 0)


def test_flows_of_equal_size_are_in_the_order_of_their_addresses() -> None:
    changes = [change(f"segment.{name}", 0) for name in "cab"]
    assert build_flows(changes, {(2, 0): 5, (1, 0): 5, (0, 1): 9}) == (
        Flow(leaves="segment.a", joins="segment.b", users=9),
        Flow(leaves="segment.b", joins="segment.a", users=5),
        Flow(leaves="segment.c", joins="segment.a", users=5),
    )
