"""Deltas shaped like real audiences, and an independent check of a packing.

Every delta is deterministic.  The checker shares no code with the packer: it
multiplies the entries out and compares sorted keys.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segctl.packing import Limits, Packing

Ints = npt.NDArray[np.int64]
Delta = tuple[Ints, Ints, Ints]  # user, segment, action: 1 = ADD, 0 = REMOVE

CDNOW = Path(__file__).parent.parent / "examples" / "cdnow" / "data" / "transactions.csv"


def tiers(scale: float = 1.0, seed: int = 7) -> Delta:
    """200,000 users move between 5 tiers: one REMOVE and one ADD each."""
    r = np.random.default_rng(seed)
    n = int(200_000 * scale)
    old = r.integers(0, 5, n)
    new = (old + 1 + r.integers(0, 4, n)) % 5
    return (
        np.repeat(np.arange(n), 2),
        np.stack([old, new], 1).ravel(),
        np.tile(np.array([0, 1]), n),
    )


def churn(scale: float = 1.0, seed: int = 7) -> Delta:
    """300,000 users, one to four changes each, over 100 segments of very unequal size."""
    r = np.random.default_rng(seed)
    n = int(300_000 * scale)
    k = r.integers(1, 5, n)
    p = 1 / np.arange(1, 201)
    user = np.repeat(np.arange(n), k)
    op = r.choice(200, len(user), p=p / p.sum())
    _, first = np.unique(user * 1000 + op // 2, return_index=True)
    user, op = user[first], op[first]
    return user, op // 2, op % 2


def random_(scale: float = 1.0, seed: int = 7) -> Delta:
    """First load: 100,000 users, 200 segments, each membership with chance 0.1."""
    r = np.random.default_rng(seed)
    user, segment = np.nonzero(r.random((int(100_000 * scale), 200)) < 0.1)
    return user, segment, np.ones_like(user)


def attributes(scale: float = 1.0, seed: int = 7) -> Delta:
    """First load: 100,000 users, one segment each of four attributes, some of 30 interests."""
    r = np.random.default_rng(seed)
    n = int(100_000 * scale)
    p = 1 / np.arange(1, 41)
    columns = [
        r.choice(40, n, p=p / p.sum()),
        40 + r.integers(0, 5, n),
        45 + r.integers(0, 8, n),
        53 + r.integers(0, 4, n),
    ]
    iu, io = np.nonzero(r.random((n, 30)) < 0.1)
    user = np.concatenate([np.arange(n)] * 4 + [iu])
    segment = np.concatenate([*columns, 57 + io])
    return user, segment, np.ones_like(user)


def funnels(scale: float = 1.0, seed: int = 7) -> Delta:
    """100,000 users in 12 funnels of 8 nested steps: step k of a funnel implies steps < k."""
    r = np.random.default_rng(seed)
    n = int(100_000 * scale)
    depth = np.minimum(r.geometric(0.5, (n, 12)) - 1, 8) * (r.random((n, 12)) < 0.6)
    user, step = np.nonzero(np.arange(96)[None, :] % 8 < np.repeat(depth, 8, axis=1))
    return user, step, np.ones_like(user)


def communities(scale: float = 1.0, seed: int = 7) -> Delta:
    """80,000 users in 60 communities of 12 of 300 segments: chance 0.7 inside, 0.005 outside."""
    r = np.random.default_rng(seed)
    n = int(80_000 * scale)
    home = r.integers(0, 60, n)
    chance = np.full((60, 300), 0.005)
    for c in range(60):
        chance[c, r.choice(300, 12, replace=False)] = 0.7
    user, segment = np.nonzero(r.random((n, 300)) < chance[home])
    return user, segment, r.integers(0, 8, len(user)).clip(max=1)


def power_day(scale: float = 1.0, seed: int = 7) -> Delta:
    """One day: changes a user and users a segment both by a power law, 500 segments."""
    r = np.random.default_rng(seed)
    n = int(150_000 * scale)
    k = np.minimum(r.zipf(1.9, n), 60)
    user = np.repeat(np.arange(n), k)
    p = 1 / np.arange(1, 501) ** 0.9
    segment = r.choice(500, len(user), p=p / p.sum())
    key = np.unique(user * 500 + segment)
    return key // 500, key % 500, (key * 2654435761 >> 7) % 2


def small(scale: float = 1.0, seed: int = 7) -> Delta:
    """2,500 segments, a handful of users each: many small changes."""
    r = np.random.default_rng(seed)
    key = np.unique(r.integers(0, int(4_000 * scale) * 2_500, int(20_000 * scale)))
    return key // 2_500, key % 2_500, np.ones_like(key)


def heavy(scale: float = 1.0, seed: int = 7) -> Delta:
    """3,000 users, each in about 300 of 2,500 segments."""
    r = np.random.default_rng(seed)
    user, segment = np.nonzero(r.random((int(3_000 * scale), 2_500)) < 0.12)
    return user, segment, np.ones_like(user)


def one_each(scale: float = 1.0, seed: int = 7) -> Delta:
    """1,000,000 users, one change each, over 50 segments."""
    r = np.random.default_rng(seed)
    n = int(1_000_000 * scale)
    return np.arange(n), r.integers(0, 50, n), np.ones(n, np.int64)


def cdnow_months(path: Path = CDNOW) -> list[Delta]:
    """Replay real RFM segments of the CDNOW cohort at each month-end, 1997-01 to 1998-06.

    Recency, frequency and money in a few bands each, and the named audiences built from
    them; a month's delta is the change since the month before.
    """
    raw = np.genfromtxt(path, delimiter=",", skip_header=1, dtype=str)
    who = raw[:, 0].astype(np.int64)
    day = raw[:, 1].astype("datetime64[D]")
    money = raw[:, 3].astype(np.float64)
    customers = int(who.max()) + 1
    before: Ints = np.zeros(0, np.int64)
    months: list[Delta] = []
    for month in np.arange(np.datetime64("1997-02"), np.datetime64("1998-08")):
        end = month.astype("datetime64[D]")
        seen = day < end
        count = np.bincount(who[seen], minlength=customers)
        spent = np.bincount(who[seen], weights=money[seen], minlength=customers)
        last = np.full(customers, np.datetime64("1990-01-01"))
        np.maximum.at(last, who[seen], day[seen])
        age = (end - last).astype(np.int64)
        known = count > 0
        r = np.digitize(age, [30, 90, 180, 365])
        f = np.digitize(count, [2, 3, 5, 10])
        m = np.digitize(spent, [20, 50, 100, 250])
        named = [
            (r == 0) & (f >= 3) & (m >= 3),  # champions
            (r <= 1) & (f >= 2),  # loyal
            (r == 0) & (count == 1),  # new
            (r == 2) & (f >= 2),  # at risk
            (r >= 3) & (f >= 2),  # cannot lose
            (r >= 3) & (count == 1),  # lost one-time buyers
            count == 1,  # one-time buyers
        ]
        columns = [r, 5 + f, 10 + m]
        keys = [np.flatnonzero(known) * 64 + c[known] for c in columns]
        keys += [np.flatnonzero(known & has) * 64 + 15 + i for i, has in enumerate(named)]
        now = np.sort(np.concatenate(keys))
        added, gone = np.setdiff1d(now, before), np.setdiff1d(before, now)
        key = np.concatenate([added, gone])
        action = np.concatenate([np.ones_like(added), np.zeros_like(gone)])
        months.append((key // 64, key % 64, action))
        before = now
    return months


WORKLOADS: dict[str, Callable[[float], Delta]] = {
    "tiers": tiers,
    "churn": churn,
    "random": random_,
    "attributes": attributes,
    "funnels": funnels,
    "communities": communities,
    "power_day": power_day,
    "small": small,
    "heavy": heavy,
    "one_each": one_each,
}


def as_ops(delta: Delta) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
    """Return the arguments of ``pack``: (user, op, removal)."""
    user, segment, action = delta
    op = segment * 2 + action
    return user, op, np.arange(int(op.max(initial=0)) + 1) % 2 == 0


def naive_requests(delta: Delta, limit: int = 100) -> int:
    user, op, _ = as_ops(delta)
    del user
    return int(np.ceil(np.bincount(op) / limit).sum()) if len(op) else 0


def check(user: Ints, op: Ints, packing: Packing, limits: Limits) -> None:
    """Assert that the packing carries exactly the delta, within the limits."""
    p = packing
    entries = len(p.request)
    heights, widths = np.diff(p.user_start), np.diff(p.op_start)
    assert len(heights) == len(widths) == entries
    assert p.user_start[0] == p.op_start[0] == 0
    assert p.user_start[-1] == len(p.users)
    assert p.op_start[-1] == len(p.ops)
    assert (heights > 0).all()
    assert (widths > 0).all()
    if entries:
        assert p.request[0] == 0
        assert np.isin(np.diff(p.request), [0, 1]).all()
        assert p.requests == p.request[-1] + 1
    else:
        assert p.requests == 0
    width = int(max(p.ops.max(initial=0), op.max(initial=0))) + 1
    carried = [
        (p.users[p.user_start[e] : p.user_start[e + 1], None] * width
         + p.ops[None, p.op_start[e] : p.op_start[e + 1]]).ravel()
        for e in range(entries)
    ]  # fmt: skip
    got = np.sort(np.concatenate(carried)) if carried else np.zeros(0, np.int64)
    want = np.sort(user * width + op)
    assert np.array_equal(got, want), "the packing does not carry exactly the delta"
    if limits.counting != "distinct":
        users_in = np.bincount(p.request, weights=heights, minlength=p.requests)
        ops_in = np.bincount(p.request, weights=widths, minlength=p.requests)
    else:
        users_in = _distinct(np.repeat(p.request, heights), p.users, p.requests)
        ops_in = _distinct(np.repeat(p.request, widths), p.ops, p.requests)
    assert users_in.max(initial=0) <= limits.users
    assert ops_in.max(initial=0) <= limits.segments
    assert p.floor <= p.requests <= p.naive
    if limits.counting == "pairs":
        pairs_in = np.bincount(p.request, weights=heights * widths, minlength=p.requests)
        assert pairs_in.max(initial=0) <= min(limits.users, limits.segments)
        assert p.requests == p.floor == -(-len(user) // min(limits.users, limits.segments))


def _distinct(request: Ints, value: Ints, requests: int) -> Ints:
    """Count the distinct values of each request."""
    width = int(value.max(initial=0)) + 1
    return np.bincount(np.unique(request * width + value) // width, minlength=requests)
