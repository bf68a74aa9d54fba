"""Runs of membership events: as values, as rows, and the filter that selects them."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

COLUMNS = "seq, account, segment, action, changed, points, ts, users, apply"
RunRow = tuple[int, int, int, str, int, int, float, bytes, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class EventRun:
    """Consecutive events of one segment and one action.

    ``seq`` is the number of the first event, ``users`` are profile numbers, ``apply`` is
    the number of the apply that caused them, 0 if none did.  ``changed`` is false for the
    events of a switch that reports changes without effect.
    """

    seq: int
    account: int
    segment: int
    action: str
    changed: bool
    points: int
    ts: float
    users: tuple[int, ...]
    apply: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFilter:
    """Which events to read: those that match every field that is not None.

    ``user`` is a profile number and needs ``account``.  ``since`` and ``until`` are
    seconds since 1970, both inclusive.
    """

    account: int | None = None
    segments: frozenset[int] | None = None
    action: str | None = None
    user: int | None = None
    since: float | None = None
    until: float | None = None
    changed: bool | None = None

    def __post_init__(self) -> None:
        if self.user is not None and self.account is None:
            raise ValueError("a filter by user needs the account of the user")


def pack_numbers(numbers: Sequence[int]) -> bytes:
    """Return profile numbers as they are stored, four bytes each."""
    return array("I", numbers).tobytes()


def unpack_numbers(blob: bytes) -> tuple[int, ...]:
    """Return the numbers that ``pack_numbers`` packed."""
    numbers = array("I")
    numbers.frombytes(blob)
    return tuple(numbers)


def sql_conditions(wanted: RunFilter, numbers: Sequence[int] = ()) -> tuple[str, list[Any]]:
    """Return the filter as SQL conditions on runs, each with AND before it, and their values.

    ``numbers`` are those of the user.
    """
    values: dict[str, Any] = {
        "account = ?": wanted.account,
        "action = ?": wanted.action,
        "ts >= ?": wanted.since,
        "ts <= ?": wanted.until,
        "changed = ?": wanted.changed,
    }
    values = {clause: value for clause, value in values.items() if value is not None}
    clauses = [*values]
    if numbers:
        clauses.append(f"({' OR '.join(['instr(users, ?)'] * len(numbers))})")
    if wanted.segments is not None:
        clauses.append(f"segment IN ({', '.join(map(str, sorted(wanted.segments)))})")
    blobs = [pack_numbers([number]) for number in numbers]
    return "".join(f" AND {clause}" for clause in clauses), [*values.values(), *blobs]


def decode_run(
    row: RunRow,
    user: int | None,
    first: int,
    last: int,
    *,
    newest_first: bool,
    survivors: Mapping[int, int],
) -> Iterator[EventRun]:
    """Yield the run of a row, cut to events ``first`` to ``last``, or to those of one user."""
    seq, account, segment, action, changed, points, ts, blob, apply = row
    users = unpack_numbers(blob)
    if survivors:
        users = tuple([survivors.get(number, number) for number in users])
    run = EventRun(
        seq=seq,
        account=account,
        segment=segment,
        action=action,
        changed=bool(changed),
        points=points,
        ts=ts,
        users=users,
        apply=apply,
    )
    count = len(run.users)
    low, high = max(0, first - seq), min(count, last - seq + 1)
    if low >= high:
        return
    if user is None:
        yield run if (low, high) == (0, count) else cut_run(run, low, high)
        return
    positions = [index for index in range(low, high) if run.users[index] == user]
    for index in reversed(positions) if newest_first else positions:
        yield cut_run(run, index, index + 1)


def cut_run(run: EventRun, low: int, high: int) -> EventRun:
    """Return the part of a run from its user ``low`` up to its user ``high``."""
    users = run.users[low:high]
    points = run.points // len(run.users) * len(users)
    return replace(run, seq=run.seq + low, users=users, points=points)
