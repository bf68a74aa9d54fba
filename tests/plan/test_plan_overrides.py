"""An override lets a plan go beyond a guard: up to its number, until its end, and said aloud."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.diagnostics import Severity
from segctl.manifests.limits import Guards, PlanGuards, PlanOverride, SegmentOverride
from segctl.plan.guards import GuardedChange, GuardedPlan, check_guards
from segctl.plan.model import Action, Attributes, Change, Finding, MemberCounts, Plan
from segctl.plan.overrides import OverrideClock, expired_overrides
from segctl.state.usage import MonthUsage

NOW = 1_800_000_000.0
CLOCK = OverrideClock(now=NOW, zone="Asia/Kolkata")
LIVE = SegmentOverride(until="2027-01-20", expires_at=NOW + 1, reason="a new score")
UNLIMITED = GuardedPlan()
STRICT = Guards(
    max_remove_percent=0, from_members=0, max_add=0, max_add_percent=0, max_new_shapes_percent=0
)


def change(
    *,
    before: int = 100,
    removed: int = 0,
    added: int = 0,
    allow: SegmentOverride | None = None,
    guards: Guards = STRICT,
    action: Action = Action.UPDATE,
    **facts: object,
) -> GuardedChange:
    after = Attributes(display_name="Gold", customer_segment_id="G", guards=guards, allow=allow)
    return GuardedChange(
        change=Change(
            address="segment.gold",
            action=action,
            reason="",
            after=after,
            members=MemberCounts(before=before, after=before - removed + added),
        ),
        members_removed=removed,
        members_added=added,
        is_protected=False,
        place="gold.yaml:3:9",
        **facts,  # type: ignore[arg-type]  # fields by name
    )


def found(*items: GuardedChange, plan: GuardedPlan = UNLIMITED) -> list[Finding]:
    return list(check_guards(items, plan, CLOCK))


def errors(*items: GuardedChange, plan: GuardedPlan = UNLIMITED) -> list[str]:
    return [f.code for f in found(*items, plan=plan) if f.severity is Severity.ERROR]


@given(removed=st.integers(1, 99), allowed=st.integers(0, 120))
def test_exactly_the_plans_with_at_most_so_many_removals_pass(removed: int, allowed: int) -> None:
    item = change(removed=removed, allow=replace(LIVE, removals=allowed))
    assert errors(item) == ([] if removed <= allowed else ["max-remove-percent"])


@given(added=st.integers(1, 300), allowed=st.integers(0, 300))
def test_exactly_the_plans_with_at_most_so_many_additions_pass(added: int, allowed: int) -> None:
    item = change(added=added, allow=replace(LIVE, additions=allowed))
    assert errors(item) == ([] if added <= allowed else ["max-add", "max-add-percent"])


@given(ahead=st.floats(-1e6, 1e6))
def test_exactly_until_its_end_an_override_counts(ahead: float) -> None:
    item = change(removed=5, allow=replace(LIVE, removals=5, expires_at=NOW + ahead))
    assert (errors(item) == []) == (NOW + ahead > NOW)


def test_an_override_that_is_used_is_a_warning_with_its_limit_end_and_reason() -> None:
    [finding] = found(change(removed=5, allow=replace(LIVE, removals=8)))
    assert (finding.severity, finding.code) == (Severity.WARNING, "override-used")
    assert finding.summary == (
        "segment.gold loses 5 of 100 members (5.0%): allowed up to 8 until 2027-01-20: a new score"
    )


def test_an_override_that_has_expired_or_is_not_needed_is_a_warning() -> None:
    expired = change(allow=replace(LIVE, removals=8, expires_at=NOW))
    unused = change(allow=replace(LIVE, removals=8), action=Action.NO_OP)
    assert [f.code for f in found(expired)] == ["override-expired"]
    assert [f.code for f in found(unused)] == ["override-not-needed"]
    assert found(expired)[0].detail.endswith("Remove allow in spec (gold.yaml:3:9).")


def test_a_refusal_prints_one_override_for_all_that_the_segment_needs() -> None:
    item = change(removed=5, added=7, new_shapes={"email": 7}, allow=replace(LIVE, removals=4))
    details = {f.detail.splitlines()[1] for f in found(item)}
    assert details == {
        '  allow: {removals: 5, additions: 7, newShapes: 7, until: 2027-01-22, reason: "..."}'
    }
    assert found(item)[0].summary.endswith("(0%); its override allows only removals: 4")


def test_a_segment_of_a_table_is_named_by_the_path_that_exists() -> None:
    item = replace(change(removed=5), path="spec.segments.gold", place="t.yaml:9:5")
    [finding] = found(item)
    assert "spec.segments.gold.guards.maxRemovePercent" in finding.summary
    assert "add this in spec.segments.gold (t.yaml:9:5), with the reason" in finding.detail


@pytest.mark.parametrize(
    ("allow", "passes"),
    [
        ({"removals": 100}, False),
        ({"empty": True}, True),
        ({"empty": True, "removals": 100}, True),
        ({"empty": True, "removals": 99}, False),
    ],
)
def test_only_empty_lets_a_segment_lose_everybody(allow: dict[str, int], passes: bool) -> None:
    item = change(removed=100, allow=replace(LIVE, **allow))  # type: ignore[arg-type]  # by name
    assert errors(item) == ([] if passes else ["allow-empty"])


def test_growth_is_compared_with_the_recorded_size() -> None:
    half = Guards(max_add_percent=50, from_members=10)
    assert errors(change(added=50, guards=half)) == []
    assert errors(change(added=51, guards=half)) == ["max-add-percent"]
    assert errors(change(before=9, added=900, guards=half)) == []  # fewer than fromMembers
    assert errors(change(before=0, added=900, guards=replace(half, from_members=0))) == []
    assert errors(change(before=0, added=11, guards=Guards(max_add=10))) == ["max-add"]
    assert errors(change(added=900, guards=STRICT, action=Action.CREATE)) == []


def test_new_shapes_are_a_share_of_the_added_members() -> None:
    guards = Guards(max_new_shapes_percent=10)
    assert errors(change(added=100, new_shapes={"email": 10}, guards=guards)) == []
    [finding] = found(change(added=100, new_shapes={"email": 10, "digits:3": 1}, guards=guards))
    assert finding.code == "max-new-shapes-percent"
    assert "look like no recorded member: email (10), digits:3 (1), more than" in finding.summary
    assert errors(change(before=9, added=9, new_shapes={"email": 9}, guards=guards)) == []


PLAN_OVERRIDE = PlanOverride(until="2027-01-20", expires_at=NOW + 1, reason="spring clean")


@given(own=st.integers(0, 50), earlier=st.integers(0, 50), limit=st.integers(0, 100))
def test_a_month_is_the_sum_of_its_plans(own: int, earlier: int, limit: int) -> None:
    plan = GuardedPlan(
        guards=PlanGuards(max_billable_events_per_month=limit, max_requests_per_month=limit),
        month=MonthUsage(month="2027-01", events=earlier, requests=earlier),
        events=own,
        requests=own,
    )
    is_refused = bool(own) and own + earlier > limit
    both = ["max-billable-events-per-month", "max-requests-per-month"]
    assert errors(plan=plan) == (both if is_refused else [])
    allow = replace(PLAN_OVERRIDE, billable_events_per_month=own + earlier, requests_per_month=99)
    plan = replace(plan, allow=allow)
    assert errors(plan=plan) == ([both[1]] if is_refused and own + earlier > 99 else [])


def test_a_whole_plan_is_limited_in_creates_destroys_events_and_requests() -> None:
    items = [
        change(action=Action.CREATE, is_created=True),
        replace(change(), change=replace(change().change, action=Action.DESTROY, after=None)),
    ]
    guards = PlanGuards(max_creates=0, max_billable_events=9, max_requests=1)
    plan = GuardedPlan(max_destroys=0, guards=guards, events=10, requests=2)
    assert errors(*items, plan=plan) == [
        *("max-destroys", "max-creates", "max-billable-events", "max-requests")
    ]
    allow = replace(PLAN_OVERRIDE, destroys=1, creates=1, billable_events=10, requests=2)
    assert errors(*items, plan=replace(plan, allow=allow)) == []


def test_an_override_that_was_used_and_expired_since_refuses_the_apply() -> None:
    item = change(removed=5, allow=replace(LIVE, removals=5))
    plan = Plan(
        lineage="", serial=0, account=None, host="", workspace_digest="", digest="",
        segctl_version="", changes=(item.change,), findings=tuple(found(item)), made_at=NOW,
    )  # fmt: skip
    assert list(expired_overrides(plan, now=NOW + 0.5)) == []
    [finding] = expired_overrides(plan, now=NOW + 1)
    assert (finding.severity, finding.address) == (Severity.ERROR, "segment.gold")
    unused = replace(plan, findings=())
    assert list(expired_overrides(unused, now=NOW + 1)) == []


def test_what_a_source_lost_cannot_be_proved_so_its_override_must_be_alive() -> None:
    item = change(allow=replace(LIVE, shrink_percent=50.0))
    plan = Plan(
        lineage="", serial=0, account=None, host="", workspace_digest="", digest="",
        segctl_version="", changes=(item.change,), made_at=NOW,
    )  # fmt: skip
    assert [f.code for f in expired_overrides(plan, now=NOW + 1)] == ["override-expired"]
