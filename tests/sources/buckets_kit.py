"""A local store with S3's API for tests, on a free port."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import httpx

PATIENCE_SECONDS = 30.0
ACCESS_KEY, SECRET_KEY = "AKIATESTS", "s3cret-of-the-bucket"
BUCKET = "segctl-members"


@dataclass(frozen=True, kw_only=True)
class Store:
    """A running store with one empty bucket."""

    url: str
    client: httpx.Client

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that point segctl to the store."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }

    def put(self, key: str, content: bytes | str) -> str:
        """Write an object and return its URL."""
        self._send("PUT", key, content)
        return f"s3://{BUCKET}/{key}"

    def remove(self, key: str) -> None:
        """Remove an object."""
        self._send("DELETE", key, b"")

    def listing(self) -> list[str]:
        """Return key, ETag and time of every object."""
        answer = self._send("GET", "?list-type=2&max-keys=1000", b"")
        return re.findall("<Contents>.*?</Contents>", answer.text, re.DOTALL)

    def _send(self, method: str, key: str, content: bytes | str) -> httpx.Response:
        # The store requires credentials, but does not check them.
        claim = f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/us-east-1/s3/aws4_request"
        return self.client.request(
            method,
            f"/{BUCKET}{key}" if key.startswith("?") else f"/{BUCKET}/{quote(key)}",
            content=content,
            headers={"Authorization": f"{claim}, SignedHeaders=host, Signature=none"},
        ).raise_for_status()


@contextmanager
def running() -> Iterator[Store]:
    """Start moto's server, and stop it afterwards."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdin=subprocess.DEVNULL,
        env={k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "COV"))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=url, timeout=60) as client:
                _wait_for(client)
                client.put(f"/{BUCKET}").raise_for_status()
                yield Store(url=url, client=client)
        finally:
            server.terminate()


def free_port() -> int:
    """Return a local port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(client: httpx.Client) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        try:
            client.get("/moto-api/")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the store does not start")
