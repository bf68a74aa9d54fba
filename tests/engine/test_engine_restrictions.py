"""Loads that exclude or suppress: whom they match, whom they resemble, whom they let go."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.core.list_samples import LIST_SAMPLE_SIZE, count_hashes
from segctl.core.normalize import Normalization
from segctl.engine.duckdb import DuckEngine
from segctl.engine.model import NO_EARLIER_LIST, Diff, EarlierList, RecordedFiles
from segctl.manifests.desired import Role
from tests.engine.engine_kit import inline
from tests.profiles import examples

FORMS: tuple[Normalization, ...] = ("nfc", "lower", "trim", "strip-plus", "strip-zeros")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path


def compare(
    folder: Path,
    members: Sequence[str],
    listed: Sequence[str],
    *,
    role: Role = "suppress",
    normalize: Sequence[Normalization] = (),
    earlier: EarlierList = NO_EARLIER_LIST,
) -> tuple[Diff, int]:
    """Compare one target that has no recorded members; also return the number of the list."""
    engine = DuckEngine(folder)
    try:
        engine.load(inline(*members), targets=[0])
        number = engine.load(
            inline(*listed),
            targets=[] if role == "suppress" else [0],
            role=role,
            normalize=normalize,
            earlier=earlier,
        )
        engine.set_recorded(0, RecordedFiles(), wanted=True)
        return engine.diff(), number
    finally:
        engine.close()


@pytest.mark.parametrize("role", ["suppress", "exclude"])
def test_a_list_counts_the_users_that_it_takes_away(role: Role, scratch: Path) -> None:
    diff, number = compare(scratch, ["a1", "b1", "c1"], ["a1", "b1", "x1", "x1"], role=role)
    stats = diff.loads[number]
    assert (stats.users, stats.matched, len(stats.sample)) == (3, 2, 2)
    assert diff.targets[0].add == 1


def test_an_intersection_counts_the_users_whom_it_keeps(scratch: Path) -> None:
    diff, number = compare(scratch, ["a1", "b1", "c1", "a1"], ["a1", "b1", "x1"], role="intersect")
    stats = diff.loads[number]
    assert (stats.users, stats.matched, stats.sample) == (3, 2, ())
    assert diff.targets[0].add == 2


LOOKALIKES = {
    "case": ("Ann@example.com", "ann@example.com"),
    "composition": ("jose\u0301@example.com", "jos\u00e9@example.com"),
    "plus": ("+15550100", "15550100"),
    "zeros": ("0015550100", "15550100"),
    "zero width": ("ann\u200d1", "ann1"),
    "byte order mark": ("\ufeffann1", "ann1"),
    "space": (" ann1", "ann1"),
}


@pytest.mark.parametrize("role", ["suppress", "exclude"])
@pytest.mark.parametrize(("listed", "member"), LOOKALIKES.values(), ids=LOOKALIKES)
def test_a_member_that_looks_like_a_listed_value_is_reported(
    listed: str, member: str, role: Role, scratch: Path
) -> None:
    diff, number = compare(scratch, [member, "other"], [listed], role=role)
    assert diff.loads[number].similar.count == 1
    assert diff.loads[number].similar.sample == (("identity", member),)


def test_a_member_that_another_row_takes_away_is_not_similar(scratch: Path) -> None:
    diff, number = compare(scratch, ["ann", "bob"], ["ann", "ANN"])
    assert diff.loads[number].similar.count == 0


@pytest.mark.parametrize("role", ["suppress", "exclude"])
@pytest.mark.parametrize(
    ("forms", "listed", "member"),
    [
        (["lower"], "Ann", "aNN"),
        (["nfc"], "jose\u0301", "jos\u00e9"),
        (["strip-plus"], "+1555", "1555"),
        (["strip-zeros"], "1555", "001555"),
        (["trim"], "ann", "ann\u2060"),
        (["lower", "strip-plus"], "+A1", "a1"),
    ],
)
def test_values_are_compared_in_the_chosen_forms(
    forms: list[Normalization], listed: str, member: str, role: Role, scratch: Path
) -> None:
    diff, number = compare(scratch, [member, "other"], [listed], role=role, normalize=forms)
    assert (diff.targets[0].add, diff.loads[number].matched) == (1, 1)
    assert diff.loads[number].similar.count == 0


def test_an_intersection_is_compared_in_the_chosen_forms(scratch: Path) -> None:
    diff, _ = compare(scratch, ["Ann", "bob"], ["aNN"], role="intersect", normalize=["lower"])
    assert diff.targets[0].add == 1


def test_lists_in_different_forms_are_each_compared_in_their_own(scratch: Path) -> None:
    engine = DuckEngine(scratch)
    engine.load(inline("Ann", "Bob", "Cy"), targets=[0])
    engine.load(inline("ANN"), targets=[], role="suppress", normalize=["lower"])
    engine.load(inline("BOB", "Cy"), targets=[], role="suppress")
    engine.set_recorded(0, RecordedFiles(), wanted=True)
    diff = engine.diff()
    engine.close()
    assert (diff.targets[0].add, diff.targets[0].suppressed) == (1, 2)


def test_users_who_were_left_out_and_are_added_now_are_counted(scratch: Path) -> None:
    before, number = compare(scratch, ["a1", "b1", "c1"], ["a1", "b1"])
    sample = before.loads[number].sample
    after, number = compare(
        scratch, ["b1", "c1", "a1"], ["b1"], earlier=EarlierList(left_out=sample)
    )
    assert after.loads[number].released == 1


def test_a_user_who_left_the_sources_too_is_not_counted(scratch: Path) -> None:
    before, number = compare(scratch, ["a1", "b1"], ["a1"])
    after, number = compare(
        scratch, ["b1"], ["x1"], earlier=EarlierList(left_out=before.loads[number].sample)
    )
    assert (after.loads[number].matched, after.loads[number].released) == (0, 0)


@pytest.mark.parametrize("role", ["suppress", "exclude", "intersect"])
def test_values_that_a_list_no_longer_has_are_counted(role: Role, scratch: Path) -> None:
    before, number = compare(scratch, ["m1"], ["a1", "b1", "c1", " bad"], role=role)
    earlier = EarlierList(listed=before.loads[number].listed)
    after, number = compare(scratch, ["m1"], ["c1", "d1", "e1"], role=role, earlier=earlier)
    assert after.loads[number].dropped == 2
    again, number = compare(scratch, [], ["b1", "c1", "a1", "z1"], role=role, earlier=earlier)
    assert again.loads[number].dropped == 0


def test_the_values_of_a_list_are_those_of_its_forms(scratch: Path) -> None:
    before, number = compare(scratch, [], ["Ann", "bob"], normalize=["lower"])
    earlier = EarlierList(listed=before.loads[number].listed)
    after, number = compare(scratch, [], ["aNN", "BOB"], normalize=["lower"], earlier=earlier)
    assert after.loads[number].dropped == 0


def test_of_a_long_list_a_part_stands_for_all(scratch: Path) -> None:
    values = [f"user-{n}" for n in range(20_000)]
    before, number = compare(scratch, [], values)
    earlier = EarlierList(listed=before.loads[number].listed)
    assert count_hashes(earlier.listed) == LIST_SAMPLE_SIZE
    after, number = compare(scratch, [], values[:15_000], earlier=earlier)
    assert 180 < after.loads[number].dropped < 330


WORDS = st.text("aAbB0+é\u200d ", min_size=1, max_size=4)


@settings(max_examples=examples(15, torture=300), deadline=None)
@given(members=st.sets(WORDS, max_size=6), listed=st.sets(WORDS, max_size=6))
def test_in_all_forms_no_member_resembles_a_listed_value(
    members: set[str], listed: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Values that look alike are equal in all forms together, except for invalid rows."""
    usable = [value for value in listed if value == value.strip() and "\u200d" not in value]
    diff, number = compare(
        tmp_path_factory.mktemp("engine"), sorted(members), sorted(usable), normalize=FORMS
    )
    assert diff.loads[number].similar.count == 0
