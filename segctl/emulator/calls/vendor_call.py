"""The vendor's calls over HTTP, from the headers to the last byte of the answer.

``VendorCall`` handles authentication, the limit of requests in flight, latency and
faults in the same way for every call.  What a call does is a function from a
``VendorRequest`` to a response.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from segctl.emulator.bodies import is_text, parse_json, read_body
from segctl.emulator.errors import (
    SYSTEM_ERROR,
    RequestError,
    bad_request,
    connection_cut,
    unauthenticated,
)
from segctl.emulator.faults import RequestFaults
from segctl.emulator.other_writer import change_by_fault
from segctl.emulator.request_log import logged_request
from segctl.emulator.service import Service
from segctl.emulator.settings import Settings
from segctl.emulator.storage.state import Account

SUCCESS = {"success": True}
API_SEGMENTS_CALLS = {"createSegment", "updateSegment"}
NO_API_SEGMENTS = "API Segments are not enabled for this account"
JSON = "application/json;charset=utf-8"
TOO_MANY = RequestError(429, "Too many concurrent requests")
WRONG_BODIES = {
    "fail": json.dumps({"status": "fail", "error": SYSTEM_ERROR, "code": 555}),
    "truncated": '{"succ',
    "array": "[]",
    "html": "<html><body>OK</body></html>",
    "empty": "",
}
SLOW_PIECES = 10


def response(
    body: str,
    *,
    status: int = 200,
    content_type: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a response with exactly this content type."""
    return Response(body, status, {"content-type": content_type, **(headers or {})})


def json_response(document: Any, *, status: int = 200) -> Response:
    """Return a JSON response as the vendor writes it."""
    return response(json.dumps(document), status=status)


def error_response(error: RequestError, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error in the vendor's form."""
    return response(json.dumps(error.body()), status=error.status, headers=headers)


def check_api_segments(account: Account, *, settings: Settings) -> None:
    """Raise RequestError if the account does not have API Segments.

    Documented: a private beta, on two plans only.  What other accounts are answered is not.
    """
    status = settings.account_api_segments.get(account.id, settings.api_segments)
    if status == "401":
        raise unauthenticated(NO_API_SEGMENTS)
    if status != "on":
        raise RequestError(int(status), NO_API_SEGMENTS)


def code_100(text: str, settings: Settings) -> RequestError:
    """Return the vendor's error 100."""
    return RequestError(settings.code_100_status, text, code=100)


@dataclass(frozen=True, kw_only=True)
class VendorRequest:
    """An authenticated request: its account, query, JSON document, faults and User-Agent."""

    account: Account
    query: Mapping[str, str]
    document: Any
    faults: RequestFaults
    agent: str = ""

    def required_text(self, name: str) -> str:
        """Return a string of the document; raises RequestError 400 if absent or blank."""
        value = self.document.get(name) if isinstance(self.document, dict) else None
        if not is_text(value):
            raise bad_request(f"{name} must be a string that is not blank")
        return value


Handler = Callable[[Service, VendorRequest], Response]


class VendorCall:
    """The ASGI application of one vendor call."""

    def __init__(
        self,
        service: Service,
        *,
        name: str,
        handlers: Mapping[str, Handler],
        max_in_flight: Callable[[Settings], int],
    ) -> None:
        self.service = service
        self.name = name
        self.handlers = handlers
        self.max_in_flight = max_in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        service = self.service
        logged = logged_request(scope)
        logged.call = self.name
        try:
            account = service.authenticate(request)
            if self.name in API_SEGMENTS_CALLS:
                check_api_segments(account, settings=service.settings)
        except RequestError as error:
            await self._discard_body(request)
            service.count(None, self.name, str(error.status))
            await error_response(error)(scope, receive, send)
            return
        slot = service.in_flight.enter(account.id, self.name)
        logged.account, logged.in_flight = account.id, slot.ahead + 1

        async def send_and_leave(message: Message) -> None:
            # Leave the slot before the client can see the end of the answer: it may send
            # its next request as soon as it has the last byte of this one.
            if message["type"] == "http.response.body" and not message.get("more_body"):
                slot.leave()
            await send(message)

        try:
            if slot.ahead >= self.max_in_flight(service.settings):
                await self._discard_body(request)
                slot.leave()
                service.count(account.id, self.name, str(TOO_MANY.status))
                await self._too_many(None)(scope, receive, send)
            else:
                await self._serve(request, account, send_and_leave)
        finally:
            slot.leave()

    async def _serve(self, request: Request, account: Account, send: Send) -> None:
        service = self.service
        faults = service.faults.next_request(self.name)
        logged_request(request.scope).faults = faults.names
        try:
            body = await read_body(request, limit=service.settings.max_body_bytes)
        except RequestError as error:
            service.count(account.id, self.name, str(error.status))
            await error_response(error)(request.scope, request.receive, send)
            return
        settings = service.settings
        delay = faults.delay_ms + settings.latency_ms
        delay += service.faults.jitter(settings.latency_jitter_ms)
        if delay:
            await service.sleep(delay / 1000)
        # Nothing is awaited from here to the answer, so a change is made whole or not at all.
        result = self._handle(request, account.id, body, faults) if faults.committed else None
        self._change_as_others(account.id, faults)
        if faults.cut:
            service.count(account.id, self.name, "cut")
            await self._cut(request)
            return
        result = self._replace_answer(result, faults)
        service.count(account.id, self.name, str(result.status_code))
        if faults.slow_ms:
            await self._send_slowly(result, send, seconds=faults.slow_ms / 1000)
        else:
            await result(request.scope, request.receive, send)

    def _handle(
        self, request: Request, account_id: str, body: bytes, faults: RequestFaults
    ) -> Response:
        settings = self.service.settings
        try:
            document = None
            if request.method == "POST":
                document = parse_json(request, body, max_depth=settings.max_json_depth)
            return self.handlers["GET" if request.method == "HEAD" else request.method](
                self.service,
                VendorRequest(
                    # Looked up again: the store may have been reset during the latency.
                    account=self.service.store.accounts[account_id],
                    query=request.query_params,
                    document=document,
                    faults=faults,
                    agent=request.headers.get("user-agent", ""),
                ),
            )
        except RequestError as error:
            return error_response(error)

    def _change_as_others(self, account_id: str, faults: RequestFaults) -> None:
        for change in faults.other_changes:
            rule = change.use.rule
            # Requests in flight at once may have chosen the last one of its times each.
            if not change.use.is_used_up and change_by_fault(
                self.service,
                self.service.store.accounts[account_id],
                fault=rule.fault,
                named=rule.segment,
                add=rule.add,
                remove=rule.remove,
                random=change.random,
            ):
                change.use.injections += 1

    def _replace_answer(self, result: Response | None, faults: RequestFaults) -> Response:
        """Return the fault's answer, or ``result`` if no fault replaces it."""
        if faults.status == TOO_MANY.status:
            return self._too_many(faults.retry_after)
        if faults.status is not None:
            return error_response(RequestError(faults.status, SYSTEM_ERROR))
        if result is not None and (faults.body is None or result.status_code >= 400):
            return result
        kind = faults.body or "empty"
        return response(WRONG_BODIES[kind], content_type="text/html" if kind == "html" else JSON)

    def _too_many(self, retry_after: int | None) -> Response:
        settings = self.service.settings
        seconds = settings.rate_limit_retry_after if retry_after is None else retry_after
        headers = {"retry-after": str(seconds)} if seconds else {}
        if settings.rate_limit_body == "json":
            return error_response(TOO_MANY, headers=headers)
        is_html = settings.rate_limit_body == "html"
        return response(
            f"<html><body>{TOO_MANY.text}</body></html>" if is_html else "",
            status=TOO_MANY.status,
            content_type="text/html" if is_html else "text/plain",
            headers=headers,
        )

    async def _discard_body(self, request: Request) -> None:
        """Read and discard the body, so that the client finishes sending and reads the answer."""
        try:
            await read_body(request, limit=self.service.settings.max_body_bytes)
        except RequestError:
            return

    async def _cut(self, request: Request) -> None:
        if self.service.cut_connection is None:
            raise connection_cut()
        self.service.cut_connection(request.scope)
        while (await request.receive())["type"] != "http.disconnect":
            pass

    async def _send_slowly(self, result: Response, send: Send, *, seconds: float) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": result.status_code,
                "headers": result.raw_headers,
            }
        )
        body = bytes(result.body)
        size = max(1, -(-len(body) // SLOW_PIECES))
        for start in range(0, max(1, len(body)), size):
            await self.service.sleep(seconds / SLOW_PIECES)
            more = start + size < len(body)
            piece = body[start : start + size]
            await send({"type": "http.response.body", "body": piece, "more_body": more})
