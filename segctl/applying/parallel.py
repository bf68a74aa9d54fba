"""Run coroutines with a limit on how many run at the same time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable


async def run_in_parallel(
    jobs: Iterable[Awaitable[None]] | AsyncIterator[Awaitable[None]], *, limit: int
) -> None:
    """Run jobs, at most ``limit`` at a time. Each is taken only when its turn comes."""
    source = jobs if isinstance(jobs, AsyncIterator) else _iterate(jobs)
    turn = asyncio.Lock()

    async def work() -> None:
        while True:
            async with turn:
                job = await anext(source, None)
            if job is None:
                return
            await job

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(limit):
                group.create_task(work())
    except BaseExceptionGroup as failed:
        # The journal cannot be written, for one reason.  Requests in flight are abandoned:
        # their outcome could not be recorded, and the journal knows that they were sent.
        raise failed.exceptions[0] from None


async def _iterate(jobs: Iterable[Awaitable[None]]) -> AsyncIterator[Awaitable[None]]:
    for job in jobs:
        yield job
