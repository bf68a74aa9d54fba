import pytest

from segctl.core.diagnostics import Severity
from segctl.manifests.limits import Guards
from segctl.plan.guards import GuardedChange, GuardedPlan, check_guards
from segctl.plan.model import Action, Attributes, Change, Figures, MemberCounts
from segctl.plan.overrides import OverrideClock

DEFAULT = Guards()
CLOCK = OverrideClock(now=1.0)


def guarded(
    before: int,
    after: int,
    *,
    members_removed: int | None = None,
    action: Action = Action.UPDATE,
    guards: Guards = DEFAULT,
    is_protected: bool = False,
    is_tombstone: bool = False,
    name: str = "gold",
) -> GuardedChange:
    declared = Attributes(display_name="Gold", customer_segment_id="G", guards=guards)
    change = Change(
        address=f"segment.{name}",
        action=action,
        reason="",
        after=None if action is Action.DESTROY else declared,
        members=MemberCounts(before=before, after=after),
    )
    removed = before - after if members_removed is None else members_removed
    return GuardedChange(
        change=change,
        members_removed=removed,
        is_protected=is_protected,
        is_tombstone=is_tombstone,
        place="gold.yaml:3:9",
    )


def codes(*items: GuardedChange, max_destroys: int = 5) -> list[str]:
    plan = GuardedPlan(max_destroys=max_destroys)
    return [finding.code for finding in check_guards(items, plan, CLOCK)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (100, 70, []),
        (100, 69, ["max-remove-percent"]),
        (10, 7, []),
        (10, 6, ["max-remove-percent"]),
        (9, 1, []),  # fewer than fromMembers
        (9, 0, ["allow-empty"]),
        (1, 0, ["allow-empty"]),
        (0, 0, []),
    ],
)
def test_a_segment_may_lose_a_share_of_its_recorded_members_but_not_all(
    before: int, after: int, expected: list[str]
) -> None:
    assert codes(guarded(before, after)) == expected


def test_a_violated_guard_reports_removed_members_their_total_and_the_limit() -> None:
    [finding] = check_guards([guarded(101, 60)], GuardedPlan(), CLOCK)
    assert finding.figures == Figures(
        count=41, of=101, limit=30, segments=("segment.gold",), place="gold.yaml:3:9"
    )


def test_members_replaced_by_others_count_as_removed() -> None:
    assert codes(guarded(100, 100, members_removed=31)) == ["max-remove-percent"]


def test_the_guards_of_the_manifest_apply() -> None:
    loose = Guards(max_remove_percent=100, from_members=10, allow_empty=True)
    assert codes(guarded(100, 1, guards=loose), guarded(100, 0, guards=loose)) == []
    assert codes(guarded(5, 4, guards=Guards(max_remove_percent=10, from_members=0))) == [
        "max-remove-percent"
    ]


@pytest.mark.parametrize("action", [Action.CREATE, Action.FORGET, Action.NO_OP])
def test_an_action_that_removes_no_recorded_members_is_exempt(action: Action) -> None:
    assert codes(guarded(0, 0, action=action)) == []


def test_destroys_are_limited_by_max_destroys() -> None:
    five = [guarded(100, 0, action=Action.DESTROY, name=f"s{n}") for n in range(5)]
    replaced = guarded(100, 0, action=Action.REPLACE, members_removed=0)
    assert codes(*five) == []
    assert codes(*five, replaced) == ["max-destroys"]
    assert codes(*five, replaced, max_destroys=6) == []


def test_a_tombstone_does_not_count_as_a_destroy_again() -> None:
    tombstone = guarded(100, 0, action=Action.DESTROY, is_tombstone=True)
    assert codes(tombstone, max_destroys=0) == []


@pytest.mark.parametrize("action", [Action.DESTROY, Action.REPLACE])
def test_a_protected_segment_is_not_destroyed(action: Action) -> None:
    assert codes(guarded(0, 0, action=action, is_protected=True)) == ["prevent-destroy"]
    assert codes(guarded(9, 8, is_protected=True)) == []


def test_a_guard_names_its_setting_and_value_and_what_to_do() -> None:
    [finding] = check_guards([guarded(1000, 400)], GuardedPlan(), CLOCK)
    assert (finding.severity, finding.address) == (Severity.ERROR, "segment.gold")
    assert finding.summary == (
        "segment.gold loses 600 of 1,000 members (60.0%), more than "
        "spec.guards.maxRemovePercent allows (30%)"
    )
    assert finding.detail == (
        "If this is intended, add this in spec (gold.yaml:3:9), with the reason:\n"
        '  allow: {removals: 600, until: 1970-01-08, reason: "..."}\n'
        "If not, check its sources."
    )
