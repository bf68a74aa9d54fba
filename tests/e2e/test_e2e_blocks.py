"""Blocks in manifests: segments are adopted, moved and removed through a plan."""

import os
import random
from pathlib import Path

import pytest

from segctl.core.errors import BeyondApproval, GuardRefused, InvalidInput
from segctl.plan.model import Action, Plan
from tests.e2e.workshop import Workshop, identities, many, segment


def refactoring(*lines: str) -> str:
    """Write a Refactoring with these lines in its spec."""
    spec = "".join(f"  {line}\n" for line in lines)
    return f"apiVersion: segctl/v1\nkind: Refactoring\nspec:\n{spec}"


def imported(name: str, *members: str, by: str = "") -> str:
    """Write a Refactoring that imports a segment with these members."""
    listed = f", members: [{{identities: [{', '.join(members)}]}}]" if members else ""
    return refactoring(f"import: [{{address: segment.{name}{by}{listed}}}]")


def moved(old: str, new: str) -> str:
    """Write a Refactoring that moves a segment."""
    return refactoring(f"moved: [{{from: segment.{old}, to: segment.{new}}}]")


def removed(name: str, on_remove: str) -> str:
    """Write a Refactoring that says what becomes of a segment without a manifest."""
    return refactoring(f"removed: [{{address: segment.{name}, onRemove: {on_remove}}}]")


def codes(plan: Plan) -> set[str]:
    return {finding.code for finding in plan.findings}


def actions(plan: Plan) -> dict[str, Action]:
    return {change.address: change.action for change in plan.changes}


def settled_with_and_without_blocks(shop: Workshop, *manifests: str) -> None:
    """Assert that the next plan is empty, with the blocks that were applied and without them."""
    shop.settled()
    assert codes(shop.plan()) >= {"removable-block"}
    shop.declare(*(text for text in manifests if "Refactoring" not in text))
    shop.settled()
    assert "removable-block" not in codes(shop.plan())


def test_an_import_sends_only_what_differs(shop: Workshop) -> None:
    shop.service.foreign("gold").members |= identities("a", "b", "c")
    manifests = segment("gold", "b", "c", "d"), imported("gold", "a", "b", "c")
    shop.declare(*manifests)
    plan = shop.apply().plan
    assert actions(plan) == {"segment.gold": Action.ADOPT}
    assert (plan.requests.create, plan.members_add, plan.members_remove) == (0, 1, 1)
    assert shop.service.members("gold") == identities("b", "c", "d")
    settled_with_and_without_blocks(shop, *manifests)


def test_an_import_that_differs_in_nothing_sends_nothing(shop: Workshop) -> None:
    shop.service.foreign("gold").members |= identities("a", "b")
    manifests = segment("gold", "a", "b"), imported("gold", "a", "b")
    shop.declare(*manifests)
    assert not shop.plan().is_empty
    shop.apply()
    assert not shop.service.requests
    settled_with_and_without_blocks(shop, *manifests)


def test_an_import_without_members_says_that_they_stay_unknown(shop: Workshop) -> None:
    shop.service.foreign("gold").members |= identities("a", "z")
    manifests = segment("gold", "a", "b"), imported("gold")
    shop.declare(*manifests)
    assert "unknown-members" in codes(shop.plan())
    shop.apply()
    assert shop.service.members("gold") == identities("a", "b", "z")
    assert "unknown-members" not in codes(shop.plan())


def test_an_import_by_the_number_of_clevertap_is_addressed_by_it(shop: Workshop) -> None:
    made = shop.service.foreign("whatever")
    by = f", ctSegmentId: {made.ct_segment_id}"
    manifests = segment("gold", "a"), imported("gold", by=by)
    shop.declare(*manifests)
    shop.apply()
    assert shop.service.everyone() == {"whatever": identities("a")}
    settled_with_and_without_blocks(shop, *manifests)


def test_a_segment_imported_by_its_number_moves_with_a_block_alone(shop: Workshop) -> None:
    made = shop.service.foreign("whatever")
    shop.declare(segment("gold", "a"), imported("gold", by=f", ctSegmentId: {made.ct_segment_id}"))
    shop.apply()
    sent = len(shop.service.requests)
    manifests = segment("vip", "a"), moved("gold", "vip")
    shop.declare(*manifests)
    plan = shop.apply().plan
    assert [(c.address, c.moved_from) for c in plan.changes] == [("segment.vip", "segment.gold")]
    assert len(shop.service.requests) == sent
    settled_with_and_without_blocks(shop, *manifests)


def test_a_move_sends_nothing(shop: Workshop) -> None:
    shop.declare(segment("gold", "a"))
    shop.apply()
    sent = len(shop.service.requests)
    manifests = segment("vip", "a", spec="customerSegmentId: gold"), moved("gold", "vip")
    shop.declare(*manifests)
    shop.apply()
    assert len(shop.service.requests) == sent
    settled_with_and_without_blocks(shop, *manifests)


def test_a_chain_of_moves_starts_wherever_the_record_is(shop: Workshop) -> None:
    chain = refactoring(
        "moved:",
        "  - {from: segment.b, to: segment.c}",
        "  - {from: segment.a, to: segment.b}",
    )
    shop.declare(segment("a", "u"))
    shop.apply()
    manifests = segment("c", "u", spec="customerSegmentId: a"), chain
    shop.declare(*manifests)
    plan = shop.apply().plan
    assert [(c.address, c.moved_from) for c in plan.changes] == [("segment.c", "segment.a")]
    settled_with_and_without_blocks(shop, *manifests)


def test_a_move_that_would_replace_the_segment_is_refused(shop: Workshop) -> None:
    shop.declare(segment("gold", "a"))
    shop.apply()
    shop.declare(segment("vip", "a"), moved("gold", "vip"))
    with pytest.raises(InvalidInput) as caught:
        shop.plan()
    [problem] = caught.value.diagnostics
    assert problem.code == "moved-other-id"
    assert "Write customerSegmentId: gold in the manifest of segment.vip" in problem.detail


def test_every_block_that_contradicts_the_state_is_reported_at_once(shop: Workshop) -> None:
    shop.declare(segment("a", "u"), segment("b", "u"), segment("gold", "u"), segment("x", "u"))
    shop.apply()
    shop.declare(
        segment("b", "u"),
        segment("gold", "u", spec="customerSegmentId: other"),
        segment("new", "u", spec="customerSegmentId: x"),
        refactoring(
            "import: [{address: segment.gold}, {address: segment.new}]",
            "moved: [{from: segment.a, to: segment.b}]",
        ),
    )
    with pytest.raises(InvalidInput) as caught:
        shop.plan()
    found = {problem.code: str(problem.location) for problem in caught.value.diagnostics}
    assert found == {
        "moved-onto-record": "segments.yaml:28:11",
        "imported-other-id": "segments.yaml:27:12",
        "imported-twice": "segments.yaml:27:37",
    }


def test_a_forgotten_segment_keeps_its_members(shop: Workshop) -> None:
    shop.declare(segment("gold", "a"), segment("rest", "a"))
    shop.apply()
    sent = len(shop.service.requests)
    manifests = segment("rest", "a"), removed("gold", "forget")
    shop.declare(*manifests)
    assert actions(shop.apply().plan)["segment.gold"] is Action.FORGET
    assert len(shop.service.requests) == sent
    settled_with_and_without_blocks(shop, *manifests)


def test_a_segment_is_emptied_in_place_of_what_was_recorded(shop: Workshop) -> None:
    shop.declare(segment("gold", "a", spec="lifecycle: {onRemove: forget}"), segment("rest", "a"))
    shop.apply()
    manifests = segment("rest", "a"), removed("gold", "empty")
    shop.declare(*manifests)
    assert actions(shop.apply().plan)["segment.gold"] is Action.DESTROY
    assert not shop.service.members("gold")
    settled_with_and_without_blocks(shop, *manifests)


def test_a_protected_segment_is_not_emptied_by_a_block(shop: Workshop) -> None:
    shop.declare(segment("gold", "a", spec="lifecycle: {preventDestroy: true}"))
    shop.apply()
    shop.declare(removed("gold", "empty"))
    with pytest.raises(GuardRefused, match="1 guard refused"):
        shop.apply()
    assert shop.service.members("gold") == identities("a")


def test_guards_protect_imported_members(shop: Workshop) -> None:
    shop.service.foreign("gold").members |= identities("a", "b")
    shop.write("empty.txt", "")
    shop.declare(segment("gold"), imported("gold", "a", "b"))
    with pytest.raises(GuardRefused):
        shop.apply()
    assert "segment.gold" not in shop.run("state", "list").out


def test_blocks_outside_of_the_target_wait(shop: Workshop) -> None:
    shop.service.foreign("gold").members |= identities("a")
    shop.declare(segment("gold", "a"), segment("rest", "a"), imported("gold", "a"))
    plan = shop.apply(targets=("rest",)).plan
    assert actions(plan) == {"segment.rest": Action.CREATE}
    assert shop.run("state", "list").out == "segment.rest\n"
    assert actions(shop.apply(targets=("gold",)).plan) == {"segment.gold": Action.ADOPT}
    shop.settled()


def test_blocks_of_segments_that_were_never_recorded_are_pointed_out(shop: Workshop) -> None:
    shop.declare(segment("vip", "a"), segment("silver", "a"))
    shop.apply()
    shop.declare(
        segment("vip", "a"),
        segment("new", "a"),
        refactoring(
            "moved: [{from: segment.old, to: segment.new}]",
            "removed: [{address: segment.silvr, onRemove: forget}]",
        ),
    )
    plan = shop.plan()
    found = {f.code: f.detail for f in plan.findings if f.code.startswith("nothing-to")}
    assert found["nothing-to-remove"].startswith('Did you mean "segment.silver"?')
    assert "nothing-to-move" in found
    assert actions(plan)["segment.silver"] is Action.DESTROY


def test_a_saved_plan_brings_the_imported_members_along(shop: Workshop) -> None:
    shop.service.foreign("gold").members |= identities("a", "b")
    shop.write("today.csv", "identity\na\nb\n")
    shop.declare(
        segment("gold", "b", "c", spec="guards: {maxRemovePercent: 100}"),
        refactoring("import: [{address: segment.gold, members: [{file: {path: today.csv}}]}]"),
    )
    file = shop.scratch / "a.segplan"
    digest = shop.plan(out=file).digest
    assert shop.plan().digest == digest
    shop.write("today.csv", "identity\nx\n")
    shop.apply(file=file)
    assert shop.service.members("gold") == identities("b", "c")
    shop.settled()


def test_destroy_leaves_blocks_alone(shop: Workshop) -> None:
    shop.declare(segment("gold", "a"), segment("silver", "a"))
    shop.apply()
    shop.declare(
        segment("silver", "a"), segment("new", "a"), removed("gold", "forget"), imported("new")
    )
    plan = shop.apply(destroy=True).plan
    assert actions(plan) == {"segment.gold": Action.DESTROY, "segment.silver": Action.DESTROY}


def test_sources_of_an_import_report_every_bad_row(shop: Workshop) -> None:
    shop.write("today.csv", "identity\na\n b\n")
    shop.declare(
        segment("gold", "a"),
        refactoring(
            "import:",
            "  - address: segment.gold",
            "    members: [{file: {path: today.csv}}, {file: {path: none.csv}}]",
        ),
    )
    with pytest.raises(InvalidInput) as caught:
        shop.plan()
    assert [str(d.location) for d in caught.value.diagnostics] == ["segments.yaml:13:44"]
    shop.write("none.csv", "identity\n")
    with pytest.raises(InvalidInput) as caught:
        shop.plan()
    assert {d.code for d in caught.value.diagnostics} == {"invalid-identity-space"}
    assert Path(shop.root, "segctl.state.json").exists() is False


def test_a_program_lists_the_members_of_an_import(shop: Workshop) -> None:
    shop.service.foreign("gold").members |= identities("1", "2")
    shop.project("{allowCommands: [seq]}")
    members = "members: [{command: {run: [seq, '2'], format: txt}}]"
    shop.declare(
        segment("gold", "2", "3", spec="guards: {maxRemovePercent: 100}"),
        refactoring(f"import: [{{address: segment.gold, {members}}}]"),
    )
    shop.apply()
    assert shop.service.members("gold") == identities("2", "3")


def renames(plan: Plan) -> dict[str, str]:
    """Return the pairs of possible renames, each with the lines of the advice."""
    found = [f for f in plan.findings if f.code == "possible-rename"]
    return {f"{f.figures.segments}": f.detail for f in found if f.figures}


RENAMED = {
    "the same name and members": segment("vip", "a").replace("The vip", "The gold"),
    "the same name": segment("vip", "b").replace("The vip", "The gold"),
    "the same members": segment("vip", "a"),
    "the same members from elsewhere": segment("vip", spec="members: [{file: {path: a.csv}}]"),
}


@pytest.mark.parametrize("what", RENAMED)
def test_a_rename_without_an_id_is_pointed_out_and_the_advice_is_free(
    shop: Workshop, what: str
) -> None:
    shop.write("a.csv", "identity\na\n")
    shop.declare(segment("gold", "a"))
    shop.apply()
    sent = len(shop.service.requests)
    shop.declare(RENAMED[what])
    [advice] = renames(shop.plan()).values()
    written = "write customerSegmentId: gold in the manifest of segment.vip:"
    assert advice.startswith(f"If it is a rename, {written}")
    shop.declare(RENAMED[what].replace("spec:\n", "spec:\n  customerSegmentId: gold\n"))
    plan = shop.plan()
    assert not renames(plan)
    assert plan.requests.create == 0
    if "members" in what:
        shop.apply()
        assert len(shop.service.requests) == sent


def test_a_move_alone_does_not_keep_a_segment_with_an_id(shop: Workshop) -> None:
    shop.declare(segment("gold", "a"))
    shop.apply()
    shop.declare(segment("vip", "a"), moved("gold", "vip"))
    with pytest.raises(InvalidInput):
        shop.plan()
    shop.declare(segment("vip", "a"))
    shop.run("state", "mv", "segment.gold", "segment.vip")
    assert actions(shop.plan()) == {"segment.vip": Action.REPLACE}


@pytest.mark.parametrize("way", ["moved", "mv"])
def test_a_rename_of_a_segment_without_an_id_is_free_as_advised(shop: Workshop, way: str) -> None:
    made = shop.service.foreign("whatever")
    shop.declare(segment("gold", "a"), imported("gold", by=f", ctSegmentId: {made.ct_segment_id}"))
    shop.apply()
    sent = len(shop.service.requests)
    shop.declare(segment("vip", "a"))
    [advice] = renames(shop.plan()).values()
    assert "moved: [{from: segment.gold, to: segment.vip}] in a document of kind" in advice
    assert "`segctl state mv segment.gold segment.vip`" in advice
    if way == "mv":
        shop.run("state", "mv", "segment.gold", "segment.vip")
    else:
        shop.declare(segment("vip", "a"), moved("gold", "vip"))
    shop.apply()
    assert len(shop.service.requests) == sent
    assert not renames(shop.plan())


def test_segments_with_other_names_and_members_are_no_rename(shop: Workshop) -> None:
    shop.declare(segment("gold", "a"), segment("empty"))
    shop.apply()
    shop.declare(segment("vip", "b"), segment("none"))
    assert not renames(shop.plan())


def test_renames_of_equal_segments_are_reported_in_pairs(shop: Workshop) -> None:
    shop.declare(segment("a1", "x"), segment("a2", "x"), segment("b", "y"))
    shop.apply()
    shop.declare(segment("c1", "x"), segment("c2", "x"), segment("c3", "x"), segment("d", "y"))
    found = renames(shop.plan())
    assert list(found) == [
        "('segment.c1', 'segment.a1')",
        "('segment.c2', 'segment.a2')",
        "('segment.d', 'segment.b')",
    ]
    first, second, third = (detail.splitlines()[-1] for detail in found.values())
    assert first == (
        "segment.a2 and segment.c2 and segment.c3 have the same members, too: check which segment "
        "was renamed to which."
    )
    assert second.startswith("segment.c3 has the same members, too:")
    assert "too" not in third


def test_equal_segments_are_distinguished_by_their_names(shop: Workshop) -> None:
    shop.declare(segment("a1", "x"), segment("a2", "x"))
    shop.apply()
    shop.declare(
        segment("c1", "x").replace("The c1", "The a2"), segment("c2", "x").replace("The c2", "New")
    )
    assert list(renames(shop.plan())) == [
        "('segment.c1', 'segment.a2')",
        "('segment.c2', 'segment.a1')",
    ]


def test_blocks_added_after_an_approval_are_beyond_it(shop: Workshop) -> None:
    shop.service.foreign("silver").members |= identities("a")
    shop.declare(segment("gold", "a"), segment("silver", "b", "a"))
    approved = shop.keep()
    shop.declare(segment("gold", "a"), segment("silver", "b", "a"), imported("silver", "a"))
    with pytest.raises(BeyondApproval):
        shop.apply(approved=approved)
    assert not shop.service.requests


def test_an_import_with_other_members_than_approved_is_beyond_it(shop: Workshop) -> None:
    shop.service.foreign("gold").members |= identities("a", "b")
    shop.declare(segment("gold", "a", "c"), imported("gold", "a", "b"))
    approved = shop.keep()
    shop.declare(segment("gold", "a", "c"), imported("gold", "a"))
    with pytest.raises(BeyondApproval) as caught:
        shop.apply(approved=approved)
    [beyond] = caught.value.check.beyond
    assert "would be imported" in beyond.problems[0]
    shop.declare(segment("gold", "a", "c"), imported("gold", "a", "b"))
    shop.apply(approved=approved)
    assert shop.service.members("gold") == identities("a", "c")


SEEDS = 30 if os.environ.get("HYPOTHESIS_PROFILE") == "torture" else 3


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_left_after_any_blocks_with_them_and_without(shop: Workshop, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a scenario, not a secret
    shop.project("{guards: {maxRemovePercent: 100, allowEmpty: true, maxDestroys: 9}}")
    old = {f"s{n}": pick(chance) for n in range(6)}
    shop.declare(*(segment(name, *members) for name, members in old.items()))
    shop.apply()
    manifests: list[str] = []
    expected: dict[str, set[tuple[str, str]]] = {}
    for name, members in old.items():
        wanted, fate = pick(chance), chance.choice(["keep", "move", "empty", "forget"])
        if fate in ("empty", "forget"):
            manifests.append(removed(name, fate))
            expected[name] = identities() if fate == "empty" else identities(*members)
            continue
        expected[name] = identities(*wanted)
        if fate == "move":
            manifests.append(moved(name, f"{name}-new"))
        address = f"{name}-new" if fate == "move" else name
        manifests.append(segment(address, *wanted, spec=f"customerSegmentId: {name}"))
    for name in ("foreign-1", "foreign-2"):
        there, wanted = pick(chance), pick(chance)
        shop.service.foreign(name).members |= identities(*there)
        manifests += [segment(name, *wanted), imported(name, *there)]
        expected[name] = identities(*wanted)
    shop.declare(*manifests)
    shop.apply()
    assert shop.service.everyone() == {name: users for name, users in expected.items() if users}
    settled_with_and_without_blocks(shop, *manifests)


def pick(chance: random.Random) -> list[str]:
    """Return one to twelve random identities."""
    return chance.sample(many(20), chance.randrange(1, 12))
