"""How segctl handles a service that fails in every known way."""

from collections import Counter

import pytest

from segctl.core.errors import AppliedInPart, CredentialsRefused, NothingApplied
from segctl.core.events import Event, RateLimited, Settling
from tests.e2e.outside_answers import (
    BROKEN,
    BROKEN_AFTER,
    CUT_AFTER,
    CUT_BEFORE,
    EMPTY,
    FAULTS,
    NO_SUCCESS,
    SLOW,
    THROTTLED,
    Chances,
    Fault,
    always,
    answer,
    failure,
    no_faults,
)
from tests.e2e.outside_service import PASSCODE
from tests.e2e.workshop import Workshop, identities, many, segment

UNSURE = (BROKEN, BROKEN_AFTER, CUT_BEFORE, CUT_AFTER, EMPTY, NO_SUCCESS)


def named(fault: Fault) -> str:
    return fault.name


@pytest.mark.parametrize("fault", FAULTS, ids=named)
def test_one_apply_recovers_from_a_passing_fault(shop: Workshop, fault: Fault) -> None:
    shop.service.faults = always(fault, times=3)
    shop.declare(segment("gold", *many(450)), segment("rest", *many(20)))
    shop.apply()
    shop.service.faults = always(
        fault, call="update", first=shop.service.requests["update"], times=3
    )
    shop.declare(segment("gold", *many(450, first=100)), segment("rest", *many(20)))
    shop.apply()
    shop.settled()
    assert shop.service.everyone() == {
        "gold": identities(*many(450, first=100)),
        "rest": identities(*many(20)),
    }


@pytest.mark.parametrize("fault", UNSURE, ids=named)
def test_a_lasting_fault_leaves_changes_that_the_next_apply_sends_again(
    shop: Workshop, fault: Fault
) -> None:
    shop.declare(segment("gold", *many(150)))
    shop.service.faults = always(fault, call="update")
    with pytest.raises(AppliedInPart, match="2 requests without an answer"):
        shop.apply()
    shop.service.faults = no_faults
    plan = shop.plan()
    assert (plan.members_add, plan.reasserted) == (0, 150)
    shop.apply()
    shop.settled()
    assert shop.service.members("gold") == identities(*many(150))


def test_a_reversed_change_waits_for_the_settle_time(shop: Workshop) -> None:
    shop.declare(segment("gold", "a", "b"))
    shop.service.faults = always(CUT_AFTER, call="update", times=6)
    with pytest.raises(AppliedInPart):
        shop.apply()
    shop.declare(segment("gold", "a"))
    events: list[Event] = []
    shop.apply(events=events)
    [waited] = [event.seconds for event in events if isinstance(event, Settling)]
    assert 0 < waited <= 30
    shop.settled()
    assert shop.service.members("gold") == identities("a")


def test_requests_of_which_no_part_was_accepted_are_in_the_next_plan(shop: Workshop) -> None:
    shop.declare(segment("gold", *many(40)))
    no = Fault(name="400", answer=failure(400, "something is wrong"))
    shop.service.faults = always(no, call="update")
    ran = shop.run("apply", "--auto-approve")
    assert "Refused: none of their parts was accepted. They are part of the next plan." in ran.out
    assert "not sent again" not in ran.err + ran.out
    shop.service.faults = no_faults
    assert shop.plan().members_add == 40
    shop.apply()
    shop.settled()


def test_refused_credentials_stop_at_the_first_request(shop: Workshop) -> None:
    shop.declare(segment("gold", *many(500)))
    shop.environment["CLEVERTAP_PASSCODE"] = "n0t-ours"
    ran = shop.run("apply", "--auto-approve")
    assert ran.code == 1
    assert "credentials or region" in ran.err
    assert "n0t-ours" not in ran.err + ran.out
    assert shop.service.requests == {"create": 1}
    shop.environment["CLEVERTAP_PASSCODE"] = PASSCODE
    shop.apply()
    shop.settled()


def test_credentials_refused_halfway_leave_what_was_applied_applied(shop: Workshop) -> None:
    shop.declare(segment("gold", *many(900)))
    no = Fault(name="401", answer=answer(401, {"status": "fail", "code": 401}))
    shop.service.faults = always(no, call="update", first=4)
    with pytest.raises(AppliedInPart, match="credentials were refused"):
        shop.apply()
    shop.service.faults = no_faults
    shop.apply()
    shop.settled()
    assert shop.service.members("gold") == identities(*many(900))


def test_without_credentials_an_apply_sends_nothing(shop: Workshop) -> None:
    shop.declare(segment("gold", "a"))
    ran = shop.run("apply", "--auto-approve", CLEVERTAP_PASSCODE="")
    assert ran.code == 1
    assert "CLEVERTAP_PASSCODE is not set" in ran.err
    assert not shop.service.requests
    shop.environment["CLEVERTAP_ACCOUNT_ID"] = ""
    with pytest.raises(CredentialsRefused):
        shop.apply()


def test_a_service_without_answers_is_reported(shop: Workshop) -> None:
    shop.declare(segment("gold", "a"))
    shop.environment["CLEVERTAP_BASE_URL"] = "http://127.0.0.1:9"
    with pytest.raises(NothingApplied, match=r"could not connect to 127\.0\.0\.1:9"):
        shop.apply()


def test_throttling_is_reported_and_waited_out(shop: Workshop) -> None:
    shop.declare(segment("gold", *many(300)))
    shop.service.faults = always(THROTTLED, call="update", times=7)
    events: list[Event] = []
    shop.apply(events=events)
    assert Counter(type(event) for event in events)[RateLimited] == 7
    assert shop.service.needless() == []
    shop.settled()


def test_another_pipeline_in_two_of_three_slots_only_slows_the_apply(shop: Workshop) -> None:
    shop.service.slots = 1
    shop.service.faults = always(SLOW)
    shop.declare(segment("gold", *many(900)))
    shop.apply()
    shop.settled()
    assert shop.service.needless() == []
    assert shop.service.requests["update"] == 9
    assert shop.service.members("gold") == identities(*many(900))


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_one_user_that_the_service_refuses_is_quarantined_alone(shop: Workshop, place: str) -> None:
    users = many(99)
    bad = {"first": "!bad", "middle": "u000050!@example.com", "last": "zzz-bad"}[place]
    shop.declare(*(segment(f"s{n}", *users, f'"{bad}"') for n in range(40)))
    shop.service.refuses = {bad}
    with pytest.raises(AppliedInPart, match="40 memberships refused and quarantined"):
        shop.apply()
    assert shop.service.everyone() == {f"s{n}": identities(*users) for n in range(40)}
    plan = shop.plan()
    assert plan.is_empty
    assert sum(change.members.quarantined for change in plan.changes) == 40


@pytest.mark.parametrize("seed", range(4))
def test_random_faults_end_with_the_declared_members(shop: Workshop, seed: int) -> None:
    shop.service.faults = Chances(seed=seed, share=0.4)
    for first in (0, 40, 7):
        shop.declare(
            segment("gold", *many(300, first=first)),
            segment("rest", *many(200, first=2 * first), spec="guards: {maxRemovePercent: 100}"),
        )
        shop.apply_until_done()
    assert shop.service.needless() == []
    shop.service.faults = no_faults
    shop.settled()
    assert shop.service.everyone() == {
        "gold": identities(*many(300, first=7)),
        "rest": identities(*many(200, first=14)),
    }


@pytest.mark.parametrize("count", [1, 30])
def test_a_refused_member_that_may_exist_is_removed_when_no_longer_desired(
    shop: Workshop, count: int
) -> None:
    gone = Fault(name="404", answer=failure(404, "not found"))
    shop.declare(segment("gold", *many(count)), segment("rest", "a"))
    shop.service.faults = lambda call, number: (
        None if call == "create" else CUT_AFTER if number == 0 else gone
    )
    with pytest.raises(AppliedInPart):
        shop.apply()
    shop.service.faults = no_faults
    shop.declare(segment("gold"), segment("rest"))
    shop.project("{guards: {allowEmpty: true}}")
    shop.apply()
    shop.settled()
    assert shop.service.everyone() == {}
