"""The service's two calls on loopback, with an exact record and answers chosen by tests.

It keeps what no real service shows: every request in the order in which it took effect.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from enum import Enum, auto
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ACCOUNT, PASSCODE = "ACC-1", "made-up-passcode"
SECONDS = 30.0
"""How long anything may take before a test gives up on it."""

Pair = tuple[str, str, str]
"""A segment's customer id, the kind of the identity and its value."""


class Answer(Enum):
    """What the service does with a valid request."""

    GOOD = auto()
    LOST = auto()  # it takes effect, and the connection is cut instead of an answer
    CUT = auto()  # the connection is cut, and it never takes effect
    LATE = auto()  # the connection is cut, and it takes effect when the test releases it
    TWICE = auto()  # it takes effect, and two answers come back at once
    ECHO = auto()  # the same, and the second answer is sent by the next ``echo``
    BUSY = auto()  # 429
    BROKEN = auto()  # it takes effect, and 500 comes back
    HELD = auto()  # it takes effect and is answered when the test releases it


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One request that took effect: its changes, in order."""

    call: str
    changes: tuple[tuple[str, Pair], ...] = ()
    created: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Memory:
    """The service's data."""

    names: dict[str, str] = field(default_factory=dict)
    members: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)


Choose = Callable[[str, int], Answer]
"""Gives the answer to the n-th request (from 1) of a call, ``create`` or ``update``."""


def good(call: str, number: int) -> Answer:
    """Answer as the vendor's page documents."""
    del call, number
    return Answer.GOOD


class TortureService(ThreadingHTTPServer):
    """A service that runs in threads of the test's process."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.memory = Memory()
        self.choose: Choose = good
        self.asked = {"create": 0, "update": 0}
        self._late: list[Callable[[], object]] = []
        self._open = 0
        self._held = 0
        self._echoes = Counter[str]()
        self._released = False
        self._news = threading.Condition()

    @property
    def url(self) -> str:
        """Where the service listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a run that uses it."""
        return {
            "CLEVERTAP_ACCOUNT_ID": ACCOUNT,
            "CLEVERTAP_PASSCODE": PASSCODE,
            "CLEVERTAP_BASE_URL": self.url,
        }

    def members(self, segment: str) -> set[tuple[str, str]]:
        """Return the members of a segment."""
        return self.memory.members.get(segment, set())

    def become(self, memory: Memory) -> None:
        """Set the data to ``memory``, and answer normally from now on."""
        self.drain()
        with self._news:
            self.memory = deepcopy(memory)
            self.choose = good
            self.asked = {"create": 0, "update": 0}
            self._late.clear()
            self._released = False

    def forget(self) -> None:
        """Clear all data."""
        self.become(Memory())

    def remembered(self) -> Memory:
        """Return a copy of the data."""
        self.drain()
        return deepcopy(self.memory)

    def release(self) -> None:
        """Release held requests, and let late ones take effect in order of arrival."""
        with self._news:
            self._released = True
            for effect in self._late:
                effect()
            self._late.clear()
            self._news.notify_all()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds; it is checked whenever the service does anything."""
        with self._news:
            assert self._news.wait_for(condition, SECONDS)

    def wait_held(self, count: int) -> None:
        """Wait until ``count`` requests are held."""
        self.wait_until(lambda: self._held >= count)

    def echo(self) -> None:
        """Send the second answers to all requests answered so far."""
        with self._news:
            chosen = self._echoes["chosen"]
            assert self._news.wait_for(lambda: self._echoes["waiting"] >= chosen, SECONDS)
            self._echoes["round"] += 1
            self._news.notify_all()
            assert self._news.wait_for(lambda: self._echoes["sent"] >= chosen, SECONDS)

    def wait_for_echo(self, say: Callable[[], object]) -> None:
        """Wait for the next ``echo``, and send a second answer."""
        with self._news:
            now = self._echoes["round"]
            self._echoes["waiting"] += 1
            self._news.notify_all()
            assert self._news.wait_for(lambda: self._echoes["round"] > now, SECONDS)
        with suppress(OSError):  # the client may be gone
            say()
        with self._news:
            self._echoes["sent"] += 1
            self._news.notify_all()

    def drain(self) -> None:
        """Wait until all requests are processed, including those of dead clients."""
        # Connections are accepted in order, so when this one is answered, every
        # earlier one is counted.
        self.echo()
        barrier = HTTPConnection("127.0.0.1", self.server_address[1], timeout=SECONDS)
        barrier.request("GET", "/")
        barrier.getresponse().read()
        barrier.close()
        self.wait_until(lambda: self._open == 0)

    # What the handler calls

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._news:
            self._open += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._news:
            self._open -= 1
            self._news.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore connections that clients cut."""

    def asks(self, call: str, document: Any) -> tuple[Answer, int, dict[str, Any]]:
        """Process one request. Return the kind of answer, its status and its body."""
        with self._news:
            self.asked[call] += 1
            answer = self.choose(call, self.asked[call])
            self._echoes["chosen"] += answer is Answer.ECHO
            if answer is Answer.HELD:
                self._held += 1
                self._news.notify_all()
                assert self._news.wait_for(lambda: self._released, SECONDS)
                self._held -= 1
            if answer in (Answer.CUT, Answer.BUSY):
                return answer, 429, {"error": "too many concurrent requests"}
            effect = self._create if call == "create" else self._update
            if answer is Answer.LATE:
                self._late.append(lambda: effect(document))
                return answer, 200, {}
            status, words = effect(document)
            self._news.notify_all()
            if answer is Answer.BROKEN:
                return answer, 500, {"error": "internal"}
            return answer, status, words

    def _create(self, document: Any) -> tuple[int, dict[str, Any]]:
        names = {entry["customer_segment_id"]: entry["segment_name"] for entry in document}
        if names.keys() & self.memory.names.keys():
            return 400, {"error": "a segment with this customer_segment_id already exists"}
        self.memory.names |= names
        self.memory.members |= {segment: set() for segment in names}
        self.memory.effects.append(Effect(call="create", created=tuple(names)))
        return 200, {"success": True}

    def _update(self, document: Any) -> tuple[int, dict[str, Any]]:
        changes = [
            (action["action"], (action["customer_segment_id"], kind, value))
            for entry in document["bulk_profiles"]
            for profile in entry["user_profiles"]
            for kind, value in profile.items()
            for action in entry["segments"]
        ]
        for action, (segment, kind, value) in changes:
            if segment in self.memory.members:
                members = self.memory.members[segment]
                (members.add if action == "ADD" else members.discard)((kind, value))
        self.memory.effects.append(Effect(call="update", changes=tuple(changes)))
        return 200, {"success": True}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # the answer was sent
    server: TortureService

    def do_GET(self) -> None:
        """Answer the barrier of ``drain``."""
        self._say(200, b"{}")
        self.close_connection = True

    def do_POST(self) -> None:
        """Answer one of the two calls."""
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # the sender died
            self.close_connection = True
            return
        if self.headers["X-CleverTap-Passcode"] != PASSCODE:
            self._say(401, b'{"error": "unauthorized"}')
            return
        call = {"/api/createSegment": "create", "/api/updateSegment": "update"}[self.path]
        answer, status, words = self.server.asks(call, json.loads(body))
        if answer in (Answer.LOST, Answer.CUT, Answer.LATE):
            self.close_connection = True
            return
        self._say(status, json.dumps(words).encode(), times=2 if answer is Answer.TWICE else 1)
        if answer is Answer.ECHO:
            self.server.wait_for_echo(lambda: self._say(status, json.dumps(words).encode()))

    def _say(self, status: int, body: bytes, *, times: int = 1) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write((head.encode() + body) * times)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Log nothing."""


@contextmanager
def running_service() -> Iterator[TortureService]:
    """Run a service for the duration of the block."""
    service = TortureService()
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        service.shutdown()
        thread.join(SECONDS)
        service.server_close()
