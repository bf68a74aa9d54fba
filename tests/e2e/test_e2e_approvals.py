"""What was approved is what is applied, although the data moved on."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from segctl.core.approval import APPROVAL_SECONDS
from segctl.core.errors import (
    BeyondApproval,
    GuardRefused,
    OperationError,
    SegctlError,
    StalePlan,
)
from segctl.core.events import ApprovalChecked, Event
from tests.backends.store_servers import BUCKET, moto
from tests.e2e.outside_answers import BROKEN, always, no_faults
from tests.e2e.workshop import Workshop, guids, identities, many, segment

OFFERS = segment("gold", spec="members: [{file: {path: gold.csv}}]")
TOLERANT = "{approval: {tolerancePercent: 5, toleranceMembers: 100}, provider: {settleSeconds: 0}}"

VERY_TOLERANT = "{approval: {toleranceMembers: 999}, provider: {settleSeconds: 0}}"


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, str]]:
    with moto() as environment:
        yield dict(environment)


@pytest.fixture
def gold(shop: Workshop) -> Workshop:
    """A segment with 100 members that was applied."""
    return applied(shop)


@pytest.fixture(params=["local", "bucket"])
def gold_anywhere(
    request: pytest.FixtureRequest,
    shop: Workshop,
    bucket: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Workshop:
    """The same, with the state on a disk or in a bucket."""
    if request.param == "bucket":
        for name, value in bucket.items():
            monkeypatch.setenv(name, value)
        shop.environment["SEGCTL_CACHE_DIR"] = str(shop.scratch / uuid.uuid4().hex)
    return applied(shop)


def applied(shop: Workshop) -> Workshop:
    use(shop)
    shop.declare(OFFERS)
    fill(shop, *many(100))
    shop.apply()
    return shop


def use(shop: Workshop, spec: str = TOLERANT) -> None:
    """Write ``segctl.yaml``, with the state where the test wants it."""
    if "SEGCTL_CACHE_DIR" in shop.environment:
        url = f"s3://{BUCKET}/{Path(shop.environment['SEGCTL_CACHE_DIR']).name}"
        state = f"{{backend: objectStore, url: '{url}', leaseSeconds: 3600}}"
        spec = f"{spec[:-1]}, state: {state}}}"
    shop.project(spec)


def fill(shop: Workshop, *members: str) -> None:
    shop.write("gold.csv", "".join(f"{line}\n" for line in ("identity", *members)))


def test_a_kept_plan_is_applied_by_its_digest_once(gold_anywhere: Workshop) -> None:
    gold = gold_anywhere
    fill(gold, *many(103))
    digest = gold.keep()
    fill(gold, *many(150))
    gold.apply(kept=digest)
    assert gold.service.members("gold") == identities(*many(103))
    with pytest.raises(StalePlan, match="applied already"):
        gold.apply(kept=digest)
    with pytest.raises(StalePlan, match="applied completely before"):
        gold.apply(approved=digest)


def test_what_is_exactly_approved_goes(gold: Workshop) -> None:
    fill(gold, *many(103))
    events: list[Event] = []
    gold.apply(approved=gold.keep(), events=events)
    [checked] = [event for event in events if isinstance(event, ApprovalChecked)]
    assert checked.check.segments == ()
    assert gold.service.members("gold") == identities(*many(103))


def test_a_part_of_what_was_approved_goes_and_the_rest_is_said(gold: Workshop) -> None:
    fill(gold, *many(110))
    digest = gold.keep()
    fill(gold, *many(104))
    events: list[Event] = []
    gold.apply(approved=digest, events=events)
    assert gold.service.members("gold") == identities(*many(104))
    [checked] = [event for event in events if isinstance(event, ApprovalChecked)]
    [found] = checked.check.segments
    assert (found.add.approved, found.add.sent, found.add.dropped) == (10, 4, 6)


@pytest.mark.parametrize(("moved", "is_sent"), [(5, True), (6, False)])
def test_data_may_move_by_its_tolerance_and_no_further(
    gold: Workshop, moved: int, *, is_sent: bool
) -> None:
    fill(gold, *many(103))  # 5 percent of 103 members are 5
    digest = gold.keep()
    gold.service.forget_requests()
    fill(gold, *many(103 + moved))
    if is_sent:
        gold.apply(approved=digest)
    else:
        with pytest.raises(BeyondApproval) as caught:
            gold.apply(approved=digest)
        [found] = caught.value.check.beyond
        assert (found.address, found.add.beyond, found.tolerance) == ("segment.gold", 6, 5)
    expected = many(103 + moved) if is_sent else many(100)
    assert gold.service.members("gold") == identities(*expected)


def test_the_tolerance_is_that_of_the_approved_plan(gold: Workshop) -> None:
    use(gold, "{approval: {toleranceMembers: 0}, provider: {settleSeconds: 0}}")
    fill(gold, *many(103))
    digest = gold.keep()
    use(gold)
    fill(gold, *many(104))
    with pytest.raises(BeyondApproval):
        gold.apply(approved=digest)


def test_a_changed_manifest_has_no_tolerance(gold: Workshop) -> None:
    digest = gold.keep()
    gold.write("more.csv", "identity\nnew@example.com\n")
    gold.declare(segment("gold", spec="members: [{file: {path: '*.csv'}}]"))
    with pytest.raises(BeyondApproval) as caught:
        gold.apply(approved=digest)
    assert caught.value.check.beyond[0].tolerance == 0


CHANGES = {
    "a create": (OFFERS, segment("silver", "a@example.com")),
    "an attribute": (OFFERS.replace("{name: gold}", "{name: gold, labels: {a: b}}"),),
    "a guard": (OFFERS + "  guards: {allowEmpty: true}\n",),
    "a destroy": (),
}


@pytest.mark.parametrize("manifests", CHANGES.values(), ids=CHANGES)
def test_what_was_not_approved_is_never_tolerated(
    gold: Workshop, manifests: tuple[str, ...]
) -> None:
    use(gold, VERY_TOLERANT)
    gold.apply()
    digest = gold.keep()
    gold.service.forget_requests()
    gold.declare(*manifests) if manifests else gold.remove("segments.yaml")
    with pytest.raises(BeyondApproval):
        gold.apply(approved=digest)
    assert gold.service.members("gold") == identities(*many(100))
    assert gold.service.everyone().keys() == {"gold"}


def test_a_rule_that_was_taken_out_is_not_approved(gold: Workshop) -> None:
    with_rule = TOLERANT[:-1] + ", rules: [{size: {segments: [gold], max: 1000}}]}"
    use(gold, with_rule)
    gold.apply()
    fill(gold, *many(103))
    digest = gold.keep()
    use(gold)
    with pytest.raises(BeyondApproval, match="the rules are not those"):
        gold.apply(approved=digest)


def test_a_guard_that_todays_data_trips_refuses_what_was_approved(gold: Workshop) -> None:
    use(gold, VERY_TOLERANT[:-1] + ", guards: {maxRemovePercent: 2}}")
    gold.apply()
    fill(gold, *many(99))
    digest = gold.keep()
    fill(gold, *many(97))
    with pytest.raises(GuardRefused):
        gold.apply(approved=digest)


def test_a_plan_that_was_refused_is_no_approval(gold: Workshop, tmp_path: Path) -> None:
    fill(gold, *many(10))
    gold.plan(out=tmp_path / "refused.segplan")
    fill(gold, *many(99))
    with pytest.raises(GuardRefused, match="refused itself"):
        gold.apply(approved=tmp_path / "refused.segplan")


def test_an_approval_ends_after_its_time(gold_anywhere: Workshop, tmp_path: Path) -> None:
    gold = gold_anywhere
    fill(gold, *many(103))
    digest = gold.keep()
    gold.plan(out=tmp_path / "old.segplan")
    gold.clock.wait(APPROVAL_SECONDS + 60)
    for approved in (digest, tmp_path / "old.segplan"):
        with pytest.raises(StalePlan, match="30 days ago"):
            gold.apply(approved=approved)
    with pytest.raises(StalePlan, match="30 days ago"):
        gold.apply(kept=digest)


def test_an_apply_that_died_goes_on_with_the_same_approval(gold_anywhere: Workshop) -> None:
    gold = gold_anywhere
    fill(gold, *many(95, first=40), "new@example.com")
    use(gold, "{guards: {maxRemovePercent: 100}, provider: {settleSeconds: 0}}")
    digest = gold.keep()
    gold.service.faults = always(BROKEN, call="update")
    with pytest.raises(SegctlError):
        gold.apply(approved=digest)
    gold.service.faults = no_faults
    gold.apply(approved=digest)
    assert gold.plan().is_empty
    with pytest.raises(StalePlan, match="applied completely before"):
        gold.apply(approved=digest)


def test_an_approval_of_a_first_plan_is_good_for_the_first_state(shop: Workshop) -> None:
    shop.declare(segment("gold", "a@example.com", "b@example.com"))
    digest = shop.keep()
    shop.apply(approved=digest)
    assert shop.service.members("gold") == identities("a@example.com", "b@example.com")


def test_an_approval_of_which_nothing_was_left_is_used(gold: Workshop, tmp_path: Path) -> None:
    fill(gold, *many(103))
    digest = gold.keep()
    gold.plan(out=tmp_path / "same.segplan")
    fill(gold, *many(100))
    gold.apply(approved=digest)
    for saved in ({"kept": digest}, {"file": tmp_path / "same.segplan"}):
        with pytest.raises(StalePlan, match="applied completely before"):
            gold.apply(**saved)
    assert gold.service.members("gold") == identities(*many(100))


def test_a_digest_that_nobody_kept_is_refused(gold: Workshop) -> None:
    with pytest.raises(StalePlan, match="no plan is kept"):
        gold.apply(approved="sha256:" + "0" * 64)


def test_another_plan_under_an_approved_digest_is_refused(shop: Workshop) -> None:
    shop.declare(segment("gold", "a@example.com"))
    approved = shop.keep()
    shop.declare(segment("gold", "a@example.com", "evil@example.com"))
    other = shop.keep()
    plans = shop.root / "segctl.state.d" / "plans"
    [theirs], [ours] = (list(plans.glob(f"{digest[7:]}-*")) for digest in (other, approved))
    theirs.replace(ours)
    for apply in ({"kept": approved}, {"approved": approved}):
        with pytest.raises(OperationError, match="is another one"):
            shop.apply(**apply)  # type: ignore[arg-type]
    assert shop.service.everyone() == {}


def test_a_destroy_is_approved_whole_or_in_part(gold: Workshop) -> None:
    gold.remove("segments.yaml")
    digest = gold.keep()
    gold.apply(approved=digest)
    assert gold.service.members("gold") == guids()


def test_a_destroyed_segment_that_grew_is_not_emptied_beyond_its_approval(gold: Workshop) -> None:
    gold.remove("segments.yaml")
    digest = gold.keep()
    gold.declare(OFFERS)
    fill(gold, *many(101))
    gold.apply()
    gold.remove("segments.yaml")
    with pytest.raises(BeyondApproval) as caught:
        gold.apply(approved=digest)
    assert caught.value.check.beyond[0].remove.beyond == 1


FREE = "{guards: {maxRemovePercent: 100, allowEmpty: true}, provider: {settleSeconds: 0}}"


def in_segment(key: str, *members: str) -> str:
    return segment("gold", *members, spec=f"customerSegmentId: {key}")


def interrupted_replacement(shop: Workshop) -> None:
    """Replace K1 by K2 at one address; K2 is created, and no member is moved."""
    shop.project(FREE)
    shop.declare(in_segment("K1", *many(3)))
    shop.apply()
    shop.declare(in_segment("K2", *many(3)))
    shop.service.faults = always(BROKEN, call="update")
    with pytest.raises(SegctlError):
        shop.apply()
    shop.service.faults = no_faults


def test_an_approved_replacement_goes_on_after_an_interruption(shop: Workshop) -> None:
    shop.project(FREE)
    shop.declare(in_segment("K1", *many(3)))
    shop.apply()
    shop.declare(in_segment("K2", *many(3)))
    digest = shop.keep()
    shop.service.faults = always(BROKEN, call="update")
    with pytest.raises(SegctlError):
        shop.apply(approved=digest)
    shop.service.faults = no_faults
    shop.apply(approved=digest)
    assert shop.service.everyone() == {"K2": identities(*many(3))}


def test_a_tombstone_at_the_same_address_hides_no_addition(shop: Workshop) -> None:
    interrupted_replacement(shop)
    digest = shop.keep()
    shop.declare(in_segment("K2", *many(53)))
    with pytest.raises(BeyondApproval):
        shop.apply(approved=digest)
    assert "K2" not in shop.service.everyone()


def test_a_tombstone_at_the_same_address_hides_no_new_segment(shop: Workshop) -> None:
    interrupted_replacement(shop)
    shop.remove("segments.yaml")
    digest = shop.keep()
    shop.declare(in_segment("K3", *many(53)))
    with pytest.raises(BeyondApproval, match="1 segment"):
        shop.apply(approved=digest)
    assert "K3" not in shop.service.segments


def test_another_segment_at_an_approved_address_is_not_approved(shop: Workshop) -> None:
    shop.project(FREE)
    vip = segment("vip", *many(3), spec="customerSegmentId: K2")
    shop.declare(in_segment("K1", "a@example.com"), vip)
    shop.apply()
    shop.declare(vip)
    digest = shop.keep()
    shop.declare(in_segment("K2", *many(53)))
    with pytest.raises(BeyondApproval):
        shop.apply(approved=digest)
    assert shop.service.members("K2") == identities(*many(3))


def test_forgetting_another_segment_than_the_approved_one_is_refused(shop: Workshop) -> None:
    shop.project(FREE)
    forget, other = "\nlifecycle: {onRemove: forget}", segment("x", "q@example.com")
    shop.declare(in_segment("K1" + forget, "a@example.com"), other)
    shop.apply()
    shop.declare(other)
    digest = shop.keep()
    shop.declare(in_segment("K2" + forget, "a@example.com"), other)
    shop.apply()
    shop.declare(other)
    with pytest.raises(BeyondApproval):
        shop.apply(approved=digest)


def test_the_tolerance_holds_over_all_runs_on_one_approval(shop: Workshop) -> None:
    """A run that does not finish cannot be repeated with the whole tolerance again."""
    shop.project("{approval: {toleranceMembers: 10}, provider: {settleSeconds: 0, concurrency: 1}}")
    silver = segment("silver", *many(200, first=5000))
    fill(shop, *many(100))
    shop.declare(OFFERS, segment("silver", *many(1, first=5000)))
    shop.apply()
    fill(shop, *many(101))
    shop.declare(OFFERS, silver)
    digest = shop.keep()
    for count in (108, 112):
        fill(shop, *many(count))
        shop.service.forget_requests()
        shop.service.faults = always(BROKEN, call="update", first=1)
        with pytest.raises(SegctlError):
            shop.apply(approved=digest)
    assert len(shop.service.members("gold")) == 108
    fill(shop, *many(110))
    shop.service.faults = no_faults
    shop.apply(approved=digest)
    assert len(shop.service.members("gold")) == 110


def test_a_plan_of_the_future_is_no_approval(shop: Workshop) -> None:
    shop.declare(segment("gold", "a@example.com"))
    digest = shop.keep()
    shop.clock.wait(-3 * 86_400)
    with pytest.raises(StalePlan, match="future"):
        shop.apply(approved=digest)


def test_another_time_zone_is_not_approved(shop: Workshop) -> None:
    shop.declare(segment("gold", "a@example.com"))
    digest = shop.keep()
    shop.project("{timeZone: Asia/Tokyo}")
    with pytest.raises(BeyondApproval, match=r"timeZone is Asia/Tokyo, and UTC"):
        shop.apply(approved=digest)
