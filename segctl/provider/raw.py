"""HTTP client of ``segctl probe``: arbitrary requests, unmodified answers.

``client.py`` sends valid requests, retries them and judges the answers. The probe finds out how
the service treats unusual requests, so it sends each request once and reads the whole answer.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx

from segctl.core.clock import Clock
from segctl.core.connections import find_proxy
from segctl.core.credentials import Credentials
from segctl.provider.connection import (
    describe_connect_error,
    open_http,
    parse_base_url,
    send_request,
)
from segctl.provider.wire import mask_text

MAX_BODY_BYTES = 16 << 20
"""Reading a body stops above this size. A page of events may be large."""


@dataclass(frozen=True, kw_only=True)
class RawRequest:
    """One request. If ``body`` is ``None``, it has no body and no content type."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class RawReply:
    """One answer. If there is none, ``status`` is ``None`` and ``problem`` says why.

    Header names are in lower case. ``seconds`` is the time from the request to the end of the
    answer.
    """

    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    seconds: float = 0.0
    problem: str = ""


class RawService:
    """Client of the service's host for one account, as a context manager.

    The methods are synchronous and run their own event loop, so Ctrl-C raises
    ``KeyboardInterrupt`` in the caller. Raises ``CredentialsRefused`` and ``OperationError`` like
    ``CleverTapProvider``. ``send`` raises no errors of the service or the network.
    """

    def __init__(
        self,
        *,
        base_url: str,
        account_id: str,
        passcode: str,
        clock: Clock,
        allow_plain_http: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: float = 60.0,
        connections: int = 16,
    ) -> None:
        self._credentials = Credentials(account_id=account_id, passcode=passcode)
        self._base = parse_base_url(base_url, allow_plain_http=allow_plain_http)
        self._proxy = None if transport else find_proxy(str(self._base))
        self._clock = clock
        self._transport = transport
        self._timeout = timeout
        self._connections = connections
        self._runner = asyncio.Runner()
        self._http: httpx.AsyncClient | None = None

    @property
    def secrets(self) -> tuple[str, str]:
        """The passcode and the account id, which no report may contain."""
        return self._credentials.passcode, self._credentials.account_id

    def __enter__(self) -> Self:
        """Open the connection pool. Nothing is sent yet."""
        self._http = open_http(
            self._credentials,
            base=self._base,
            proxy=self._proxy,
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
        """Send several requests concurrently. Return their answers in the same order."""

        async def send_all() -> list[RawReply]:
            return await asyncio.gather(*(self._send(request) for request in requests))

        return self._runner.run(send_all())

    def wait(self, seconds: float) -> None:
        """Sleep for ``seconds``."""
        self._runner.run(self._clock.sleep(seconds))

    async def _send(self, raw: RawRequest) -> RawReply:
        if self._http is None:
            raise RuntimeError("the service is used outside its with block")
        url = self._base.copy_with(path=self._base.path.rstrip("/") + raw.path, params=raw.query)
        request = self._http.build_request(raw.method, url, content=raw.body)
        if raw.body is None:
            request.headers.pop("Content-Type", None)
        started_at = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                response, body = await send_request(self._http, request, max_bytes=MAX_BODY_BYTES)
                if body.error is not None:
                    raise body.error
        except (TimeoutError, httpx.TimeoutException):
            return RawReply(status=None, problem=f"no answer within {self._timeout:g} seconds")
        except (httpx.ConnectError, httpx.ProxyError) as error:
            problem = describe_connect_error(error, self._base, self._proxy)
            return RawReply(status=None, problem=mask_text(problem, self.secrets))
        except (httpx.RequestError, OSError):
            return RawReply(
                status=None, problem="the connection failed before the end of the answer"
            )
        return RawReply(
            status=response.status_code,
            headers=dict(response.headers),
            body=body.content,
            seconds=self._clock.monotonic() - started_at,
        )
