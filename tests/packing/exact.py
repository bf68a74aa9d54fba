"""The fewest requests of a small delta, by an integer program that HiGHS solves."""

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any

import highspy

from segctl.packing import Limits

Changes = list[tuple[int, int]]
Entry = tuple[tuple[int, ...], tuple[int, ...]]


def fewest_requests(changes: Changes, limits: Limits, *, at_most: int) -> int:
    """Return the fewest requests; ``at_most`` of them are known to be enough."""
    if limits.counting == "pairs":
        return -(-len(changes) // limits.pairs)
    model: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    model.silent()
    used = [model.addBinary() for _ in range(at_most)]
    fill = _fill_strictly if limits.counting == "strict" else _fill_distinctly
    sent = [fill(model, changes, limits, is_used) for is_used in used]
    for change in changes:
        model.addConstr(sum(variable for each in sent for variable in each[change]) >= 1)
    for one, other in pairwise(used):
        model.addConstr(one >= other)
    model.minimize(sum(used))
    assert model.getModelStatus() == highspy.HighsModelStatus.kOptimal
    fewest: float = model.getObjectiveValue()
    return round(fewest)


def _fill_strictly(
    model: Any, changes: Changes, limits: Limits, used: Any
) -> dict[tuple[int, int], list[Any]]:
    """Add the entries of one request; return those that send each change."""
    sends: dict[tuple[int, int], list[Any]] = {change: [] for change in changes}
    chosen = [(entry, model.addBinary()) for entry in _entries(changes, limits)]
    for (users, ops), variable in chosen:
        for user in users:
            for op in ops:
                sends[user, op].append(variable)
    model.addConstr(sum(len(e[0]) * v for e, v in chosen) <= limits.users * used)
    model.addConstr(sum(len(e[1]) * v for e, v in chosen) <= limits.segments * used)
    return sends


def _entries(changes: Changes, limits: Limits) -> Iterator[Entry]:
    """Yield every product of users and operations that a request can have as an entry."""
    users, ops = sorted({u for u, _ in changes}), sorted({o for _, o in changes})
    given = set(changes)
    for height in range(1, min(limits.users, len(users)) + 1):
        for some in combinations(users, height):
            common = [o for o in ops if all((u, o) in given for u in some)]
            for width in range(1, min(limits.segments, len(common)) + 1):
                for chosen in combinations(common, width):
                    yield some, chosen


def _fill_distinctly(
    model: Any, changes: Changes, limits: Limits, used: Any
) -> dict[tuple[int, int], list[Any]]:
    """Add the users and the operations of one request; return what sends each change."""
    users = {u: model.addBinary() for u in sorted({u for u, _ in changes})}
    ops = {o: model.addBinary() for o in sorted({o for _, o in changes})}
    model.addConstr(sum(users.values()) <= limits.users * used)
    model.addConstr(sum(ops.values()) <= limits.segments * used)
    sends = {}
    for user, op in changes:
        variable = model.addBinary()
        model.addConstr(variable <= users[user])
        model.addConstr(variable <= ops[op])
        sends[user, op] = [variable]
    return sends
