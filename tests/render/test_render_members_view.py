"""A list of masked members counts those that look the same, wherever it is cut into pieces."""

from itertools import accumulate, groupby, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.member_sets import Overlap, SegmentSet
from segctl.render.members_view import iter_list_text, render_overlaps


@given(
    lines=st.lists(st.sampled_from(["a", "aa", "b\r", "", "é…\tguid"]), min_size=1),
    sizes=st.lists(st.integers(1, 5)),
)
def test_like_lines_are_counted_across_pieces(lines: list[str], sizes: list[int]) -> None:
    cuts = [0, *(cut for cut in accumulate(sizes) if cut < len(lines)), len(lines)]
    pieces = ["".join(f"{line}\n" for line in lines[a:b]) for a, b in pairwise(cuts)]
    runs = [(line, len(list(run))) for line, run in groupby(lines)]
    expected = []
    for line, count in runs:
        value, tab, kind = line.replace("\r", "\\r").partition("\t")
        like = f" and {count - 1} like it" if count > 1 else ""
        expected.append(f"{value}{like}{tab}{kind}\n")
    assert "".join(iter_list_text(pieces, masked=True)) == "".join(expected)


def test_a_run_of_like_lines_is_not_held_in_memory() -> None:
    pieces = (f"{'v…@e….com' * 100}\n" * 1_000 for _ in range(1_000))
    [line] = iter_list_text(pieces, masked=True)
    assert line.endswith(" and 999,999 like it\n")


def test_lines_in_full_are_listed_one_by_one() -> None:
    assert list(iter_list_text(["a\na\n"])) == ["a\na\n"]


@pytest.mark.parametrize(
    ("shared", "of_segment", "of_other"),
    [(0, "0%", "-"), (1, "<0.1%", "-"), (5_000, "50.0%", "-"), (10_000, "100%", "-")],
)
def test_an_overlap_has_its_share_of_both(shared: int, of_segment: str, of_other: str) -> None:
    left, right = (
        SegmentSet(address=name, which="recorded", count=count, target_index=index)
        for index, (name, count) in enumerate((("segment.a", 10_000), ("segment.b", 0)))
    )
    [_, row] = render_overlaps([Overlap(left=left, right=right, shared=shared)]).splitlines()
    assert row.split()[-2:] == [of_segment, of_other]
