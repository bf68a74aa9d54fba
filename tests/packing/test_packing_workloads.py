"""Small versions of the benchmark workloads, which have the shapes of real audiences."""

from functools import cache

import numpy as np
import pytest

from benchmarks.workloads import CDNOW, WORKLOADS, as_ops, cdnow_months, check
from segctl.packing import Limits, Packing, pack

SCALES = {
    "tiers": 0.02,
    "churn": 0.02,
    "random": 0.01,
    "attributes": 0.01,
    "funnels": 0.01,
    "communities": 0.01,
    "power_day": 0.02,
    "small": 0.3,
    "heavy": 0.01,
    "one_each": 0.01,
}


@cache
def packed(name: str, limits: Limits) -> Packing:
    user, op, removal = as_ops(WORKLOADS[name](SCALES[name]))
    packing = pack(user, op, removal=removal, limits=limits)
    check(user, op, packing, limits)
    return packing


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_every_workload_is_packed_exactly(name: str) -> None:
    packed(name, Limits())


@pytest.mark.parametrize("name", ["attributes", "communities", "small"])
def test_every_workload_is_packed_exactly_when_slots_are_distinct(name: str) -> None:
    packed(name, Limits(counting="distinct"))


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_every_workload_is_packed_optimally_when_pairs_are_counted(name: str) -> None:
    packing = packed(name, Limits(counting="pairs"))
    assert packing.requests == packing.floor


@pytest.mark.parametrize("limits", [Limits(users=10, segments=50), Limits(users=50, segments=7)])
def test_unequal_limits_hold(limits: Limits) -> None:
    packed("communities", limits)


@pytest.mark.parametrize("name", ["tiers", "one_each"])
def test_users_with_few_kinds_of_change_reach_the_floor(name: str) -> None:
    packing = packed(name, Limits())
    assert packing.requests == packing.floor


@pytest.mark.parametrize(
    ("name", "share"),
    [("churn", 0.6), ("random", 0.5), ("attributes", 0.5), ("funnels", 0.4), ("communities", 0.5)],
)
def test_shared_patterns_save_requests(name: str, share: float) -> None:
    packing = packed(name, Limits())
    assert packing.requests <= share * packing.naive


def test_packing_twice_gives_the_same_requests() -> None:
    first, again = packed("random", Limits()), packed.__wrapped__("random", Limits())
    assert np.array_equal(first.users, again.users)
    assert np.array_equal(first.ops, again.ops)
    assert np.array_equal(first.request, again.request)


@pytest.mark.skipif(not CDNOW.exists(), reason="the CDNOW example is missing")
def test_month_ends_of_real_purchases_take_the_least_requests() -> None:
    requests = floor = 0
    for delta in cdnow_months()[-3:]:
        user, op, removal = as_ops(delta)
        packing = pack(user, op, removal=removal)
        check(user, op, packing, Limits())
        requests, floor = requests + packing.requests, floor + packing.floor
    assert requests <= 1.02 * floor
