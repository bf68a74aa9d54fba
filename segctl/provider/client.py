"""Client of the two CleverTap calls. Each method returns the outcome of its request.

A request that may have been sent is never ``FAILED``; see ``segctl.core.outcomes``.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self

import httpx

from segctl.core.clock import Clock
from segctl.core.connections import find_proxy
from segctl.core.credentials import Credentials
from segctl.core.outcomes import ASK_FOR_ACCESS, Answer, Outcome
from segctl.core.stop_signal import StoppableClock, StopSignal, loop_callback
from segctl.provider.connection import (
    describe_connect_error,
    open_http,
    parse_base_url,
    send_request,
)
from segctl.provider.limiter import Limiter
from segctl.provider.retry import Attempt, RetryPolicy, parse_retry_after, retry_request
from segctl.provider.wire import (
    BodyForm,
    Entry,
    NewSegment,
    create_body,
    judge_create,
    judge_update,
    mask_text,
    update_body,
)

MAX_ANSWER_BYTES = 1 << 20
"""Size limit for the body of an answer. A longer body is treated as unreadable."""

_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_TURNS_TO_SEND = 4
"""Turns of the event loop between the release of a slot and the next request being sent."""

_DEFAULT_POLICY = RetryPolicy()

Transport = httpx.AsyncBaseTransport
"""The transport that requests are sent over."""


class Provider(Protocol):
    """The calls that an apply makes."""

    async def create(self, segments: Sequence[NewSegment]) -> Answer:
        """Create segments, at most 100."""

    async def update(self, entries: Sequence[Entry]) -> Answer:
        """Change memberships, at most 100 users and 100 segment actions in total."""

    def hold(self) -> None:
        """Start no further attempts. Waiting requests return what is known about them."""


@dataclass(frozen=True, kw_only=True)
class _Call:
    """One of the two calls: its URL and its limiter."""

    name: str
    url: httpx.URL
    limiter: Limiter


def _ignore_rate_limit(call: str, seconds: float) -> None:
    del call, seconds


def _allow_attempt() -> None:
    """Do nothing: every attempt may be sent."""


class CleverTapProvider:
    """CleverTap's API Segments, as an async context manager that owns the connections.

    ``base_url`` must have TLS or be this machine, unless ``allow_plain_http``. ``body_form`` is the
    form of createSegment's body. ``concurrency`` is the maximum number of requests in flight per
    call. ``timeout``, in seconds, covers one attempt as a whole. After each 429,
    ``on_rate_limited`` is called with the name of the call (``create`` or ``update``) and the wait
    in seconds. ``before_attempt`` is called before each attempt, including retries; an exception
    from it ends the request. Setting ``stop`` has the same effect as calling ``hold``.

    Raises ``CredentialsRefused`` for credentials that cannot be sent. Raises ``OperationError``
    for an invalid base URL and for unusable TLS or proxy settings in the environment.
    ``create`` and ``update`` raise no errors of the service or the network; the answer contains
    them.
    """

    def __init__(
        self,
        *,
        base_url: str,
        account_id: str,
        passcode: str,
        clock: Clock,
        chance: Callable[[], float],
        allow_plain_http: bool = False,
        body_form: BodyForm = "array",
        concurrency: int = 3,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: float = 60.0,
        on_rate_limited: Callable[[str, float], None] = _ignore_rate_limit,
        before_attempt: Callable[[], None] = _allow_attempt,
        stop: StopSignal | None = None,
        policy: RetryPolicy = _DEFAULT_POLICY,
    ) -> None:
        self._credentials = Credentials(account_id=account_id, passcode=passcode)
        self._base = parse_base_url(base_url, allow_plain_http=allow_plain_http)
        self._proxy = None if transport else find_proxy(str(self._base))
        self._clock = clock
        self._chance = chance
        self._concurrency = concurrency
        self._body_form = body_form
        self._transport = transport
        self._timeout = timeout
        self._stopping = StopSignal()
        if stop is not None:
            stop.on_set(self._stopping.set)
        self._stoppable = StoppableClock(clock, self._stopping)
        self._on_rate_limited = on_rate_limited
        self._before_attempt = before_attempt
        self._policy = policy
        self._create = self._call("create", "/api/createSegment")
        self._update = self._call("update", "/api/updateSegment")
        # Opened here so that a bad certificate or proxy fails before a journal is started.
        self._unused_http: httpx.AsyncClient | None = self._open()
        self._http: httpx.AsyncClient | None = None

    def _call(self, name: str, path: str) -> _Call:
        return _Call(
            name=name,
            url=self._base.copy_with(path=self._base.path.rstrip("/") + path),
            limiter=Limiter(concurrency=self._concurrency, clock=self._stoppable),
        )

    async def __aenter__(self) -> Self:
        """Use the client from ``__init__``, or open a new one if the provider was closed."""
        self._http, self._unused_http = self._unused_http or self._open(), None
        for call in (self._create, self._update):
            self._stopping.on_set(loop_callback(asyncio.get_running_loop(), call.limiter.end))
        return self

    def _open(self) -> httpx.AsyncClient:
        return open_http(
            self._credentials,
            base=self._base,
            proxy=self._proxy,
            transport=self._transport,
            timeout=self._timeout,
            connections=2 * self._concurrency,  # each call has its own limiter
            before_write=self._before_attempt,
        )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def create(self, segments: Sequence[NewSegment]) -> Answer:
        """Create segments, at most 100. The ``ids`` of the answer may be incomplete."""
        sent = tuple(segments)
        return await self._send(
            self._create,
            create_body(sent, self._body_form),
            lambda status, body: judge_create(status, body, sent, self._secrets),
        )

    async def update(self, entries: Sequence[Entry]) -> Answer:
        """Change memberships, at most 100 users and 100 segment actions in total."""
        sent = tuple(entries)

        def judge(status: int, body: bytes) -> Answer:
            users = {value for entry in sent for _, value in entry.users}
            return judge_update(status, body, {*users, *self._secrets})

        return await self._send(self._update, update_body(sent), judge)

    def hold(self) -> None:
        """Start no further attempts. Waiting requests return what is known about them."""
        self._stopping.set()

    @property
    def _secrets(self) -> tuple[str, str]:
        return self._credentials.passcode, self._credentials.account_id

    async def _send(
        self, call: _Call, body: bytes, judge: Callable[[int, bytes], Answer]
    ) -> Answer:
        if self._http is None:
            raise RuntimeError("the provider is used outside its async with block")
        http = self._http

        async def attempt() -> Attempt:
            request = http.build_request("POST", call.url, content=body)
            async with call.limiter.slot() as slot:
                if self._stopping.is_set:
                    return _INTERRUPTED
                self._before_attempt()
                tried = await self._attempt(http, request, judge)
                if tried.answer.throttled:
                    pause = min(tried.retry_after or 0.0, self._policy.max_retry_after)
                    call.limiter.record_throttled(slot, pause=pause)
                elif tried.answer.outcome in {Outcome.ACKNOWLEDGED, Outcome.REFUSED}:
                    call.limiter.record_answer(slot)
            # The next request in the queue is sent before this answer is processed.
            for _ in range(_TURNS_TO_SEND):
                await asyncio.sleep(0)
            return tried

        return await retry_request(
            attempt,
            policy=self._policy,
            clock=self._stoppable,
            chance=self._chance,
            on_throttled=lambda seconds: self._on_rate_limited(call.name, seconds),
        )

    async def _attempt(
        self,
        http: httpx.AsyncClient,
        request: httpx.Request,
        judge: Callable[[int, bytes], Answer],
    ) -> Attempt:
        try:
            async with asyncio.timeout(self._timeout):
                response, body = await send_request(http, request, max_bytes=MAX_ANSWER_BYTES)
        except _NEVER_SENT as error:
            return self._judge_connect_error(error)
        except (TimeoutError, httpx.TimeoutException):
            return _no_answer(f"no answer within {self._timeout:g} seconds")
        except (httpx.RequestError, OSError):
            return _no_answer("the connection failed before the answer arrived")
        # Of a body that is too long or incomplete, nothing is trusted: only the status counts.
        answer = judge(response.status_code, body.content if body.is_complete else b"")
        is_retryable = answer.outcome is Outcome.UNCERTAIN or answer.throttled > 0
        retry_after = parse_retry_after(response.headers.get("Retry-After"), now=self._clock.now())
        return Attempt(
            answer=self._with_advice(answer), is_retryable=is_retryable, retry_after=retry_after
        )

    def _judge_connect_error(self, error: httpx.RequestError) -> Attempt:
        """Return a failed attempt: the request was never sent, so it was not applied."""
        detail = describe_connect_error(error, self._base, self._proxy)
        detail = mask_text(detail, self._secrets)
        answer = Answer(outcome=Outcome.FAILED, detail=detail, attempts=0)
        return Attempt(answer=answer, is_retryable=True)

    def _with_advice(self, answer: Answer) -> Answer:
        """Add what to do about refused access. A wrong region gets the same answer.

        What an account without API Segments is answered is not documented: it may be any of
        these answers.
        """
        if not answer.stop:
            return answer
        advice = (
            f"{self._base.host}: {answer.detail.rstrip('.')}; check the credentials or region "
            "(CLEVERTAP_ACCOUNT_ID, CLEVERTAP_PASSCODE, CLEVERTAP_BASE_URL or segctl.yaml). "
            f"{ASK_FOR_ACCESS}"
        )
        return replace(answer, detail=advice)


_INTERRUPTED = Attempt(
    answer=Answer(outcome=Outcome.FAILED, detail="interrupted", attempts=0), is_retryable=False
)
"""An attempt that was not sent because the run is stopping."""


def _no_answer(detail: str) -> Attempt:
    return Attempt(answer=Answer(outcome=Outcome.UNCERTAIN, detail=detail), is_retryable=True)
