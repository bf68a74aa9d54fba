"""Creating segments: undocumented shapes of answers, and lost answers."""

import pytest

from segctl.core.errors import AppliedInPart, SegctlError, SegmentsExist
from segctl.core.events import CreateDone, Event
from segctl.core.stop_signal import StopSignal
from tests.e2e.outside_answers import (
    BROKEN_AFTER,
    CREATED,
    CUT_AFTER,
    CUT_BEFORE,
    DUPLICATE,
    EMPTY,
    PARTIAL,
    THROTTLED,
    Fault,
    always,
    failure,
    no_faults,
)
from tests.e2e.workshop import Workshop, identities, many, segment

REFUSED_CREDENTIALS = Fault(name="401", answer=failure(401, "no"))
LOST = (CUT_AFTER, EMPTY, BROKEN_AFTER)


def three() -> tuple[str, ...]:
    return tuple(segment(name, *many(5)) for name in ("a", "b", "c"))


@pytest.mark.parametrize("shape", CREATED)
def test_a_created_segment_is_known_by_any_answer(shop: Workshop, shape: str) -> None:
    shop.service.created_answer = shape
    shop.declare(*three())
    shop.apply()
    shop.settled()
    assert shop.service.everyone() == dict.fromkeys("abc", identities(*many(5)))


@pytest.mark.parametrize("shape", DUPLICATE)
@pytest.mark.parametrize("lost", LOST, ids=lambda fault: fault.name)
def test_a_segment_that_exists_after_a_lost_answer_counts_as_created(
    shop: Workshop, lost: Fault, shape: str
) -> None:
    shop.service.duplicate_answer = shape
    shop.service.faults = always(lost, call="create", times=1)
    shop.declare(*three())
    shop.apply()
    shop.settled()
    assert shop.service.everyone() == dict.fromkeys("abc", identities(*many(5)))


@pytest.mark.parametrize("shape", DUPLICATE)
def test_a_create_without_any_answer_is_resolved_by_the_next_apply(
    shop: Workshop, shape: str
) -> None:
    shop.service.duplicate_answer = shape
    shop.service.faults = always(CUT_AFTER, call="create")
    shop.declare(*three())
    with pytest.raises(AppliedInPart, match="3 segments not created"):
        shop.apply()
    assert shop.service.everyone() == {}
    shop.service.faults = no_faults
    shop.apply()
    shop.settled()
    assert shop.service.everyone() == dict.fromkeys("abc", identities(*many(5)))


@pytest.mark.parametrize("shape", DUPLICATE)
def test_an_existing_segment_gets_no_members_and_the_others_are_applied(
    shop: Workshop, shape: str
) -> None:
    shop.service.duplicate_answer = shape
    shop.service.foreign("b")
    shop.declare(*three())
    events: list[Event] = []
    with pytest.raises(AppliedInPart, match="1 segment not created"):
        shop.apply(events=events)
    [told] = [e for e in events if isinstance(e, CreateDone) and e.outcome == "refused"]
    assert told.addresses == ("segment.b",)
    assert "segctl import" in told.detail
    assert shop.service.everyone() == {k: identities(*many(5)) for k in ("a", "c")}
    assert not [change for change in shop.service.changes if change.segment == "b"]


def test_the_error_for_an_existing_segment_names_import(shop: Workshop) -> None:
    shop.service.foreign("gold")
    shop.declare(segment("gold", "a"), segment("rest", "a"))
    ran = shop.run("apply", "--auto-approve")
    assert ran.code == 1
    assert "segctl import" in ran.err
    assert shop.service.everyone() == {"rest": identities("a")}


def test_an_existing_segment_with_another_name_does_not_count_as_created(shop: Workshop) -> None:
    shop.declare(segment("a", "x"))
    shop.service.faults = always(CUT_BEFORE, call="create")
    with pytest.raises(AppliedInPart):
        shop.apply()
    shop.service.faults = no_faults
    shop.service.foreign("a", "The other")
    shop.declare(segment("a", "x").replace("The a", "The other"))
    with pytest.raises(AppliedInPart, match="CleverTap already has segment"):
        shop.apply()
    assert shop.service.everyone() == {}


def test_a_segment_with_a_lost_create_can_be_removed_from_the_manifests(shop: Workshop) -> None:
    shop.declare(segment("a", "x"))
    shop.service.faults = always(CUT_AFTER, call="create")
    with pytest.raises(AppliedInPart):
        shop.apply()
    shop.service.faults = no_faults
    shop.declare()
    shop.apply()
    shop.settled()
    shop.declare(segment("a", "x"))
    shop.apply()
    shop.settled()
    assert shop.service.everyone() == {"a": identities("x")}


def test_a_replacement_whose_create_is_refused_leaves_the_old_segment_full(shop: Workshop) -> None:
    shop.declare(segment("a", "x", spec="customerSegmentId: OLD"))
    shop.apply()
    shop.service.foreign("NEW")
    shop.declare(segment("a", "x", spec="customerSegmentId: NEW"))
    with pytest.raises(AppliedInPart, match="CleverTap already has segment"):
        shop.apply()
    assert shop.service.everyone() == {"OLD": identities("x")}
    shop.declare(segment("a", "x", "y", spec="customerSegmentId: OLD"))
    shop.apply()
    shop.settled()
    assert shop.service.everyone() == {"OLD": identities("x", "y")}


def test_a_replacement_with_a_lost_create_is_finished_by_the_next_apply(shop: Workshop) -> None:
    shop.declare(segment("a", "x", spec="customerSegmentId: OLD"))
    shop.apply()
    shop.declare(segment("a", "x", spec="customerSegmentId: NEW"))
    shop.service.faults = always(CUT_AFTER, call="create", first=1)
    with pytest.raises(AppliedInPart):
        shop.apply()
    assert shop.service.everyone() == {"OLD": identities("x")}
    shop.service.faults = no_faults
    shop.apply()
    shop.settled()
    assert shop.service.everyone() == {"NEW": identities("x")}


def test_segments_beyond_the_account_limit_are_refused_by_the_service(shop: Workshop) -> None:
    for number in range(2_499):
        shop.service.foreign(f"f{number}")
    shop.declare(segment("a", "x"), segment("b", "x"))
    with pytest.raises(AppliedInPart, match="segment limit exceeded"):
        shop.apply()
    assert len(shop.service.everyone()) == 1


def test_creates_that_are_all_refused_apply_nothing_and_record_nothing(shop: Workshop) -> None:
    for number in range(2_500):
        shop.service.foreign(f"f{number}")
    shop.declare(*three())
    ran = shop.run("apply", "--auto-approve")
    assert ran.code == 1
    assert "Error: nothing was applied: 3 segments not created, 1 request not tried (" in ran.err
    assert "CleverTap refuses the same create again until the cause is removed." in ran.err
    assert "Refused requests were sent again in parts: 4 more requests.\n" in ran.out
    assert not (shop.root / "segctl.state.json").exists()


def test_segments_that_all_exist_apply_nothing_however_many(shop: Workshop) -> None:
    names = [f"s{number}" for number in range(12)]  # more than the failures that stop an apply
    for name in names:
        shop.service.foreign(name)
    shop.declare(*(segment(name, "a") for name in names))
    with pytest.raises(SegmentsExist, match=r"already has segment\.s0, .*; nothing was applied"):
        shop.apply()


def test_a_replacement_waits_while_its_create_is_uncertain(shop: Workshop) -> None:
    shop.declare(segment("a", "x", spec="customerSegmentId: OLD"))
    shop.apply()
    shop.declare(segment("a", "x", spec="customerSegmentId: NEW"))
    shop.service.faults = always(CUT_BEFORE, call="create")
    for _ in range(2):
        with pytest.raises(AppliedInPart):
            shop.apply()
    assert shop.service.everyone() == {"OLD": identities("x")}
    assert [change.action for change in shop.plan().changes] == ["replace"]
    shop.service.faults = no_faults
    shop.apply()
    shop.settled()
    assert shop.service.everyone() == {"NEW": identities("x")}


@pytest.mark.parametrize("fault", [None, THROTTLED, REFUSED_CREDENTIALS], ids=str)
def test_an_uncertain_create_stays_uncertain_without_further_answers(
    shop: Workshop, fault: Fault | None
) -> None:
    shop.declare(*three())
    stop = StopSignal()

    def schedule(call: str, number: int) -> Fault | None:
        assert call == "create"
        if number == 1 and fault is None:
            stop.set()
        return CUT_AFTER if number == 0 else fault if number > 1 else None

    shop.service.faults = schedule
    with pytest.raises(SegctlError):
        shop.apply(stop=stop)
    shop.service.faults = no_faults
    shop.apply()
    shop.settled()
    assert shop.service.everyone() == dict.fromkeys("abc", identities(*many(5)))


@pytest.mark.parametrize("shape", PARTIAL)
def test_an_existing_segment_named_by_a_partial_answer_gets_no_members(
    shop: Workshop, shape: str
) -> None:
    shop.service.partial_answer = shape
    shop.service.foreign("b")
    shop.declare(*three())
    with pytest.raises(AppliedInPart, match="CleverTap already has segment"):
        shop.apply()
    assert not [change for change in shop.service.changes if change.segment == "b"]
