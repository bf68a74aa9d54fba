import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.codec import DecodeError
from segctl.state.codec import referenced_files
from segctl.state.history import Garbage, HistoryLimits, select_garbage

FILES = "abcdef"
files = st.frozensets(st.sampled_from(FILES))
pasts = st.lists(files, max_size=8)
limits = st.builds(HistoryLimits, heads=st.integers(0, 8), bytes=st.integers(0, 8))


def wasted(past: list[frozenset[str]], present: frozenset[str], limits: HistoryLimits) -> Garbage:
    """Find the waste of a state that has all files, each of one byte."""
    return select_garbage(
        [str(number) for number in range(len(past))],
        lambda name: past[int(name)],
        present=present,
        sizes=dict.fromkeys(FILES, 1),
        limits=limits,
    )


@given(pasts, files, limits)
def test_no_file_goes_that_the_head_or_a_kept_head_names(
    past: list[frozenset[str]], present: frozenset[str], limits: HistoryLimits
) -> None:
    found = wasted(past, present, limits)
    needed = present.union(*past[len(found.heads) :])
    assert set(found.files) == set(FILES) - needed
    assert found.bytes == len(found.files)


@given(pasts, files, limits)
def test_the_heads_that_stay_are_the_latest_and_within_the_limits(
    past: list[frozenset[str]], present: frozenset[str], limits: HistoryLimits
) -> None:
    found = wasted(past, present, limits)
    assert found.heads == tuple(str(number) for number in range(len(found.heads)))
    kept = past[len(found.heads) :]
    assert len(kept) <= limits.heads
    assert len(kept) <= 1 or len(frozenset().union(*kept) - present) <= limits.bytes


@given(pasts.filter(bool), files, limits.filter(lambda limits: limits.heads > 0))
def test_the_latest_earlier_head_stays_whatever_it_takes(
    past: list[frozenset[str]], present: frozenset[str], limits: HistoryLimits
) -> None:
    assert len(wasted(past, present, limits).heads) < len(past)


def test_a_head_that_is_too_old_is_not_asked_for_its_files() -> None:
    asked = []

    def named_by(name: str) -> frozenset[str]:
        asked.append(name)
        return frozenset()

    select_garbage(
        ["1", "2", "3"], named_by, present=frozenset(), sizes={}, limits=HistoryLimits(heads=2)
    )
    assert asked == ["3", "2"]


def test_a_name_that_is_written_in_escapes_is_found() -> None:
    name = "a" * 64 + ".parquet"
    head = json.dumps({"version": 1, "file": name}).replace("aaa", "\\u0061aa", 1)
    assert referenced_files(head.encode()) == {name}


@pytest.mark.parametrize("head", [b"", b"{", b"[]", b"{}", b'{"version": true}', b'{"version": 3}'])
def test_of_a_head_that_may_name_files_in_another_way_none_are_told(head: bytes) -> None:
    with pytest.raises(DecodeError):
        referenced_files(head)
