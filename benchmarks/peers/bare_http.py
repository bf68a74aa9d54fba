"""The limit for sending: full requests over three kept-alive connections, and nothing else.

It keeps no journal, retries nothing, and checks only that each answer is a 200.
"""

import asyncio
import sys
import time

from benchmarks.emulator_throughput import IN_FLIGHT, Connection, update


async def send(port: int, requests: int) -> None:
    """Add a hundred users to one segment with each request."""
    numbers = iter(range(requests))
    answered: list[float] = []

    async def work() -> None:
        connection = await Connection.to(port)
        for number in numbers:
            users = [f"user-{100 * number + each}@example.com" for each in range(100)]
            await connection.call("POST", "/api/updateSegment", update(users, ["all"], "ADD"))
            answered.append(time.time())
        connection.writer.close()

    await asyncio.gather(*[work() for _ in range(IN_FLIGHT)])
    print(f"first {answered[0]} last {answered[-1]}")


def main() -> None:
    port, requests = map(int, sys.argv[1:])
    asyncio.run(send(port, requests))


if __name__ == "__main__":
    main()
