"""The two calls over HTTP: one method a call, which returns what became of the request.

A request that may have
left is never called failed: see ``segctl.core.outcomes``.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self

import httpx

from segctl.core.clock import Clock
from segctl.core.outcomes import Answer, Outcome
from segctl.core.stop_signal import StoppableClock, StopSignal, loop_callback
from segctl.provider.connection import Credentials, checked_base, open_http, why_unreached
from segctl.provider.limiter import Limiter
from segctl.provider.retry import Attempt, RetryPolicy, persist, seconds_asked
from segctl.provider.wire import (
    Entry,
    NewSegment,
    create_body,
    judge_create,
    judge_update,
    masked_words,
    update_body,
)

LARGEST_ANSWER = 1 << 20
"""How many bytes of an answer are read; a longer one counts as unreadable."""

_NEVER_LEFT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_TURNS_TO_LEAVE = 4
"""Turns of the event loop from a slot that comes free to the next request on its way."""

_DEFAULT_POLICY = RetryPolicy()

Transport = httpx.AsyncBaseTransport
"""What carries requests to the service."""


class Provider(Protocol):
    """What the applier needs of the service."""

    async def create(self, segments: Sequence[NewSegment]) -> Answer:
        """Create segments, at most 100."""

    async def update(self, entries: Sequence[Entry]) -> Answer:
        """Change memberships, at most 100 users and 100 segment actions in all."""

    def hold(self) -> None:
        """Let no attempt leave any more; what waits to leave ends with what is known of it."""


@dataclass(frozen=True, kw_only=True)
class _Call:
    """One of the two calls: its address, and the slots that the service grants it."""

    name: str
    url: httpx.URL
    limiter: Limiter


def _unheard(call: str, seconds: float) -> None:
    del call, seconds


def _at_will() -> None:
    """Let every attempt go."""


class CleverTapProvider:
    """CleverTap's API Segments; an async context manager that holds the connections.

    ``concurrency`` bounds the requests in flight of each call.  ``timeout``, in
    seconds, bounds one attempt as a whole.  ``on_rate_limited`` is told the call
    (``create`` or ``update``) and the wait in seconds after each 429.  ``before`` is
    called before each attempt, a repeated one too; what it raises ends the request.
    ``stop``, once set, does what ``hold`` does.

    Raises ``CredentialsRefused`` for credentials that cannot be sent and ``OperationError``
    for a base URL that is none, or an environment in which nothing can be sent.  The
    methods raise nothing for what the service or the network does: it is all in the
    answer.
    """

    def __init__(
        self,
        *,
        base_url: str,
        account_id: str,
        passcode: str,
        clock: Clock,
        chance: Callable[[], float],
        concurrency: int = 3,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout: float = 60.0,
        on_rate_limited: Callable[[str, float], None] = _unheard,
        before: Callable[[], None] = _at_will,
        stop: StopSignal | None = None,
        policy: RetryPolicy = _DEFAULT_POLICY,
    ) -> None:
        self._credentials = Credentials(account_id=account_id, passcode=passcode)
        self._base = checked_base(base_url)
        self._clock = clock
        self._chance = chance
        self._concurrency = concurrency
        self._transport = transport
        self._timeout = timeout
        self._held = StopSignal()
        if stop is not None:
            stop.on_set(self._held.set)
        self._stoppable = StoppableClock(clock, self._held)
        self._on_rate_limited = on_rate_limited
        self._before = before
        self._policy = policy
        self._create = self._call("create", "/api/createSegment")
        self._update = self._call("update", "/api/updateSegment")
        # Made here: what is wrong with certificates or a proxy shows before a journal is begun.
        self._made: httpx.AsyncClient | None = self._open()
        self._http: httpx.AsyncClient | None = None

    def _call(self, name: str, path: str) -> _Call:
        return _Call(
            name=name,
            url=self._base.copy_with(path=self._base.path.rstrip("/") + path),
            limiter=Limiter(concurrency=self._concurrency, clock=self._stoppable),
        )

    async def __aenter__(self) -> Self:
        """Open the connection pool, again where it was closed; nothing is sent yet."""
        self._http, self._made = self._made or self._open(), None
        for call in (self._create, self._update):
            self._held.on_set(loop_callback(asyncio.get_running_loop(), call.limiter.end))
        return self

    def _open(self) -> httpx.AsyncClient:
        return open_http(
            self._base,
            self._credentials,
            transport=self._transport,
            timeout=self._timeout,
            connections=2 * self._concurrency,  # both calls have slots of their own
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
        """Create segments, at most 100."""
        sent = tuple(segments)
        return await self._send(
            self._create,
            create_body(sent),
            lambda status, body: judge_create(status, body, sent, self._secrets),
        )

    async def update(self, entries: Sequence[Entry]) -> Answer:
        """Change memberships, at most 100 users and 100 segment actions in all."""
        sent = tuple(entries)

        def judge(status: int, body: bytes) -> Answer:
            users = {value for entry in sent for _, value in entry.users}
            return judge_update(status, body, {*users, *self._secrets})

        return await self._send(self._update, update_body(sent), judge)

    def hold(self) -> None:
        """Let no attempt leave any more; what waits to leave ends with what is known of it."""
        self._held.set()

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
                if self._held.is_set:
                    return _NOT_NOW
                self._before()
                tried = await self._attempt(http, request, judge)
                if tried.answer.throttled:
                    asked = min(tried.retry_after or 0.0, self._policy.longest_asked)
                    call.limiter.throttled(slot, pause=asked)
                elif tried.answer.outcome in {Outcome.ACKNOWLEDGED, Outcome.REFUSED}:
                    call.limiter.answered(slot)
            # Whoever waits for the slot leaves before this answer is worked on.
            for _ in range(_TURNS_TO_LEAVE):
                await asyncio.sleep(0)
            return tried

        return await persist(
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
                response, content = await _exchange(http, request)
        except _NEVER_LEFT as error:
            return self._unreached(error)
        except (TimeoutError, httpx.TimeoutException):
            return _no_answer(f"no answer within {self._timeout:g} seconds")
        except (httpx.RequestError, OSError):
            return _no_answer("the connection was cut before the answer")
        answer = judge(response.status_code, content)
        again = answer.outcome is Outcome.UNCERTAIN or answer.throttled > 0
        asked = seconds_asked(response.headers.get("Retry-After"), now=self._clock.now())
        return Attempt(answer=self._advised(answer), again=again, retry_after=asked)

    def _unreached(self, error: httpx.RequestError) -> Attempt:
        """Judge a request that never left, so was surely not applied."""
        reason = masked_words(why_unreached(error), self._secrets)
        detail = f"could not connect to {self._base.host}: {reason}"
        answer = Answer(outcome=Outcome.FAILED, detail=detail, attempts=0)
        return Attempt(answer=answer, again=True)

    def _advised(self, answer: Answer) -> Answer:
        """Say what to do about refused credentials; a wrong region looks the same."""
        if not answer.stop:
            return answer
        advice = (
            f"{self._base.host}: {answer.detail}; check the credentials or region "
            "(CLEVERTAP_ACCOUNT_ID, CLEVERTAP_PASSCODE, CLEVERTAP_BASE_URL or segctl.yaml)"
        )
        return replace(answer, detail=advice)


_NOT_NOW = Attempt(
    answer=Answer(outcome=Outcome.FAILED, detail="interrupted", attempts=0), again=False
)
"""An attempt that somebody's wish to stop kept from leaving."""


def _no_answer(detail: str) -> Attempt:
    return Attempt(answer=Answer(outcome=Outcome.UNCERTAIN, detail=detail), again=True)


async def _exchange(
    http: httpx.AsyncClient, request: httpx.Request
) -> tuple[httpx.Response, bytes]:
    """Send one request; gives its answer with as much of a body as can be trusted."""
    response = await http.send(request, stream=True)
    try:
        return response, await _read(response)
    finally:
        await response.aclose()


async def _read(response: httpx.Response) -> bytes:
    """Read a body; nothing where it is cut or too long, so that only the status counts."""
    content = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > LARGEST_ANSWER:
                return b""
    except httpx.TimeoutException:
        raise
    except httpx.RequestError:
        return b""
    return bytes(content)
