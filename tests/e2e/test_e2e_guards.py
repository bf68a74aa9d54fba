"""Overrides, months and change freezes, from manifests to what is sent."""

from dataclasses import replace

import pytest

from segctl.core.errors import AppliedInPart, GuardRefused, OperationError, SegctlError
from segctl.core.events import Event, RequestDone
from segctl.core.stop_signal import StopSignal
from segctl.manifests.limits import Freeze, PlanGuards
from segctl.plan.model import Plan
from segctl.planning.proof import prove_record, prove_settings
from segctl.state.model import State
from segctl.state.usage import MonthUsage
from segctl.workflows.apply import apply_workspace
from segctl.workflows.plan import plan_workspace
from segctl.workflows.state import read_state
from segctl.workflows.validate import load_desired
from tests.clocks import SwiftClock
from tests.e2e.outside_answers import BROKEN, CUT_AFTER, Fault, always, no_faults
from tests.e2e.workshop import Workshop, identities, many, segment

DAY = 86_400.0
# The clock of a Workshop begins on Friday, 15 January 2027, at 8:00 in UTC.
ALLOW = "allow: {removals: 60, until: 2027-01-16, reason: a new score}"


def state_of(shop: Workshop) -> State:
    return read_state(shop.context())


def shrunk(shop: Workshop, *, left: int, spec: str = ALLOW) -> None:
    """Apply a segment of 100 members, and declare it with fewer."""
    shop.declare(segment("gold", *many(100)))
    shop.apply()
    shop.declare(segment("gold", *many(left), spec=spec))


@pytest.mark.parametrize("left", [39, 40])
def test_an_override_lets_through_what_it_says_and_no_more(shop: Workshop, left: int) -> None:
    shrunk(shop, left=left)
    if left < 40:
        with pytest.raises(GuardRefused):
            shop.apply()
    else:
        shop.apply()
        assert [f.code for f in shop.plan().findings] == ["override-not-needed"]
    assert len(shop.service.everyone()["gold"]) == (100 if left < 40 else 40)


def test_a_plan_whose_override_expired_since_is_refused(shop: Workshop) -> None:
    shrunk(shop, left=40)
    plan = shop.scratch / "a.segplan"
    shop.plan(out=plan)
    shop.clock.wait(2 * DAY)
    with pytest.raises(GuardRefused) as caught:
        shop.apply(file=plan)
    assert caught.value.findings[0].summary == (
        "the override of segment.gold expired (2027-01-16) after the plan was made"
    )
    assert len(shop.service.everyone()["gold"]) == 100


def test_an_override_that_expires_while_a_plan_is_read_lets_nothing_through(
    shop: Workshop,
) -> None:
    shrunk(shop, left=40)

    def answer_late(plan: Plan) -> bool:
        shop.clock.wait(2 * DAY)
        return bool(plan.changes)

    with pytest.raises(GuardRefused, match="1 guard refused"):
        apply_workspace(shop.context(), variables={}, approve=answer_late, stop=StopSignal())
    assert len(shop.service.everyone()["gold"]) == 100


def test_growth_and_unknown_shapes_are_refused(shop: Workshop) -> None:
    shop.project("{guards: {maxAddPercent: 50, maxNewShapesPercent: 5}}")
    shop.declare(segment("gold", *many(100)))
    shop.apply()
    [record] = state_of(shop).segments.values()
    assert record.shapes
    assert record.shapes.counts == {"email": 100}
    shop.declare(segment("gold", *many(100), *(f"{n:08}" for n in range(51))))
    codes = {f.code for f in shop.plan().error_findings}
    assert codes == {"max-add-percent", "max-new-shapes-percent"}
    shop.declare(segment("gold", *many(148), "12345678", "23456789"))
    shop.apply()
    [record] = state_of(shop).segments.values()
    assert record.shapes
    assert record.shapes.counts == {"email": 148, "digits:8": 2}


def test_shapes_are_counted_once_the_guard_is_set(shop: Workshop) -> None:
    shop.declare(segment("gold", *many(100)))
    shop.apply()
    [record] = state_of(shop).segments.values()
    assert record.shapes is None
    shop.project("{guards: {maxNewShapesPercent: 5}}")
    shop.declare(segment("gold", *many(100), "12345678"))
    [finding] = shop.plan().error_findings
    assert "look like no recorded member: digits:8 (1)" in finding.summary


# Months


def test_a_month_counts_what_was_sent_once_and_a_new_month_begins_at_zero(shop: Workshop) -> None:
    shop.project("{guards: {maxBillableEventsPerMonth: 150}}")
    shop.declare(segment("gold", *many(100)))
    shop.apply()
    assert state_of(shop).usage == (MonthUsage(month="2027-01", requests=2, events=100),)
    shop.declare(segment("gold", *many(151)))
    with pytest.raises(GuardRefused) as caught:
        shop.apply()
    assert "and with the 100 of earlier plans 151 in 2027-01" in caught.value.findings[0].summary
    shop.clock.wait(31 * DAY)
    shop.apply()
    assert [usage.events for usage in state_of(shop).usage] == [100, 51]


@pytest.mark.parametrize("fault", [BROKEN, CUT_AFTER], ids=lambda fault: fault.name)
def test_what_got_no_answer_counts_and_counts_again_when_it_is_sent_again(
    shop: Workshop, fault: Fault
) -> None:
    shop.declare(segment("gold", *many(100)))
    shop.service.faults = always(fault, call="update")
    with pytest.raises(AppliedInPart):
        shop.apply()
    assert state_of(shop).usage[0].events == 100
    shop.service.faults = no_faults
    shop.apply()
    assert state_of(shop).usage[0].events == 200


def test_a_run_with_wrong_credentials_counts_nothing(shop: Workshop) -> None:
    shop.declare(segment("gold", *many(10)))
    with pytest.raises(SegctlError):
        apply_workspace(
            shop.context(CLEVERTAP_PASSCODE="wrong"),
            variables={},
            approve=lambda plan: bool(plan.changes),
            stop=StopSignal(),
        )
    assert state_of(shop).usage == ()


# Change freezes


def test_a_freeze_is_shown_and_refuses_the_apply_until_it_ends(shop: Workshop) -> None:
    shop.project("{changeFreeze: [{from: 2027-01-15, to: 2027-01-16, reason: a launch}]}")
    shop.declare(segment("gold", "a"))
    plan = shop.scratch / "a.segplan"
    shown = shop.plan(out=plan)
    assert not shown.error_findings
    assert "change-freeze" in {f.code for f in shown.findings}
    with pytest.raises(GuardRefused) as caught:
        shop.apply(file=plan)
    [finding] = caught.value.findings
    assert finding.summary == "changes are frozen until 2027-01-17 00:00 (UTC): a launch"
    shop.clock.wait(2 * DAY)
    shop.apply(file=plan)
    assert shop.service.everyone() == {"gold": identities("a")}


def test_an_override_lets_a_plan_through_a_freeze(shop: Workshop) -> None:
    allow = "allow: {freeze: true, until: 2027-01-15, reason: an outage}"
    shop.project(f"{{changeFreeze: [{{days: [fri, sat]}}], {allow}}}")
    shop.declare(segment("gold", "a"))
    assert "freeze-override-used" in {f.code for f in shop.plan().findings}
    shop.apply()
    shop.declare(segment("gold", "a", "b"))
    shop.clock.wait(DAY)  # Saturday, when the override has expired
    with pytest.raises(GuardRefused):
        shop.apply()


def test_nothing_is_refused_that_would_send_nothing(shop: Workshop) -> None:
    shop.declare(segment("gold", "a"))
    shop.apply()
    shop.project("{changeFreeze: [{days: [fri]}]}")
    shop.apply()
    shop.settled()


class Slow(list[Event]):
    """Events of a service whose every answer takes ten minutes."""

    def __init__(self, clock: SwiftClock) -> None:
        super().__init__()
        self.clock = clock

    def append(self, event: Event) -> None:
        super().append(event)
        if isinstance(event, RequestDone):
            self.clock.wait(600)


def test_an_apply_stops_when_a_freeze_begins_and_goes_on_afterwards(shop: Workshop) -> None:
    shop.project('{changeFreeze: [{daily: "09:00-17:00", reason: office hours}]}')
    shop.declare(segment("gold", *many(1_200)))
    plan = shop.scratch / "a.segplan"
    shop.plan(out=plan)
    with pytest.raises(AppliedInPart) as caught:
        shop.apply(file=plan, events=Slow(shop.clock))
    assert caught.value.message == (
        "changes are frozen until 2027-01-15 17:00 (UTC): office hours; "
        "what was acknowledged is recorded"
    )
    with pytest.raises(GuardRefused):
        shop.apply(file=plan)
    shop.clock.wait(8 * 3600)
    shop.apply(file=plan)
    shop.settled()
    assert state_of(shop).usage[0].events == 1_200


# Environments


def test_an_environment_has_limits_overrides_and_freezes_of_its_own(shop: Workshop) -> None:
    shop.project(
        "{guards: {maxCreates: 5}, changeFreeze: [{days: [fri]}], environments: {"
        "staging: {state: {path: a}, changeFreeze: []}, production: {state: {path: b}, "
        "guards: {maxCreates: 0}, allow: {creates: 1, until: 2027-01-16, reason: a start}}}}"
    )
    shop.declare(segment("gold", "a"))
    plans = {
        name: plan_workspace(replace(shop.context(), env_name=name), variables={}).plan
        for name in ("staging", "production")
    }
    codes = {name: {f.code for f in plan.findings} for name, plan in plans.items()}
    assert plans["staging"].guards.max_creates == 5
    assert not codes["staging"] & {"change-freeze", "override-used"}
    assert codes["production"] >= {"change-freeze", "override-used"}
    assert not plans["production"].error_findings


# Saved plans


def test_a_saved_plan_with_other_limits_than_the_manifests_is_refused(shop: Workshop) -> None:
    shop.declare(segment("gold", "a"))
    desired = load_desired(shop.context(), {})
    plan = shop.plan()
    prove_settings(plan, desired)
    for forged in (
        replace(plan, max_destroys=6),
        replace(plan, guards=PlanGuards(max_creates=9)),
        replace(plan, freezes=(Freeze(days=("mon",)),)),
        replace(plan, time_zone="Asia/Kolkata"),
    ):
        with pytest.raises(OperationError, match="other limits or attributes"):
            prove_settings(forged, desired)


def test_a_saved_plan_with_another_past_than_the_state_is_refused(shop: Workshop) -> None:
    shop.project("{guards: {maxNewShapesPercent: 5, maxRequestsPerMonth: 9}}")
    shop.declare(segment("gold", *many(20)))
    shop.apply()
    shop.declare(segment("gold", *many(21)))
    plan, state = shop.plan(), state_of(shop)
    prove_record(plan, state)
    shapes = {a: replace(s, counts={"digits:8": 20}) for a, s in plan.shapes.items()}
    for forged in (
        replace(plan, month=MonthUsage(month="2027-01")),
        replace(plan, shapes=shapes),
    ):
        with pytest.raises(OperationError, match="other figures of the past"):
            prove_record(forged, state)
