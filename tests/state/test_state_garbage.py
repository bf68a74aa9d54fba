import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.codec import DecodeError
from segctl.state.codec import referenced_files
from segctl.state.history import Garbage, HistoryLimits, select_garbage

FILES = "abcdef"
files = st.frozensets(st.sampled_from(FILES))
histories = st.lists(files, max_size=8)
limits = st.builds(HistoryLimits, heads=st.integers(0, 8), bytes=st.integers(0, 8))


def garbage_of(
    history: list[frozenset[str]], current: frozenset[str], limits: HistoryLimits
) -> Garbage:
    """Return the garbage of a state that has all files, each of one byte."""
    return select_garbage(
        [str(number) for number in range(len(history))],
        lambda name: history[int(name)],
        current=current,
        sizes=dict.fromkeys(FILES, 1),
        limits=limits,
    )


@given(histories, files, limits)
def test_garbage_is_every_file_that_no_kept_head_refers_to(
    history: list[frozenset[str]], current: frozenset[str], limits: HistoryLimits
) -> None:
    found = garbage_of(history, current, limits)
    needed = current.union(*history[len(found.heads) :])
    assert set(found.files) == set(FILES) - needed
    assert found.bytes == len(found.files)


@given(histories, files, limits)
def test_the_latest_heads_within_the_limits_are_kept(
    history: list[frozenset[str]], current: frozenset[str], limits: HistoryLimits
) -> None:
    found = garbage_of(history, current, limits)
    assert found.heads == tuple(str(number) for number in range(len(found.heads)))
    kept = history[len(found.heads) :]
    assert len(kept) <= limits.heads
    assert len(kept) <= 1 or len(frozenset().union(*kept) - current) <= limits.bytes


@given(histories.filter(bool), files, limits.filter(lambda limits: limits.heads > 0))
def test_the_latest_earlier_head_is_kept_even_if_it_is_larger_than_the_limit(
    history: list[frozenset[str]], current: frozenset[str], limits: HistoryLimits
) -> None:
    assert len(garbage_of(history, current, limits).heads) < len(history)


def test_a_head_that_is_too_old_is_not_read() -> None:
    heads_read = []

    def files_of(name: str) -> frozenset[str]:
        heads_read.append(name)
        return frozenset()

    select_garbage(
        ["1", "2", "3"], files_of, current=frozenset(), sizes={}, limits=HistoryLimits(heads=2)
    )
    assert heads_read == ["3", "2"]


def test_a_file_name_with_escapes_is_found() -> None:
    name = "a" * 64 + ".parquet"
    head = json.dumps({"version": 1, "file": name}).replace("aaa", "\\u0061aa", 1)
    assert referenced_files(head.encode()) == {name}


@pytest.mark.parametrize("head", [b"", b"{", b"[]", b"{}", b'{"version": true}', b'{"version": 5}'])
def test_the_files_of_a_head_in_an_unknown_format_are_an_error(head: bytes) -> None:
    with pytest.raises(DecodeError):
        referenced_files(head)
