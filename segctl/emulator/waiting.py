"""Waiting to the tenth of a millisecond: what a client measures is the latency that was set."""

import asyncio

_COARSE = 0.001
"""Seconds by which a timer of an event loop may be late: it counts whole milliseconds."""


async def wait(seconds: float) -> None:
    """Let ``seconds`` pass; the last one or two milliseconds in turns of the event loop."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    if seconds > _COARSE:
        await asyncio.sleep(seconds - _COARSE)
    while loop.time() < end:  # noqa: ASYNC110 - time itself is awaited
        await asyncio.sleep(0)
