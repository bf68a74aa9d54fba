"""The limit on requests in flight."""

import asyncio
import heapq
from itertools import pairwise

import pytest

from segctl.provider.limiter import Limiter, Slot
from tests.provider.service import InstantClock, turns


def limiter(concurrency: int = 3) -> Limiter:
    return Limiter(concurrency=concurrency, clock=InstantClock())


class SteppedClock(InstantClock):
    """A clock with several concurrent sleepers that wake in order."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0
        self.sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self.sleepers, (self.time + seconds, len(self.slept), woken))
        self.slept.append(seconds)
        await woken

    async def run(self) -> None:
        """Wake the sleepers in order until none is left."""
        await turns()
        while self.sleepers:
            self.time, _, woken = heapq.heappop(self.sleepers)
            woken.set_result(None)
            await turns()


class Holder:
    """A task that keeps a slot until it is released."""

    def __init__(self, limits: Limiter) -> None:
        self.slot: Slot | None = None
        self.go = asyncio.Event()
        self.task = asyncio.ensure_future(self._hold(limits))

    async def _hold(self, limits: Limiter) -> None:
        async with limits.slot() as slot:
            self.slot = slot
            await self.go.wait()

    async def release(self) -> None:
        self.go.set()
        await self.task
        await turns()


async def holders(limits: Limiter, count: int) -> list[Holder]:
    started = [Holder(limits) for _ in range(count)]
    await turns()
    return started


def holding(some: list[Holder]) -> list[bool]:
    return [h.slot is not None for h in some]


async def finish(some: list[Holder]) -> None:
    for holder in some:
        holder.go.set()
    await asyncio.gather(*(h.task for h in some), return_exceptions=True)


def test_slots_are_limited_and_granted_in_order() -> None:
    async def go() -> None:
        some = await holders(limiter(2), 4)
        assert holding(some) == [True, True, False, False]
        await some[1].release()
        assert holding(some) == [True, True, True, False]
        await finish(some)

    asyncio.run(go())


def test_a_429_halves_the_window_and_answers_widen_it() -> None:
    limits = limiter(8)
    sizes = [limits.window]
    limits.record_throttled(Slot(0))
    sizes.append(limits.window)
    for _ in range(30):
        limits.record_answer(Slot(0))
        sizes.append(limits.window)
    assert sizes[:2] == [8, 4]
    assert all(b - a in {0, 1} for a, b in pairwise(sizes[1:]))
    assert sizes[-1] == 8


def test_requests_refused_together_halve_the_window_once() -> None:
    async def go() -> None:
        limits = limiter(4)
        some = await holders(limits, 4)
        for holder in some:
            assert holder.slot is not None
            limits.record_throttled(holder.slot)
        assert limits.window == 2
        await finish(some)

    asyncio.run(go())


def test_the_window_is_never_below_one() -> None:
    limits = limiter(3)
    for reductions in range(5):
        limits.record_throttled(Slot(reductions))
    assert limits.window == 1


def test_a_smaller_window_grants_no_slot_until_enough_are_released() -> None:
    async def go() -> None:
        limits = limiter(2)
        some = await holders(limits, 3)
        limits.record_throttled(Slot(0))
        await some[0].release()
        assert holding(some) == [True, True, False]
        await some[1].release()
        assert holding(some) == [True, True, True]
        await finish(some)

    asyncio.run(go())


def test_a_cancelled_waiter_does_not_affect_the_others() -> None:
    async def go() -> None:
        some = await holders(limiter(1), 3)
        some[1].task.cancel()
        await turns()
        await some[0].release()
        assert holding(some) == [True, False, True]
        await finish(some)

    asyncio.run(go())


def test_a_waiter_cancelled_as_its_slot_is_granted_passes_it_on() -> None:
    async def go() -> None:
        some = await holders(limiter(1), 3)
        some[0].go.set()
        await asyncio.sleep(0)  # the holder leaves and grants the slot to the second
        some[1].task.cancel()
        await turns()
        assert holding(some) == [True, False, True]
        await finish(some)

    asyncio.run(go())


def test_an_error_in_the_block_releases_the_slot() -> None:
    async def go() -> None:
        limits = limiter(1)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                async with limits.slot():
                    raise ZeroDivisionError

    asyncio.run(go())


def test_a_pause_delays_every_request() -> None:
    async def go() -> list[float]:
        clock = InstantClock()
        limits = Limiter(concurrency=3, clock=clock)
        limits.record_throttled(Slot(0), pause=7.0)
        for _ in range(2):
            async with limits.slot():
                pass
        return clock.slept

    assert asyncio.run(go()) == [7.0]


def test_no_burst_follows_idle_time() -> None:
    async def go() -> None:
        clock = InstantClock()
        limits = Limiter(concurrency=3, clock=clock)
        limits.record_throttled(Slot(0))
        await clock.sleep(3600)
        some = await holders(limits, 3)
        assert holding(some) == [True, False, False]
        await finish(some)

    asyncio.run(go())


def test_a_concurrency_below_one_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one request must be allowed in flight"):
        limiter(0)


def test_requests_sent_together_are_spaced_apart_once() -> None:
    async def go() -> list[list[float]]:
        clock = SteppedClock()
        limits = Limiter(concurrency=3, clock=clock)
        departures: list[list[float]] = [[], [], []]

        async def worker(mine: list[float]) -> None:
            for _ in range(4):
                async with limits.slot() as slot:
                    mine.append(round(clock.monotonic(), 3))
                    await clock.sleep(0.06)  # the answer
                    limits.record_answer(slot)

        await asyncio.gather(clock.run(), *(worker(mine) for mine in departures))
        return departures

    first, second, third = asyncio.run(go())
    assert (first[0], second[0], third[0]) == (0.0, 0.0, 0.0)
    assert second[-1] - first[-1] >= 0.002
    assert third[-1] - second[-1] >= 0.002
    assert all(later - earlier == pytest.approx(0.06) for earlier, later in pairwise(third[1:]))


def test_end_grants_a_slot_to_every_waiter() -> None:
    async def go() -> None:
        limits = limiter(1)
        some = await holders(limits, 3)
        limits.end()
        await turns()
        assert holding(some) == [True, True, True]
        await finish(some)

    asyncio.run(go())


def test_end_cancels_a_pause() -> None:
    async def go() -> list[float]:
        clock = InstantClock()
        limits = Limiter(concurrency=1, clock=clock)
        limits.record_throttled(Slot(0), pause=120.0)
        limits.end()
        async with limits.slot():
            return clock.slept

    assert asyncio.run(go()) == []
