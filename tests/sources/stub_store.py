"""A store with one object that answers as it is told to: the faults that a real one may have."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME = "s3://segctl-members/m/gold.csv"
CONTENT = b"identity\n" + b"user@example.com\n" * 1000


class Stub(ThreadingHTTPServer):
    """Answers HEAD as a store with one object does, and GET as it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.head: Callable[[Handler], None] = lambda handler: handler.answer(200)
        self.get: Callable[[Handler], None] = lambda handler: handler.answer(200, CONTENT)
        self.over = threading.Event()

    @property
    def environment(self) -> dict[str, str]:
        """Give what leads a run to the store."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "AKIATESTS",
            "AWS_SECRET_ACCESS_KEY": "s3cret",
        }


class Handler(BaseHTTPRequestHandler):
    server: Stub

    def do_HEAD(self) -> None:
        """Answer what is asked of the object's head."""
        self.server.head(self)

    def do_GET(self) -> None:
        """Answer what is asked of the object, or of the bucket."""
        self.server.get(self)

    def answer(
        self, status: int, body: bytes = b"", *, size: int = len(CONTENT), tag: str = '"one"'
    ) -> None:
        """Answer with the headers of an object of this size, and with as much as is given."""
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        self.send_header("ETag", tag)
        self.send_header("Last-Modified", formatdate(usegmt=True))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = len(body) < size

    def listing(self, document: str) -> None:
        """Answer with the list of a bucket."""
        self.answer(200, document.encode(), size=len(document.encode()))

    def refuse(self, status: int, code: str) -> None:
        """Answer with an error in S3's form, which quotes what should not be repeated."""
        words = f"<Error><Code>{code}</Code><Message>AKIATESTS and s3cret</Message></Error>"
        self.answer(status, words.encode(), size=len(words))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has
        """Say nothing."""


@contextmanager
def stubbed() -> Iterator[Stub]:
    """Run a stub; end it afterwards."""
    with Stub() as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            serving.join()
