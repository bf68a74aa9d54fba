"""The newest requests to the vendor's paths, in memory: what came, and how it was answered.

A request is recorded when it arrives, so that a list also shows those that are not
answered yet.  Query strings and bodies are not recorded: they contain user keys.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segctl.emulator.errors import ConnectionCutError

VENDOR_PREFIXES = ("/api/", "/1/", "/getSchema")
"""The starts of the vendor's paths."""

MAX_REQUESTS = 1000
MAX_TEXT = 200
"""Characters kept of a path and of a User-Agent."""

IN_FLIGHT = "in flight"
ANSWERED = "answered"
CUT = "cut"
DISCONNECTED = "disconnected"
OUTCOMES = (IN_FLIGHT, ANSWERED, CUT, DISCONNECTED)
"""Not answered yet; answered; cut by a fault; the client closed the connection first."""

SCOPE_KEY = "segctl.logged_request"


@dataclass(kw_only=True, slots=True, eq=False)
class LoggedRequest:
    """One request. It is completed when its answer has been sent."""

    number: int
    started: float
    """Seconds since 1970."""
    method: str
    path: str
    agent: str
    call: str | None = None
    """The vendor's name of the call, None for a path or method that does not exist."""
    account: str | None = None
    """None if the credentials were wrong: an unknown name may be a secret in the wrong place."""
    in_flight: int | None = None
    """The account's requests of this call in flight at its arrival, this one included."""
    faults: list[str] = field(default_factory=list)
    """The faults injected into it."""
    outcome: str = IN_FLIGHT
    status: int | None = None
    ms: float | None = None
    """Milliseconds from the arrival to the last byte of the answer."""


class RequestLog:
    """The newest ``MAX_REQUESTS`` requests."""

    def __init__(
        self, *, clock: Callable[[], float], announce: Callable[[], None] = lambda: None
    ) -> None:
        """Create an empty log; ``announce`` is called after every change."""
        self._clock = clock
        self._announce = announce
        self._requests: deque[LoggedRequest] = deque(maxlen=MAX_REQUESTS)
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._requests)

    def start(self, *, method: str, path: str, agent: str) -> LoggedRequest:
        """Record the arrival of a request."""
        self._last_number += 1
        request = LoggedRequest(
            number=self._last_number,
            started=self._clock(),
            method=method[:MAX_TEXT],
            path=path[:MAX_TEXT],
            agent=agent[:MAX_TEXT],
        )
        self._requests.append(request)
        self._announce()
        return request

    def finish(self, request: LoggedRequest, outcome: str) -> None:
        """Record the end of a request. Only the first end counts."""
        if request.outcome == IN_FLIGHT:
            request.outcome = outcome
            # The clock may have been set back in between.
            request.ms = max(0.0, round((self._clock() - request.started) * 1000, 3))
            self._announce()

    def newest_first(
        self,
        *,
        account: str | None = None,
        call: str | None = None,
        status: int | None = None,
        outcome: str | None = None,
    ) -> Iterator[LoggedRequest]:
        """Yield the requests that match all filters, the newest first."""
        for request in reversed(self._requests):
            if (
                account in {None, request.account}
                and call in {None, request.call}
                and status in {None, request.status}
                and outcome in {None, request.outcome}
            ):
                yield request

    def clear(self) -> None:
        """Forget all requests. Their numbers are not used again."""
        self._requests.clear()
        self._announce()


def logged_request(scope: Scope) -> LoggedRequest:
    """Return the record of a request, for the call that knows more about it."""
    request: LoggedRequest = scope[SCOPE_KEY]
    return request


class RequestRecorder:
    """Middleware that records every request to a path of the vendor."""

    def __init__(self, app: ASGIApp, *, log: RequestLog) -> None:
        self.app = app
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and record how it ended."""
        if scope["type"] != "http" or not scope["path"].startswith(VENDOR_PREFIXES):
            await self.app(scope, receive, send)
            return
        request = self.log.start(
            method=scope["method"],
            path=scope["path"],
            agent=Headers(scope=scope).get("user-agent", ""),
        )

        async def send_and_record(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                # Before the client sees the end: it may read the log as soon as it has it.
                self.log.finish(request, ANSWERED)
            await send(message)

        try:
            await self.app({**scope, SCOPE_KEY: request}, receive, send_and_record)
        except ConnectionCutError:
            self.log.finish(request, CUT)
            raise
        except ClientDisconnect:
            self.log.finish(request, DISCONNECTED)
            raise
        except Exception:
            # The server answers it with the vendor's 500 outside of this middleware.
            request.status = 500
            self.log.finish(request, ANSWERED)
            raise
        finally:
            # Without an answer, and without an error: a cut over a socket.
            self.log.finish(request, DISCONNECTED if request.status else CUT)
