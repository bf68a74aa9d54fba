"""Measure the emulator with ten million memberships: starts, reads, and a slow reader.

Two folders are filled: all users in one segment, and a tenth of them in ten segments
each.  Their last events are not saved as members, as after ``kill -9``.  Then a server is
started on each.  While one client sends updates, another reads all events, as fast as it
can or hardly at all, and the updates are timed.

    python -m benchmarks.emulator_scale --users 10_000_000 --seconds 10
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pyroaring import BitMap

from benchmarks import store, tables
from benchmarks.emulator_throughput import HEADERS, Connection, server, update
from benchmarks.machine import Session
from benchmarks.measuring import resident_mib
from segctl.emulator.reading.events import EVENT_NAME
from segctl.emulator.settings import Settings
from segctl.emulator.storage.changes import Change, NewSegment
from segctl.emulator.storage.event_runs import RunFilter
from segctl.emulator.storage.state import ADD, Segment, User
from segctl.emulator.storage.store import Store

SEGMENTS = 2500
USERS_PER_REQUEST = 100
SEGMENTS_OF_A_USER = 10
ACCOUNT = "EMULATOR"
SLOW_BYTES = 1 << 10
SLOW_SECONDS = 0.1
"""A slow reader reads so much, and then waits so long."""


def open_store(folder: Path) -> Store:
    return Store(folder=folder, passcodes={ACCOUNT: "emulator"}, clock=time.time)


def fill(folder: Path, *, users: int, segments_each: int) -> None:
    """Fill a folder with memberships, and leave it as ``kill -9`` does."""
    filled = open_store(folder)
    account = filled.accounts[ACCOUNT]
    new = [NewSegment(name=f"s{each}", customer_id=f"s{each}") for each in range(SEGMENTS)]
    segments = filled.create(account, new)
    for start in range(0, users, USERS_PER_REQUEST):
        count = min(USERS_PER_REQUEST, users - start)
        requested = tuple(
            [User("identity", f"user-{start + each}@example.com") for each in range(count)]
        )
        first = start // USERS_PER_REQUEST * SEGMENTS_OF_A_USER % 100
        filled.update(
            account,
            [
                Change(segment=segment, action=ADD, users=requested)
                for segment in segments[first if segments_each > 1 else 0 :][:segments_each]
            ],
            [],
            settings=Settings(),
            agent="benchmark",
        )
    filled.database.close()


def seconds_to_start(folder: Path) -> tuple[float, float]:
    """Return the seconds until a server answers, and its memory in MiB."""
    began = time.perf_counter()
    with server(folder) as (_, process):
        return time.perf_counter() - began, resident_mib(process.pid)


async def best_of_five(port: int, *steps: tuple[str, str, Any]) -> float:
    """Return the milliseconds of a few calls in a row: the best of five."""
    connection = await Connection.to(port)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        answer: dict[str, Any] = {}
        for method, path, document in steps:
            body = b"" if document is None else json.dumps(document).encode()
            answer = await connection.call(method, path.format(**answer), body)
        times.append(time.perf_counter() - began)
    connection.writer.close()
    return min(times) * 1000


async def ask_until_done(port: int, path: str, query: Any) -> float:
    """Return the milliseconds of a count and of all its polls: the best of five."""
    connection = await Connection.to(port)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        answer = await connection.call("POST", path, json.dumps(query).encode())
        while answer["status"] == "partial":
            answer = await connection.call("GET", f"{path}?req_id={answer['req_id']}", b"")
        times.append(time.perf_counter() - began)
    connection.writer.close()
    return min(times) * 1000


def vendor_reads(port: int) -> Iterator[tuple[str, float]]:
    """Yield the vendor's reading calls with their milliseconds, over HTTP."""
    base = {"event_name": EVENT_NAME, "from": 20200101, "to": 20991231}
    without = {**base, "from": 20990101}
    one = {**base, "event_properties": [{"name": "Customer_Segment_ID", "value": "s0"}]}
    groups = {"a": {"property_type": "event_properties", "name": "Segment Name", "top_n": 100}}
    for name, query in (("a range without events", without), ("50 events of a segment", one)):
        export = (
            ("POST", "/1/events.json", query),
            ("GET", "/1/events.json?cursor={cursor}", None),
        )
        yield f"Get Events, {name}", asyncio.run(best_of_five(port, *export))
    for name, path, query in (
        ("events of all segments", "events", base),
        ("events of one segment", "events", one),
        ("users of events", "profiles", base),
        ("the top 100 segments", "top", {**base, "groups": groups}),
    ):
        yield f"count, {name}", asyncio.run(ask_until_done(port, f"/1/counts/{path}.json", query))


async def time_updates(port: int, *, seconds: float, known: int) -> list[float]:
    """Return the milliseconds of each update sent within some seconds."""
    connection = await Connection.to(port)
    chance = random.Random(1)  # noqa: S311 - a workload, the same each time
    times: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        users = [f"user-{each}@example.com" for each in chance.sample(range(known), 100)]
        body = update(users, [f"s{chance.randrange(1, 100)}"], "ADD")
        sent = time.perf_counter()
        await connection.call("POST", "/api/updateSegment", body)
        times.append((time.perf_counter() - sent) * 1000)
    connection.writer.close()
    return times


async def read_events(port: int, *, is_slow: bool) -> None:
    """Read all events, as fast as possible or hardly at all, until cancelled."""
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
        writer.write(f"GET /emulator/v1/events HTTP/1.1\r\n{HEADERS}\r\n".encode())
        try:
            while await reader.read(SLOW_BYTES if is_slow else 1 << 20):  # noqa: ASYNC110 - no event
                await asyncio.sleep(SLOW_SECONDS if is_slow else 0)
        finally:
            writer.close()


async def beside_a_reader(
    port: int, *, seconds: float, known: int, is_slow: bool | None
) -> list[float]:
    """Return the milliseconds of updates while somebody reads all events, or nobody does."""
    if is_slow is None:
        return await time_updates(port, seconds=seconds, known=known)
    reading = asyncio.create_task(read_events(port, is_slow=is_slow))
    try:
        return await time_updates(port, seconds=seconds, known=known)
    finally:
        reading.cancel()


def latencies(name: str, times: list[float]) -> dict[str, str | float]:
    """Return what a row of the table shows of the times of updates, in milliseconds."""
    told: dict[str, str | float] = {
        "reader": name,
        "updates": len(times),
        "p50_ms": round(statistics.median(times), 1),
        "p99_ms": round(sorted(times)[int(len(times) * 0.99)], 1),
        "max_ms": round(max(times), 1),
    }
    print(f"emulator: {told}", file=sys.stderr, flush=True)
    return told


def best_time(work: Callable[[], object]) -> float:
    """Return the milliseconds of a function: the best of five."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return round(min(times) * 1000, 2)


def reads_in_process(folder: Path, users: int) -> Iterator[tuple[str, float]]:
    """Yield reads of the log with their milliseconds; some have no call of the vendor."""
    opened = open_store(folder)
    account = opened.accounts[ACCOUNT]
    (gold, *_) = account.segments.values()

    def first_page(wanted: RunFilter) -> object:
        return next((runs for runs in opened.log.pieces(wanted) if runs), None)

    now = time.time()
    yield "events of a day without any", best_time(lambda: first_page(RunFilter(since=now + 1)))
    one = RunFilter(account=account.number, user=users // 2)
    yield "all events of one user", best_time(lambda: [*opened.log.pieces(one)])
    of_gold = RunFilter(segments=frozenset({gold.id}))
    yield "counts by minute of a segment", best_time(lambda: [*opened.log.tallies(of_gold)])
    yield from count_reachable(gold, users)
    opened.close()


def count_reachable(segment: Segment, users: int) -> Iterator[tuple[str, float]]:
    """Yield the time to count reachable members with bitmaps, and as it was done before."""
    reach = bytearray(each % 3 == 0 for each in range(users))
    reachable = BitMap(range(0, users, 3))
    members = segment.members
    yield (
        "reachable members, with a bitmap",
        best_time(lambda: members.intersection_cardinality(reachable)),
    )
    yield (
        "reachable members, with a byte per user",
        best_time(lambda: BitMap([number for number, bits in enumerate(reach) if bits])),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--users", type=int, default=10_000_000)
    parser.add_argument("--json", type=Path, default=store.RESULTS, metavar="FOLDER")
    options = parser.parse_args(arguments)
    session = Session()
    starts = []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        folders = [Path(temporary, "one"), Path(temporary, "ten")]
        few = max(1, options.users // SEGMENTS_OF_A_USER)
        for folder, users, each in (
            (folders[0], options.users, 1),
            (folders[1], few, SEGMENTS_OF_A_USER),
        ):
            fill(folder, users=users, segments_each=each)
            killed, _ = seconds_to_start(folder)
            stopped, memory = seconds_to_start(folder)
            size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
            starts.append(
                {
                    "data": f"{users:,} users × {each}",
                    "after_kill_seconds": round(killed, 2),
                    "after_stop_seconds": round(stopped, 2),
                    "memory_mib": round(memory),
                    "disk_mib": round(size),
                }
            )
            print(f"emulator: {starts[-1]}", file=sys.stderr, flush=True)
        with server(folders[0]) as (port, _):
            path = "/emulator/v1/segments"
            listing = asyncio.run(best_of_five(port, ("GET", path, None)))
            called = [(name, round(ms, 2)) for name, ms in vendor_reads(port)]
            readers = [
                latencies(
                    name,
                    asyncio.run(
                        beside_a_reader(
                            port, seconds=options.seconds, known=options.users, is_slow=is_slow
                        )
                    ),
                )
                for name, is_slow in (
                    ("none", None),
                    ("one that hardly reads", True),
                    ("one as fast as it can", False),
                )
            ]
        reads = [(f"listing {SEGMENTS:,} segments, over HTTP", round(listing, 2))]
        reads += called
        reads += reads_in_process(folders[0], options.users)
    body = {"starts": starts, "readers": readers, "reads": reads}
    for table in tables.emulator_scale(store.save(options.json, "emulator_scale", session, body)):
        print(f"\n{table}")


if __name__ == "__main__":
    main()
