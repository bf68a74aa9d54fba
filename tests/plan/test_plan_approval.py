"""What today's plan may do on an approval: what the approved plan does, or less of it."""

from dataclasses import replace

import pytest

from segctl.core.approval import (
    APPROVAL_SECONDS,
    MAX_APPROVALS,
    ApprovalCheck,
    ApprovalTolerance,
    ApprovalUse,
    PairCounts,
)
from segctl.core.errors import StalePlan
from segctl.core.outcomes import Ledger
from segctl.manifests.limits import Freeze, PlanGuards, PlanOverride, SegmentOverride
from segctl.plan.approval import check_approval
from segctl.plan.model import Action, Attributes, Change, MemberCounts, Plan, Target
from segctl.planning.approval import check_usable
from segctl.session.advance import record_approval
from segctl.state.model import EMPTY_STATE, State

GOLD = Change(
    address="segment.gold",
    action=Action.UPDATE,
    reason="",
    after=Attributes(display_name="Gold", customer_segment_id="G"),
    members=MemberCounts(before=100, after=101, add=1),
    target=0,
)
TARGET = Target(address="segment.gold", customer_segment_id="G", display_name="Gold")
PLAN = Plan(
    lineage="L",
    serial=1,
    account="A",
    host="https://in1",
    workspace_digest="",
    digest="sha256:" + "1" * 64,
    segctl_version="",
    changes=(GOLD,),
    targets=(TARGET,),
    made_at=1e9,
)
COUNTS = {("G", "ADD"): PairCounts(approved=1, sent=1)}
SEGMENT_OVERRIDE = SegmentOverride(until="2099-01-01", expires_at=4e9, reason="r", removals=9)
OVERRIDE = PlanOverride(until="2099-01-01", expires_at=4e9, reason="r", destroys=9)


def check(approved: Plan, today: Plan) -> ApprovalCheck:
    return check_approval(approved, today, COUNTS, {})


STRICTER = {
    "a guard is lower": (
        replace(PLAN, guards=PlanGuards(max_requests=6)),
        replace(PLAN, guards=PlanGuards(max_requests=5)),
        "a limit of spec.guards is higher",
    ),
    "a guard is added": (
        PLAN,
        replace(PLAN, guards=PlanGuards(max_billable_events_per_month=5)),
        None,  # the other way round, it is missing
    ),
    "fewer destroys": (
        PLAN,
        replace(PLAN, max_destroys=4),
        r"maxDestroys is 5, and 4 was approved",
    ),
    "a freeze is added": (
        PLAN,
        replace(PLAN, freezes=(Freeze(days=("sat",)),)),
        "a change freeze that was approved is missing",
    ),
    "an override is gone": (
        replace(PLAN, allow=OVERRIDE),
        PLAN,
        "spec.allow is not the override",
    ),
}


@pytest.mark.parametrize(("approved", "today", "problem"), STRICTER.values(), ids=STRICTER)
def test_a_plan_may_have_stricter_limits_than_approved_and_no_looser_ones(
    approved: Plan, today: Plan, problem: str | None
) -> None:
    assert not check(approved, today).is_beyond
    [found] = check(today, approved).problems
    assert (problem or "spec.guards is higher than was approved, or missing") in found


def test_another_override_of_the_plan_is_not_approved() -> None:
    approved = replace(PLAN, allow=OVERRIDE)
    for other in (replace(OVERRIDE, destroys=10), replace(OVERRIDE, expires_at=5e9)):
        assert check(approved, replace(PLAN, allow=other)).is_beyond


@pytest.mark.parametrize("was", [None, replace(SEGMENT_OVERRIDE, removals=8)])
def test_another_override_of_a_segment_is_not_approved(was: SegmentOverride | None) -> None:
    def with_override(allow: SegmentOverride | None) -> Plan:
        after = replace(GOLD.after, allow=allow) if GOLD.after else None
        return replace(PLAN, changes=(replace(GOLD, after=after),))

    approved = with_override(was)
    [found] = check(approved, with_override(SEGMENT_OVERRIDE)).beyond
    assert found.problems == ("its override is not the one that was approved",)
    assert not check(approved, with_override(None)).is_beyond


def test_a_segment_that_is_sent_and_not_shown_is_not_approved() -> None:
    counts = {**COUNTS, ("HIDDEN", "ADD"): PairCounts(approved=1, sent=1)}
    found = check_approval(PLAN, PLAN, counts, {})
    assert found.problems == ("it sends changes of a segment that it does not show",)


def test_a_create_under_another_name_is_not_approved() -> None:
    create = replace(PLAN, changes=(replace(GOLD, action=Action.CREATE),))
    approved = replace(create, targets=(replace(TARGET, create=True),))
    today = replace(create, targets=(replace(TARGET, create=True, display_name="Silver"),))
    [found] = check(approved, today).beyond
    assert found.problems == ("it would be created, which was not approved",)


def test_a_segment_at_another_address_is_not_approved() -> None:
    moved = replace(GOLD, address="segment.vip")
    today = replace(PLAN, changes=(moved,), targets=(replace(TARGET, address="segment.vip"),))
    [found] = check(PLAN, today).beyond
    assert found.problems == ("it would move from segment.gold, which was not approved",)


@pytest.mark.parametrize(
    ("percent", "members", "limit"),
    [(None, None, 0), (5, None, 5), (None, 7, 7), (5, 7, 5), (50, 7, 7), (0, 7, 0), (1.9, None, 1)],
)
def test_both_limits_of_a_tolerance_hold(
    percent: float | None, members: int | None, limit: int
) -> None:
    assert ApprovalTolerance(percent=percent, members=members).limit(101) == limit


def use(approved: Plan, *, state: State = EMPTY_STATE, account: str = "A", host: str = "") -> None:
    check_usable(
        approved, replace(state, lineage="L"), account=account, host=host or PLAN.host, now=1e9
    )


def test_an_approval_counts_for_its_account_its_host_and_its_state_alone() -> None:
    use(PLAN)
    use(replace(PLAN, account=None))  # nobody knew it
    use(replace(PLAN, lineage=""))  # there was no state
    with pytest.raises(StalePlan, match="approved for account A, and this is B"):
        use(PLAN, account="B")
    with pytest.raises(StalePlan, match="approved for https://in1, and this is https://eu1"):
        use(PLAN, host="https://eu1")
    with pytest.raises(StalePlan, match="approved for another state"):
        use(replace(PLAN, lineage="M"))


@pytest.mark.parametrize(("age", "is_usable"), [(APPROVAL_SECONDS, True), (None, False)])
def test_an_approval_counts_for_exactly_its_time(age: float | None, *, is_usable: bool) -> None:
    old = replace(PLAN, made_at=1e9 - (age or APPROVAL_SECONDS + 1))
    if is_usable:
        use(old)
    else:
        with pytest.raises(StalePlan, match="30 days ago"):
            use(old)


def test_of_the_used_approvals_the_latest_are_remembered() -> None:
    known = {f"old-{at:04}": ApprovalUse(at=float(at)) for at in range(MAX_APPROVALS)}
    state = replace(EMPTY_STATE, approvals=known)
    plan = replace(PLAN, approved="new")
    after = record_approval(state, plan, Ledger(), now=1e9, finished=True)
    assert after.keys() == {*known, "new"} - {"old-0000"}
    assert after["new"].finished
