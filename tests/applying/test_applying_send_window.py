"""Requests are recorded as sent in windows, before the first of them is sent."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from segctl.applying.send_context import SendContext
from segctl.applying.send_window import SendWindow
from segctl.core.outcomes import Outcome, Record, fold_records


class WindowLog:
    """A log whose synced records survive the process."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.lines: list[Record] = []
        self.synced = 0
        self.syncs = 0

    def append(self, record: Record, *, durable: bool) -> None:
        self.lines.append(record)
        if durable:
            self.sync()

    def sync(self) -> None:
        self.syncs += 1
        self.synced = len(self.lines)

    def records(self) -> Iterator[Record]:
        return iter(self.lines)

    def stored_as_sent(self) -> set[int]:
        return {r["request"] for r in self.lines[: self.synced] if r["type"] == "sent"}


class Clock:
    """A clock whose sleeps never end: nothing is stored only because time passed."""

    def now(self) -> float:
        return 1.0

    def monotonic(self) -> float:
        return 1.0

    async def sleep(self, seconds: float) -> None:
        del seconds
        await asyncio.Event().wait()


def run_window(
    log: WindowLog, total: int, *, numbers: range, settle_from: int | None = None
) -> list[int]:
    """Send these requests; return by how many recorded ones each was followed."""
    plan = SimpleNamespace(requests=SimpleNamespace(update=total), settle_from=settle_from)
    context = cast("SendContext", SimpleNamespace(log=log, clock=Clock(), plan=plan))
    ahead: list[int] = []

    async def send() -> None:
        window = SendWindow(context)
        async with window.open():
            for number in numbers:
                await window.enter(number)
                assert number in log.stored_as_sent()
                ahead.append(max(log.stored_as_sent()) - number)
                done: dict[str, Any] = {"type": "outcome", "request": number, "at": 1.0}
                log.append({**done, "outcome": "acknowledged"}, durable=False)

    asyncio.run(asyncio.wait_for(send(), 60))
    return ahead


@given(total=st.integers(1, 200), window=st.sampled_from([1, 2, 16]), begin=st.integers(0, 5))
def test_no_request_is_sent_before_it_is_stored(total: int, window: int, begin: int) -> None:
    log = WindowLog(window)
    ahead = run_window(log, total, numbers=range(min(begin, total - 1), total))
    assert max(ahead) <= window + window // 2
    assert max(log.stored_as_sent()) < total


def test_a_window_of_16_stores_less_often() -> None:
    log = WindowLog(16)
    run_window(log, 160, numbers=range(160))
    assert log.syncs <= 12


def test_what_was_recorded_and_not_sent_is_kept_back() -> None:
    log = WindowLog(16)
    run_window(log, 100, numbers=range(20))
    ledger = fold_records(log.records())
    assert ledger.updates.keys() == set(range(20))
    assert ledger.count(Outcome.UNCERTAIN) == 0


def test_nothing_is_recorded_beyond_a_wait() -> None:
    log = WindowLog(16)
    run_window(log, 100, numbers=range(40), settle_from=40)
    assert max(log.stored_as_sent()) == 39
    run_window(log, 100, numbers=range(40, 60), settle_from=40)
    assert max(log.stored_as_sent()) > 60
