"""Each step of packing, compared with a simple definition of its result."""

from itertools import pairwise, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.packing.bins import fill_requests
from segctl.packing.bound import slot_floor
from segctl.packing.delta import build_delta
from segctl.packing.model import Ints, Limits
from segctl.packing.ragged import offsets
from segctl.packing.rectangles import SlotUsage, mine_rectangles
from segctl.packing.split_bound import prove_by_splits
from segctl.packing.subsets import Subsets, _group_equal, list_part_ops

Rows = list[list[int]]

rows_of = st.lists(
    st.sets(st.integers(0, 9), min_size=1, max_size=5).map(sorted), min_size=1, max_size=25
)


def as_ragged(rows: Rows) -> tuple[Ints, Ints]:
    return offsets(np.array([len(r) for r in rows])), np.array([c for r in rows for c in r])


def list_partitions(items: tuple[int, ...]) -> list[list[tuple[int, ...]]]:
    """Return all partitions of a set."""
    if not items:
        return [[]]
    head, *tail = items
    partitions = []
    for mask in product([False, True], repeat=len(tail)):
        part = (head, *(t for t, m in zip(tail, mask, strict=True) if m))
        rest = tuple(t for t, m in zip(tail, mask, strict=True) if not m)
        partitions += [[part, *more] for more in list_partitions(rest)]
    return partitions


@given(rows_of, st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_rows_are_split_at_the_least_price(rows: Rows, seed: int) -> None:
    start, cols = as_ragged(rows)
    subsets = Subsets(start, cols, np.ones(len(rows), np.int64))
    price = (np.arange(len(subsets.hashes)) * seed * 7919 % 1000).astype(np.int32)
    split = subsets.split(price)
    part_start, ops = list_part_ops(split, start, cols)
    parts = [tuple(ops[a:b]) for a, b in pairwise(part_start)]
    of_set = {p: int(price[n]) for p, n in zip(parts, split.pattern, strict=True)}
    for number, row in enumerate(rows):
        chosen = [p for p, r in zip(parts, split.row, strict=True) if r == number]
        assert sorted(c for p in chosen for c in p) == row
        known = [s for s in list_partitions(tuple(row)) if all(p in of_set for p in s)]
        assert sum(of_set[p] for p in chosen) == min(sum(of_set[p] for p in s) for s in known)


@given(st.lists(st.integers(0, 40), min_size=1).map(lambda low: [n % 5 << 60 | n for n in low]))
def test_equal_hashes_are_grouped_even_if_they_differ_in_low_bits_only(hashes: list[int]) -> None:
    digest = np.array(hashes, np.uint64)
    order, distinct, first = _group_equal(digest)
    assert sorted(order.tolist()) == list(range(len(hashes)))
    assert distinct.tolist() == sorted(set(hashes))
    assert digest[order].tolist() == sorted(hashes)
    assert first.tolist() == np.searchsorted(digest[order], distinct).tolist()


@given(rows_of)
@settings(max_examples=40, deadline=None)
def test_sets_of_one_user_share_a_number_with_no_other_set(rows: Rows) -> None:
    start, cols = as_ragged(rows)
    users = np.ones(len(rows), np.int64)
    every = Subsets(start, cols, users)
    merged = Subsets(start, cols, users, shared=np.zeros(0, np.uint64))
    for group, other in zip(every.groups, merged.groups, strict=True):
        alone = every.support[group.pattern[1:]] == 1
        assert np.array_equal(other.pattern[1:] < merged.unshared, alone)
        assert np.array_equal(every.width[group.pattern[1:]], merged.width[other.pattern[1:]])
        assert np.array_equal(every.support[group.pattern[1:]], merged.support[other.pattern[1:]])


@given(rows_of)
@settings(max_examples=40, deadline=None)
def test_mining_splits_rows_without_loss(rows: Rows) -> None:
    start, cols = as_ragged(rows)
    used = SlotUsage(users=0, ops=0, price=0.6)
    parts, _ = mine_rectangles(start, cols, np.ones(len(rows), np.int64), Limits(), used)
    covered = sorted(
        (int(parts.row[k]), int(op))
        for k in range(len(parts.row))
        for op in parts.ops[parts.start[k] : parts.start[k + 1]]
    )
    assert covered == [(r, c) for r, row in enumerate(rows) for c in row]


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 7), st.booleans()), min_size=1),
    st.integers(1, 30),
    st.integers(7, 30),
)
@settings(max_examples=150, deadline=None)
def test_filling_places_every_user_of_every_entry_within_limits(
    entries: list[tuple[int, int, bool]], users: int, segments: int
) -> None:
    n, s, removes = (np.array(column) for column in zip(*entries, strict=True))
    pieces = fill_requests(n, s, removes, Limits(users=users, segments=segments))
    height = pieces.end - pieces.begin
    assert height.min() > 0
    assert np.bincount(pieces.request, height).max() <= users
    assert np.bincount(pieces.request, s[pieces.entry]).max() <= segments
    assert len(np.unique(pieces.request)) == pieces.requests
    for entry in range(len(n)):
        own = np.flatnonzero(pieces.entry == entry)
        own = own[np.argsort(pieces.begin[own])]
        assert pieces.begin[own][0] == 0
        assert pieces.end[own][-1] == n[entry]
        assert (pieces.begin[own][1:] == pieces.end[own][:-1]).all()


@given(rows_of, st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_bounds_never_exceed_what_sending_each_row_takes(
    rows: Rows, users: int, segments: int
) -> None:
    limits = Limits(users=users, segments=segments)
    start, cols = as_ragged(rows)
    user = np.repeat(np.arange(len(rows)), np.diff(start))
    delta = build_delta(user, cols, np.zeros(10, np.bool_))
    by_row = sum(-(-len(r) // segments) for r in rows)
    by_op = int((-(-np.bincount(cols) // users)).sum())
    by_splits = prove_by_splits(delta, limits)
    for bound in (slot_floor(delta, limits), by_splits.floor if by_splits else 0):
        assert bound <= min(by_row, by_op)


def test_the_bound_by_splits_counts_users_without_common_operations() -> None:
    # three users with two operations each, all different: a request of three users and
    # three operations cannot have all changes of two users
    user, op = np.repeat(np.arange(3), 2), np.arange(6)
    delta = build_delta(user, op, np.zeros(6, np.bool_))
    certificate = prove_by_splits(delta, Limits(users=3, segments=3))
    assert certificate is not None
    assert certificate.floor == 2
