"""Properties for any delta: lossless, within limits, never worse than naive, canonical."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.workloads import check
from segctl.packing import Limits, Packing, pack

Changes = list[tuple[int, int]]

changes_of = st.one_of(
    st.sets(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=200),
    st.sets(st.tuples(st.integers(0, 400), st.integers(0, 3)), max_size=300),
    st.sets(st.tuples(st.integers(0, 4), st.integers(0, 300)), max_size=300),
).map(sorted)
limits_of = st.builds(
    Limits,
    users=st.sampled_from([1, 2, 3, 7, 100]),
    segments=st.sampled_from([1, 2, 3, 7, 100]),
    counting=st.sampled_from(["strict", "distinct", "pairs"]),
)


def pack_changes(changes: Changes, limits: Limits) -> Packing:
    table = np.array(changes, np.int64).reshape(-1, 2)
    return pack(table[:, 0], table[:, 1], removal=np.arange(301) % 3 == 0, limits=limits)


def is_same(one: Packing, other: Packing) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("request", "user_start", "users", "op_start", "ops", "requests")
    )


@given(changes_of, limits_of)
@settings(max_examples=300, deadline=None)
def test_a_packing_has_exactly_the_delta_within_limits_and_bounds(
    changes: Changes, limits: Limits
) -> None:
    table = np.array(changes, np.int64).reshape(-1, 2)
    check(table[:, 0], table[:, 1], pack_changes(changes, limits), limits)


@given(changes_of, limits_of, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_depends_on_the_set_of_changes_not_on_their_order(
    changes: Changes, limits: Limits, random: Random
) -> None:
    shuffled = list(changes)
    random.shuffle(shuffled)
    assert is_same(pack_changes(changes, limits), pack_changes(shuffled, limits))


@given(changes_of, limits_of)
@settings(max_examples=60, deadline=None)
def test_requests_with_removals_come_first(changes: Changes, limits: Limits) -> None:
    packing = pack_changes(changes, limits)
    removes = np.zeros(packing.requests, np.bool_)
    removes[np.repeat(packing.request, np.diff(packing.op_start))[packing.ops % 3 == 0]] = True
    assert not (np.diff(removes.astype(np.int64)) > 0).any()


def test_nothing_to_send_takes_no_request() -> None:
    packing = pack_changes([], Limits())
    assert (packing.requests, packing.naive, packing.floor) == (0, 0, 0)
    assert len(packing.user_start) == len(packing.op_start) == 1


def test_users_with_equal_changes_travel_together() -> None:
    packing = pack_changes([(u, o) for u in range(100) for o in range(100)], Limits())
    assert packing.requests == packing.floor == 1
    assert len(packing.request) == 1


def test_a_change_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="given twice"):
        pack_changes([(1, 1), (1, 1)], Limits())


@pytest.mark.parametrize("field", ["users", "segments"])
def test_a_request_without_room_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match="at least one user"):
        Limits(**{field: 0})  # type: ignore[arg-type]


def test_an_unknown_way_of_counting_is_refused() -> None:
    with pytest.raises(ValueError, match="strict"):
        Limits(counting="loose")  # type: ignore[arg-type]
