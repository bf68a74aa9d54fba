"""Requests through a proxy, and what is said when it does not answer."""

import asyncio
import socket

import pytest

from segctl.core.outcomes import Answer, Outcome
from segctl.provider.retry import RetryPolicy
from tests.provider.service import Wire, entry, http, loopback, provider, say


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def update(base_url: str) -> Answer:
    async def go() -> Answer:
        once = RetryPolicy(max_attempts=1)
        async with provider(base_url=base_url, policy=once, allow_plain_http=True) as opened:
            return await opened.update([entry()])

    return asyncio.run(go())


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "variable"), [("127.0.0.1", "HTTP_PROXY"), ("localhost", "ALL_PROXY")]
)
def test_a_proxy_that_does_not_answer_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, host: str, variable: str
) -> None:
    port = closed_port()
    monkeypatch.setenv(variable, f"http://anna:secret@{host}:{port}/")
    answer = update("http://in1.test")
    assert answer.outcome is Outcome.FAILED
    assert answer.detail == (
        f"could not connect to the proxy {host}:{port} ({variable}): connection refused"
    )


def test_a_proxy_that_does_not_connect_further_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> tuple[Answer, str]:
        async with loopback([say(http(b"", "502 Bad Gateway"))]) as seen:
            monkeypatch.setenv("HTTPS_PROXY", seen.url)
            once = RetryPolicy(max_attempts=1)
            async with provider(base_url="https://in1.test", policy=once) as opened:
                return await opened.update([entry()]), seen.url.removeprefix("http://")

    answer, address = asyncio.run(go())
    assert answer.outcome is Outcome.FAILED
    assert answer.detail == (
        f"could not connect to in1.test:443: the proxy {address} (HTTPS_PROXY) refused: "
        "502 Bad Gateway"
    )


@pytest.mark.parametrize("bypass", [False, True])
def test_a_proxy_gets_the_requests_unless_no_proxy_names_the_host(
    monkeypatch: pytest.MonkeyPatch, bypass: bool
) -> None:
    async def go() -> tuple[Answer, Wire]:
        async with loopback([say(http())]) as seen:
            monkeypatch.setenv("HTTP_PROXY", seen.url)
            if bypass:
                monkeypatch.setenv("NO_PROXY", ".invalid")
            once, url = RetryPolicy(max_attempts=1), "http://in1.invalid"
            async with provider(base_url=url, policy=once, allow_plain_http=True) as opened:
                return await opened.update([entry()]), seen

    answer, seen = asyncio.run(go())
    assert len(seen.bodies) == (0 if bypass else 1)
    assert answer.outcome is (Outcome.FAILED if bypass else Outcome.ACKNOWLEDGED)
