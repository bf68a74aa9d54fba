"""Dates and times of manifests in the time zone of a workspace, as seconds since 1970."""

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_MOMENT = re.compile(
    r"(2\d{3}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(Z|[+-]\d\d:\d\d)?)?", re.ASCII
)
_HOURS = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d)", re.ASCII)
_MIDNIGHT = time()


def is_moment(text: str) -> bool:
    """Whether a text is a date, or a date and a time with or without its offset from UTC.

    Years are those from 2000 to 2999.
    """
    try:
        begin_of(text, "UTC")
    except ValueError:
        return False
    return True


def begin_of(text: str, zone: str) -> float:
    """Return the time of a moment; for a date, the begin of that day. Raises ``ValueError``."""
    return _parse(text, zone, days=0)


def end_of(text: str, zone: str) -> float:
    """Return the time of a moment; for a date, the end of that day. Raises ``ValueError``."""
    return _parse(text, zone, days=1, is_end=True)


def _parse(text: str, zone: str, *, days: int, is_end: bool = False) -> float:
    found = _MOMENT.fullmatch(text)
    if not found:
        raise ValueError("neither a date nor a time")
    day, clock, offset = found.groups()
    try:
        if not clock:
            return local_timestamp(date.fromisoformat(day) + timedelta(days=days), _MIDNIGHT, zone)
        if offset:
            offset = offset.replace("Z", "+00:00")
            return datetime.fromisoformat(f"{day}T{clock}{offset}").timestamp()
        return local_timestamp(
            date.fromisoformat(day), time.fromisoformat(clock), zone, is_end=is_end
        )
    except OverflowError as error:
        raise ValueError("out of range") from error


def parse_hours(value: str) -> tuple[time, time]:
    """Return begin and end of hours such as ``18:00-08:00``; ``24:00`` is midnight.

    Raises ``ValueError``.
    """
    found = _HOURS.fullmatch(value)
    if not found:
        raise ValueError("no hours")
    begin, end = found.groups()
    return time.fromisoformat(begin), time.fromisoformat("00:00" if end == "24:00" else end)


def is_hours(text: str) -> bool:
    """Whether a text is hours that ``parse_hours`` reads."""
    try:
        parse_hours(text)
    except ValueError:
        return False
    return True


def is_time_zone(name: str) -> bool:
    """Whether this machine knows a time zone of this name."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return False
    return True


def local_timestamp(day: date, clock: time, zone: str, *, is_end: bool = False) -> float:
    """Return the time of a local clock in seconds since 1970.

    Where clocks are set back, a time comes twice: it is the first one, or the second with
    ``is_end``. Where they are set forward, a time that is skipped becomes later by the same amount.
    """
    local = datetime.combine(day, clock, tzinfo=ZoneInfo(zone))
    # A time that comes twice has two timestamps, and so does a skipped one, in the other order.
    later = local.replace(fold=1).timestamp() if is_end else 0.0
    return max(local.timestamp(), later)


def local_date(at: float, zone: str) -> date:
    """Return the date in a time zone."""
    return _local(at, zone).date()


def month_of(at: float, zone: str) -> str:
    """Return the calendar month in a time zone, such as ``2026-11``."""
    return f"{_local(at, zone):%Y-%m}"


def format_moment(at: float, zone: str) -> str:
    """Return a time as ``2026-12-24 18:00 (Asia/Kolkata)``."""
    return f"{_local(at, zone):%Y-%m-%d %H:%M} ({zone})"


def _local(at: float, zone: str) -> datetime:
    # A saved plan or a state may hold any number.
    try:
        return datetime.fromtimestamp(at, ZoneInfo(zone))
    except (ValueError, OverflowError, OSError):
        return datetime(9999, 12, 31, tzinfo=UTC)
