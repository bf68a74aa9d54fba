"""The vendor's calls over HTTP: who may, how many at once, what goes wrong, the answer.

One class carries every call from the headers to the last byte, so that
authentication, the limit of requests in flight and the faults are the same for
all; a call itself is a plain function from a JSON document to an answer.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from segctl.emulator.bodies import incorrect, parse_json, read_body
from segctl.emulator.creation import decide
from segctl.emulator.errors import RequestError, connection_cut
from segctl.emulator.faults import Drawn
from segctl.emulator.membership import judge
from segctl.emulator.messages import SUCCESS, created, fail, parse_create, parse_update
from segctl.emulator.service import Service
from segctl.emulator.settings import Settings
from segctl.emulator.state import Account, Segment
from segctl.emulator.store import NewSegment, UpdateRules

JSON = "application/json;charset=utf-8"
TOO_MANY = RequestError(status=429, code=429, text="Too many concurrent requests")
SYSTEM_ERROR = "The request could not be processed due to a system error"
SLOW_PIECES = 10


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response: status, body, headers beyond the content type."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def answer(document: Any, *, status: int = 200) -> Answer:
    """Return a JSON answer."""
    return Answer(status=status, body=json.dumps(document).encode())


def refusal(error: RequestError, *, headers: dict[str, str] | None = None) -> Answer:
    """Return the vendor's form of an error."""
    body = json.dumps(fail(error)).encode()
    return Answer(status=error.status, body=body, headers=headers or {})


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """A request that passed the door: its account, query and document."""

    account: Account
    query: dict[str, str]
    document: Any
    drawn: Drawn


Handler = Callable[[Service, Incoming], Answer]


def create_segment(service: Service, incoming: Incoming) -> Answer:
    """Answer createSegment."""
    settings = service.settings
    entries = parse_create(incoming.document, settings=settings)
    decisions = decide(incoming.account, entries, settings=settings)
    errors = [each for each in decisions if isinstance(each, RequestError)]
    if errors and (settings.create_processing == "all_or_nothing" or len(errors) == len(entries)):
        raise errors[0]
    made = iter(
        service.store.create(
            incoming.account, [each for each in decisions if isinstance(each, NewSegment)]
        )
    )
    answers: list[Any] = []
    for entry, decision in zip(entries, decisions, strict=True):
        if isinstance(decision, Segment):
            answers.append(decision)
        elif isinstance(decision, RequestError):
            answers.append((entry, decision))
        else:
            answers.append(next(made))
    return answer(created(answers, settings=settings), status=settings.create_status)


def update_segment(service: Service, incoming: Incoming) -> Answer:
    """Answer updateSegment: 200 as soon as the request itself is in order."""
    settings = service.settings
    entries = parse_update(incoming.document, settings=settings)
    verdict = judge(
        incoming.account,
        entries,
        settings=settings,
        now=service.clock(),
        refuse=incoming.drawn.refuse,
    )
    service.store.apply(
        incoming.account,
        verdict.changes,
        verdict.refusals,
        rules=UpdateRules(
            points_per_event=settings.data_points_per_event,
            noop_events=settings.noop_changes == "event",
            profile_on_remove=settings.remove_unknown_user == "create_profile",
        ),
    )
    return answer(SUCCESS)


class VendorCall:
    """An ASGI application for one vendor call."""

    def __init__(
        self,
        service: Service,
        *,
        name: str,
        handlers: dict[str, Handler],
        limit: Callable[[Settings], int],
    ) -> None:
        self.service = service
        self.name = name
        self.handlers = handlers
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        service = self.service
        try:
            account = service.authenticate(request)
        except RequestError as error:
            await self._drain(request)
            service.count(self.name, str(error.status))
            await send_answer(refusal(error), send)
            return
        slot = service.in_flight.enter(account.id, self.name)

        async def send_and_leave(message: Message) -> None:
            # The slot is free before the caller can see the end of the answer: it
            # may send its next request the moment it has this one's last byte.
            if message["type"] == "http.response.body" and not message.get("more_body"):
                slot.leave()
            await send(message)

        try:
            if slot.ahead >= self.limit(service.settings):
                await self._drain(request)
                slot.leave()
                service.count(self.name, "429")
                await send_answer(self._too_many(None), send)
                return
            await self._serve(request, account.id, send_and_leave, receive)
        finally:
            slot.leave()

    async def _serve(self, request: Request, account: str, send: Send, receive: Receive) -> None:
        service = self.service
        drawn = service.faults.draw(self.name)
        try:
            body = await read_body(request, limit=service.settings.max_body_bytes)
        except RequestError as error:
            service.count(self.name, str(error.status))
            await send_answer(refusal(error), send)
            return
        settings = service.settings
        delay = drawn.delay_ms + settings.latency_ms
        delay += service.faults.jitter(settings.latency_jitter_ms)
        if delay:
            await service.sleep(delay / 1000)
        # From here to the answer nothing waits: the change is whole or not at all.
        result = self._process(request, account, body, drawn) if drawn.committed else None
        if drawn.cut:
            service.count(self.name, "cut")
            await self._cut(request.scope, receive)
            return
        result = self._spoil(result, drawn)
        service.count(self.name, str(result.status))
        if drawn.slow_ms:
            await self._send_slowly(result, send, seconds=drawn.slow_ms / 1000)
        else:
            await send_answer(result, send)

    def _process(self, request: Request, account_id: str, body: bytes, drawn: Drawn) -> Answer:
        service = self.service
        # Looked up again: a reset may have come while the request waited.
        account = service.store.accounts[account_id]
        try:
            document = None
            if request.method == "POST":
                document = parse_json(
                    body,
                    content_type=request.headers.get("content-type"),
                    depth=service.settings.max_json_depth,
                )
            return self._handler(request.method)(
                service,
                Incoming(
                    account=account,
                    query=dict(request.query_params),
                    document=document,
                    drawn=drawn,
                ),
            )
        except RequestError as error:
            return refusal(error)

    def _handler(self, method: str) -> Handler:
        return self.handlers["GET" if method == "HEAD" else method]

    def _spoil(self, result: Answer | None, drawn: Drawn) -> Answer:
        """Put a fault's answer in the place of the real one."""
        if drawn.status == TOO_MANY.status:
            return self._too_many(drawn.retry_after)
        if drawn.status is not None:
            return refusal(RequestError(status=drawn.status, code=drawn.status, text=SYSTEM_ERROR))
        if result is not None and (drawn.body is None or result.status >= 400):
            return result
        if drawn.body == "fail":
            return answer({"status": "fail", "error": SYSTEM_ERROR, "code": 555})
        bodies = {"truncated": b'{"succ', "array": b"[]", "html": b"<html><body>OK</body></html>"}
        return Answer(
            status=200,
            body=bodies.get(drawn.body or "", b""),
            content_type="text/html" if drawn.body == "html" else JSON,
        )

    def _too_many(self, retry_after: int | None) -> Answer:
        settings = self.service.settings
        seconds = retry_after if retry_after is not None else settings.rate_limit_retry_after
        headers = {"retry-after": str(seconds)} if seconds else {}
        if settings.rate_limit_body == "json":
            return Answer(status=429, body=json.dumps(fail(TOO_MANY)).encode(), headers=headers)
        html = settings.rate_limit_body == "html"
        return Answer(
            status=429,
            body=f"<html><body>{TOO_MANY.text}</body></html>".encode() if html else b"",
            content_type="text/html" if html else "text/plain",
            headers=headers,
        )

    async def _drain(self, request: Request) -> None:
        """Read what the caller sends, so that it gets as far as reading the answer."""
        try:
            await read_body(request, limit=self.service.settings.max_body_bytes)
        except RequestError:
            return

    async def _cut(self, scope: Scope, receive: Receive) -> None:
        if self.service.cut is None:
            raise connection_cut()
        self.service.cut(scope)
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _send_slowly(self, result: Answer, send: Send, *, seconds: float) -> None:
        await _start(result, send)
        size = max(1, -(-len(result.body) // SLOW_PIECES))
        for start in range(0, max(1, len(result.body)), size):
            await self.service.sleep(seconds / SLOW_PIECES)
            piece = result.body[start : start + size]
            more = start + size < len(result.body)
            await send({"type": "http.response.body", "body": piece, "more_body": more})


async def _start(result: Answer, send: Send) -> None:
    headers = {
        "content-type": result.content_type,
        "content-length": str(len(result.body)),
        **result.headers,
    }
    await send(
        {
            "type": "http.response.start",
            "status": result.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )


async def send_answer(result: Answer, send: Send) -> None:
    """Send a whole answer."""
    await _start(result, send)
    await send({"type": "http.response.body", "body": result.body})


def required_text(document: Any, name: str) -> str:
    """Return a string field of a document; raises RequestError 400."""
    value = document.get(name) if isinstance(document, dict) else None
    if not isinstance(value, str) or not value or value.isspace():
        raise incorrect(f"{name} must be a string that is not blank")
    return value
