"""The same properties for a delta in shards: lossless, within limits, canonical."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.workloads import WORKLOADS, as_ops, check
from segctl.packing import Limits, Packing, pack
from segctl.packing.model import Bools, Ints
from segctl.packing.placing import Placing, place

Changes = list[tuple[int, int]]

REMOVAL = np.arange(301) % 3 == 0

changes_of = st.one_of(
    st.sets(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=200),
    st.sets(st.tuples(st.integers(0, 400), st.integers(0, 3)), max_size=300),
    st.sets(st.tuples(st.integers(0, 4), st.integers(0, 300)), max_size=300),
    st.integers(0, 400).map(lambda users: {(u, o) for u in range(users) for o in (1, 3)}),
).map(sorted)
limits_of = st.builds(
    Limits,
    users=st.sampled_from([1, 2, 3, 7, 100]),
    segments=st.sampled_from([1, 2, 3, 7, 100]),
    counting=st.sampled_from(["strict", "distinct", "pairs"]),
)


def table(changes: Changes) -> tuple[Ints, Ints]:
    columns = np.array(changes, np.int64).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]


def as_packing(placing: Placing, user: Ints, op: Ints) -> Packing:
    """Return the packing that a placing describes."""
    entries = range(len(placing.request))
    users = [np.unique(user[placing.entry == e]) for e in entries]
    ops = [np.unique(op[placing.entry == e]) for e in entries]
    none = [np.zeros(0, np.int64)]
    return Packing(
        request=placing.request.astype(np.int64),
        user_start=np.cumsum([0, *map(len, users)]),
        users=np.concatenate(users or none),
        op_start=np.cumsum([0, *map(len, ops)]),
        ops=np.concatenate(ops or none),
        requests=placing.requests,
        naive=placing.naive,
        certificate=placing.certificate,
    )


def removals(placing: Placing, op: Ints, removal: Bools) -> list[int]:
    """Return the number of removals of each request."""
    request = placing.request[placing.entry[removal[op]]]
    return [int(count) for count in np.bincount(request, minlength=placing.requests)]


@given(changes_of, limits_of, st.sampled_from([1, 10, 50, 1000]))
@settings(max_examples=400, deadline=None)
def test_a_packing_has_exactly_the_delta_within_limits_and_bounds(
    changes: Changes, limits: Limits, max_changes: int
) -> None:
    user, op = table(changes)
    placing = place(user, op, removal=REMOVAL, limits=limits, max_changes=max_changes)
    check(user, op, as_packing(placing, user, op), limits)
    if len(changes) > max_changes:
        sent = removals(placing, op, REMOVAL)
        assert sent == sorted(sent, reverse=True)


@given(changes_of, limits_of, st.sampled_from([10, 1000]))
@settings(max_examples=50, deadline=None)
def test_only_the_order_of_user_numbers_matters(
    changes: Changes, limits: Limits, max_changes: int
) -> None:
    user, op = table(changes)
    one = place(user, op, removal=REMOVAL, limits=limits, max_changes=max_changes)
    other = place(
        (7 * user + 3).astype(np.int32),
        op.astype(np.int32),
        removal=REMOVAL,
        limits=limits,
        max_changes=max_changes,
    )
    assert np.array_equal(one.entry, other.entry)
    assert np.array_equal(one.request, other.request)


def test_users_with_equal_changes_fill_whole_requests() -> None:
    user = np.arange(100_050, dtype=np.int64)
    op = (user % 3).astype(np.int64)
    placing = place(user, op, removal=np.array([False, True, False]), max_changes=1000)
    assert (placing.requests, placing.floor, placing.naive) == (1001, 1001, 1002)
    assert set(op[placing.request[placing.entry] < 333].tolist()) == {1}  # the removals


@pytest.mark.parametrize("name", ["churn", "attributes"])
def test_shards_cost_few_requests(name: str) -> None:
    user, op, removal = as_ops(WORKLOADS[name](0.01))
    order = np.lexsort((op, user))
    user, op = user[order], op[order]
    together = pack(user, op, removal=removal)
    placing = place(user, op, removal=removal, max_changes=len(user) // 3)
    check(user, op, as_packing(placing, user, op), Limits())
    assert placing.requests <= 1.15 * together.requests


@pytest.mark.parametrize("changes", [[(0, 1), (0, 1)], [(1, 0), (0, 0)], [(0, 2), (0, 1)]])
def test_changes_out_of_order_or_twice_are_refused(changes: Changes) -> None:
    user, op = table(changes)
    with pytest.raises(ValueError, match="must be unique, and sorted by user"):
        place(user, op, removal=REMOVAL)
