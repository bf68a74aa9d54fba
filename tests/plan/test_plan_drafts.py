from dataclasses import replace

from segctl.core.diagnostics import Location
from segctl.core.identity import SetDigest
from segctl.manifests.desired import DesiredSegment, Lifecycle
from segctl.manifests.limits import Guards
from segctl.plan.diff import Draft, attribute_changes, build_drafts, declared_attributes
from segctl.plan.model import Action, AttributeChange
from segctl.state.model import MemberSet, Pairs, SegmentRecord, State, Tombstone


def segment(name: str, key: str = "", **changes: object) -> DesiredSegment:
    declared = DesiredSegment(
        address=f"segment.{name}",
        display_name=name.title(),
        customer_segment_id=key or name,
        labels={},
        managed=True,
        guards=Guards(),
        lifecycle=Lifecycle(),
        location=Location(file="s.yaml", line=1, column=1),
    )
    return replace(declared, **changes)  # type: ignore[arg-type]  # fields by name


def record(key: str, *, members: int = 0, **changes: object) -> SegmentRecord:
    recorded = SegmentRecord(
        customer_segment_id=key,
        declared_name=key.title(),
        remote_name=key.title(),
        members=MemberSet(digest=SetDigest(count=members)),
    )
    return replace(recorded, **changes)  # type: ignore[arg-type]  # fields by name


def state(*tombstones: Tombstone, **segments: SegmentRecord) -> State:
    named = {f"segment.{name}": r for name, r in segments.items()}
    return State(lineage="l", serial=3, segments=named, tombstones=tombstones)


def tombstone(key: str, *, members: int = 0, name: str = "") -> Tombstone:
    return Tombstone(
        address=f"segment.{name or key}",
        record=record(key, members=members),
        destroyed_at=1.0,
    )


def actions(drafts: tuple[Draft, ...]) -> dict[str, Action]:
    return {d.address.removeprefix("segment."): d.action for d in drafts}


def test_a_declared_segment_that_is_not_recorded_is_created() -> None:
    [draft] = build_drafts([segment("gold")], state())
    assert (draft.action, draft.wanted, draft.to_target().create) == (Action.CREATE, True, True)


def test_a_recorded_segment_is_matched_by_its_customer_segment_id() -> None:
    [draft] = build_drafts([segment("gold", "G")], state(gold=record("G")))
    assert (draft.action, draft.moved_from, draft.to_target().create) == (
        Action.UPDATE,
        None,
        False,
    )


def test_a_segment_at_a_new_address_is_moved_with_its_members() -> None:
    [draft] = build_drafts([segment("vip", "G")], state(gold=record("G", members=5)))
    assert (draft.action, draft.moved_from, draft.address) == (
        Action.UPDATE,
        "segment.gold",
        "segment.vip",
    )
    assert draft.record == record("G", members=5)


def test_two_segments_may_swap_their_addresses() -> None:
    swapped = build_drafts(
        [segment("a", "B"), segment("b", "A")], state(a=record("A"), b=record("B"))
    )
    assert [(d.address, d.moved_from, d.action) for d in swapped] == [
        ("segment.a", "segment.b", Action.UPDATE),
        ("segment.b", "segment.a", Action.UPDATE),
    ]


def test_a_new_customer_segment_id_at_the_same_address_is_a_replacement() -> None:
    [draft] = build_drafts([segment("gold", "G2")], state(gold=record("G1", members=5)))
    assert (draft.action, draft.old_record, draft.record) == (
        Action.REPLACE,
        record("G1", members=5),
        None,
    )
    assert draft.to_target().customer_segment_id == "G2"


def test_a_replacement_reuses_an_existing_shell() -> None:
    [draft] = build_drafts([segment("gold", "G2")], state(tombstone("G2"), gold=record("G1")))
    assert (draft.action, draft.to_target().create) == (Action.REPLACE, False)


def test_a_new_segment_can_use_the_address_of_a_moved_one() -> None:
    drafts = build_drafts([segment("gold", "N"), segment("vip", "G")], state(gold=record("G")))
    assert actions(drafts) == {"gold": Action.CREATE, "vip": Action.UPDATE}


def test_a_segment_without_a_manifest_is_destroyed() -> None:
    [draft] = build_drafts([], state(gold=record("G", members=5)))
    assert (draft.action, draft.wanted, draft.before is not None, draft.after) == (
        Action.DESTROY,
        False,
        True,
        None,
    )


def test_a_segment_recorded_with_on_remove_forget_is_forgotten() -> None:
    recorded = record("G", lifecycle=Lifecycle(on_remove="forget"))
    [draft] = build_drafts([], state(gold=recorded))
    assert (draft.action, draft.wanted) == (Action.FORGET, None)


def test_a_manifest_that_returns_adopts_its_shell() -> None:
    [draft] = build_drafts([segment("gold", "G")], state(tombstone("G", members=2)))
    assert (draft.action, draft.to_target().create, draft.record) == (
        Action.ADOPT,
        False,
        record("G", members=2),
    )


def test_a_destroyed_segment_with_members_left_is_emptied_further() -> None:
    [draft] = build_drafts([], state(tombstone("G", members=2)))
    assert (draft.action, draft.is_tombstone, draft.wanted) == (Action.DESTROY, True, False)


def test_a_destroyed_segment_with_uncertain_members_is_emptied_further() -> None:
    empty = tombstone("G")
    uncertain = replace(empty, record=replace(empty.record, pairs=Pairs(uncertain=1)))
    assert actions(build_drafts([], state(uncertain))) == {"G": Action.DESTROY}


def test_an_empty_tombstone_has_no_draft() -> None:
    assert build_drafts([], state(tombstone("G"))) == ()


def test_a_create_without_an_answer_is_sent_again() -> None:
    [draft] = build_drafts([segment("gold", "G")], state(gold=record("G", created=False)))
    assert (draft.action, draft.to_target().create) == (Action.CREATE, True)


def test_a_segment_recorded_only_by_its_clevertap_id_keeps_that_id() -> None:
    recorded = record("", customer_segment_id=None, ct_segment_id=17)
    [draft] = build_drafts([segment("gold", "G")], state(gold=recorded))
    assert draft.action is Action.UPDATE
    assert (draft.to_target().customer_segment_id, draft.to_target().ct_segment_id) == (None, 17)


def test_members_of_an_unmanaged_segment_are_not_changed() -> None:
    [draft] = build_drafts([segment("gold", managed=False)], state(gold=record("gold")))
    assert draft.wanted is None


def test_patterns_select_segments_and_leave_the_others_unchanged() -> None:
    drafts = build_drafts(
        [segment("gold"), segment("silver")],
        state(silver=record("silver"), lead=record("lead")),
        patterns=["gold", "segment.s*"],
    )
    assert actions(drafts) == {"gold": Action.CREATE, "silver": Action.UPDATE}


def test_destroy_treats_every_manifest_as_deleted() -> None:
    recorded = record("lead", lifecycle=Lifecycle(on_remove="forget"))
    drafts = build_drafts(
        [segment("gold")], state(gold=record("gold"), lead=recorded), destroy=True
    )
    assert actions(drafts) == {"gold": Action.DESTROY, "lead": Action.DESTROY}


def test_changed_attributes_are_named_as_in_manifests() -> None:
    before = declared_attributes(segment("gold", labels={"team": "growth", "old_one": "x"}))
    after = declared_attributes(
        segment("gold", labels={"team": "data"}, guards=Guards(max_remove_percent=60))
    )
    assert attribute_changes(before, after) == (
        AttributeChange(path="guards.maxRemovePercent", before=30.0, after=60),
        AttributeChange(path="labels.old_one", before="x", after=None),
        AttributeChange(path="labels.team", before="growth", after="data"),
    )


def test_equal_attributes_have_no_changes() -> None:
    same = declared_attributes(segment("gold"))
    assert attribute_changes(same, same) == ()
    assert attribute_changes(None, same) == ()
