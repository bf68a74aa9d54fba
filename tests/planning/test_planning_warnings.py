"""What a plan says of a state that is not there, of documents passed over and of empty segments."""

from pathlib import Path

import pytest

from segctl.core.errors import WrongUsage
from segctl.plan.model import Finding
from tests.planning.unchanged_kit import Workspace

GOLD = (
    "apiVersion: segctl/v1\nkind: Segment\nmetadata: {{name: {name}}}\n"
    "spec: {{displayName: {name}, members: [{{file: {{path: m.csv}}}}]}}\n"
)


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "shop")
    workspace.write("m.csv", "identity\na\nb\n")
    workspace.write("gold.yaml", GOLD.format(name="gold"))
    return workspace


def find(shop: Workspace, code: str) -> list[Finding]:
    return [finding for finding in shop.plan().findings if finding.code == code]


def test_a_plan_without_a_record_opens_with_a_warning(shop: Workspace) -> None:
    first = shop.plan().findings[0]
    assert (str(first.severity), first.code) == ("warning", "nothing-recorded")
    assert first.detail.startswith("There is no state yet.")
    shop.apply()
    assert not find(shop, "nothing-recorded")


def test_a_workspace_without_segments_has_nothing_to_record(shop: Workspace) -> None:
    (shop.root / "gold.yaml").unlink()
    assert shop.plan().findings == ()


def test_a_destroy_names_the_documents_that_were_passed_over(shop: Workspace) -> None:
    shop.apply()
    shop.write("gold.yaml", "kind: Sgment\nmetadata: {name: gold}\n")
    [finding] = find(shop, "passed-over")
    assert finding.summary == (
        "1 segment would be removed, and these YAML documents were passed over: gold.yaml:1"
    )


PROJECT = "apiVersion: segctl/v1\nkind: Project\nmetadata: {name: w}\nspec: {ignore: [old/]}\n"


def test_a_plan_that_removes_a_segment_which_spec_ignore_hides_is_refused(shop: Workspace) -> None:
    shop.apply()
    (shop.root / "old").mkdir()
    (shop.root / "gold.yaml").rename(shop.root / "old/gold.yaml")
    shop.write("segctl.yaml", PROJECT)
    [finding] = shop.plan().error_findings
    assert finding.code == "ignored-manifest"
    assert finding.summary == (
        "segment.gold would be removed, and old/gold.yaml, which spec.ignore hides with "
        '"old/", declares it'
    )


def test_a_block_that_removes_the_segment_makes_that_plan_possible(shop: Workspace) -> None:
    shop.apply()
    (shop.root / "old").mkdir()
    (shop.root / "gold.yaml").rename(shop.root / "old/gold.yaml")
    shop.write("segctl.yaml", PROJECT)
    shop.write(
        "removed.yaml",
        "apiVersion: segctl/v1\nkind: Refactoring\n"
        "spec: {removed: [{address: segment.gold, onRemove: empty}]}\n",
    )
    assert not shop.plan().error_findings


def test_documents_of_others_are_not_named_without_a_destroy(shop: Workspace) -> None:
    shop.apply()
    shop.write("other.yaml", "a: 1\n")
    assert not find(shop, "passed-over")


def test_a_new_segment_without_members_is_a_warning(shop: Workspace) -> None:
    shop.write("m.csv", "identity\n")
    [finding] = find(shop, "empty-segment")
    assert finding.summary == "segment.gold is created without members"


def test_a_target_that_selects_nothing_is_an_error(shop: Workspace) -> None:
    with pytest.raises(WrongUsage, match="--target glod matches no declared") as caught:
        shop.plan(targets=("gold", "glod"))
    assert caught.value.hint == 'Did you mean "gold"?'
