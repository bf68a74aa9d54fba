"""An emulator in its own process, for benchmarks that apply."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks.measuring import ROOT, SEGCTL, BenchmarkFailed

CREDENTIALS = {"CLEVERTAP_ACCOUNT_ID": "EMULATOR", "CLEVERTAP_PASSCODE": "emulator"}
HEADERS = {
    "X-CleverTap-Account-Id": "EMULATOR",
    "X-CleverTap-Passcode": "emulator",
    "Content-Type": "application/json",
}


@contextmanager
def emulator(*, latency_ms: int = 0) -> Iterator[str]:
    """Run ``segctl emulator`` on a free port with its data in memory; yield its URL."""
    process = subprocess.Popen(
        [SEGCTL, "emulator", "--port", "0", "--latency-ms", str(latency_ms)],
        env={**os.environ, **CREDENTIALS, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = process.stdout.readline()
        _, found, rest = told.partition("http://")
        if not found:
            raise BenchmarkFailed(f"the emulator does not start: {told}")
        yield f"http://{rest.split()[0].rstrip('.')}"
    finally:
        process.terminate()
        process.communicate()


def environment(url: str) -> Mapping[str, str]:
    """Return the environment that makes segctl use the emulator at ``url``."""
    return {**CREDENTIALS, "CLEVERTAP_BASE_URL": url}


def create(url: str, names: list[str]) -> None:
    """Create at most a hundred segments."""
    body = [{"segment_name": name, "customer_segment_id": name} for name in names]
    call(url, "/api/createSegment", body)


def call(url: str, path: str, body: object = None) -> Any:
    """Call the emulator, with POST if there is a body, and return its JSON."""
    request = urllib.request.Request(  # noqa: S310 - http on loopback, by the caller
        url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers=HEADERS,
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - as above
        return json.load(answer)
