"""The flows of a plan: who leaves one segment and joins another, by address."""

from collections import Counter
from collections.abc import Mapping, Sequence

from segctl.engine.model import LEFT_OUT
from segctl.engine.protocols import RequestPacker
from segctl.plan.model import Change, Flow, Target


def count_flows(
    engine: RequestPacker | None, changes: Sequence[Change], targets: Sequence[Target]
) -> tuple[Flow, ...] | None:
    """Return the flows in the delta of an engine, ``None`` if there are too many to count.

    Without an engine nothing was compared, and there are none.
    """
    if engine is None:
        return ()
    return build_flows(changes, engine.count_flows(number_segments(changes, targets)))


def number_segments(changes: Sequence[Change], targets: Sequence[Target]) -> tuple[int, ...]:
    """Return the segment number of each target: the place of its address among all, sorted.

    Both targets of a replaced segment have its number: a user of both stays in the segment. If
    several targets of an address have members already, the delta does not show who is in both, so
    all of them are left out.
    """
    numbers = {address: number for number, address in enumerate(_addresses(changes))}
    segments = [LEFT_OUT] * len(targets)
    for change in changes:
        for index in (change.target, change.old_target):
            if index is not None:
                segments[index] = numbers[change.address]
    existing = Counter(n for n, t in zip(segments, targets, strict=True) if not t.create)
    return tuple(LEFT_OUT if existing[number] > 1 else number for number in segments)


def build_flows(
    changes: Sequence[Change], counts: Mapping[tuple[int, int], int] | None
) -> tuple[Flow, ...] | None:
    """Return the flows, largest first, from what the engine counts by segment number."""
    if counts is None:
        return None
    addresses = _addresses(changes)
    flows = [
        Flow(leaves=addresses[left], joins=addresses[joined], users=users)
        for (left, joined), users in counts.items()
    ]
    return tuple(sorted(flows, key=lambda flow: (-flow.users, flow.leaves, flow.joins)))


def _addresses(changes: Sequence[Change]) -> list[str]:
    return sorted({change.address for change in changes})
