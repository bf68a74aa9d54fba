"""The two calls, against a fake service in the process."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from segctl import __version__
from segctl.core.errors import CredentialsRefused, OperationError
from segctl.core.outcomes import Answer, Outcome
from segctl.provider.client import MAX_ANSWER_BYTES, CleverTapProvider
from tests.provider.service import GOLD, OK, PASSCODE, InstantClock, Script, entry, provider, turns

UNREACHED = "could not connect to in1.api.clevertap.com:443"
CUT = "the connection failed before the answer arrived"
LATE = "no answer within 60 seconds"
ODD = "contains a space or a special character"
Use = Callable[[CleverTapProvider], Awaitable[Answer]]


def run(of: CleverTapProvider, use: Use = lambda p: p.update([entry()])) -> Answer:
    async def go() -> Answer:
        async with of as opened:
            return await use(opened)

    return asyncio.run(go())


def ok() -> httpx.Response:
    return httpx.Response(200, json=OK)


def test_an_update_is_posted_with_the_vendors_headers() -> None:
    script = Script(ok())
    assert run(provider(script)).outcome is Outcome.ACKNOWLEDGED
    request = script.requests[0]
    assert (request.method, str(request.url)) == (
        "POST",
        "https://in1.api.clevertap.com/api/updateSegment",
    )
    assert request.headers["X-CleverTap-Account-Id"] == "ACC-1"
    assert request.headers["X-CleverTap-Passcode"] == PASSCODE
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"] == f"segctl/{__version__}"
    assert "bulk_profiles" in json.loads(request.content)


@pytest.mark.parametrize("base", ["http://127.0.0.1:8787/x", "http://127.0.0.1:8787/x/"])
def test_a_create_is_posted_below_the_base_url(base: str) -> None:
    script = Script(httpx.Response(201, json=[{"id": 7}]))
    answer = run(provider(script, base_url=base), lambda p: p.create([GOLD]))
    assert answer.ids == {"SEG-1": 7}
    assert str(script.requests[0].url) == "http://127.0.0.1:8787/x/api/createSegment"


def test_an_uncertain_attempt_is_retried_with_the_same_body() -> None:
    script = Script(httpx.Response(503), httpx.Response(200), ok())
    answer = run(provider(script))
    assert (answer.outcome, answer.attempts) == (Outcome.ACKNOWLEDGED, 3)
    assert len({r.content for r in script.requests}) == 1


def test_a_429_is_reported_and_retried() -> None:
    reported: list[tuple[str, float]] = []
    script = Script(httpx.Response(429), httpx.Response(429, headers={"Retry-After": "9"}), ok())
    answer = run(provider(script, on_rate_limited=lambda *what: reported.append(what)))
    assert (answer.outcome, answer.throttled) == (Outcome.ACKNOWLEDGED, 2)
    assert reported == [("update", 0.5), ("update", 9.0)]


def test_an_endless_retry_after_is_capped() -> None:
    clock = InstantClock()
    script = Script(httpx.Response(429, headers={"Retry-After": "999999"}), ok())
    run(provider(script, clock=clock))
    assert clock.slept == [120.0]


@pytest.mark.parametrize(("status", "what"), [(401, "the credentials were"), (403, "access was")])
def test_refused_credentials_are_not_retried_and_name_the_settings_to_check(
    status: int, what: str
) -> None:
    script = Script(httpx.Response(status, json={"error": f"ACC-1 with {PASSCODE} is not valid"}))
    answer = run(provider(script))
    assert (answer.outcome, answer.stop, len(script.requests)) == (Outcome.FAILED, True, 1)
    assert answer.detail == (
        f"in1.api.clevertap.com: {what} refused (HTTP {status}): "
        "[hidden] with [hidden] is not valid; check the credentials or region "
        "(CLEVERTAP_ACCOUNT_ID, CLEVERTAP_PASSCODE, CLEVERTAP_BASE_URL or segctl.yaml). "
        "If they are correct, ask CleverTap whether the account has API Segments, a private beta "
        "for the plans Advanced and Cutting Edge."
    )


def test_refused_credentials_after_an_uncertain_attempt_stay_uncertain() -> None:
    answer = run(provider(Script(httpx.ReadTimeout(""), httpx.Response(401))))
    assert (answer.outcome, answer.stop) == (Outcome.UNCERTAIN, True)


def test_the_detail_of_a_refusal_masks_the_users_of_the_request() -> None:
    script = Script(httpx.Response(400, json={"error": "ann-17 and bob-42 are invalid"}))
    answer = run(provider(script), lambda p: p.update([entry("ann-17"), entry("bob-42")]))
    assert (answer.outcome, answer.detail, len(script.requests)) == (
        Outcome.REFUSED,
        "[hidden] and [hidden] are invalid",
        1,
    )


def test_a_redirect_is_not_followed() -> None:
    script = Script(httpx.Response(307, headers={"Location": "https://elsewhere.example/"}))
    assert run(provider(script)).outcome is Outcome.FAILED
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    ("error", "outcome", "attempts", "detail"),
    [
        (httpx.ConnectError("refused"), Outcome.FAILED, 0, f"{UNREACHED}: refused"),
        (httpx.ConnectTimeout(""), Outcome.FAILED, 0, f"{UNREACHED}: ConnectTimeout"),
        (httpx.ReadTimeout(""), Outcome.UNCERTAIN, 6, LATE),
        (httpx.WriteTimeout(""), Outcome.UNCERTAIN, 6, LATE),
        (httpx.ReadError(""), Outcome.UNCERTAIN, 6, CUT),
        (httpx.WriteError(""), Outcome.UNCERTAIN, 6, CUT),
        (httpx.RemoteProtocolError(""), Outcome.UNCERTAIN, 6, CUT),
        (ConnectionResetError(), Outcome.UNCERTAIN, 6, CUT),
    ],
)
def test_a_request_that_may_have_been_sent_is_uncertain_and_never_failed(
    error: Exception, outcome: Outcome, attempts: int, detail: str
) -> None:
    script = Script(error)
    answer = run(provider(script))
    assert (answer.outcome, answer.attempts, answer.detail) == (outcome, attempts, detail)
    assert len(script.requests) == 6


def test_an_endless_answer_is_read_up_to_the_size_limit() -> None:
    read = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal read
        while read < 100:
            read += 1
            yield b" " * 65_536

    transport = httpx.MockTransport(lambda _: httpx.Response(400, content=flood()))
    answer = run(provider(transport=transport))
    assert answer.detail == "HTTP 400 without a reason"
    assert read == MAX_ANSWER_BYTES // 65_536 + 1


def test_each_call_has_its_own_slots() -> None:
    peak = dict.fromkeys(("createSegment", "updateSegment"), 0)
    now = dict(peak)

    async def serve(request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        now[name] += 1
        peak[name] = max(peak[name], now[name])
        await turns()
        now[name] -= 1
        return ok()

    async def many(p: CleverTapProvider) -> Answer:
        await asyncio.gather(
            *(p.update([entry()]) for _ in range(9)), *(p.create([GOLD]) for _ in range(9))
        )
        return Answer(outcome=Outcome.ACKNOWLEDGED)

    run(provider(transport=httpx.MockTransport(serve)), many)
    assert peak == {"createSegment": 3, "updateSegment": 3}


def test_a_waiting_request_holds_no_slot() -> None:
    answers = [httpx.Response(429), ok(), ok()]
    order: list[str] = []

    def serve(request: httpx.Request) -> httpx.Response:
        order.append(
            json.loads(request.content)["bulk_profiles"][0]["user_profiles"][0]["identity"]
        )
        return answers.pop(0)

    async def two(p: CleverTapProvider) -> Answer:
        first, _ = await asyncio.gather(p.update([entry("a")]), p.update([entry("b")]))
        return first

    run(provider(transport=httpx.MockTransport(serve), concurrency=1), two)
    assert order == ["a", "b", "a"]


def test_a_cancelled_request_releases_its_slot() -> None:
    async def serve(request: httpx.Request) -> httpx.Response:
        if b"stuck" in request.content:
            await asyncio.Event().wait()
        return ok()

    async def cancel_one(p: CleverTapProvider) -> Answer:
        stuck = asyncio.ensure_future(p.update([entry("stuck")]))
        await turns()
        stuck.cancel()
        return await p.update([entry("next")])

    answer = run(provider(transport=httpx.MockTransport(serve), concurrency=1), cancel_one)
    assert answer.outcome is Outcome.ACKNOWLEDGED


@pytest.mark.parametrize(
    ("passcode", "message"),
    [
        ("", "CLEVERTAP_PASSCODE is not set or empty"),
        ("secret\n", "CLEVERTAP_PASSCODE contains a line break"),
        ("sécret", f"CLEVERTAP_PASSCODE {ODD}"),
        (" secret", f"CLEVERTAP_PASSCODE {ODD}"),
    ],
)
def test_an_unsendable_passcode_is_an_error_that_does_not_show_it(
    passcode: str, message: str
) -> None:
    with pytest.raises(CredentialsRefused) as caught:
        provider(passcode=passcode)
    assert caught.value.message == message
    assert "cret" not in caught.value.hint


def test_an_account_id_is_checked_like_a_passcode() -> None:
    with pytest.raises(CredentialsRefused, match="CLEVERTAP_ACCOUNT_ID contains a line break"):
        provider(account_id="ACC\r\n")


@pytest.mark.parametrize(
    "base",
    "|in1.api.clevertap.com|ftp://x|http://|https://u:p@x|https://x?y|http://[|http://x:y".split(
        "|"
    ),
)
def test_an_invalid_base_url_is_an_error(base: str) -> None:
    with pytest.raises(
        OperationError, match="the base URL of the service is not a URL such as"
    ) as caught:
        provider(base_url=base)
    assert "CLEVERTAP_BASE_URL" in caught.value.hint


def test_the_passcode_is_in_no_repr_and_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    of = provider(Script(httpx.Response(400, json={"error": PASSCODE}), ok()))
    answer = run(of)
    shown = "".join([repr(of), str(of), repr(vars(of)), repr(answer), caplog.text])
    assert "HTTP Request: POST" in caplog.text
    assert PASSCODE not in shown


@pytest.mark.parametrize("url", ["http://in1.api.clevertap.com", "http://10.0.0.1:8787"])
def test_plain_http_to_another_machine_is_refused_unless_allowed(url: str) -> None:
    with pytest.raises(OperationError, match="would be sent unencrypted"):
        provider(Script(ok()), base_url=url)
    provider(Script(ok()), base_url=url, allow_plain_http=True)


def test_a_provider_outside_its_async_with_block_raises() -> None:
    with pytest.raises(RuntimeError, match="the provider is used outside its async with block"):
        asyncio.run(provider(Script(ok())).update([entry()]))
