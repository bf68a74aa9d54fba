"""One probe of one account: sends requests after approval, records them, and cleans up.

Before a request leaves, the run records every segment and membership that it may create.
After any failure it can therefore say what exists and remove its members.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from segctl.core.clock import Clock
from segctl.core.errors import CredentialsRefused, SegctlError
from segctl.core.outcomes import ASK_FOR_ACCESS, Answer, Outcome
from segctl.probing.masking import Masker
from segctl.probing.report import Certainty, Cost, Exchange, ProbeFinding, Shell, Write
from segctl.provider.raw import RawReply, RawRequest
from segctl.provider.wire import NewSegment, judge_create, judge_update, mask_text

CREATE = "/api/createSegment"
UPDATE = "/api/updateSegment"
ARRAY = "array"
WRAPPED = "wrapped"
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait after each 429 before sending the request again: others may use the account."""

_SHOWN_HEADERS = ("content-type", "retry-after", "date", "server")

User = Mapping[str, str | int]
Line = Mapping[str, str | int]


class Service(Protocol):
    """What the probe needs of the service. ``provider.raw`` implements it."""

    @property
    def secrets(self) -> tuple[str, str]:
        """The values that must not appear in a report."""

    def send(self, request: RawRequest) -> RawReply:
        """Send one request."""

    def send_at_once(self, requests: Sequence[RawRequest]) -> list[RawReply]:
        """Send several requests concurrently."""

    def wait(self, seconds: float) -> None:
        """Wait for ``seconds``."""


class WriteDeclined(Exception):
    """The user declined a write."""


class EndedEarly(SegctlError):
    """The probe cannot continue. ``findings`` has what the last answer shows."""

    def __init__(self, message: str, *, findings: Sequence[ProbeFinding] = ()) -> None:
        super().__init__(message)
        self.findings = findings


class Acceptance(Enum):
    """How the service answered a request. An unclear answer proves nothing."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNCLEAR = "unclear"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A request's answer. ``number`` identifies its exchange in the report."""

    number: int
    acceptance: Acceptance
    status: int | None
    document: Any
    raw: RawReply
    ids: Mapping[str, int]
    message: str
    exists: bool

    @property
    def summary(self) -> str:
        """The answer in one phrase."""
        shown = f"HTTP {self.status}" if self.status is not None else self.raw.problem
        return f"{shown}, {self.message}" if self.message else shown

    @property
    def code(self) -> object:
        """The ``code`` in the body, or ``None``."""
        return self.document.get("code") if isinstance(self.document, dict) else None

    def rows(self) -> list[Any] | None:
        """Return the segments listed in a create's answer, or ``None``."""
        if isinstance(self.document, list):
            return self.document
        if isinstance(self.document, dict):
            for name in ("segments", "data", "result"):
                if isinstance(self.document.get(name), list):
                    return list(self.document[name])
        return None


@dataclass(frozen=True, kw_only=True)
class CreatedSegment:
    """A segment that the probe created."""

    name: str
    customer_id: str
    ct_id: int | None


class ProbeRun:
    """One probe: the service, the names in use, and everything that was sent.

    ``stem`` starts every name and is unique to this probe. ``approve`` is called before each
    write and returns whether to send it.
    """

    def __init__(
        self,
        service: Service,
        *,
        stem: str,
        clock: Clock,
        approve: Callable[[Write], bool],
        note: Callable[[str], object],
    ) -> None:
        self.stem = stem
        self.service = service
        self.clock = clock
        self.note = note
        self.form = ARRAY
        self.first: CreatedSegment | None = None
        self.second: CreatedSegment | None = None
        self.skipped_update: Reply | None = None
        """The answer to an update of a segment that does not exist, once it is sent."""
        self.exchanges: list[Exchange] = []
        self.shells: list[Shell] = []
        self.members: dict[str, tuple[User, str]] = {}
        """Memberships that may exist, by their JSON text: the user as sent, the customer id."""
        self.mask = Masker(stem=self.stem, secrets=service.secrets)
        self._approve = approve
        self._created_count = 0

    # Names

    def new_entry(self) -> dict[str, str]:
        """Return the entry of a new segment with an unused name."""
        self._created_count += 1
        name = f"{self.stem}-{self._created_count}"
        return {"segment_name": name, "customer_segment_id": name}

    def user(self, number: int) -> dict[str, str]:
        """Return the probe's user with this number."""
        return {"identity": f"{self.stem}-identity-u{number}"}

    def guid(self, number: int) -> str:
        """Return a guid that no user has."""
        return f"{self.stem}-guid-g{number}"

    def clock_number(self) -> int:
        """Return a number that is no user's identity: the time in microseconds."""
        return int(self.clock.now() * 1_000_000)

    def nonexistent_line(self, number: int = 0) -> dict[str, str]:
        """Return a line for a segment that does not exist, so that it changes nothing."""
        return {"customer_segment_id": f"{self.stem}-nowhere-{number}", "action": "REMOVE"}

    # Requests

    def create(
        self, entries: Sequence[Mapping[str, str]], *, purpose: str, cost: Cost, form: str = ""
    ) -> Reply:
        """Send a create, and record the segments that it may create."""
        listed = [dict(each) for each in entries]
        document = {"segments": listed} if (form or self.form) == WRAPPED else listed
        sent = [
            NewSegment(
                segment_name=each.get("segment_name", ""),
                customer_segment_id=each.get("customer_segment_id", ""),
            )
            for each in entries
        ]
        self._ask(Write(purpose=purpose, cost=cost))
        before = len(self.shells)
        self.shells += [_shell(each, sure=False) for each in entries]

        def judge(status: int, body: bytes) -> Answer:
            return judge_create(status, body, sent, self.service.secrets)

        try:
            reply = self._post(CREATE, document, purpose=purpose, judge=judge)
        except CredentialsRefused:
            del self.shells[before:]
            raise
        self.shells[before:] = _possible_shells(entries, reply)
        return reply

    def update(
        self, *entries: tuple[Sequence[User], Sequence[Line]], purpose: str, cost: Cost
    ) -> Reply:
        """Send an update of (users, lines), and record the members that it may add."""
        self._ask(Write(purpose=purpose, cost=cost))
        return self._update(entries, purpose=purpose)

    def remove(self, user: User, segment: CreatedSegment, *, purpose: str) -> Reply:
        """Remove a user. Needs no approval: cleaning up was announced at the start."""
        line = {"customer_segment_id": segment.customer_id, "action": "REMOVE"}
        return self._update([([user], [line])], purpose=purpose)

    def update_at_once(self, count: int, *, purpose: str) -> list[Reply]:
        """Send ``count`` updates concurrently. None of them changes anything."""
        self._ask(Write(purpose=purpose, cost=Cost(errors=count), requests=count))
        request = _request(UPDATE, _update_body([([self.user(8)], [self.nonexistent_line()])]))
        raws = self.service.send_at_once([request] * count)
        return [
            self._record_reply(request, raw, purpose=purpose, judge=self._judge) for raw in raws
        ]

    def record_exchange(
        self, purpose: str, request: RawRequest, status: int | None, reply: str
    ) -> int:
        """Record an exchange whose answer is reported in another form. Return its number."""
        raw = RawReply(status=status)
        return self._record_exchange(request, raw, purpose=purpose, reply=reply)

    def remove_members(self) -> tuple[str, ...]:
        """Remove every member that may exist. Return those that may still exist."""
        left = []
        for key, (user, customer_id) in list(self.members.items()):
            line = {"customer_segment_id": customer_id, "action": "REMOVE"}
            reply = self._update([([user], [line])], purpose="clean up: remove a member")
            if reply.acceptance is Acceptance.ACCEPTED:
                self.members.pop(key, None)
            else:
                left.append(f"{json.dumps(user)} in {customer_id}")
        return tuple(left)

    def remaining_members(self) -> tuple[str, ...]:
        """Return the members that may exist."""
        return tuple(f"{json.dumps(user)} in {segment}" for user, segment in self.members.values())

    # Parts

    def _ask(self, write: Write) -> None:
        if not self._approve(write):
            raise WriteDeclined

    def _update(
        self, entries: Sequence[tuple[Sequence[User], Sequence[Line]]], *, purpose: str
    ) -> Reply:
        added = self._added_memberships(entries)
        self.members.update(added)
        reply = self._post(UPDATE, _update_body(entries), purpose=purpose, judge=self._judge)
        if reply.acceptance is Acceptance.REFUSED:
            for key in added:
                self.members.pop(key, None)
        return reply

    def _added_memberships(
        self, entries: Sequence[tuple[Sequence[User], Sequence[Line]]]
    ) -> dict[str, tuple[User, str]]:
        """Return the memberships that these entries may create and that are not recorded yet."""
        first = self.first.customer_id if self.first else ""
        found: dict[str, tuple[User, str]] = {}
        for users, lines in entries:
            for line in lines:
                # Only the first segment is ever named by its CleverTap id.
                segment = str(line.get("customer_segment_id", first))
                for user in users:
                    if str(line["action"]).upper() == "ADD":
                        found[json.dumps([user, segment])] = (user, segment)
        return {key: pair for key, pair in found.items() if key not in self.members}

    def forget(self, user: User, segment: CreatedSegment) -> None:
        """Record that a user is no longer a member."""
        self.members.pop(json.dumps([user, segment.customer_id]), None)

    def _judge(self, status: int, body: bytes) -> Answer:
        return judge_update(status, body, self.service.secrets)

    def _post(
        self, path: str, document: Any, *, purpose: str, judge: Callable[[int, bytes], Answer]
    ) -> Reply:
        request = _request(path, document)
        raw = self.service.send(request)
        for pause in PAUSES:
            if raw.status != 429:
                break
            self.service.wait(pause)
            raw = self.service.send(request)
        reply = self._record_reply(request, raw, purpose=purpose, judge=judge)
        if raw.status == 401:
            raise CredentialsRefused(
                f"the credentials were refused: {reply.summary}",
                hint="Check CLEVERTAP_ACCOUNT_ID, CLEVERTAP_PASSCODE and the region. "
                f"{ASK_FOR_ACCESS}",
            )
        return reply

    def _record_reply(
        self,
        request: RawRequest,
        raw: RawReply,
        *,
        purpose: str,
        judge: Callable[[int, bytes], Answer],
    ) -> Reply:
        number = self._record_exchange(
            request, raw, purpose=purpose, reply=self.mask.text(raw.body)
        )
        answer = judge(raw.status, raw.body) if raw.status is not None else None
        document = parse_json(raw.body)
        return Reply(
            number=number,
            acceptance=_acceptance(answer),
            status=raw.status,
            document=document,
            raw=raw,
            ids=answer.ids if answer else {},
            exists=answer.exists if answer else False,
            message=mask_text(self.mask.text(error_message(document)), self.service.secrets),
        )

    def _record_exchange(
        self, request: RawRequest, raw: RawReply, *, purpose: str, reply: str
    ) -> int:
        number = len(self.exchanges) + 1
        self.exchanges.append(
            Exchange(
                number=number,
                purpose=purpose,
                request=f"{request.method} {request.path}",
                body=self.mask.text(request.body or b""),
                status=str(raw.status) if raw.status is not None else raw.problem,
                headers={
                    name: self.mask.text(raw.headers[name])
                    for name in _SHOWN_HEADERS
                    if name in raw.headers
                },
                reply=reply,
            )
        )
        return number


def observed(
    key: str, answer: str, *evidence: int, settings: Mapping[str, str | int] | None = None
) -> ProbeFinding:
    """Build a finding from an observation."""
    return ProbeFinding(
        key=key,
        certainty=Certainty.OBSERVED,
        answer=answer,
        settings=settings or {},
        evidence=evidence,
    )


def cannot_tell(key: str, why: str, *evidence: int) -> ProbeFinding:
    """Build a finding that says why a question has no answer."""
    return ProbeFinding(key=key, certainty=Certainty.CANNOT_TELL, answer=why, evidence=evidence)


def parse_json(body: bytes) -> Any:
    """Return the JSON document, or ``None`` if the body is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def error_message(document: Any) -> str:
    """Return the message of an error body, or an empty string."""
    if isinstance(document, list) and document:
        return error_message(document[0])
    if isinstance(document, dict):
        found = next((document[k] for k in ("error", "message") if document.get(k)), "")
        return found if isinstance(found, str) else ""
    return ""


def is_refusal(row: Any) -> bool:
    """Whether a row of a create's answer is a refusal."""
    if not isinstance(row, dict):
        return False
    status = str(row.get("status", "")).lower()
    return bool(row.get("error") or row.get("errors")) or status.startswith(("fail", "error"))


def _acceptance(answer: Answer | None) -> Acceptance:
    match answer.outcome if answer else None:
        case Outcome.ACKNOWLEDGED:
            return Acceptance.ACCEPTED
        case Outcome.REFUSED if answer and not answer.ids:  # with ids, it created some of them
            return Acceptance.REFUSED
        case Outcome.FAILED if answer and answer.stop:  # 403: there is no access
            return Acceptance.REFUSED
        case _:
            return Acceptance.UNCLEAR


def _request(path: str, document: Any) -> RawRequest:
    body = json.dumps(document, separators=(",", ":")).encode()
    return RawRequest(method="POST", path=path, body=body)


def _update_body(entries: Sequence[tuple[Sequence[User], Sequence[Line]]]) -> dict[str, Any]:
    return {
        "bulk_profiles": [
            {"user_profiles": list(users), "segments": list(lines)} for users, lines in entries
        ]
    }


def _shell(entry: Mapping[str, str], *, sure: bool, ct_id: int | None = None) -> Shell:
    return Shell(
        name=entry.get("segment_name", "(no name)"),
        customer_id=entry.get("customer_segment_id"),
        ct_id=ct_id,
        sure=sure,
    )


def _possible_shells(entries: Sequence[Mapping[str, str]], reply: Reply) -> list[Shell]:
    """Return the segments that an answered create created or may have created."""
    if reply.acceptance is Acceptance.REFUSED:
        return []
    rows = reply.rows()
    listed = rows is not None and len(rows) == len(entries)
    matched = rows if rows is not None and listed else [None] * len(entries)
    # A success without rows can mean only some of several entries.
    sure = reply.acceptance is Acceptance.ACCEPTED and (listed or len(entries) == 1)
    return [
        _shell(
            entry,
            sure=sure or row is not None,
            ct_id=reply.ids.get(entry.get("customer_segment_id", "")) or segment_id_of(row),
        )
        for entry, row in zip(entries, matched, strict=True)
        if not is_refusal(row)
    ]


def segment_id_of(row: Any) -> int | None:
    """Return the id in a row of a create's answer, or ``None``."""
    if isinstance(row, dict):
        for name in ("id", "ct_segment_id", "segment_id"):
            value = row.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
            if isinstance(value, str) and value.isascii() and value.isdecimal():
                return int(value)
    return None
