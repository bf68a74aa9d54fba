from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.local_time import begin_of, end_of
from segctl.manifests.limits import Freeze
from segctl.plan.freezes import find_freeze, next_begin

NEW_YORK = "America/New_York"
WEEKEND = Freeze(days=("sat", "sun"), reason="weekend")
NIGHT = Freeze(hours="18:00-08:00")
FRIDAY_NIGHT = Freeze(days=("fri",), hours="18:00-08:00")


def at(text: str, zone: str = "UTC") -> float:
    return begin_of(text, zone)


def frozen_until(freezes: list[Freeze], text: str, zone: str = "UTC") -> str | None:
    found = find_freeze(freezes, at(text, zone), zone)
    return f"{datetime.fromtimestamp(found.ends_at, UTC):%Y-%m-%dT%H:%M}" if found else None


def test_a_freeze_with_dates_includes_its_last_day() -> None:
    freeze = Freeze(begins_at=at("2026-12-20"), ends_at=end_of("2027-01-02", "UTC"))
    assert frozen_until([freeze], "2026-12-19T23:59") is None
    assert frozen_until([freeze], "2026-12-20") == "2027-01-03T00:00"
    assert frozen_until([freeze], "2027-01-02T23:59") == "2027-01-03T00:00"
    assert frozen_until([freeze], "2027-01-03") is None


@pytest.mark.parametrize(
    ("freeze", "when", "until"),
    [
        (WEEKEND, "2026-11-28T07:00", "2026-11-30T00:00"),  # a Saturday: both days are one
        (WEEKEND, "2026-11-27T23:59", None),
        (NIGHT, "2026-11-27T17:59", None),
        (NIGHT, "2026-11-27T18:00", "2026-11-28T08:00"),
        (NIGHT, "2026-11-28T07:59", "2026-11-28T08:00"),
        (NIGHT, "2026-11-28T08:00", None),
        (FRIDAY_NIGHT, "2026-11-28T07:59", "2026-11-28T08:00"),  # it began on Friday
        (FRIDAY_NIGHT, "2026-11-28T18:00", None),
        (Freeze(hours="12:00-24:00"), "2026-11-28T23:59", "2026-11-29T00:00"),
    ],
)
def test_a_freeze_that_repeats_begins_on_its_days(
    freeze: Freeze, when: str, until: str | None
) -> None:
    assert frozen_until([freeze], when) == until


def test_freezes_without_a_gap_are_one() -> None:
    assert frozen_until([WEEKEND, FRIDAY_NIGHT], "2026-11-27T18:00") == "2026-11-30T00:00"


def test_a_night_on_which_clocks_change_is_longer_or_shorter() -> None:
    # Clocks go back at 2:00 on 1 November 2026, and the night has 15 hours.
    begin = at("2026-10-31T18:00", NEW_YORK)
    night = find_freeze([NIGHT], begin, NEW_YORK)
    assert night
    assert (night.ends_at - night.begins_at) / 3600 == 15
    spring = find_freeze([NIGHT], at("2026-03-07T18:00", NEW_YORK), NEW_YORK)
    assert spring
    assert (spring.ends_at - spring.begins_at) / 3600 == 13


def test_an_hour_that_comes_twice_is_frozen_both_times() -> None:
    freeze = Freeze(hours="01:00-01:30")
    first = at("2026-11-01T01:10", NEW_YORK)
    found = find_freeze([freeze], first, NEW_YORK)
    assert found
    assert found.ends_at - found.begins_at == 1.5 * 3600
    assert find_freeze([freeze], first + 3600, NEW_YORK)


def test_a_freeze_whose_end_is_skipped_ends_as_much_later() -> None:
    zone = "Europe/Berlin"  # 02:00 is followed by 03:00
    for hours, inside in (("01:00-02:30", "2026-03-29T01:45"), ("02:15-02:45", "2026-03-29T03:30")):
        assert find_freeze([Freeze(hours=hours)], at(inside, zone), zone)


def test_a_dated_freeze_includes_the_second_time_of_its_end() -> None:
    zone = "Europe/Berlin"
    end = end_of("2026-10-25T02:30", zone)
    assert end - begin_of("2026-10-25T02:30", zone) == 3600


freezes = st.builds(
    Freeze,
    days=st.lists(st.sampled_from(["mon", "wed", "sat"]), max_size=2, unique=True).map(tuple),
    hours=st.sampled_from(["18:00-08:00", "00:30-01:30", "12:00-24:00", "02:00-03:00"]),
)


@given(st.lists(freezes, min_size=1, max_size=3), st.floats(1.79e9, 1.83e9))
def test_nothing_is_frozen_before_the_next_begin_nor_at_the_end(
    listed: list[Freeze], now: float
) -> None:
    found = find_freeze(listed, now, NEW_YORK)
    if found:
        assert found.begins_at <= now < found.ends_at
        assert find_freeze(listed, found.ends_at, NEW_YORK) is None
        return
    begins_at = next_begin(listed, now, NEW_YORK)
    assert begins_at is not None
    assert find_freeze(listed, begins_at, NEW_YORK)
    assert find_freeze(listed, (now + begins_at) / 2, NEW_YORK) is None
