"""Fake services: scripted answers in the process, or bytes over a loopback connection."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx

from segctl.core.identity import Kind
from segctl.provider.client import CleverTapProvider
from segctl.provider.wire import Entry, NewSegment, SegmentAction

OK = {"success": True}
GOLD = NewSegment(segment_name="Gold", customer_segment_id="SEG-1")
PASSCODE = "pass-very-secret"


class InstantClock:
    """A clock whose sleeps return at once and advance the time."""

    def __init__(self) -> None:
        self.time = 1_000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return 1_800_000_000.0 + self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)


async def turns() -> None:
    """Run the event loop until every task that is ready has run."""
    for _ in range(20):
        await asyncio.sleep(0)


class Script:
    """Answers requests from a list; the last answer is repeated."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def entry(*identities: str) -> Entry:
    """Build an entry that adds some users to one segment."""
    return Entry(
        users=tuple((Kind.IDENTITY, i) for i in identities or ("u-1",)),
        actions=(SegmentAction(action="ADD", customer_segment_id="SEG-1"),),
    )


def provider(script: Script | None = None, **options: Any) -> CleverTapProvider:
    """Build a provider over a script, with an ``InstantClock`` and the longest random waits."""
    settings: dict[str, Any] = {
        "base_url": "https://in1.api.clevertap.com",
        "account_id": "ACC-1",
        "passcode": PASSCODE,
        "clock": InstantClock(),
        "chance": lambda: 1.0,
        "transport": httpx.MockTransport(script) if script else None,
    }
    return CleverTapProvider(**(settings | options))


Step = Callable[[asyncio.StreamWriter], Awaitable[None]]


def say(data: bytes, *, close: bool = False) -> Step:
    """Build a step that answers with these bytes and optionally closes the connection."""

    async def step(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if close:
            writer.close()

    return step


def http(body: bytes = b'{"success": true}', status: str = "200 OK") -> bytes:
    """Build one HTTP/1.1 answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Wire:
    """The connections and request bodies that a loopback service received."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.bodies: list[bytes] = []


@asynccontextmanager
async def loopback(
    steps: Sequence[Step | None], *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Wire]:
    """Serve real connections. The step ``None`` closes one before its request is read."""
    seen, left = Wire(), list(steps)
    open_now: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        open_now.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while not writer.is_closing():
                step = left.pop(0) if len(left) > 1 else left[0]
                if step is None:
                    break
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int((head.partition(b"content-length:")[2].split() or [b"0"])[0])
                seen.bodies.append(await reader.readexactly(length))
                await step(writer)
        writer.close()
        open_now.discard(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    seen.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield seen
    for writer in list(open_now):
        writer.transport.abort()
