"""What every question works with: requests asked for beforehand, noted, and undone.

The lab remembers each segment and each membership that a request may have made, from
before the request leaves, so that whatever happens it can say what is there and take
its members out again.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from segctl.core.clock import Clock
from segctl.core.errors import CredentialsRefused, SegctlError
from segctl.core.outcomes import Answer, Outcome
from segctl.probing.masking import Masker
from segctl.probing.report import Certainty, Cost, Exchange, ProbeFinding, Shell, Write
from segctl.provider.raw import RawReply, RawRequest
from segctl.provider.wire import NewSegment, judge_create, judge_update, masked_words

CREATE = "/api/createSegment"
UPDATE = "/api/updateSegment"
ARRAY = "array"
WRAPPED = "wrapped"
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait after a 429 before the same request again: others may use the account."""

_SHOWN_HEADERS = ("content-type", "retry-after", "date", "server")

User = Mapping[str, str | int]
Line = Mapping[str, str | int]


class Service(Protocol):
    """What the lab needs of the service; ``provider.raw`` has it."""

    @property
    def secrets(self) -> tuple[str, str]:
        """What must appear in no report."""

    def send(self, request: RawRequest) -> RawReply:
        """Send one request."""

    def send_at_once(self, requests: Sequence[RawRequest]) -> list[RawReply]:
        """Send several side by side."""

    def wait(self, seconds: float) -> None:
        """Let ``seconds`` pass."""


class Declined(Exception):
    """Somebody said no to a write."""


class EndedEarly(SegctlError):
    """Nothing more can be learned."""


class Verdict(Enum):
    """What the service made of a request; unclear answers prove nothing."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNCLEAR = "unclear"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A request's answer; ``number`` is that of its exchange in the report."""

    number: int
    verdict: Verdict
    status: int | None
    document: Any
    raw: RawReply
    ids: Mapping[str, int]
    words: str
    exists: bool

    @property
    def said(self) -> str:
        """The answer in a few words."""
        shown = f"HTTP {self.status}" if self.status is not None else self.raw.problem
        return f"{shown}, {self.words}" if self.words else shown

    @property
    def code(self) -> object:
        """The code in the body, if there is one."""
        return self.document.get("code") if isinstance(self.document, dict) else None

    def rows(self) -> list[Any] | None:
        """Give the segments that a create's answer lists."""
        if isinstance(self.document, list):
            return self.document
        if isinstance(self.document, dict):
            for name in ("segments", "data", "result"):
                if isinstance(self.document.get(name), list):
                    return list(self.document[name])
        return None


@dataclass(frozen=True, kw_only=True)
class CreatedSegment:
    """A segment of the probe's."""

    name: str
    customer_id: str
    ct_id: int | None


class ProbeRun:
    """One probe: the service, the names in use, and everything that was sent.

    ``stem`` begins every name and is unlike any other's; ``approve`` is asked before each
    write and says whether it may go.
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
        self.exchanges: list[Exchange] = []
        self.shells: list[Shell] = []
        self.members: dict[str, tuple[User, str]] = {}
        """Memberships that may exist, by their text: the user as sent, the customer id."""
        self.mask = Masker(stem=self.stem, secrets=service.secrets)
        self._approve = approve
        self._fresh = 0

    # Names

    def fresh(self) -> dict[str, str]:
        """Give a segment that was never asked for."""
        self._fresh += 1
        name = f"{self.stem}-{self._fresh}"
        return {"segment_name": name, "customer_segment_id": name}

    def user(self, number: int) -> dict[str, str]:
        """Give the probe's user of that number."""
        return {"identity": f"{self.stem}-identity-u{number}"}

    def guid(self, number: int) -> str:
        """Give a guid that nobody has."""
        return f"{self.stem}-guid-g{number}"

    def clock_number(self) -> int:
        """Give a number that is nobody's identity: the time in microseconds."""
        return int(self.clock.now() * 1_000_000)

    def nowhere(self, number: int = 0) -> dict[str, str]:
        """Give a line for a segment that does not exist, so that nothing can happen."""
        return {"customer_segment_id": f"{self.stem}-nowhere-{number}", "action": "REMOVE"}

    # Requests

    def create(
        self, entries: Sequence[Mapping[str, str]], *, purpose: str, cost: Cost, form: str = ""
    ) -> Reply:
        """Send a create; what it may make is remembered."""
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
        self.shells[before:] = _made(entries, reply)
        return reply

    def update(
        self, *entries: tuple[Sequence[User], Sequence[Line]], purpose: str, cost: Cost
    ) -> Reply:
        """Send an update of (users, lines); the members it may make are remembered."""
        self._ask(Write(purpose=purpose, cost=cost))
        return self._update(entries, purpose=purpose)

    def remove(self, user: User, segment: CreatedSegment, *, purpose: str) -> Reply:
        """Take a user out again; not asked for, since it was announced."""
        line = {"customer_segment_id": segment.customer_id, "action": "REMOVE"}
        return self._update([([user], [line])], purpose=purpose)

    def update_at_once(self, count: int, *, purpose: str) -> list[Reply]:
        """Send ``count`` updates side by side, none of which changes anything."""
        self._ask(Write(purpose=purpose, cost=Cost(errors=count), requests=count))
        request = _request(UPDATE, _bulk([([self.user(8)], [self.nowhere()])]))
        raws = self.service.send_at_once([request] * count)
        return [self._noted(request, raw, purpose=purpose, judge=self._judge) for raw in raws]

    def remark(self, purpose: str, request: RawRequest, status: int | None, reply: str) -> int:
        """Note an exchange whose answer is shown in another form; gives its number."""
        raw = RawReply(status=status)
        return self._exchange(request, raw, purpose=purpose, reply=reply)

    def clean(self) -> tuple[str, ...]:
        """Remove every member that may be there; gives those that may still be."""
        left = []
        for key, (user, customer_id) in list(self.members.items()):
            line = {"customer_segment_id": customer_id, "action": "REMOVE"}
            reply = self._update([([user], [line])], purpose="clean up: remove a member")
            if reply.verdict is Verdict.ACCEPTED:
                self.members.pop(key, None)
            else:
                left.append(f"{json.dumps(user)} in {customer_id}")
        return tuple(left)

    def members_left(self) -> tuple[str, ...]:
        """Name the members that may be there."""
        return tuple(f"{json.dumps(user)} in {segment}" for user, segment in self.members.values())

    # Parts

    def _ask(self, write: Write) -> None:
        if not self._approve(write):
            raise Declined

    def _update(
        self, entries: Sequence[tuple[Sequence[User], Sequence[Line]]], *, purpose: str
    ) -> Reply:
        added = self._additions(entries)
        self.members.update(added)
        reply = self._post(UPDATE, _bulk(entries), purpose=purpose, judge=self._judge)
        if reply.verdict is Verdict.REFUSED:
            for key in added:
                self.members.pop(key, None)
        return reply

    def _additions(
        self, entries: Sequence[tuple[Sequence[User], Sequence[Line]]]
    ) -> dict[str, tuple[User, str]]:
        """Give the memberships that these entries may make and that are not there yet."""
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
        """Take note that a user is a member no more."""
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
        reply = self._noted(request, raw, purpose=purpose, judge=judge)
        if raw.status == 401:
            raise CredentialsRefused(
                f"the credentials were refused: {reply.said}",
                hint="Check CLEVERTAP_ACCOUNT_ID, CLEVERTAP_PASSCODE and the region.",
            )
        return reply

    def _noted(
        self,
        request: RawRequest,
        raw: RawReply,
        *,
        purpose: str,
        judge: Callable[[int, bytes], Answer],
    ) -> Reply:
        number = self._exchange(request, raw, purpose=purpose, reply=self.mask.text(raw.body))
        answer = judge(raw.status, raw.body) if raw.status is not None else None
        document = parse(raw.body)
        return Reply(
            number=number,
            verdict=_verdict(answer),
            status=raw.status,
            document=document,
            raw=raw,
            ids=answer.ids if answer else {},
            exists=answer.exists if answer else False,
            words=masked_words(self.mask.text(words_of(document)), self.service.secrets),
        )

    def _exchange(self, request: RawRequest, raw: RawReply, *, purpose: str, reply: str) -> int:
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
    """Make a lesson of what was seen."""
    return ProbeFinding(
        key=key,
        certainty=Certainty.OBSERVED,
        answer=answer,
        settings=settings or {},
        evidence=evidence,
    )


def cannot_tell(key: str, why: str, *evidence: int) -> ProbeFinding:
    """Make a lesson of what could not be seen."""
    return ProbeFinding(key=key, certainty=Certainty.CANNOT_TELL, answer=why, evidence=evidence)


def parse(body: bytes) -> Any:
    """Read JSON; ``None`` where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def words_of(document: Any) -> str:
    """Find the sentence in an error body."""
    if isinstance(document, list) and document:
        return words_of(document[0])
    if isinstance(document, dict):
        found = next((document[k] for k in ("error", "message") if document.get(k)), "")
        return found if isinstance(found, str) else ""
    return ""


def fails(row: Any) -> bool:
    """Tell whether a row of a create's answer is a refusal."""
    if not isinstance(row, dict):
        return False
    status = str(row.get("status", "")).lower()
    return bool(row.get("error") or row.get("errors")) or status.startswith(("fail", "error"))


def _verdict(answer: Answer | None) -> Verdict:
    match answer.outcome if answer else None:
        case Outcome.ACKNOWLEDGED:
            return Verdict.ACCEPTED
        case Outcome.REFUSED if answer and not answer.ids:  # else it made some of them
            return Verdict.REFUSED
        case _:
            return Verdict.UNCLEAR


def _request(path: str, document: Any) -> RawRequest:
    body = json.dumps(document, separators=(",", ":")).encode()
    return RawRequest(method="POST", path=path, body=body)


def _bulk(entries: Sequence[tuple[Sequence[User], Sequence[Line]]]) -> dict[str, Any]:
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


def _made(entries: Sequence[Mapping[str, str]], reply: Reply) -> list[Shell]:
    """Give the segments that an answered create made, or may have made."""
    if reply.verdict is Verdict.REFUSED:
        return []
    rows = reply.rows()
    listed = rows is not None and len(rows) == len(entries)
    matched = rows if rows is not None and listed else [None] * len(entries)
    # A plain success may be for some of several entries.
    sure = reply.verdict is Verdict.ACCEPTED and (listed or len(entries) == 1)
    return [
        _shell(
            entry,
            sure=sure or row is not None,
            ct_id=reply.ids.get(entry.get("customer_segment_id", "")) or id_of(row),
        )
        for entry, row in zip(entries, matched, strict=True)
        if not fails(row)
    ]


def id_of(row: Any) -> int | None:
    """Give the id in a row of a create's answer."""
    if isinstance(row, dict):
        for name in ("id", "ct_segment_id", "segment_id"):
            value = row.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
            if isinstance(value, str) and value.isascii() and value.isdecimal():
                return int(value)
    return None
