from hypothesis import given
from hypothesis import strategies as st

from segctl.core.outcomes import CreateOutcome, Ledger, Outcome, RequestOutcome
from segctl.state.usage import KEPT_MONTHS, MonthUsage, add_usage, usage_of

MONTH_END = 1_798_741_800.0
"""The end of 2026 in Kolkata, which is 18:30 on 31 December in UTC."""


def ledger(*updates: tuple[Outcome, float], creates: int = 0) -> Ledger:
    return Ledger(
        updates={n: RequestOutcome(outcome=o, at=at) for n, (o, at) in enumerate(updates)},
        creates={
            n: CreateOutcome(outcome=Outcome.ACKNOWLEDGED, at=MONTH_END) for n in range(creates)
        },
    )


def test_a_request_counts_in_the_month_of_its_answer_in_the_time_zone() -> None:
    sent = ledger((Outcome.ACKNOWLEDGED, MONTH_END - 1), (Outcome.UNCERTAIN, MONTH_END))
    events = {int((MONTH_END - 1) // 900): 7, int(MONTH_END // 900): 5}
    assert add_usage((), sent, events, "Asia/Kolkata") == (
        MonthUsage(month="2026-12", requests=1, events=7),
        MonthUsage(month="2027-01", requests=1, events=5),
    )
    assert add_usage((), sent, events, "UTC") == (
        MonthUsage(month="2026-12", requests=2, events=12),
    )


def test_what_was_not_sent_does_not_count_and_what_failed_does() -> None:
    sent = ledger((Outcome.NOT_TRIED, 0.0), (Outcome.FAILED, 0.0), (Outcome.REFUSED, 0.0))
    assert usage_of(add_usage((), sent, {}, "UTC"), "1970-01").requests == 2


def test_a_create_request_names_up_to_100_segments() -> None:
    [usage] = add_usage((), ledger(creates=101), {}, "UTC")
    assert usage.requests == 2


def test_old_months_are_forgotten() -> None:
    old = tuple(MonthUsage(month=f"2025-{n:02}") for n in range(1, 13))
    old += (MonthUsage(month="2026-01"),)
    kept = add_usage(old, ledger((Outcome.ACKNOWLEDGED, MONTH_END)), {}, "UTC")
    assert len(kept) == KEPT_MONTHS
    assert (kept[0].month, kept[-1].month) == ("2025-02", "2026-12")


@given(st.lists(st.lists(st.sampled_from(list(Outcome)), max_size=4), max_size=5))
def test_the_sum_does_not_depend_on_how_requests_are_spread_over_applies(
    applies: list[list[Outcome]],
) -> None:
    usage: tuple[MonthUsage, ...] = ()
    for outcomes in applies:
        usage = add_usage(usage, ledger(*((o, 0.0) for o in outcomes)), {}, "UTC")
    whole = ledger(*((o, 0.0) for outcomes in applies for o in outcomes))
    assert usage == add_usage((), whole, {}, "UTC")
