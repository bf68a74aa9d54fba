"""The part of Google Cloud Storage's XML API that a state needs, in a thread.

No emulator from PyPI or npm has this API with its preconditions. The stub was written from Google's
reference of it, so it shows what our side sends and expects, not what Google does.
"""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape


@dataclass(frozen=True, kw_only=True)
class Blob:
    data: bytes
    generation: int
    written: float = field(default_factory=time.time)

    @property
    def headers(self) -> dict[str, str]:
        return {
            "ETag": f'"{hashlib.md5(self.data, usedforsecurity=False).hexdigest()}"',
            "x-goog-generation": str(self.generation),
            "x-goog-metageneration": "1",
            "Last-Modified": formatdate(self.written, usegmt=True),
        }


class GoogleStub(ThreadingHTTPServer):
    """One bucket, ``segctl-states``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.blobs: dict[str, Blob] = {}
        self.generations = count(int(time.time() * 1e6))
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.lock = threading.Lock()

    def store(self, key: str, data: bytes, expected: str | None) -> Blob | None:
        """Store a blob; return ``None`` if its generation is not the expected one, 0 for none."""
        now = self.blobs.get(key)
        if expected is not None and int(expected) != (now.generation if now else 0):
            return None
        self.blobs[key] = Blob(data=data, generation=next(self.generations))
        return self.blobs[key]


class Handler(BaseHTTPRequestHandler):
    server: GoogleStub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has
        """Do not log requests."""

    def _handle(self) -> None:
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path[1:]).partition("/")
        data = self._body()
        with self.server.lock:
            if bucket != "segctl-states":
                self._refuse(404, "NoSuchBucket")
            else:
                getattr(self, f"_{self.command.lower()}")(
                    key, dict(parse_qsl(url.query, keep_blank_values=True)), data
                )

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815 - their names

    def _get(self, key: str, query: dict[str, str], _: bytes) -> None:
        if not key:
            self._list(query)
        elif blob := self.server.blobs.get(key):
            self._answer(200, blob.data, blob.headers)
        else:
            self._refuse(404, "NoSuchKey")

    _head = _get

    def _put(self, key: str, query: dict[str, str], data: bytes) -> None:
        if "uploadId" in query:
            self.server.uploads[query["uploadId"]][int(query["partNumber"])] = data
            self._answer(200, headers={"ETag": '"part"'})
            return
        self._stored(self.server.store(key, data, self.headers.get("x-goog-if-generation-match")))

    def _post(self, key: str, query: dict[str, str], _: bytes) -> None:
        if "uploads" in query:
            upload = str(next(self.server.generations))
            self.server.uploads[upload] = {}
            names = f"<Bucket>b</Bucket><Key>{escape(key)}</Key><UploadId>{upload}</UploadId>"
            self._answer(
                200,
                f"<InitiateMultipartUploadResult>{names}</InitiateMultipartUploadResult>".encode(),
            )
            return
        parts = self.server.uploads.pop(query["uploadId"])
        blob = self.server.store(key, b"".join(parts[n] for n in sorted(parts)), None)
        assert blob
        body = (
            "<CompleteMultipartUploadResult><Bucket>b</Bucket>"
            f"<Key>{escape(key)}</Key><ETag>{blob.headers['ETag']}</ETag>"
            "</CompleteMultipartUploadResult>"
        )
        self._answer(200, body.encode(), blob.headers)

    def _delete(self, key: str, _: dict[str, str], __: bytes) -> None:
        if self.server.blobs.pop(key, None):
            self._answer(204)
        else:
            self._refuse(404, "NoSuchKey")

    def _stored(self, blob: Blob | None) -> None:
        if blob:
            self._answer(200, headers=blob.headers)
        else:
            self._refuse(412, "PreconditionFailed")

    def _list(self, query: dict[str, str]) -> None:
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Generation>{blob.generation}</Generation>"
            f"<LastModified>{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(blob.written))}"
            f"</LastModified><ETag>{escape(blob.headers['ETag'])}</ETag>"
            f"<Size>{len(blob.data)}</Size></Contents>"
            for key, blob in sorted(self.server.blobs.items())
            if key.startswith(query.get("prefix", ""))
        )
        body = (
            "<ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated>"
            f"{contents}</ListBucketResult>"
        )
        self._answer(200, body.encode())

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())

    def _answer(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))


@contextmanager
def running_stub() -> Iterator[str]:
    """Run the stub; yield its address."""
    with GoogleStub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
