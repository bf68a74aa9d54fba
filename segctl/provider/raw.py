"""Requests as they are wanted and answers as they come, for ``segctl probe``.

``client.py`` sends what is right and judges what comes back.  To learn how the
service treats what is unusual, one must send just that, once, and look at every byte
of the answer.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx

from segctl.core.clock import Clock
from segctl.provider.connection import Credentials, checked_base, open_http

LARGEST_BODY = 16 << 20
"""How many bytes of an answer are read; a page of events may be large."""


@dataclass(frozen=True, kw_only=True)
class RawRequest:
    """One request; ``body`` ``None`` sends none, and no content type."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class RawReply:
    """What came back: ``status`` ``None`` where nothing did, and then ``problem`` says why.

    Header names are in lower case; ``seconds`` is how long it took.
    """

    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    seconds: float = 0.0
    problem: str = ""


class RawService:
    """The service's host, for one account; runs a loop of its own, call by call.

    A context manager for plain code, where Ctrl-C is a ``KeyboardInterrupt`` at any
    moment.  Raises ``CredentialsRefused`` and ``OperationError`` as ``CleverTapProvider`` does;
    ``send`` raises nothing for what the service or the network does.
    """

    def __init__(
        self,
        *,
        base_url: str,
        account_id: str,
        passcode: str,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: float = 60.0,
        connections: int = 16,
    ) -> None:
        self._credentials = Credentials(account_id=account_id, passcode=passcode)
        self._base = checked_base(base_url)
        self._clock = clock
        self._transport = transport
        self._timeout = timeout
        self._connections = connections
        self._runner = asyncio.Runner()
        self._http: httpx.AsyncClient | None = None

    @property
    def secrets(self) -> tuple[str, str]:
        """What must appear in no report."""
        return self._credentials.passcode, self._credentials.account_id

    def __enter__(self) -> Self:
        """Make the loop and the connection pool; nothing is sent yet."""
        self._http = open_http(
            self._base,
            self._credentials,
            transport=self._transport,
            timeout=self._timeout,
            connections=self._connections,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        if self._http is not None:
            self._runner.run(self._http.aclose())
        self._runner.close()

    def send(self, request: RawRequest) -> RawReply:
        """Send one request and wait for its answer."""
        return self.send_at_once([request])[0]

    def send_at_once(self, requests: Sequence[RawRequest]) -> list[RawReply]:
        """Send several requests side by side; their answers, in the same order."""

        async def together() -> list[RawReply]:
            return await asyncio.gather(*(self._exchange(each) for each in requests))

        return self._runner.run(together())

    def wait(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._runner.run(self._clock.sleep(seconds))

    async def _exchange(self, raw: RawRequest) -> RawReply:
        if self._http is None:
            raise RuntimeError("the service is used outside its with block")
        url = self._base.copy_with(path=self._base.path.rstrip("/") + raw.path, params=raw.query)
        request = self._http.build_request(raw.method, url, content=raw.body)
        if raw.body is None:
            request.headers.pop("Content-Type", None)
        begun = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._http.send(request, stream=True)
                try:
                    body = await _read(response)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx.TimeoutException):
            return RawReply(status=None, problem=f"no answer within {self._timeout:g} seconds")
        except (httpx.ConnectError, httpx.ProxyError):
            return RawReply(status=None, problem=f"could not connect to {self._base.host}")
        except (httpx.RequestError, OSError):
            return RawReply(status=None, problem="the connection was cut before the answer's end")
        return RawReply(
            status=response.status_code,
            headers=dict(response.headers),
            body=body,
            seconds=self._clock.monotonic() - begun,
        )


async def _read(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > LARGEST_BODY:
            break
    return bytes(content)
