"""No lower bound is above the fewest requests that an integer program finds."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segctl.packing import Limits, pack
from segctl.packing.bound import slot_floor
from segctl.packing.delta import build_delta
from segctl.packing.split_bound import prove_by_splits
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
        certificate = prove_by_splits(delta, limits)
        assert certificate is None or certificate.floor <= optimum
