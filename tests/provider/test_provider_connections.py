"""Loopback connections with answers that are cut off, late, too short or too long."""

import asyncio
import socket
import ssl
import tomllib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.core.errors import OperationError
from segctl.core.outcomes import Answer, Outcome
from segctl.provider.retry import RetryPolicy
from segctl.provider.transport import DirectTransport, Network, is_one_answer
from tests.provider.service import Step, Wire, entry, http, loopback, provider, say, turns

CERTIFICATE = Path(__file__).with_name("loopback.pem")
"""A self-signed certificate for 127.0.0.1 with its key. It is not trusted by default."""

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
ONCE = RetryPolicy(max_attempts=1)


def run(*steps: Step | None, requests: int = 1, **options: Any) -> tuple[list[Answer], Wire]:
    """Send requests in sequence. Return their answers and what the service received."""

    async def go() -> tuple[list[Answer], Wire]:
        async with loopback(steps) as seen:
            async with provider(base_url=seen.url, **options) as opened:
                answers = [await opened.update([entry(f"u-{n}")]) for n in range(requests)]
            return answers, seen

    return asyncio.run(go())


def outcomes(answers: Sequence[Answer]) -> list[Outcome]:
    return [a.outcome for a in answers]


def test_requests_use_the_connections_in_rotation() -> None:
    answers, seen = run(say(http()), requests=20)
    assert outcomes(answers) == [Outcome.ACKNOWLEDGED] * 20
    assert (seen.connections, len(seen.bodies)) == (6, 20)


def test_the_connection_of_a_chunked_answer_is_reused() -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'10\r\n{"success": true\r\n1\r\n}\r\n0\r\n\r\n'
    )
    answers, seen = run(say(chunked), requests=20)
    assert outcomes(answers) == [Outcome.ACKNOWLEDGED] * 20
    assert seen.connections == 6


@pytest.mark.parametrize(
    "step",
    [
        None,
        say(b"", close=True),
        say(b"HTTP/1.1 200 O", close=True),
        say(b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n", close=True),
        say(http()[:-4], close=True),
        say(b"not HTTP at all\r\n\r\n", close=True),
        say(http(b"")),
    ],
)
def test_an_incomplete_answer_is_uncertain(step: Step | None) -> None:
    answers, _ = run(step, policy=ONCE)
    assert outcomes(answers) == [Outcome.UNCERTAIN]


def test_a_closed_connection_is_retried_on_a_new_one() -> None:
    answers, seen = run(say(b"", close=True), None, say(http()))
    assert (answers[0].outcome, answers[0].attempts) == (Outcome.ACKNOWLEDGED, 3)
    assert (seen.connections, len(seen.bodies)) == (3, 2)


def test_a_refusal_with_an_incomplete_body_is_still_a_refusal() -> None:
    answers, _ = run(say(http(b"x" * 20, "400 Bad Request")[:-5], close=True))
    assert outcomes(answers) == [Outcome.REFUSED]


def test_a_second_answer_to_one_request_does_not_confirm_the_next() -> None:
    answers, seen = run(say(http() * 2), say(http(b"", "400 Bad Request")), requests=2)
    assert outcomes(answers) == [Outcome.ACKNOWLEDGED, Outcome.REFUSED]
    assert (seen.connections, len(seen.bodies)) == (2, 2)


@pytest.mark.parametrize(
    ("late", "close"), [(http(), False), (b"", True)], ids=["speaks", "closes"]
)
def test_an_idle_connection_that_receives_bytes_or_closes_is_not_reused(
    late: bytes, close: bool
) -> None:
    async def go() -> list[Answer]:
        done = asyncio.Event()

        async def answer_twice(writer: asyncio.StreamWriter) -> None:
            await say(http())(writer)
            await done.wait()
            await say(late, close=close)(writer)

        refuse = say(http(b"", "400 Bad Request"))
        async with (
            loopback([answer_twice, refuse]) as seen,
            provider(base_url=seen.url, policy=ONCE) as opened,
        ):
            first = await opened.update([entry()])
            done.set()
            await turns()
            return [first, await opened.update([entry()])]

    assert outcomes(asyncio.run(go())) == [Outcome.ACKNOWLEDGED, Outcome.REFUSED]


def test_httpx_sends_over_our_pool_and_no_other() -> None:
    """Fails if httpx moves what ``_OneConnection`` replaces: raise its bound in pyproject then."""

    class Refusing(Network):
        async def connect_tcp(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
            raise httpcore.ConnectError("ours")

    async def go() -> None:
        transport = DirectTransport(connections=1, network=Refusing())
        async with httpx.AsyncClient(transport=transport) as client:
            await client.get("http://127.0.0.1:9")

    with pytest.raises(httpx.ConnectError, match="ours"):
        asyncio.run(go())


@pytest.mark.parametrize(("library", "bound"), [("httpx", "0.29"), ("httpcore", "1.1")])
def test_the_libraries_below_the_pool_have_an_upper_bound(library: str, bound: str) -> None:
    project = tomllib.loads(PROJECT.read_text("utf-8"))["project"]
    [needed] = [d for d in project["dependencies"] if d.startswith(f"{library}>")]
    assert needed.endswith(f",<{bound}")
    installed = version(library).split(".")[:2]
    assert list(map(int, installed)) < list(map(int, bound.split(".")))


def test_an_answer_that_never_arrives_times_out() -> None:
    async def never(writer: asyncio.StreamWriter) -> None:
        del writer
        await asyncio.Event().wait()

    answers, _ = run(never, policy=ONCE, timeout=0.05)
    assert outcomes(answers) == [Outcome.UNCERTAIN]
    assert answers[0].detail == "no answer within 0.05 seconds"


def test_the_timeout_covers_a_slow_body() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.01)

    answers, _ = run(drip, policy=ONCE, timeout=0.1)
    assert answers[0].detail == "no answer within 0.1 seconds"


def test_a_request_to_a_closed_port_was_not_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

    async def go() -> Answer:
        async with provider(base_url=url) as opened:
            return await opened.update([entry()])

    answer = asyncio.run(go())
    assert (answer.outcome, answer.attempts) == (Outcome.FAILED, 0)
    assert answer.detail.startswith(f"could not connect to {url.removeprefix('http://')}: ")


def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def run_tls(*steps: Step | None, requests: int = 1) -> tuple[list[Answer], Wire]:
    async def go() -> tuple[list[Answer], Wire]:
        async with loopback(steps, tls=tls()) as seen:
            async with provider(base_url=seen.url, policy=ONCE) as opened:
                answers = [await opened.update([entry()]) for _ in range(requests)]
            return answers, seen

    return asyncio.run(go())


def test_a_trusted_certificate_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    answers, seen = run_tls(say(http()), requests=20)
    assert outcomes(answers) == [Outcome.ACKNOWLEDGED] * 20
    assert seen.connections == 6


def test_a_second_answer_over_tls_does_not_confirm_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    answers, _ = run_tls(say(http() * 2), say(http(b"", "400 Bad Request")), requests=2)
    assert outcomes(answers) == [Outcome.ACKNOWLEDGED, Outcome.REFUSED]


def test_no_request_is_sent_to_an_untrusted_certificate() -> None:
    answers, seen = run_tls(say(http()))
    assert (answers[0].outcome, answers[0].attempts, seen.bodies) == (Outcome.FAILED, 0, [])
    assert "its TLS certificate could not be verified: " in answers[0].detail


def test_a_request_to_a_service_without_tls_was_not_sent() -> None:
    async def go() -> tuple[Answer, Wire]:
        async with loopback([say(http())]) as seen:
            url = seen.url.replace("http:", "https:")
            async with provider(base_url=url, policy=ONCE, timeout=1.0) as opened:
                return await opened.update([entry()]), seen

    answer, seen = asyncio.run(go())
    assert (answer.outcome, answer.attempts, seen.bodies) == (Outcome.FAILED, 0, [])


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (http(), True),
        (http()[:-1], False),
        (http() + b"x", False),
        (http() * 2, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nH", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", False),
        (b"", False),
    ],
)
def test_is_one_answer_is_false_for_incomplete_surplus_and_unclear_bytes(
    answer: bytes, whole: bool
) -> None:
    assert is_one_answer(answer) is whole


@given(st.binary(max_size=60), st.binary(min_size=1, max_size=60))
def test_surplus_bytes_are_always_detected(body: bytes, surplus: bytes) -> None:
    assert is_one_answer(http(body))
    assert not is_one_answer(http(body) + surplus)


def test_certificates_are_loaded_only_for_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "missing.pem")
    answers, _ = run(say(http()))
    assert outcomes(answers) == [Outcome.ACKNOWLEDGED]
    with pytest.raises(OperationError, match="certificates"):
        provider(base_url="https://127.0.0.1:1", policy=ONCE)
