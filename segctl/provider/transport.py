"""Connections for httpx that are reused only after exactly one answer to each request.

httpx's own connections have two problems here:

- If a faulty proxy sends a second answer to one request, it stays in the connection's buffer and
  is read as the answer to the next request. HTTP/1.1 does not number answers, so that request
  would be acknowledged although it was not accepted. Here a connection is reused only if its last
  answer ended exactly where its header says and nothing arrived after it.
- With three requests in flight, each millisecond between an answer and the next request counts.
  Here header and body are sent in one write, without turns of the event loop in between.

Requests through a proxy use httpx's own connections.
"""

import asyncio
import re
import select
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import httpcore
import httpx

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_MAX_UNREAD = 1 << 20
"""Number of unread bytes above which a connection stops receiving."""


def is_one_answer(answer: bytes | bytearray) -> bool:
    """Return whether the bytes are exactly one HTTP/1.1 answer; ``False`` if it is unclear."""
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return False
    if length := _LENGTH.search(answer, 0, head + 2):
        return len(answer) == head + 4 + int(length[1])
    end = answer.find(_LAST_CHUNK, head + 2)
    return end >= 0 and end + len(_LAST_CHUNK) == len(answer)


BeforeWrite = Callable[[], None]


class _Inbox(asyncio.Protocol):
    """Buffers the bytes that the service sends until they are read."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended = False
        self.error: Exception | None = None
        self._transport: asyncio.ReadTransport | None = None
        self._arrival: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.ReadTransport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        if len(self.received) > _MAX_UNREAD and self._transport is not None:
            self._transport.pause_reading()
        self._wake_reader()

    def eof_received(self) -> None:
        self.ended = True
        self._wake_reader()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended, self.error = True, exc
        self._wake_reader()

    def _wake_reader(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    async def read(self, max_bytes: int) -> bytes:
        """Return up to ``max_bytes`` bytes, or none at the end of the connection.

        Waits for bytes if there are none. Raises the error that ended the connection.
        """
        if not self.received and not self.ended:
            if self._transport is not None:
                self._transport.resume_reading()
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        if not self.received and self.error is not None:
            raise self.error
        data = bytes(self.received[:max_bytes])
        del self.received[:max_bytes]
        return data


class _Stream(httpcore.AsyncNetworkStream):
    """One connection. Writes are buffered and sent together when the answer is read."""

    def __init__(
        self, transport: asyncio.Transport, inbox: _Inbox, before_write: BeforeWrite
    ) -> None:
        self._before_write = before_write
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
            # The process may have been stopped since the request was begun, for an hour.
            self._before_write()
            self._transport.write(bytes(self._unsent))
            self._unsent.clear()
        try:
            async with asyncio.timeout(timeout):
                data = await self._inbox.read(max_bytes)
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
            raise httpcore.ConnectError("the connection was closed")
        return _Stream(transport, self._inbox, self._before_write)

    def get_extra_info(self, info: str) -> Any:
        """Return connection details. The pool closes an idle connection that ``is_readable``."""
        if info == "is_readable":
            has_input = self._inbox.ended or self._inbox.received or _has_input(self._transport)
            return bool(has_input) or (bool(self._answer) and not is_one_answer(self._answer))
        return self._transport.get_extra_info(info)


def _has_input(transport: asyncio.Transport) -> bool:
    """Return whether the socket has bytes, or its end, that the event loop has not read yet."""
    descriptor = transport.get_extra_info("socket").fileno()
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class Network(httpcore.AsyncNetworkBackend):
    """Opens connections on asyncio's event loop.

    ``before_write`` is called right before a request is written; an error from it ends the request.
    """

    def __init__(self, before_write: BeforeWrite = lambda: None) -> None:
        self._before_write = before_write

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open a connection. Raises ``ConnectTimeout`` or ``ConnectError`` of httpcore."""
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
        return _Stream(transport, inbox, self._before_write)

    async def sleep(self, seconds: float) -> None:
        """Sleep for ``seconds``."""
        await asyncio.sleep(seconds)


class _OneConnection(httpx.AsyncHTTPTransport):
    """httpx's transport over a single connection of ``network``."""

    def __init__(self, context: ssl.SSLContext, network: httpcore.AsyncNetworkBackend) -> None:
        super().__init__(verify=context)
        # Private in httpx, and the only such use: pyproject.toml bounds the version, and a test
        # fails if requests no longer go through it.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=1,
            max_keepalive_connections=1,
            keepalive_expiry=5.0,
            network_backend=network,
        )

    @property
    def is_free(self) -> bool:
        return all(c.is_idle() or c.is_closed() for c in self._pool.connections)


class DirectTransport(httpx.AsyncBaseTransport):
    """Sends over at most ``connections`` connections, and reuses the one idle for longest.

    The longer a connection is idle, the more likely a second answer arrives, and is noticed,
    before its next request.
    """

    def __init__(
        self,
        *,
        connections: int,
        network: httpcore.AsyncNetworkBackend | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        context = context or httpx.create_ssl_context()
        network = network or Network()
        self._least_recent = deque(_OneConnection(context, network) for _ in range(connections))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send over the free connection that was used longest ago."""
        chosen = next((c for c in self._least_recent if c.is_free), self._least_recent[0])
        self._least_recent.remove(chosen)
        self._least_recent.append(chosen)
        return await chosen.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        for connection in self._least_recent:
            await connection.aclose()
