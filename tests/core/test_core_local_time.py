import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.local_time import begin_of, end_of, format_moment, is_moment, month_of

KOLKATA, NEW_YORK = "Asia/Kolkata", "America/New_York"


def test_a_date_lasts_to_the_end_of_that_day_in_the_time_zone() -> None:
    assert end_of("2026-12-01", "UTC") - begin_of("2026-12-01", "UTC") == 86_400
    assert end_of("2026-12-01", "UTC") - end_of("2026-12-01", KOLKATA) == 5.5 * 3600


def test_a_day_on_which_clocks_change_has_23_or_25_hours() -> None:
    lengths = [
        (end_of(day, NEW_YORK) - begin_of(day, NEW_YORK)) / 3600
        for day in ("2026-03-08", "2026-11-01")
    ]
    assert lengths == [23, 25]


def test_a_time_with_an_offset_is_the_same_in_every_time_zone() -> None:
    text = "2026-12-01T18:00+05:30"
    assert end_of(text, NEW_YORK) == begin_of(text, "UTC") == end_of("2026-12-01T18:00", KOLKATA)
    assert end_of("2026-12-01 18:00:00Z", NEW_YORK) == end_of("2026-12-01T18:00", "UTC")


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "2026-13-01", "2026-02-30", "2026-12-01T24:01", "20261201", "2026-W49-1"),
        *("9999-12-31", "0001-01-01", "2026-12-01T18", "2026-12-01T18:00+99:00", "\uff12026-12-01"),
    ],
)
def test_other_texts_are_no_moments(text: str) -> None:
    assert not is_moment(text)


@given(st.floats(0, 4e9))
def test_every_month_begins_at_a_full_quarter_of_an_hour(at: float) -> None:
    quarter = at // 900 * 900
    for zone in ("UTC", KOLKATA, NEW_YORK, "Asia/Kathmandu", "Australia/Lord_Howe"):
        assert month_of(quarter, zone) == month_of(at, zone)


def test_a_number_that_is_no_time_is_shown_all_the_same() -> None:
    assert format_moment(1e300, "UTC").startswith("9999-12-31")
    assert format_moment(0.0, KOLKATA) == "1970-01-01 05:30 (Asia/Kolkata)"
