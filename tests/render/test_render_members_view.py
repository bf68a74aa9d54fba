"""Members in views: lists, and the figures of two sets."""

import json

import pytest

from segctl.core.member_sets import Overlap, SegmentSet
from segctl.render.member_format import Identities
from segctl.render.members_view import iter_list_json, iter_list_text, render_overlaps

GOLD = SegmentSet(address="segment.gold", which="recorded", count=2, target_index=0)


def test_lines_are_listed_one_by_one() -> None:
    assert list(iter_list_text(["a\na\n"])) == ["a\na\n"]


@pytest.mark.parametrize("kind", ["identity", "guid"])
def test_a_document_of_hashes_has_no_values(kind: str) -> None:
    lines = [f"#9f2c1ab07d\t{kind}\n#a000000000\t{kind}\n"]
    pieces = iter_list_json(GOLD, lines, identities=Identities.MASKED, with_kind=True, sample=None)
    assert json.loads("".join(pieces))["members"] == [
        {"kind": kind, "hash": "9f2c1ab07d"},
        {"kind": kind, "hash": "a000000000"},
    ]


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
