"""A fake store with one object, which can show the faults of a real one."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME = "s3://segctl-members/m/gold.csv"
CONTENT = b"identity\n" + b"user@example.com\n" * 1000


class Stub(ThreadingHTTPServer):
    """A server of one object. Set ``head`` and ``get`` to answer a request in another way."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.head: Callable[[Handler], None] = lambda handler: handler.answer(200)
        self.get: Callable[[Handler], None] = lambda handler: handler.answer(200, CONTENT)
        self.over = threading.Event()

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that point segctl to the store."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "AKIATESTS",
            "AWS_SECRET_ACCESS_KEY": "s3cret",
        }


class Handler(BaseHTTPRequestHandler):
    server: Stub

    def do_HEAD(self) -> None:
        """Answer a request for the object's headers."""
        self.server.head(self)

    def do_GET(self) -> None:
        """Answer a request for the object or for a listing."""
        self.server.get(self)

    def answer(
        self, status: int, body: bytes = b"", *, size: int = len(CONTENT), tag: str = '"one"'
    ) -> None:
        """Answer with the headers of an object of this size. The body may be shorter."""
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        self.send_header("ETag", tag)
        self.send_header("Last-Modified", formatdate(usegmt=True))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = len(body) < size

    def listing(self, document: str) -> None:
        """Answer with a listing."""
        self.answer(200, document.encode(), size=len(document.encode()))

    def refuse(self, status: int, code: str) -> None:
        """Answer with an error in S3's format, which quotes credentials."""
        body = f"<Error><Code>{code}</Code><Message>AKIATESTS and s3cret</Message></Error>"
        self.answer(status, body.encode(), size=len(body))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has
        """Do not log requests."""


@contextmanager
def stubbed() -> Iterator[Stub]:
    """Run a fake store, and stop it afterwards."""
    with Stub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()
