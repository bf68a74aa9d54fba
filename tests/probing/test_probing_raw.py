"""Raw requests: what is sent is what was asked for, and every answer comes back as it is."""

from collections.abc import Callable

import httpx
import pytest

from segctl.core.errors import CredentialsRefused, OperationError
from segctl.provider.raw import RawReply, RawRequest, RawService
from tests.clocks import SwiftClock

GET = RawRequest(method="GET", path="/1/events.json", query={"cursor": "a b&c"})
POST = RawRequest(method="POST", path="/api/createSegment", body=b"[]")


def service(
    handler: Callable[[httpx.Request], httpx.Response], base_url: str = "https://host/base"
) -> RawService:
    return RawService(
        base_url=base_url,
        account_id="ACC-1",
        passcode="pass-1",
        clock=SwiftClock(),
        transport=httpx.MockTransport(handler),
    )


def sent(request: RawRequest) -> httpx.Request:
    seen: list[httpx.Request] = []

    def handler(given: httpx.Request) -> httpx.Response:
        seen.append(given)
        return httpx.Response(200)

    with service(handler) as raw:
        raw.send(request)
    return seen[0]


def reply(answer: httpx.Response | Exception) -> RawReply:
    def handler(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with service(handler) as raw:
        return raw.send(POST)


def test_a_get_has_its_query_and_no_content_type() -> None:
    request = sent(GET)
    assert str(request.url) == "https://host/base/1/events.json?cursor=a+b%26c"
    assert "content-type" not in request.headers
    assert request.headers["x-clevertap-account-id"] == "ACC-1"


def test_a_post_has_its_body_as_json() -> None:
    request = sent(POST)
    assert request.content == b"[]"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-clevertap-passcode"] == "pass-1"


def test_an_answer_keeps_status_headers_and_bytes() -> None:
    given = reply(httpx.Response(429, headers={"Retry-After": "7"}, content=b"<html>\xff"))
    assert (given.status, given.headers["retry-after"], given.body) == (429, "7", b"<html>\xff")


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (httpx.ConnectError("refused"), "could not connect to host:443: refused"),
        (httpx.ReadTimeout("slow"), "no answer within 60 seconds"),
        (httpx.RemoteProtocolError("cut"), "the connection failed before the end of the answer"),
    ],
)
def test_no_answer_is_an_answer_with_a_reason(error: Exception, problem: str) -> None:
    assert reply(error) == RawReply(status=None, problem=problem)


def test_answers_of_requests_sent_at_once_are_in_their_order() -> None:
    requests = [RawRequest(method="GET", path=f"/{n}") for n in range(5)]
    with service(lambda request: httpx.Response(200, text=request.url.path)) as raw:
        bodies = [each.body for each in raw.send_at_once(requests)]
    assert bodies == [f"/base/{n}".encode() for n in range(5)]


def test_credentials_and_address_are_checked_before_anything_is_sent() -> None:
    with pytest.raises(OperationError, match="is not a URL"):
        service(lambda _: httpx.Response(200), base_url="no address")
    with pytest.raises(CredentialsRefused, match="CLEVERTAP_PASSCODE is not set"):
        RawService(base_url="https://host", account_id="A", passcode="", clock=SwiftClock())


def test_outside_its_block_nothing_is_sent() -> None:
    raw = service(lambda _: httpx.Response(200))
    with pytest.raises(RuntimeError, match="outside its with block"), raw._runner:
        raw.send(POST)
