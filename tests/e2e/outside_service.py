"""CleverTap's API Segments, implemented independently from the vendor's pages.

Real HTTP on the loopback, strict about every rule that the pages state, and with a
ledger of all membership changes that ever arrived.  It shares nothing with segctl nor
with its emulator, so that one misreading of the service cannot pass every test.
"""

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from tests.e2e import outside_rules as rules
from tests.e2e.outside_answers import (
    CREATED,
    DUPLICATE,
    OK,
    PARTIAL,
    SLOW,
    Answer,
    Fault,
    Schedule,
    failure,
    no_faults,
)

ACCOUNT, PASSCODE = "W9R-485-456Z", "made-up-passcode"
IN_FLIGHT = 3
MOST_SEGMENTS = 2_500
CALLS = {"/api/createSegment": "create", "/api/updateSegment": "update"}
_PATIENCE, _LONG = 0.05, 30.0


def _go_on(moment: str, call: str, number: int) -> None:
    del moment, call, number


User = tuple[str, str]
"""``identity`` or ``guid``, and its value."""


@dataclass
class Segment:
    """One segment. ``ours`` is false if another client created it."""

    ct_segment_id: int
    customer_segment_id: str
    segment_name: str
    ours: bool = True
    members: set[User] = field(default_factory=set)

    def row(self) -> Mapping[str, Any]:
        """Return its row in an answer."""
        return {
            "ct_segment_id": self.ct_segment_id,
            "customer_segment_id": self.customer_segment_id,
            "segment_name": self.segment_name,
        }


class Change(NamedTuple):
    """One membership change: whether it took effect, and whether it was answered as accepted.

    ``moved`` says whether it changed the segment.
    """

    request: int
    segment: str
    user: User
    action: str
    applied: bool
    moved: bool
    acknowledged: bool


class OutsideService:
    """The service's account: segments, changes received, and violated rules."""

    def __init__(self) -> None:
        self.segments: dict[str, Segment] = {}
        self.faults: Schedule = no_faults
        self.created_answer = "rows"
        self.duplicate_answer = "409"
        self.partial_answer = ""
        self.refuses: set[str] = set()
        self.slots = IN_FLIGHT
        self.at: Callable[[str, str, int], None] = _go_on
        self.complaints: list[str] = []
        self.changes: list[Change] = []
        self.error_stream: list[tuple[str, User]] = []
        self.requests: Counter[str] = Counter()
        self.creates: list[tuple[str, ...]] = []
        self.most_in_flight: Counter[str] = Counter()
        self._in_flight: Counter[str] = Counter()
        self._connections = 0
        self._arrivals = threading.Condition()
        self._turn = threading.Lock()
        self.url = ""

    # What tests read

    def members(self, customer_segment_id: str) -> set[User]:
        """Return the members of a segment."""
        return set(self.segments[customer_segment_id].members)

    def everyone(self) -> dict[str, set[User]]:
        """Return the members of each segment that has any."""
        return {key: set(s.members) for key, s in self.segments.items() if s.members}

    def foreign(self, customer_segment_id: str, name: str = "Theirs") -> Segment:
        """Create a segment as another client."""
        made = self._make(name, customer_segment_id)
        made.ours = False
        return made

    def needless(self) -> list[Change]:
        """Return changes without effect whose previous change was acknowledged.

        A change without an acknowledgement must be sent again, so only those after an
        acknowledged one, or out of the blue, are a fault of the sender.
        """
        known: dict[tuple[str, User], bool] = {}
        found = []
        for change in self.changes:
            pair = change.segment, change.user
            if change.applied and not change.moved and known.get(pair, True):
                found.append(change)
            known[pair] = change.acknowledged
        return found

    def forget_requests(self) -> None:
        """Reset the request counts."""
        self.requests.clear()
        self.creates.clear()
        self.changes.clear()

    # What the service does

    def serve(self, call: str, headers: Mapping[str, str], body: bytes) -> tuple[Answer, int]:
        """Answer one request. Return the answer and the request's number in its call."""
        with self._turn:
            number = self.requests[call]
            self.requests[call] += 1
            fault = self.faults(call, number)
        self.at("arrived", call, number)
        if fault is SLOW:
            self._wait_for_others(call)
        with self._turn:
            given = self._given(call, number, headers, body, fault)
        self.at("applied", call, number)
        return given, number

    def _given(
        self, call: str, number: int, headers: Mapping[str, str], body: bytes, fault: Fault | None
    ) -> Answer:
        wrong = list(rules.headers(headers))
        credentials = headers.get("x-clevertap-account-id"), headers.get("x-clevertap-passcode")
        if credentials != (ACCOUNT, PASSCODE):
            return failure(401, "Invalid Credentials")
        try:
            document = rules.read(body)
        except rules.NotJson as error:
            self.complaints.append(str(error))
            return failure(400, "Invalid JSON")
        wrong += (rules.create if call == "create" else rules.update)(document)
        if wrong:
            self.complaints += [f"{call} {number}: {words}" for words in wrong]
            return failure(400, wrong[0])
        if call == "create":
            return self._create(document, fault)
        return self._update(number, document, fault)

    def _create(self, rows: Sequence[Mapping[str, str]], fault: Fault | None) -> Answer:
        ids = tuple(row["customer_segment_id"] for row in rows)
        self.creates.append(ids)
        there = [key for key in ids if key in self.segments]
        wrong = None
        if there and not self.partial_answer:
            wrong = DUPLICATE[self.duplicate_answer](there)
        elif len(self.segments) + len(ids) - len(there) > MOST_SEGMENTS:
            wrong = failure(400, "segment limit exceeded")
        new = [] if wrong else [row for row in rows if row["customer_segment_id"] not in there]
        if fault and not fault.applies:
            return fault.answer
        made = [self._make(row["segment_name"], row["customer_segment_id"]).row() for row in new]
        if fault and fault is not SLOW:
            return fault.answer
        if there and not wrong:
            return PARTIAL[self.partial_answer](made, there)
        return wrong or CREATED[self.created_answer](made)

    def _make(self, name: str, key: str) -> Segment:
        made = Segment(1_739_791_829 + len(self.segments), key, name)
        self.segments[key] = made
        return made

    def _update(self, number: int, document: Mapping[str, Any], fault: Fault | None) -> Answer:
        given = fault.answer if fault else OK
        named = {
            v for e in document["bulk_profiles"] for u in e["user_profiles"] for v in u.values()
        }
        if named & self.refuses:
            return failure(400, "Invalid request parameters")
        pairs: set[tuple[str, User]] = set()
        for entry in document["bulk_profiles"]:
            users = [next(iter(user.items())) for user in entry["user_profiles"]]
            for line in entry["segments"]:
                segment = self._find(line)
                for user in users:
                    if segment is None:
                        self.error_stream.append((str(line), user))
                        continue
                    pair = segment.customer_segment_id, user
                    if pair in pairs:
                        self.complaints.append(f"update {number} names a pair twice")
                    pairs.add(pair)
                    applies = fault is None or fault.applies
                    moved = applies and _move(segment, user, line["action"])
                    self.changes.append(
                        Change(number, *pair, line["action"], applies, moved, given.acknowledges)
                    )
        return given

    def _find(self, line: Mapping[str, Any]) -> Segment | None:
        if "customer_segment_id" in line:
            return self.segments.get(line["customer_segment_id"])
        found = (s for s in self.segments.values() if s.ct_segment_id == line["ct_segment_id"])
        return next(found, None)

    # Requests in flight

    @contextmanager
    def slot(self, call: str) -> Iterator[bool]:
        """Count a request as in flight. Return whether it was within the limit."""
        with self._arrivals:
            self._in_flight[call] += 1
            now = self._in_flight[call]
            self.most_in_flight[call] = max(now, self.most_in_flight[call])
            self._arrivals.notify_all()
        try:
            yield now <= self.slots
        finally:
            with self._arrivals:
                self._in_flight[call] -= 1

    @contextmanager
    def connection(self) -> Iterator[None]:
        """Count a connection as open."""
        with self._arrivals:
            self._connections += 1
        try:
            yield
        finally:
            with self._arrivals:
                self._connections -= 1
                self._arrivals.notify_all()

    def await_quiet(self) -> None:
        """Wait until all requests of a client that is gone are processed."""
        with self._arrivals:
            assert self._arrivals.wait_for(lambda: self._connections == 0, _LONG)

    def _wait_for_others(self, call: str) -> None:
        """Delay: wait until the limit of requests in flight is reached, or briefly."""
        with self._arrivals:
            self._arrivals.wait_for(lambda: self._in_flight[call] >= self.slots, _PATIENCE)


def _move(segment: Segment, user: User, action: str) -> bool:
    """Add or remove. Return whether that changed anything."""
    if (action == "ADD") == (user in segment.members):
        return False
    (segment.members.add if action == "ADD" else segment.members.remove)(user)
    return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: OutsideService

    def setup(self) -> None:
        """Disable Nagle's algorithm, so that answers leave at once."""
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)

    def handle(self) -> None:
        """Handle requests until the client disconnects."""
        with self.service.connection():
            super().handle()

    def do_POST(self) -> None:
        """Handle one request."""
        call = CALLS.get(self.path)
        if call is None:
            self.service.complaints.append(f"there is no {self.path}")
            self._send(failure(404, "no such call"))
            return
        with self.service.slot(call) as limits:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            number = -1
            given = failure(429, "Too many concurrent requests")
            if limits:
                given, number = self.service.serve(call, headers, body)
        # Free the slot before the answer leaves: the client may send again at once.
        self._send(given)
        self.service.at("answered", call, number)

    def _send(self, given: Answer) -> None:
        if not given.status:
            self.close_connection = True
            reset = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            self.connection.close()
            return
        head = f"HTTP/1.1 {given.status} -\r\nContent-Type: application/json\r\n"
        if given.status != 204:
            head += f"Content-Length: {len(given.body)}\r\n"
        self.wfile.write(head.encode() + b"\r\n" + given.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: tests kill clients in the middle of an exchange."""


@contextmanager
def running() -> Iterator[OutsideService]:
    """Serve on a free loopback port."""
    service = OutsideService()
    handler = type("Handler", (_Handler,), {"service": service})
    server = _Server(("127.0.0.1", 0), handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
