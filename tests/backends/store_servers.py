"""Real stores on loopback, each with an empty bucket ``segctl-states``."""

import base64
import hashlib
import hmac
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from email.utils import formatdate
from pathlib import Path

import httpx

from segctl.manifests.object_urls import Scheme
from tests.backends.gcs_stub import running_stub
from tests.sources.buckets_kit import PATIENCE_SECONDS, free_port

BUCKET = "segctl-states"
Server = Callable[[], AbstractContextManager[Mapping[str, str]]]
AZURITE = Path(__file__).parents[2] / ".cache/azurite/node_modules/.bin/azurite-blob"
_AZURITE_ACCOUNT = "devstoreaccount1"
# Of every Azurite, as its documentation says; no secret.
_AZURITE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


@contextmanager
def moto() -> Iterator[Mapping[str, str]]:
    """Run moto's S3; yield the environment that leads to it."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, lambda: _make_s3_bucket(port)):
        yield _s3_environment(port)


@contextmanager
def seaweedfs() -> Iterator[Mapping[str, str]]:
    """Run SeaweedFS, another implementation of S3; yield the environment that leads to it."""
    port = free_port()
    weed = Path(sys.executable).with_name("weed")
    inner = ("master", "volume", "filer", "admin")
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(weed),
            "mini",
            f"-dir={folder}",
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-admin.ui=false", "-webdav=false"),
            *(f"-{name}.port={free_port()}" for name in inner),
            *(f"-{name}.port.grpc={free_port()}" for name in (*inner, "s3")),
            *(f"-s3.port={port}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *("-s3.autoCreateBucket=false", "-master.telemetry=false"),
        ]
        with _running(command, lambda: _make_s3_bucket(port)):
            yield _s3_environment(port)


@contextmanager
def azurite() -> Iterator[Mapping[str, str]]:
    """Run Azurite; yield the environment that leads to it."""
    port = free_port()
    command = [
        str(AZURITE),
        *("--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--disableTelemetry"),
        *("--blobHost", "127.0.0.1", "--blobPort", str(port)),
    ]
    with _running(command, lambda: _make_azure_container(port)):
        yield {
            "AZURE_STORAGE_ACCOUNT_NAME": _AZURITE_ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": _AZURITE_KEY,
            "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{_AZURITE_ACCOUNT}",
            "AZURE_ALLOW_HTTP": "true",
        }


@contextmanager
def google() -> Iterator[Mapping[str, str]]:
    """Run the stub of Google's API; yield the environment that leads to it."""
    with running_stub() as url:
        yield {
            "GOOGLE_BASE_URL": url,
            "GOOGLE_BEARER_TOKEN": "token",
            "GOOGLE_ALLOW_HTTP": "true",
        }


def _s3_environment(port: int) -> Mapping[str, str]:
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "AKIATESTS",
        "AWS_SECRET_ACCESS_KEY": "s3cret-of-the-bucket",
        "AWS_REGION": "us-east-1",
    }


def _make_s3_bucket(port: int) -> httpx.Response:
    return httpx.put(f"http://127.0.0.1:{port}/{BUCKET}")


def _make_azure_container(port: int) -> httpx.Response:
    """Sign a request as Azure's "Authorize with Shared Key" describes."""
    date, version = formatdate(usegmt=True), "2023-11-03"
    resource = f"/{_AZURITE_ACCOUNT}/{_AZURITE_ACCOUNT}/{BUCKET}\nrestype:container"
    text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n{resource}"
    key = base64.b64decode(_AZURITE_KEY)
    signature = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
    return httpx.put(
        f"http://127.0.0.1:{port}/{_AZURITE_ACCOUNT}/{BUCKET}?restype=container",
        headers={
            "x-ms-date": date,
            "x-ms-version": version,
            "Authorization": f"SharedKey {_AZURITE_ACCOUNT}:{signature}",
        },
    )


@contextmanager
def _running(command: list[str], make_bucket: Callable[[], httpx.Response]) -> Iterator[None]:
    """Run a server, and make its bucket as soon as it answers."""
    hidden = ("AWS_", "AZURE_", "GOOGLE_", "COV")
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={k: v for k, v in os.environ.items() if not k.startswith(hidden)},
        start_new_session=True,
    ) as server:
        try:
            end = time.monotonic() + PATIENCE_SECONDS
            while not _is_made(make_bucket):
                assert server.poll() is None, f"{command[0]} ended"
                assert time.monotonic() < end, f"{command[0]} does not start"
                time.sleep(0.05)
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


def _is_made(make_bucket: Callable[[], httpx.Response]) -> bool:
    try:
        return make_bucket().status_code < 300
    except httpx.TransportError:
        return False


SERVERS: Mapping[str, tuple[Scheme, Server]] = {
    "moto": ("s3", moto),
    "seaweedfs": ("s3", seaweedfs),
    "azurite": ("az", azurite),
    "google": ("gs", google),
}
