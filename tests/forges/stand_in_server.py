"""The server of a stand-in for a forge: requests, pages, injected failures, and a log."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, Any]


@dataclass(kw_only=True)
class Failure:
    """An answer instead of the right one. ``status`` 0 closes the connection without any.

    ``does_it`` carries the request out first, and then fails.
    """

    method: str
    path: str
    status: int
    body: Any = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    does_it: bool = False


class StandIn:
    """What both forges share: requests, comments, tokens, pages, and injected failures."""

    def __init__(self) -> None:
        self.url = ""
        self.max_page = 100
        self.requests: dict[int, dict[str, Any]] = {}
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.issues: list[dict[str, Any]] = []
        self.failures: list[Failure] = []
        self.log: list[tuple[str, str, Mapping[str, str]]] = []
        self.accounts: dict[str, dict[str, Any]] = {}
        self._next_id = 1000

    def fail(self, method: str, path: str, status: int, body: Any = "", **more: Any) -> None:
        """Answer requests whose path contains ``path`` with an error, once or ``times``."""
        self.failures.append(Failure(method=method, path=path, status=status, body=body, **more))

    def calls(self, method: str) -> list[str]:
        """Return the paths that were called with a method."""
        return [path for called, path, _ in self.log if called == method]

    def bodies(self, number: int) -> list[str]:
        """Return the texts of the comments on a request, oldest first."""
        return [comment["body"] for comment in self.comments.get(number, ())]

    def new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def answer(self, method: str, path: str, token: str, body: Any) -> Answer:
        """Return the status and the body of the right answer."""
        raise NotImplementedError

    def choose(self, items: list[Any], asked: Mapping[str, str]) -> list[Any]:
        """Return those items of a list that the parameters of the request ask for."""
        raise NotImplementedError

    def token_of(self, headers: Mapping[str, str]) -> str:
        raise NotImplementedError


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        stand_in, method = self.stand_in, self.command
        stand_in.log.append((method, self.path, dict(self.headers)))
        url = urlsplit(self.path)
        token = stand_in.token_of(dict(self.headers))
        if failure := self._failure(method, self.path):
            if failure.does_it:
                stand_in.answer(method, url.path, token, body)
            self._fail(failure)
            return
        status, answer = stand_in.answer(method, url.path, token, body)
        headers: dict[str, str] = {}
        if isinstance(answer, list):
            asked = {name: values[0] for name, values in parse_qs(url.query).items()}
            answer, headers = self._page(stand_in.choose(answer, asked), asked)
        content = b"" if answer is None else json.dumps(answer).encode()
        self._send(status, content, {"Content-Type": "application/json", **headers})

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _handle  # noqa: N815 - http.server's names

    def _failure(self, method: str, path: str) -> Failure | None:
        for failure in self.stand_in.failures:
            if failure.times and failure.method == method and failure.path in path:
                failure.times -= 1
                return failure
        return None

    def _fail(self, failure: Failure) -> None:
        if not failure.status:
            self.close_connection = True
            self.connection.close()
            return
        is_text = isinstance(failure.body, str)
        content = failure.body if is_text else json.dumps(failure.body)
        kind = "text/plain" if is_text else "application/json"
        self._send(failure.status, content.encode(), {"Content-Type": kind, **failure.headers})

    def _page(self, items: list[Any], asked: Mapping[str, str]) -> tuple[list[Any], dict[str, str]]:
        """Return one page, and the header that leads to the next."""
        size = min(int(asked.get("per_page", "30")), self.stand_in.max_page)
        page = int(asked.get("page", "1"))
        start = (page - 1) * size
        if start + size >= len(items):
            return items[start : start + size], {}
        path = urlsplit(self.path).path
        following = f"{self.stand_in.url}{path}?page={page + 1}&per_page={size}"
        return items[start : start + size], {"Link": f'<{following}>; rel="next"'}

    def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Print nothing."""


@contextmanager
def serving(stand_in: StandIn) -> Iterator[None]:
    """Serve a stand-in on a free port."""
    handler = type("Handler", (_Handler,), {"stand_in": stand_in})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
