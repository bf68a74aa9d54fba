"""Sleep with a precision of a tenth of a millisecond, so that latency is as configured."""

import asyncio

_TIMER_ERROR = 0.001
"""Seconds by which an event loop's timer can be late: it counts whole milliseconds."""


async def precise_sleep(seconds: float) -> None:
    """Sleep for ``seconds``, polling the clock for the last millisecond or two."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    if seconds > _TIMER_ERROR:
        await asyncio.sleep(seconds - _TIMER_ERROR)
    while loop.time() < end:  # noqa: ASYNC110 - time itself is awaited
        await asyncio.sleep(0)
