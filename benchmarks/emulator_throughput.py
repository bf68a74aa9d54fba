"""Measure how many membership changes a second the emulator takes, and whether counts slow down.

The server runs in its own process with its data on disk.  The client, in this process,
keeps three requests in flight, as the service allows, each on its own connection.  A
change counts only if it changed something, by the server's own count.  ``--seconds`` is
the longest time of each part:

    python -m benchmarks.emulator_throughput --seconds 10
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import store, tables
from benchmarks.machine import Session
from benchmarks.measuring import HOUR, resident_mib

HEADERS = (
    "Host: 127.0.0.1\r\nX-CleverTap-Account-Id: EMULATOR\r\nX-CleverTap-Passcode: emulator\r\n"
    "Content-Type: application/json\r\n"
)
START = (
    "import sys; from pathlib import Path; from segctl.emulator.server import serve; "
    "serve(port=0, data=Path(sys.argv[1]), ready=lambda url: print(url, flush=True))"
)
IN_FLIGHT = 3


class Connection:
    """A kept-alive HTTP/1.1 connection with only what the benchmark needs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, port: int) -> "Connection":
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 26))

    async def call(self, method: str, path: str, body: bytes = b"") -> Any:
        """Send a request and return its answer, which must be a 200 with JSON."""
        head = f"{method} {path} HTTP/1.1\r\n{HEADERS}Content-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        status = int(answer[9:12])
        length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        content = await self.reader.readexactly(length)
        assert status == 200, (status, content)
        return json.loads(content)


def update(users: list[str], segments: list[str], action: str) -> bytes:
    return json.dumps(
        {
            "bulk_profiles": [
                {
                    "user_profiles": [{"identity": user} for user in users],
                    "segments": [
                        {"customer_segment_id": each, "action": action} for each in segments
                    ],
                }
            ]
        }
    ).encode()


def new_users_one_segment() -> Iterator[bytes]:
    """100 new users x 1 segment."""
    number = 0
    while True:
        users = [f"user-{number + each}@example.com" for each in range(100)]
        yield update(users, ["s0"], "ADD")
        number += 100


def known_users_one_segment(chance: random.Random, known: int) -> Iterator[bytes]:
    """100 known users x 1 segment, added and removed."""
    segment = 0
    while True:
        users = [f"user-{each}@example.com" for each in chance.sample(range(known), 100)]
        segment = segment % 99 + 1
        for action in ("ADD", "REMOVE"):
            yield update(users, [f"s{segment}"], action)


def known_users_all_segments(chance: random.Random, known: int) -> Iterator[bytes]:
    """100 known users x 100 segments, added and removed."""
    segments = [f"t{each}" for each in range(100)]
    while True:
        users = [f"user-{each}@example.com" for each in chance.sample(range(known), 100)]
        for action in ("ADD", "REMOVE"):
            yield update(users, segments, action)


def every_user_ten_segments(known: int) -> Iterator[bytes]:
    """Add every user to ten segments, 100 x 10 a request."""
    for start in range(0, known, 100):
        users = [f"user-{start + each}@example.com" for each in range(100)]
        yield update(users, [f"u{(start // 100 + each) % 100}" for each in range(10)], "ADD")


async def send(port: int, bodies: Iterator[bytes], *, seconds: float) -> tuple[float, int, float]:
    """Send for some seconds; return changes a second, requests, seconds."""
    connections = [await Connection.to(port) for _ in range(IN_FLIGHT)]
    before = (await connections[0].call("GET", "/emulator/v1/stats"))["membership_changes"]
    started = time.perf_counter()
    sent = 0

    async def work(connection: Connection) -> None:
        nonlocal sent
        while time.perf_counter() - started < seconds and (body := next(bodies, None)):
            sent += 1
            await connection.call("POST", "/api/updateSegment", body)

    await asyncio.gather(*[work(each) for each in connections])
    took = time.perf_counter() - started
    after = (await connections[0].call("GET", "/emulator/v1/stats"))["membership_changes"]
    for each in connections:
        each.writer.close()
    return (after - before) / took, sent, took


async def count_time(port: int) -> float:
    """Return the milliseconds to list all segments with members and reach: the best of five."""
    connection = await Connection.to(port)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        await connection.call("GET", "/emulator/v1/segments")
        times.append(time.perf_counter() - started)
    connection.writer.close()
    return min(times) * 1000


@contextmanager
def server(folder: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    process = subprocess.Popen(
        [sys.executable, "-c", START, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().rsplit(":", 1)[1]), process
    finally:
        process.terminate()
        process.communicate()


async def create(port: int) -> None:
    connection = await Connection.to(port)
    for letter in "stu":
        body = [
            {"segment_name": f"{letter}{each}", "customer_segment_id": f"{letter}{each}"}
            for each in range(100)
        ]
        await connection.call("POST", "/api/createSegment", json.dumps(body).encode())
    connection.writer.close()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--profiles", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, default=store.RESULTS, metavar="FOLDER")
    options = parser.parse_args(arguments)
    session = Session()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        with server(Path(folder)) as (port, process):
            asyncio.run(create(port))
            empty = asyncio.run(count_time(port))
            parts = [
                part(name, asyncio.run(send(port, bodies, seconds=seconds)))
                for name, bodies, seconds in course(options.profiles, options.seconds)
            ]
            full = asyncio.run(count_time(port))
            memory = resident_mib(process.pid)
        size = sum(each.stat().st_size for each in Path(folder).iterdir()) / 2**20
        started = time.perf_counter()
        with server(Path(folder)):
            start = time.perf_counter() - started
    body = {
        "parts": parts,
        "listing_empty_ms": round(empty, 1),
        "listing_full_ms": round(full, 1),
        "memory_mib": round(memory),
        "disk_mib": round(size),
        "start_seconds": round(start, 1),
    }
    for table in tables.emulator(store.save(options.json, "emulator", session, body)):
        print(f"\n{table}")


def course(known: int, seconds: float) -> Iterator[tuple[str, Iterator[bytes], float]]:
    """Yield the parts in order: name, request bodies, longest time in seconds."""
    chance = random.Random(1)  # noqa: S311 - a workload, the same each time
    few = min(known, 10_000)
    yield "100 new users × 1 segment", new_users_one_segment(), seconds
    yield "100 known users × 1 segment", known_users_one_segment(chance, few), seconds
    yield "100 known users × 100 segments", known_users_all_segments(chance, few), seconds
    yield f"filling: {known:,} profiles × 10 segments", every_user_ten_segments(known), HOUR
    yield "then 100 known users × 1 segment", known_users_one_segment(chance, known), seconds
    yield "then 100 known users × 100 segments", known_users_all_segments(chance, known), seconds


def part(name: str, figures: tuple[float, int, float]) -> dict[str, str | float]:
    """Return a part's figures in the stored form."""
    rate, requests, took = figures
    print(f"emulator: {name}", file=sys.stderr, flush=True)
    return {
        "sent": name,
        "changes_a_second": round(rate),
        "requests_a_second": round(requests / took),
        "seconds": round(took, 1),
    }


if __name__ == "__main__":
    main()
