"""Connections that are used again only when their last answer ended where it said.

A second answer to one request (a faulty proxy) would sit in the connection's buffer
and be taken for the answer to the next request: an acknowledgement of something
that was never accepted.  HTTP/1.1 numbers no answers, so the bytes are counted, and a
connection with one too many is closed.  Requests through a proxy of the environment
go over httpx's own connections, without this check.
"""

import re
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"


def ends_where_it_says(answer: bytes | bytearray) -> bool:
    """Tell whether bytes are exactly one HTTP/1.1 answer; in doubt they are not."""
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return False
    if length := _LENGTH.search(answer, 0, head + 2):
        return len(answer) == head + 4 + int(length[1])
    end = answer.find(_LAST_CHUNK, head + 2)
    return end >= 0 and end + len(_LAST_CHUNK) == len(answer)


class _CountedStream(httpcore.AsyncNetworkStream):
    """Keeps what came in since the last request began.

    The pool asks a stream that it would use again whether something waits to be
    read, and closes it if so.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._answer = bytearray()
        self._answering = False

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> bytes:
        data = await self._stream.read(max_bytes, timeout)
        self._answering = True
        self._answer += data
        return data

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> None:
        if self._answering:
            self._answering = False
            self._answer.clear()
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        return _CountedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable" and self._answering and not ends_where_it_says(self._answer):
            return True
        return self._stream.get_extra_info(info)


class _CountedBackend(httpcore.AnyIOBackend):
    """Opens counted streams."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _CountedStream(
            await super().connect_tcp(host, port, timeout, local_address, socket_options)
        )


class CountedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over counted streams, at most ``connections`` of them."""

    def __init__(self, *, connections: int) -> None:
        context = httpx.create_ssl_context()
        super().__init__(verify=context)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=5.0,
            network_backend=_CountedBackend(),
        )
