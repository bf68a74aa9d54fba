from dataclasses import replace

from segctl.core.diagnostics import Location
from segctl.core.identity import SetDigest
from segctl.manifests.desired import DesiredSegment, Guards, Lifecycle
from segctl.plan.diff import Draft, attribute_changes, build_drafts, declared_attributes
from segctl.plan.model import Action, AttributeChange
from segctl.state.model import MemberSet, Pairs, SegmentRecord, State, Tombstone


def segment(name: str, key: str = "", **changes: object) -> DesiredSegment:
    made = DesiredSegment(
        address=f"segment.{name}",
        display_name=name.title(),
        customer_segment_id=key or name,
        labels={},
        managed=True,
        guards=Guards(),
        lifecycle=Lifecycle(),
        location=Location(file="s.yaml", line=1, column=1),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # fields by name


def record(key: str, *, members: int = 0, **changes: object) -> SegmentRecord:
    made = SegmentRecord(
        customer_segment_id=key,
        declared_name=key.title(),
        remote_name=key.title(),
        members=MemberSet(digest=SetDigest(count=members)),
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # fields by name


def state(*tombstones: Tombstone, **segments: SegmentRecord) -> State:
    named = {f"segment.{name}": r for name, r in segments.items()}
    return State(lineage="l", serial=3, segments=named, tombstones=tombstones)


def tombstone(key: str, *, members: int = 0, name: str = "") -> Tombstone:
    held = record(key, members=members)
    return Tombstone(address=f"segment.{name or key}", record=held, destroyed_at=1.0)


def actions(drafts: tuple[Draft, ...]) -> dict[str, Action]:
    return {d.address.removeprefix("segment."): d.action for d in drafts}


def test_a_declared_segment_that_is_not_recorded_is_created() -> None:
    [made] = build_drafts([segment("gold")], state())
    assert (made.action, made.wanted, made.to_target().create) == (Action.CREATE, True, True)


def test_a_recorded_segment_is_updated_by_its_name_on_the_wire() -> None:
    [made] = build_drafts([segment("gold", "G")], state(gold=record("G")))
    assert (made.action, made.moved_from, made.to_target().create) == (Action.UPDATE, None, False)


def test_a_new_address_for_the_same_segment_is_a_move_that_keeps_its_members() -> None:
    [made] = build_drafts([segment("vip", "G")], state(gold=record("G", members=5)))
    assert (made.action, made.moved_from, made.address) == (
        Action.UPDATE,
        "segment.gold",
        "segment.vip",
    )
    assert made.record == record("G", members=5)


def test_two_segments_may_swap_their_addresses() -> None:
    swapped = build_drafts(
        [segment("a", "B"), segment("b", "A")], state(a=record("A"), b=record("B"))
    )
    assert [(d.address, d.moved_from, d.action) for d in swapped] == [
        ("segment.a", "segment.b", Action.UPDATE),
        ("segment.b", "segment.a", Action.UPDATE),
    ]


def test_a_new_customer_id_at_the_same_address_is_a_replacement() -> None:
    [made] = build_drafts([segment("gold", "G2")], state(gold=record("G1", members=5)))
    assert (made.action, made.old_record, made.record) == (
        Action.REPLACE,
        record("G1", members=5),
        None,
    )
    assert made.to_target().customer_segment_id == "G2"


def test_a_replacement_takes_a_shell_that_is_there_already() -> None:
    [made] = build_drafts([segment("gold", "G2")], state(tombstone("G2"), gold=record("G1")))
    assert (made.action, made.to_target().create) == (Action.REPLACE, False)


def test_the_address_of_a_moved_segment_can_be_taken_by_a_new_one() -> None:
    drafts = build_drafts([segment("gold", "N"), segment("vip", "G")], state(gold=record("G")))
    assert actions(drafts) == {"gold": Action.CREATE, "vip": Action.UPDATE}


def test_a_missing_manifest_destroys() -> None:
    [made] = build_drafts([], state(gold=record("G", members=5)))
    assert (made.action, made.wanted, made.before is not None, made.after) == (
        Action.DESTROY,
        False,
        True,
        None,
    )


def test_a_missing_manifest_forgets_where_it_was_recorded_so() -> None:
    held = record("G", lifecycle=Lifecycle(on_remove="forget"))
    [made] = build_drafts([], state(gold=held))
    assert (made.action, made.wanted) == (Action.FORGET, None)


def test_a_manifest_that_comes_back_adopts_its_shell() -> None:
    [made] = build_drafts([segment("gold", "G")], state(tombstone("G", members=2)))
    assert (made.action, made.to_target().create, made.record) == (
        Action.ADOPT,
        False,
        record("G", members=2),
    )


def test_a_destroyed_segment_with_members_left_goes_on_being_emptied() -> None:
    [made] = build_drafts([], state(tombstone("G", members=2)))
    assert (made.action, made.is_tombstone, made.wanted) == (Action.DESTROY, True, False)


def test_a_destroyed_segment_that_may_still_hold_members_goes_on_being_emptied() -> None:
    held = tombstone("G")
    unsure = replace(held, record=replace(held.record, pairs=Pairs(uncertain=1)))
    assert actions(build_drafts([], state(unsure))) == {"G": Action.DESTROY}


def test_an_empty_tombstone_needs_nothing() -> None:
    assert build_drafts([], state(tombstone("G"))) == ()


def test_a_create_without_an_answer_is_sent_again() -> None:
    [made] = build_drafts([segment("gold", "G")], state(gold=record("G", created=False)))
    assert (made.action, made.to_target().create) == (Action.CREATE, True)


def test_a_segment_known_by_the_service_id_alone_stays_itself() -> None:
    held = record("", customer_segment_id=None, ct_segment_id=17)
    [made] = build_drafts([segment("gold", "G")], state(gold=held))
    assert made.action is Action.UPDATE
    assert (made.to_target().customer_segment_id, made.to_target().ct_segment_id) == (None, 17)


def test_members_of_an_unmanaged_segment_are_left_alone() -> None:
    [made] = build_drafts([segment("gold", managed=False)], state(gold=record("gold")))
    assert made.wanted is None


def test_a_target_picks_some_and_destroys_none_of_the_others() -> None:
    drafts = build_drafts(
        [segment("gold"), segment("silver")],
        state(silver=record("silver"), lead=record("lead")),
        patterns=["gold", "segment.s*"],
    )
    assert actions(drafts) == {"gold": Action.CREATE, "silver": Action.UPDATE}


def test_to_destroy_the_workspace_is_to_take_every_manifest_for_absent() -> None:
    held = record("lead", lifecycle=Lifecycle(on_remove="forget"))
    drafts = build_drafts([segment("gold")], state(gold=record("gold"), lead=held), destroy=True)
    assert actions(drafts) == {"gold": Action.DESTROY, "lead": Action.DESTROY}


def test_attributes_that_differ_are_named_as_manifests_spell_them() -> None:
    before = declared_attributes(segment("gold", labels={"team": "growth", "old_one": "x"}))
    after = declared_attributes(
        segment("gold", labels={"team": "data"}, guards=Guards(max_remove_percent=60))
    )
    assert attribute_changes(before, after) == (
        AttributeChange(path="guards.maxRemovePercent", before=30.0, after=60),
        AttributeChange(path="labels.old_one", before="x", after=None),
        AttributeChange(path="labels.team", before="growth", after="data"),
    )


def test_equal_attributes_do_not_differ() -> None:
    same = declared_attributes(segment("gold"))
    assert attribute_changes(same, same) == ()
    assert attribute_changes(None, same) == ()
