"""No lower bound is above the fewest requests that an integer program finds."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.workloads import WORKLOADS, as_ops
from segctl.checking import splits, widths
from segctl.core.certificate import Certificate
from segctl.packing import Limits, pack
from segctl.packing.bound import slot_floor
from segctl.packing.delta import Delta, build_delta
from segctl.packing.split_bound import prove_by_splits
from segctl.packing.width_bound import prove_by_widths
from tests.packing.exact import Changes, fewest_requests

small_changes = st.sets(
    st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=14
).map(sorted)
small_limits = st.builds(
    Limits,
    users=st.integers(1, 4),
    segments=st.integers(1, 4),
    counting=st.sampled_from(["strict", "strict", "distinct", "pairs"]),
)


@given(small_changes, small_limits)
@example([(u, o) for u in range(4) for o in range(4) if u != o], Limits(users=3, segments=3))
@settings(max_examples=60, deadline=None)
def test_every_bound_is_at_most_the_optimum_and_the_optimum_at_most_the_packing(
    changes: Changes, limits: Limits
) -> None:
    user, op = np.array(changes, np.int64).T
    removal = np.zeros(5, np.bool_)
    packing = pack(user, op, removal=removal, limits=limits)
    optimum = fewest_requests(changes, limits, at_most=packing.requests)
    assert packing.floor <= optimum <= packing.requests
    delta = build_delta(user, op, removal)
    if limits.counting != "pairs":
        assert slot_floor(delta, limits) <= optimum
    if limits.counting == "strict":
        for certificate in certificates_of(delta, limits):
            assert certificate.floor <= optimum


def certificates_of(delta: Delta, limits: Limits) -> list[Certificate]:
    """Return the certificates of all theorems that say something."""
    found = [
        prove_by_splits(delta, limits),
        *(prove_by_widths(delta, limits, by_ops=by_ops) for by_ops in (False, True)),
    ]
    return [certificate for certificate in found if certificate is not None]


dense_changes = st.sets(st.tuples(st.integers(0, 11), st.integers(0, 9)), min_size=1).map(sorted)


@given(dense_changes, st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_a_checker_of_its_own_proves_each_bound(
    changes: Changes, users: int, segments: int
) -> None:
    user, op = np.array(changes, np.int64).T
    limits = Limits(users=users, segments=segments)
    for certificate in certificates_of(build_delta(user, op, np.zeros(10, np.bool_)), limits):
        if certificate.proof == "splits":
            proven = splits.recompute_floor(
                user, op, certificate, max_users=users, max_ops=segments
            )
        elif certificate.proof == "user widths":
            proven = widths.recompute_floor(
                user, op, certificate, max_lines=users, max_cells=segments
            )
        else:
            proven = widths.recompute_floor(
                op, user, certificate, max_lines=segments, max_cells=users
            )
        assert certificate.floor <= proven


@pytest.mark.parametrize("name", ["random", "heavy"])
def test_long_rows_without_structure_have_a_bound_by_widths(name: str) -> None:
    user, op, removal = as_ops(WORKLOADS[name](0.005 if name == "random" else 0.02))
    delta, limits = build_delta(user, op, removal), Limits()
    certificate = prove_by_widths(delta, limits, by_ops=len(delta.ops) > len(delta.users))
    assert certificate is not None
    assert certificate.floor > slot_floor(delta, limits)
