"""Lists that take members away: a plan that would add those who were left out is refused."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.errors import SegctlError
from segctl.core.events import ignore_event
from segctl.plan.model import Finding, Plan
from segctl.session.loaded_state import write_head
from segctl.session.locked_state import locked_state
from segctl.workflows.state import forget_segments, move_segment
from tests.planning.unchanged_kit import Workspace
from tests.profiles import examples

SUPPRESS = "{suppress: [{file: {path: out.csv%s}}]}"


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    """Ten users of whom four have opted out, applied."""
    workspace = Workspace(tmp_path / "shop")
    fill(workspace)
    workspace.apply()
    return workspace


def fill(workspace: Workspace) -> None:
    workspace.project(SUPPRESS % "")
    workspace.write("out.csv", rows(range(4)))
    workspace.write("members.csv", rows(range(10)))
    declare(workspace)


def declare(workspace: Workspace, more: str = "", name: str = "gold") -> None:
    workspace.write(
        f"{name}.yaml",
        f"apiVersion: segctl/v1\nkind: Segment\nmetadata: {{name: {name}}}\n"
        f"spec:\n  displayName: {name}\n  guards: {{maxRemovePercent: 100, allowEmpty: true}}\n"
        f"  members: [{{file: {{path: members.csv}}}}]\n{more}",
    )


def rows(numbers: range) -> str:
    return "identity\n" + "".join(f"user-{n}\n" for n in numbers)


def codes(plan: Plan) -> set[str]:
    return {finding.code for finding in plan.findings} - {"rows-read", "suppressed"}


def finding(plan: Plan, code: str) -> Finding:
    [found] = [f for f in plan.findings if f.code == code]
    return found


def test_an_opt_out_list_without_rows_is_refused(shop: Workspace) -> None:
    shop.write("out.csv", "identity\n")
    [error] = shop.plan().error_findings
    assert error.code == "max-shrink-percent"
    assert error.summary == (
        "segctl.yaml:4:19: out.csv has no rows, and had 4 at the last apply; 4 users whom it left "
        "out become members; that is a loss of 100%, and maxShrinkPercent allows 30%"
    )


@pytest.mark.parametrize("left", [4, 3])
def test_an_opt_out_list_may_lose_a_few_rows_and_says_so(shop: Workspace, left: int) -> None:
    shop.write("out.csv", rows(range(left)))
    assert codes(shop.plan()) == ({"restriction-shrunk"} if left < 4 else set())


def test_equally_many_other_rows_are_refused(shop: Workspace) -> None:
    shop.write("out.csv", rows(range(20, 24)))
    assert "max-shrink-percent" in codes(shop.plan())


def test_a_list_in_another_form_is_refused_and_the_likeness_is_named(shop: Workspace) -> None:
    shop.write("out.csv", rows(range(4)).replace("user", "USER"))
    assert codes(shop.plan()) == {
        "max-shrink-percent",
        "restriction-matches-nobody",
        "similar-values",
    }


def test_a_list_matches_nobody_after_its_users_left_the_members(shop: Workspace) -> None:
    shop.write("members.csv", rows(range(4, 10)))
    assert codes(shop.plan()) == {"restriction-matches-nobody"}


def test_a_reviewed_setting_allows_the_loss(shop: Workspace) -> None:
    shop.project(SUPPRESS % ", maxShrinkPercent: 100")
    shop.write("out.csv", rows(range(1)))
    assert not shop.plan().error_findings


def test_after_an_apply_the_new_size_counts(shop: Workspace) -> None:
    shop.write("out.csv", rows(range(8)))
    shop.apply()
    shop.write("out.csv", rows(range(4)))
    assert "max-shrink-percent" in codes(shop.plan())


def test_a_list_with_another_name_continues_the_old_one(shop: Workspace) -> None:
    shop.project((SUPPRESS % "").replace("out.csv", "out-2.csv"))
    shop.write("out-2.csv", "identity\n")
    assert "max-shrink-percent" in codes(shop.plan())


def test_a_list_that_is_no_longer_declared_is_named(shop: Workspace) -> None:
    shop.project("{}")
    assert finding(shop.plan(), "restriction-removed").summary == (
        "suppress: out.csv is no longer declared; it had 4 rows at the last apply; 4 users of it "
        "become members"
    )


def test_fewer_rows_than_min_rows_are_refused(shop: Workspace) -> None:
    shop.project(SUPPRESS % ", minRows: 5")
    assert finding(shop.plan(), "min-rows").summary == (
        "segctl.yaml:4:19: out.csv has 4 rows, fewer than minRows requires (5)"
    )


@pytest.mark.parametrize("role", ["exclude", "intersect"])
def test_lists_of_one_segment_are_guarded_too(role: str, tmp_path: Path) -> None:
    shop = Workspace(tmp_path / "shop")
    fill(shop)
    shop.project()
    declare(shop, more=f"  {role}: [{{file: {{path: out.csv}}}}]\n")
    shop.apply()
    shop.write("out.csv", "identity\n")
    assert finding(shop.plan(), "max-shrink-percent").address == "segment.gold"


@pytest.mark.parametrize("change", ["renamed", "replaced"])
def test_a_list_is_guarded_when_its_segment_has_another_name(change: str, tmp_path: Path) -> None:
    shop = Workspace(tmp_path / "shop")
    fill(shop)
    shop.project()
    declare(shop, more="  exclude: [{file: {path: out.csv}}]\n")
    shop.apply()
    (shop.root / "gold.yaml").unlink()
    segment_id = "gold" if change == "renamed" else "vip"
    declare(
        shop,
        name="vip",
        more=f"  customerSegmentId: {segment_id}\n  exclude: [{{file: {{path: out.csv}}}}]\n",
    )
    shop.write("out.csv", "identity\n")
    assert finding(shop.plan(), "max-shrink-percent").address == "segment.vip"


def test_a_list_is_guarded_when_it_has_another_role(shop: Workspace) -> None:
    shop.project("{}")
    declare(shop, more="  exclude: [{file: {path: out.csv}}]\n")
    shop.write("out.csv", "identity\nx1\n")
    assert codes(shop.plan()) >= {"max-shrink-percent", "restriction-removed"}


def exclude_from(shop: Workspace, *lists: str, name: str = "gold") -> None:
    """Declare a segment that excludes these lists, with the members of ``members.csv``."""
    files = ", ".join(f"{{file: {{path: {path}}}}}" for path in lists)
    declare(shop, name=name, more=f"  exclude: [{files}]\n")


def others(count: int) -> str:
    """Return a list of as many values that no list of these tests has."""
    return "identity\n" + "".join(f"other-{n}\n" for n in range(count))


def test_a_list_of_users_who_were_no_members_yet_is_guarded(shop: Workspace) -> None:
    """Those whom it never had to leave out may come into the sources with the broken list."""
    shop.write("members.csv", rows(range(20, 30)))
    shop.apply()
    shop.write("out.csv", others(4))
    shop.write("members.csv", rows(range(10)))
    assert finding(shop.plan(), "max-shrink-percent").summary == (
        "segctl.yaml:4:19: out.csv lost 4 of the 4 values of the last apply; that is a loss of "
        "100%, and maxShrinkPercent allows 30%"
    )


def test_a_list_is_known_in_full_after_a_plan_of_some_segments(shop: Workspace) -> None:
    """Another segment is unchanged, so whom the list matches is not counted again."""
    shop.write("other.csv", rows(range(50, 60)))
    shop.write(
        "other.yaml",
        "apiVersion: segctl/v1\nkind: Segment\nmetadata: {name: other}\n"
        "spec: {displayName: Other, members: [{file: {path: other.csv}}]}\n",
    )
    shop.write("out.csv", rows(range(60, 64)))
    declare(shop)
    shop.project(SUPPRESS % ", maxShrinkPercent: 100")
    shop.apply()
    shop.project(SUPPRESS % "")
    shop.write("members.csv", rows(range(60, 70)))
    shop.apply()
    shop.write("out.csv", others(4))
    assert "max-shrink-percent" in codes(shop.plan())


def test_the_list_of_a_segment_that_another_one_reads_is_guarded(tmp_path: Path) -> None:
    shop = Workspace(tmp_path / "shop")
    fill(shop)
    shop.project()
    exclude_from(shop, "out.csv")
    vip = "apiVersion: segctl/v1\nkind: Segment\nmetadata: {name: vip}\nspec: {displayName: V, "
    shop.write("vip.yaml", vip + "members: [{segment: gold}]}\n")
    shop.apply()
    shop.write("out.csv", others(4))
    assert "max-shrink-percent" in codes(shop.plan(targets=("vip",)))


def test_a_segment_that_was_not_declared_for_a_time_keeps_its_lists(tmp_path: Path) -> None:
    shop = Workspace(tmp_path / "shop")
    fill(shop)
    shop.project()
    exclude_from(shop, "out.csv")
    exclude_from(shop, "out.csv", name="other")
    shop.apply()
    (shop.root / "gold.yaml").unlink()
    shop.write("members.csv", rows(range(11)))
    shop.apply(targets=("other",))
    exclude_from(shop, "out.csv")
    shop.write("out.csv", others(4))
    errors = shop.plan(targets=("gold",)).error_findings
    assert [error.address for error in errors] == ["segment.gold"]


def forget_lists(shop: Workspace) -> None:
    """Take what is known of lists out of the state, as if it were of an earlier version."""
    with locked_state(shop.context(), timeout=0, observe=ignore_event) as locked:
        state = locked.loaded.state.next(restrictions=())
        write_head(locked.backend, locked.loaded, state)


def test_a_list_that_is_not_known_is_read(shop: Workspace) -> None:
    forget_lists(shop)
    shop.apply()
    shop.write("out.csv", others(4))
    assert "max-shrink-percent" in codes(shop.plan())


def test_of_two_equal_lists_the_removed_one_is_named(tmp_path: Path) -> None:
    shop = Workspace(tmp_path / "shop")
    fill(shop)
    shop.project()
    exclude_from(shop, "out.csv", "out.csv")
    shop.apply()
    exclude_from(shop, "out.csv")
    assert "restriction-removed" in codes(shop.plan())


def test_a_dated_list_continues_the_one_with_the_most_similar_name(tmp_path: Path) -> None:
    shop = Workspace(tmp_path / "shop")
    fill(shop)
    shop.project()
    shop.write("a-01.csv", others(4))
    shop.write("b-01.csv", rows(range(4)))
    exclude_from(shop, "a-01.csv", "b-01.csv")
    shop.apply()
    shop.write("b-02.csv", others(4))
    exclude_from(shop, "b-02.csv")
    assert "max-shrink-percent" in codes(shop.plan())


def test_without_a_limit_a_few_values_of_many_are_seen(tmp_path: Path) -> None:
    shop = Workspace(tmp_path / "shop")
    fill(shop)
    shop.project(SUPPRESS % ", maxShrinkPercent: 0")
    shop.write("members.csv", rows(range(20_000)))
    shop.write("out.csv", rows(range(20_000)))
    shop.apply()
    shop.write("out.csv", rows(range(200, 20_200)))
    assert "max-shrink-percent" in codes(shop.plan())


def test_a_segment_that_is_excluded_is_guarded_by_its_own_limits(tmp_path: Path) -> None:
    shop = Workspace(tmp_path / "shop")
    fill(shop)
    shop.project()
    declare(shop, more="  exclude: [{segment: vip}]\n")
    vip = "apiVersion: segctl/v1\nkind: Segment\nmetadata: {name: vip}\nspec: {displayName: V, "
    shop.write("vip.yaml", vip + "members: [{file: {path: out.csv}}]}\n")
    shop.apply()
    shop.write("out.csv", "identity\n")
    # Its own guard does not count in a plan of another segment.
    assert codes(shop.plan(targets=("gold",))) >= {"max-shrink-percent"}


def test_a_targeted_plan_keeps_what_is_known_of_other_segments(shop: Workspace) -> None:
    declare(shop, name="other", more="  exclude: [{file: {path: out.csv}}]\n")
    shop.apply()
    shop.write("members.csv", rows(range(11)))
    shop.apply(targets=("gold",))
    shop.write("out.csv", "identity\n")
    errors = shop.plan().error_findings
    assert {error.address for error in errors} == {None, "segment.other"}


def test_what_is_known_of_a_list_moves_with_its_segment(tmp_path: Path) -> None:
    shop = Workspace(tmp_path / "shop")
    fill(shop)
    shop.project()
    declare(shop, more="  exclude: [{file: {path: out.csv}}]\n")
    shop.apply()
    move_segment(shop.context(), "segment.gold", "segment.silver")
    [restriction] = shop.state.restrictions
    assert restriction.key.segments == ("segment.silver",)
    forget_segments(shop.context(), ("silver",))
    assert not shop.plan().error_findings


LISTED = [f"user-{n}" for n in range(20)]


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What happens to a list of opt-outs, and around it, between two applies.

    ``kept`` values remain, each changed by ``change``; ``other`` ones are new. ``is_renamed`` gives
    the segment another name, ``targeted`` plans only it, and ``had_members`` says whether those who
    opted out were in the members' source before.
    """

    kept: frozenset[str]
    change: Callable[[str], str]
    other: int
    is_renamed: bool
    targeted: bool
    had_members: bool


DAMAGES = st.builds(
    Damage,
    kept=st.frozensets(st.sampled_from(LISTED)),
    change=st.sampled_from([str, str.upper, "{}x".format, "user{}".format, ",{}".format]),
    other=st.integers(0, 20),
    is_renamed=st.booleans(),
    targeted=st.booleans(),
    had_members=st.booleans(),
)


@settings(max_examples=examples(15, torture=500), deadline=None)
@given(damage=DAMAGES, role=st.sampled_from(["suppress", "exclude", "exclude from another"]))
def test_most_users_who_were_left_out_stay_out_or_the_plan_is_refused(
    damage: Damage, role: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shop = Workspace(tmp_path_factory.mktemp("law") / "shop")
    shop.write("out.csv", "identity\n" + "\n".join(LISTED) + "\n")
    shop.write("members.csv", rows(range(30 if damage.had_members else 0)))
    declare_restricted(shop, role, "gold")
    shop.apply()
    if damage.is_renamed:
        (shop.root / "gold.yaml").unlink()
        declare_restricted(shop, role, "renamed")
    damaged = [*map(damage.change, sorted(damage.kept)), *(f"new-{n}" for n in range(damage.other))]
    shop.write("out.csv", "identity\n" + "".join(f"{line}\n" for line in damaged))
    shop.write("members.csv", rows(range(30)))
    address = "renamed" if damage.is_renamed else "gold"
    try:
        plan = shop.plan(targets=(address,) if damage.targeted else ())
    except SegctlError:
        return
    [change] = [change for change in plan.changes if change.address == f"segment.{address}"]
    opted_out = change.members.after - (30 - len(LISTED))
    assert plan.error_findings or opted_out <= 0.3 * len(LISTED)


def declare_restricted(shop: Workspace, role: str, name: str) -> None:
    """Declare a segment that a list restricts, or a segment that it reads."""
    out = "[{file: {path: out.csv}}]"
    shop.project(SUPPRESS % "" if role == "suppress" else "{}")
    more = "  customerSegmentId: ID\n" + (f"  exclude: {out}\n" if role == "exclude" else "")
    declare(shop, name=name, more=more)
    if role == "exclude from another":
        declare(shop, name="base", more=f"  exclude: {out}\n")
        manifest = shop.root / f"{name}.yaml"
        text = manifest.read_text(encoding="utf-8")
        manifest.write_text(text.replace("{file: {path: members.csv}}", "{segment: base}"))


def test_users_who_are_suppressed_in_another_segment_are_values_of_it(tmp_path: Path) -> None:
    """They are no rows of it, so it can lose more values than it had rows, and not over 100 %."""
    shop = Workspace(tmp_path / "shop")
    fill(shop)
    shop.write("base.csv", rows(range(6)))
    shop.write(
        "base.yaml",
        "apiVersion: segctl/v1\nkind: Segment\nmetadata: {name: base}\n"
        "spec: {displayName: B, guards: {maxRemovePercent: 100, allowEmpty: true}, "
        "members: [{file: {path: base.csv}}]}\n",
    )
    declare(shop, more="  exclude: [{segment: base}]\n")
    shop.apply()
    shop.write("base.csv", "identity\nx1\n")
    plan = shop.plan()
    assert not plan.error_findings
    assert "lost 6 of the 6 values of the last apply" in finding(plan, "restriction-shrunk").summary
