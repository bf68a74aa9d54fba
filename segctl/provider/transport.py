"""Connections of our own under httpx: a request leaves in one piece, an answer is counted.

Why not httpx's own.  A second answer to one request (a faulty proxy) would wait in a
connection's buffer and be taken for the answer to the next request, an
acknowledgement of something that was never accepted.  HTTP/1.1 numbers no answers;
so a connection is used again only when its last answer ended exactly where it said
and nothing has come in since.  And with three requests in flight every millisecond
between an answer and the next request is lost: here header and body leave together,
without turns of the event loop in between.

Requests through a proxy of the environment go over httpx's own connections.
"""

import asyncio
import re
import select
import ssl
from collections import deque
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_MOST_WAITING = 1 << 20
"""How many bytes may wait to be read before a connection stops taking more."""


def ends_where_it_says(answer: bytes | bytearray) -> bool:
    """Tell whether bytes are exactly one HTTP/1.1 answer; in doubt they are not."""
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return False
    if length := _LENGTH.search(answer, 0, head + 2):
        return len(answer) == head + 4 + int(length[1])
    end = answer.find(_LAST_CHUNK, head + 2)
    return end >= 0 and end + len(_LAST_CHUNK) == len(answer)


class _Inbox(asyncio.Protocol):
    """Takes in what the service sends, whether or not somebody waits for it."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended = False
        self.error: Exception | None = None
        self._transport: asyncio.ReadTransport | None = None
        self._news: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.ReadTransport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if len(self.received) > _MOST_WAITING and self._transport is not None:
            self._transport.pause_reading()
        self._tell()

    def eof_received(self) -> None:
        self.ended = True
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended, self.error = True, exc
        self._tell()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def take(self, most: int) -> bytes:
        """Wait for bytes; none at the end of the connection, whose error is raised."""
        if not self.received and not self.ended:
            if self._transport is not None:
                self._transport.resume_reading()
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        if not self.received and self.error is not None:
            raise self.error
        data = bytes(self.received[:most])
        del self.received[:most]
        return data


class _Stream(httpcore.AsyncNetworkStream):
    """One connection: writes are held back until an answer is waited for."""

    def __init__(self, transport: asyncio.Transport, inbox: _Inbox) -> None:
        self._transport = transport
        self._inbox = inbox
        self._unsent = bytearray()
        self._answer = bytearray()

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> bytes:
        if self._unsent:
            self._transport.write(bytes(self._unsent))
            self._unsent.clear()
        try:
            async with asyncio.timeout(timeout):
                data = await self._inbox.take(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout from error
        except (OSError, ssl.SSLError) as error:
            raise httpcore.ReadError from error
        self._answer += data
        return data

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> None:
        del timeout
        if not self._unsent:
            self._answer.clear()
        self._unsent += buffer

    async def aclose(self) -> None:
        self._transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                transport = await loop.start_tls(
                    self._transport, self._inbox, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except (OSError, ssl.SSLError) as error:
            raise httpcore.ConnectError(str(error)) from error
        if transport is None:
            raise httpcore.ConnectError("the connection was cut")
        return _Stream(transport, self._inbox)

    def get_extra_info(self, info: str) -> Any:
        """Answer the pool, which closes an idle connection with something to read."""
        if info == "is_readable":
            waiting = self._inbox.ended or self._inbox.received or _has_input(self._transport)
            return bool(waiting) or (bool(self._answer) and not ends_where_it_says(self._answer))
        return self._transport.get_extra_info(info)


def _has_input(transport: asyncio.Transport) -> bool:
    """Tell whether bytes wait that the event loop has not come round to, or the end."""
    descriptor = transport.get_extra_info("socket").fileno()
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class Network(httpcore.AsyncNetworkBackend):
    """Opens connections on asyncio's event loop."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open a connection; raises httpcore's errors."""
        del local_address, socket_options
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                transport, inbox = await loop.create_connection(
                    _Inbox, host, port, happy_eyeballs_delay=0.25
                )
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        return _Stream(transport, inbox)

    async def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        await asyncio.sleep(seconds)


class _OneConnection(httpx.AsyncHTTPTransport):
    """httpx's transport over one connection of our own."""

    def __init__(self, context: ssl.SSLContext, network: httpcore.AsyncNetworkBackend) -> None:
        super().__init__(verify=context)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=1,
            max_keepalive_connections=1,
            keepalive_expiry=5.0,
            network_backend=network,
        )

    @property
    def is_free(self) -> bool:
        return all(one.is_idle() or one.is_closed() for one in self._pool.connections)


class CountedTransport(httpx.AsyncBaseTransport):
    """At most ``connections`` of our own, each used again as late as can be.

    The longer a connection rests, the surer a second answer shows before the next request.
    """

    def __init__(
        self, *, connections: int, network: httpcore.AsyncNetworkBackend | None = None
    ) -> None:
        context = httpx.create_ssl_context()
        network = network or Network()
        self._turns = deque(_OneConnection(context, network) for _ in range(connections))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send over the connection that rested longest."""
        one = next((one for one in self._turns if one.is_free), self._turns[0])
        self._turns.remove(one)
        self._turns.append(one)
        return await one.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        for one in self._turns:
            await one.aclose()
