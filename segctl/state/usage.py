"""How much was sent in each calendar month, for the guards on a month."""

from collections import Counter
from collections.abc import Mapping, Sequence

from segctl.core.dataclass import dataclass
from segctl.core.local_time import month_of
from segctl.core.outcomes import Ledger, Outcome

KEPT_MONTHS = 13
"""How many months a state keeps, the latest ones."""

SEGMENTS_PER_CREATE_REQUEST = 100
"""The limit of a createSegment request, from the vendor's page on API Segments."""

QUARTER_HOUR = 900
"""Every month of every time zone begins at a full quarter of an hour."""


@dataclass(frozen=True, kw_only=True)
class MonthUsage:
    """What was sent in a calendar month, such as ``2026-11``, in the time zone of the workspace.

    ``requests`` counts the requests of plans, each once, however often it was tried, with the parts
    it was split into. ``events`` counts membership changes that may be billed. Without an answer,
    both count.
    """

    month: str
    requests: int = 0
    events: int = 0


def usage_of(usage: Sequence[MonthUsage], month: str) -> MonthUsage:
    """Return what was sent in a month."""
    return next((known for known in usage if known.month == month), MonthUsage(month=month))


def add_usage(
    usage: Sequence[MonthUsage], ledger: Ledger, events: Mapping[int, int], zone: str
) -> tuple[MonthUsage, ...]:
    """Return what was sent, with the requests of one apply.

    ``events`` are the changes that may be billed, by the quarter of an hour since 1970. What got no
    answer before a crash counts when the crash was noticed, as ``restart_settle_time`` dates it.
    """
    requests: Counter[str] = Counter()
    changes: Counter[str] = Counter()
    for update in ledger.updates.values():
        if update.outcome is not Outcome.NOT_TRIED:
            requests[month_of(update.at, zone)] += 1
    creates = [c.at for c in ledger.creates.values() if c.outcome is not Outcome.NOT_TRIED]
    if creates:
        requests[month_of(max(creates), zone)] += -(-len(creates) // SEGMENTS_PER_CREATE_REQUEST)
    for quarter, count in events.items():
        changes[month_of(quarter * QUARTER_HOUR, zone)] += count
    known = {item.month: item for item in usage}
    for month in requests | changes:
        before = known.get(month, MonthUsage(month=month))
        known[month] = MonthUsage(
            month=month,
            requests=before.requests + requests[month],
            events=before.events + changes[month],
        )
    return tuple(known[month] for month in sorted(known))[-KEPT_MONTHS:]
