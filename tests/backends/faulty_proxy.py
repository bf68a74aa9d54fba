"""A proxy in front of a store, which answers some requests itself, as a real store does."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

Fault = Callable[[str, str, int], tuple[int, str] | None]
"""By method, path with query and number of the request (from 1): status and error code, or None."""


def no_fault(method: str, path: str, number: int) -> None:
    """Let every request pass."""
    del method, path, number


class FaultyProxy(ThreadingHTTPServer):
    """Set ``fault`` to refuse requests; ``after`` for those whose answer is lost."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.client = httpx.Client(base_url=target, timeout=30)
        self.fault: Fault = no_fault
        self.after: Fault = no_fault
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: FaultyProxy
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has
        """Do not log requests."""

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            self.server.requests.append((self.command, self.path))
            number = len(self.server.requests)
        if refusal := self.server.fault(self.command, self.path, number):
            self._refuse(*refusal)
            return
        headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
        answer = self.server.client.request(self.command, self.path, content=body, headers=headers)
        if refusal := self.server.after(self.command, self.path, number):
            self._refuse(*refusal)
            return
        self.send_response(answer.status_code)
        for name in ("ETag", "Last-Modified", "Content-Type"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", answer.headers.get("Content-Length", "0"))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    def _refuse(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>AKIATESTS s3cret</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815 - their names


@contextmanager
def running_proxy(target: str) -> Iterator[FaultyProxy]:
    """Run a proxy in front of the store at ``target``."""
    with FaultyProxy(target) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
            server.client.close()
