"""The outcome of each request, and the ledger of all outcomes of an apply.

``applying/sender.py`` writes the records, ``backends/journal.py`` stores them, and
``fold_records`` folds them into a ledger. Folding the same records twice gives the same ledger.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from enum import StrEnum
from typing import Any

from segctl.core.dataclass import dataclass
from segctl.core.identity import Kind

Record = Mapping[str, Any]
"""One line of a journal: a JSON object with a ``type``; see ``journal.py``."""


EXISTS_ALREADY = "a segment with this customerSegmentId or name exists already"
"""Part of the detail of a create that the service refused as a duplicate."""

NO_CONNECTION = "could not connect to"
"""Part of the detail of a request that was never sent."""

NOT_FOUND = "HTTP 404"
"""Part of the detail of a request that was answered 404: there is no such call, or segment."""

ASK_FOR_ACCESS = (
    "If they are correct, ask CleverTap whether the account has API Segments, a private beta "
    "for the plans Advanced and Cutting Edge."
)
"""What to do if credentials and region are correct and the service still refuses its calls."""


class Outcome(StrEnum):
    """What is known about one request.

    - ``ACKNOWLEDGED``: the service accepted it. Accepted is not applied: entries that the
      service skips appear only in the Error Stream.
    - ``REFUSED``: the service rejected its content.
    - ``FAILED``: the service did not carry it out for another reason, or it was never sent.
    - ``UNCERTAIN``: it was sent, and there is no trustworthy answer.
    - ``NOT_TRIED``: the apply ended before it was sent.
    """

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The provider's result for one request, all its attempts included.

    ``detail`` is what the service said, shortened. ``status`` is the HTTP status. ``stop`` means
    that the whole apply must end, because of the credentials. ``exists`` means that a create was
    refused as a duplicate. ``ids`` maps customer segment ids to CleverTap ids, if the answer to a
    create contains them. ``attempts`` counts requests sent, ``throttled`` those answered with 429.
    ``doubted`` means that at least one attempt got no trustworthy answer.
    """

    outcome: Outcome
    detail: str = ""
    doubted: bool = False
    status: int | None = None
    stop: bool = False
    exists: bool = False
    ids: Mapping[str, int] = field(default_factory=dict)
    attempts: int = 1
    throttled: int = 0


@dataclass(frozen=True, kw_only=True)
class RequestOutcome:
    """The last known outcome of one update request; ``at`` is seconds since 1970."""

    outcome: Outcome
    at: float
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class PairOutcome:
    """The outcome of one pair, if it differs from that of its request."""

    target_index: int
    kind: str
    value: str = field(repr=False)
    outcome: Outcome
    at: float
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class CreateOutcome:
    """The last known outcome of creating one target."""

    outcome: Outcome
    at: float
    ct_segment_id: int | None = None
    detail: str = ""

    @property
    def exists(self) -> bool:
        """Whether the service refused to create the segment because there is one."""
        return self.outcome is Outcome.REFUSED and EXISTS_ALREADY in self.detail


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """All outcomes of one apply: ``updates`` by request number, ``creates`` by target index.

    ``exceptions`` are pairs whose outcome differs from that of their request. ``blocked`` are
    indexes of targets that were not created, so nothing was sent to them: their pairs count as
    not tried, even if the rest of their request was acknowledged.
    """

    updates: Mapping[int, RequestOutcome] = field(default_factory=dict)
    exceptions: tuple[PairOutcome, ...] = ()
    creates: Mapping[int, CreateOutcome] = field(default_factory=dict)
    blocked: frozenset[int] = frozenset()

    def count(self, outcome: Outcome) -> int:
        """Return the number of update requests with this outcome."""
        return sum(o.outcome is outcome for o in self.updates.values())

    def fits(self, *, requests: int, targets: int) -> bool:
        """Whether it is about a plan with so many update requests and targets."""
        named = {*self.creates, *self.blocked, *(pair.target_index for pair in self.exceptions)}
        return all(n < requests for n in self.updates) and all(n < targets for n in named)

    @property
    def has_no_effect(self) -> bool:
        """Whether the service certainly did nothing, and refused no membership.

        That is the case with wrong credentials, the wrong region or no network, or if all creates
        were refused. Nothing is recorded then; in particular a new state is not bound to the
        account and the host.
        """
        outcomes = {
            *(update.outcome for update in self.updates.values()),
            *(pair.outcome for pair in self.exceptions),
        }
        creates = {create.outcome for create in self.creates.values()}
        none = {Outcome.FAILED, Outcome.NOT_TRIED}
        return outcomes <= none and creates <= {*none, Outcome.REFUSED}


def _is_index(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_time(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e12  # type: ignore[operator]  # a number


def _is_outcome(value: object) -> bool:
    return isinstance(value, str) and value in list(Outcome)


def _are_indexes(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_index, value))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_ids(value: object) -> bool:
    return isinstance(value, dict) and all(
        key.isdecimal() and (number is None or _is_index(number)) for key, number in value.items()
    )


def _are_pairs(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, dict)
        and _is_index(pair.get("target"))
        and pair.get("kind") in list(Kind)
        and isinstance(pair.get("value"), str)
        and _is_outcome(pair.get("outcome"))
        and isinstance(pair.get("detail", ""), str)
        for pair in value
    )


_REQUIRED: Mapping[str, Mapping[str, Callable[[object], bool]]] = {
    "sent": {"request": _is_index, "at": _is_time},
    "outcome": {"request": _is_index, "at": _is_time, "outcome": _is_outcome},
    "kept_back": {"request": _is_index},
    "create_sent": {"targets": _are_indexes, "at": _is_time},
    "create_outcome": {"targets": _are_indexes, "at": _is_time, "outcome": _is_outcome},
    "blocked": {"targets": _are_indexes},
}
_OPTIONAL: Mapping[str, Callable[[object], bool]] = {
    "detail": _is_text,
    "except": _are_pairs,
    "ids": _are_ids,
}


def is_record(record: Record) -> bool:
    """Whether a record has the fields of its type, in their forms.

    Other types are records too: a newer segctl may add some.
    """
    required = _REQUIRED.get(str(record.get("type")), {})
    return (
        isinstance(record.get("type"), str)
        and all(check(record.get(name)) for name, check in required.items())
        and (not required or all(c(record[n]) for n, c in _OPTIONAL.items() if n in record))
    )


def fold_records(records: Iterable[Record]) -> Ledger:
    """Fold the records of a journal into a ledger.

    A request that is ``sent`` without a later ``outcome`` is uncertain, unless it was
    ``kept_back`` after it was logged and before it was sent. A later record of the same request
    replaces an earlier one.
    """
    updates: dict[int, RequestOutcome] = {}
    exceptions: dict[int, list[PairOutcome]] = {}
    creates: dict[int, CreateOutcome] = {}
    blocked: frozenset[int] = frozenset()
    for record in records:
        # Other types need no folding, or come from a newer segctl: it may add types of records
        # but not change the meaning of one.
        match record["type"]:
            case "sent":
                updates[record["request"]] = RequestOutcome(
                    outcome=Outcome.UNCERTAIN, at=record["at"], detail="no answer"
                )
                exceptions.pop(record["request"], None)
            case "outcome":
                updates[record["request"]] = RequestOutcome(
                    outcome=Outcome(record["outcome"]),
                    at=record["at"],
                    detail=record.get("detail", ""),
                )
                exceptions[record["request"]] = _exceptions(record)
            case "kept_back":
                updates.pop(record["request"], None)
            case "create_sent":
                unknown = CreateOutcome(
                    outcome=Outcome.UNCERTAIN, at=record["at"], detail="no answer"
                )
                creates.update(dict.fromkeys(record["targets"], unknown))
            case "create_outcome":
                for target_index in record["targets"]:
                    creates[target_index] = CreateOutcome(
                        outcome=Outcome(record["outcome"]),
                        at=record["at"],
                        ct_segment_id=record.get("ids", {}).get(str(target_index)),
                        detail=record.get("detail", ""),
                    )
            case "blocked":
                blocked |= frozenset(record["targets"])
    return Ledger(
        updates=updates,
        exceptions=tuple(pair for pairs in exceptions.values() for pair in pairs),
        creates=creates,
        blocked=blocked,
    )


def _exceptions(record: Record) -> list[PairOutcome]:
    return [
        PairOutcome(
            target_index=pair["target"],
            kind=pair["kind"],
            value=pair["value"],
            outcome=Outcome(pair["outcome"]),
            at=record["at"],
            detail=pair.get("detail", ""),
        )
        for pair in record.get("except", ())
    ]


def restart_settle_time(ledger: Ledger, *, now: float) -> Ledger:
    """Return the ledger with uncertain requests dated ``now`` (seconds since 1970) at the earliest.

    For the ledger of a run that died. A request without an answer is repeated for minutes
    without another record, so its last attempt may be much later than the record says. The
    settle time has to start after it.
    """
    updates = {
        number: replace(o, at=max(o.at, now)) if o.outcome is Outcome.UNCERTAIN else o
        for number, o in ledger.updates.items()
    }
    return replace(ledger, updates=updates)
