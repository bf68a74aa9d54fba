"""Every action on segments, as the service sees it."""

from pathlib import Path

import pytest

from segctl.core.errors import GuardRefused
from segctl.plan.model import Action, Plan
from tests.e2e.workshop import Workshop, identities, many, segment


def actions(plan: Plan) -> dict[str, Action]:
    return {change.address: change.action for change in plan.changes}


def applied(shop: Workshop, *manifests: str) -> Plan:
    """Declare and apply. Return the plan whose requests were sent."""
    shop.declare(*manifests)
    before = dict(shop.service.requests)
    plan = shop.apply().plan
    sent = {c: shop.service.requests[c] - before.get(c, 0) for c in ("create", "update")}
    assert sent == {"create": plan.requests.create, "update": plan.requests.update}
    shop.settled()
    return plan


def test_only_adds_and_removals_are_sent_and_only_once(shop: Workshop) -> None:
    applied(shop, segment("gold", *many(400)), segment("rest", *many(150)))
    shop.service.forget_requests()
    plan = applied(shop, segment("gold", *many(400, first=16)), segment("rest", *many(140)))
    assert (plan.members_add, plan.members_remove) == (16, 26)
    assert len(shop.service.changes) == 42
    assert shop.service.everyone() == {
        "gold": identities(*many(400, first=16)),
        "rest": identities(*many(140)),
    }


def test_a_hundred_and_one_segments_are_created_in_two_requests(shop: Workshop) -> None:
    plan = applied(shop, *(segment(f"s{n}", "x") for n in range(101)))
    assert plan.requests.create == 2
    assert sorted(map(len, shop.service.creates)) == [1, 100]
    assert len(shop.service.everyone()) == 101


def test_a_destroyed_segment_is_emptied_and_its_return_adopts_the_shell(shop: Workshop) -> None:
    gold = segment("gold", "a", "b", spec="customerSegmentId: SEG-1")
    applied(shop, gold)
    assert actions(applied(shop)) == {"segment.gold": Action.DESTROY}
    assert shop.service.everyone() == {}
    plan = applied(shop, gold)
    assert actions(plan) == {"segment.gold": Action.ADOPT}
    assert plan.requests.create == 0
    assert shop.service.members("SEG-1") == identities("a", "b")


def test_a_changed_customer_segment_id_moves_the_members_to_a_new_segment(shop: Workshop) -> None:
    applied(shop, segment("gold", "a", "b", spec="customerSegmentId: OLD"))
    plan = applied(shop, segment("gold", "b", "c", spec="customerSegmentId: NEW"))
    assert actions(plan) == {"segment.gold": Action.REPLACE}
    assert shop.service.everyone() == {"NEW": identities("b", "c")}
    plan = applied(shop, segment("gold", "b", spec="customerSegmentId: OLD"))
    assert plan.requests.create == 0
    assert shop.service.everyone() == {"OLD": identities("b")}


def test_a_changed_display_name_is_a_finding_and_no_request(shop: Workshop) -> None:
    applied(shop, segment("gold", "a"))
    shop.service.forget_requests()
    plan = applied(shop, segment("gold", "a").replace("The gold", "Golden"))
    assert [f.code for f in plan.findings] == ["no-rename"]
    assert not shop.service.requests
    assert shop.service.segments["gold"].segment_name == "The gold"


def test_a_moved_address_keeps_its_segment_and_sends_nothing(shop: Workshop) -> None:
    applied(shop, segment("gold", "a", spec="customerSegmentId: SEG-1"))
    shop.service.forget_requests()
    moved = segment("vip", "a", spec="customerSegmentId: SEG-1").replace("The vip", "The gold")
    assert actions(applied(shop, moved)) == {"segment.vip": Action.UPDATE}
    assert not shop.service.requests


def test_two_addresses_can_swap_their_segments(shop: Workshop) -> None:
    def both(one: str, two: str) -> tuple[str, str]:
        return (
            segment("a", "x", spec=f"customerSegmentId: {one}"),
            segment("b", "y", spec=f"customerSegmentId: {two}"),
        )

    applied(shop, *both("ONE", "TWO"))
    applied(shop, *both("TWO", "ONE"))
    assert shop.service.everyone() == {"TWO": identities("x"), "ONE": identities("y")}


def test_a_forgotten_segment_keeps_its_members(shop: Workshop) -> None:
    applied(shop, segment("gold", "a", spec="lifecycle: {onRemove: forget}"))
    shop.service.forget_requests()
    assert actions(applied(shop)) == {"segment.gold": Action.FORGET}
    assert not shop.service.requests
    assert shop.service.members("gold") == identities("a")


def test_a_protected_segment_is_not_destroyed_though_its_manifest_is_gone(shop: Workshop) -> None:
    applied(shop, segment("gold", "a", spec="lifecycle: {preventDestroy: true}"))
    shop.declare()
    ran = shop.run("apply", "--auto-approve")
    assert ran.code == 6
    assert "segment.gold is protected: it was applied with preventDestroy: true" in ran.err
    assert "Its manifest is gone" in ran.err
    assert shop.service.members("gold") == identities("a")


@pytest.mark.parametrize(
    ("after", "setting"),
    [([], "allowEmpty"), (many(69), "maxRemovePercent")],
    ids=["emptied", "shrunk"],
)
def test_a_guard_refuses_the_removal_of_too_many_members(
    shop: Workshop, after: list[str], setting: str
) -> None:
    applied(shop, segment("gold", *many(100)))
    shop.declare(segment("gold", *after))
    plan, apply = shop.run("plan"), shop.run("apply", "--auto-approve")
    assert (plan.code, apply.code) == (6, 6)
    assert f"spec.guards.{setting}" in apply.err
    assert shop.service.members("gold") == identities(*many(100))


def test_six_destroyed_segments_are_more_than_the_guard_allows(shop: Workshop) -> None:
    applied(shop, *(segment(f"s{n}", "x") for n in range(6)))
    shop.declare()
    with pytest.raises(GuardRefused, match="1 guard refused the plan"):
        shop.apply()
    assert len(shop.service.everyone()) == 6


def test_a_target_changes_nothing_else(shop: Workshop) -> None:
    applied(shop, segment("gold", "a"), segment("rest", "a"))
    shop.declare(segment("gold", "b"), segment("rest", "b"))
    shop.project("{guards: {allowEmpty: true}}")
    shop.apply(targets=("segment.go*",))
    assert shop.service.everyone() == {"gold": identities("b"), "rest": identities("a")}
    shop.apply()
    shop.settled()
    assert shop.service.members("rest") == identities("b")


def test_destroy_empties_everything_and_apply_fills_it_again(shop: Workshop) -> None:
    shop.declare(segment("gold", *many(30)), segment("rest", "a"))
    shop.apply()
    ran = shop.run("destroy", "--auto-approve")
    assert (ran.code, shop.service.everyone()) == (0, {})
    shop.apply()
    shop.settled()
    assert shop.service.members("gold") == identities(*many(30))
    assert len(shop.service.creates) == 1


def test_a_segment_that_becomes_unmanaged_keeps_its_members(shop: Workshop) -> None:
    applied(shop, segment("gold", "a"))
    applied(shop, segment("gold", spec="members: unmanaged"))
    assert shop.service.members("gold") == identities("a")
    applied(shop, segment("gold", "b", "a"))
    assert shop.service.members("gold") == identities("a", "b")


def test_a_target_that_swaps_its_segment_includes_the_other_address(shop: Workshop) -> None:
    applied(shop, segment("a", "x", spec="customerSegmentId: ONE"))
    shop.declare(
        segment("a", "x", spec="customerSegmentId: NEW"),
        segment("b", "x", spec="customerSegmentId: ONE").replace("The b", "Other"),
    )
    shop.apply(targets=("segment.a",))
    shop.apply()
    shop.settled()
    assert shop.service.everyone() == {"NEW": identities("x"), "ONE": identities("x")}


def test_a_saved_plan_sends_what_was_reviewed_after_its_sources_changed(shop: Workshop) -> None:
    shop.write("m.txt", "a\nb\n")
    shop.declare(segment("gold", spec="members: [{file: {path: m.txt}}]"))
    file = shop.root / "a.segplan"
    assert shop.run("plan", "--out", str(file)).code == 0
    shop.write("m.txt", "c\n")
    assert shop.run("apply", str(file)).code == 0
    assert shop.service.members("gold") == identities("a", "b")
    assert shop.run("apply", str(file)).code == 4


def test_a_saved_plan_is_stale_once_the_manifests_changed(shop: Workshop, tmp_path: Path) -> None:
    shop.declare(segment("gold", "a"))
    shop.plan(out=tmp_path / "a.segplan")
    shop.declare(segment("gold", "b"))
    ran = shop.run("apply", str(tmp_path / "a.segplan"))
    assert ran.code == 4
    assert "the manifests changed since the plan was made" in ran.err
    assert not shop.service.segments


def test_plans_of_the_same_inputs_have_the_same_digest(shop: Workshop, tmp_path: Path) -> None:
    shop.declare(segment("a", *many(20)), segment("b", "y", "x"))
    one = shop.plan()
    (shop.root / "segments.yaml").unlink()
    shop.write("2.yaml", segment("a", *many(20)))
    shop.write("1.yaml", "# a comment\n" + segment("b", "y", "x"))
    again = Workshop(
        root=shop.root.rename(tmp_path / "moved"), scratch=shop.scratch, service=shop.service
    )
    two = again.plan()
    assert one.digest == two.digest
    assert one.requests == two.requests
