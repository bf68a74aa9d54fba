"""What became of each request: the classes of outcome, and a ledger folded from a journal.

Pure: ``journal.py`` keeps the records, ``applier.py`` makes them.  Replaying
records twice equals replaying them once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

Record = Mapping[str, Any]
"""One line of a journal: a JSON object with a ``type``; see ``journal.py``."""


class Outcome(StrEnum):
    """What is known of one request.

    ``ACKNOWLEDGED``: the service said that it accepted it (accepted is not applied:
    skipped entries show only in the Error Stream).  ``REFUSED``: the service said
    that it did not, for its content.  ``FAILED``: it said that it did not do it, for
    another reason, or it never left.  ``UNCERTAIN``: sent, and no trustworthy answer.
    """

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The provider's verdict on one request.

    ``stop`` is true where the whole apply must end (credentials); ``detail`` is the
    service's words, shortened; ``exists`` marks a create refused as a duplicate;
    ``ids`` maps customer segment ids to CleverTap ids where a create told them.
    ``attempts`` counts requests that left; ``throttled`` those answered 429.
    ``doubted`` is true where one of the attempts got no trustworthy answer.
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
    """One pair that fared otherwise than the request it was planned in."""

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


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """All outcomes of one apply: by request number, and by target index for creates.

    ``blocked`` targets were not created, so nothing was sent to them: their pairs
    count as not tried whatever became of the request they were planned in.
    ``exceptions`` are pairs that fared otherwise than their request.
    """

    updates: Mapping[int, RequestOutcome] = field(default_factory=dict)
    exceptions: tuple[PairOutcome, ...] = ()
    creates: Mapping[int, CreateOutcome] = field(default_factory=dict)
    blocked: frozenset[int] = frozenset()
    ended: bool = False

    def count(self, outcome: Outcome) -> int:
        """Give the number of update requests with this outcome."""
        return sum(o.outcome is outcome for o in self.updates.values())

    @property
    def has_no_effect(self) -> bool:
        """Whether the service surely did nothing, and judged no content either.

        So it is after wrong credentials, in a wrong region, without a network: then
        nothing is to be recorded, above all not which account and host a new state is of.
        """
        outcomes = {
            *(update.outcome for update in self.updates.values()),
            *(create.outcome for create in self.creates.values()),
            *(pair.outcome for pair in self.exceptions),
        }
        return outcomes <= {Outcome.FAILED, Outcome.NOT_TRIED}


def fold_records(records: Iterable[Record]) -> Ledger:
    """Fold a journal's records into a ledger.

    ``sent`` without a later ``outcome`` is uncertain, but for one that was ``kept_back``
    when it was ready to leave, and never left.  An uncertain request stays so
    only until a later record of the same request says better.
    """
    updates: dict[int, RequestOutcome] = {}
    exceptions: dict[int, list[PairOutcome]] = {}
    creates: dict[int, CreateOutcome] = {}
    blocked: frozenset[int] = frozenset()
    ended = False
    for record in records:
        # Others were written by a newer segctl; it may add kinds, never change one.
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
                for target in record["targets"]:
                    creates[target] = CreateOutcome(
                        outcome=Outcome(record["outcome"]),
                        at=record["at"],
                        ct_segment_id=record.get("ids", {}).get(str(target)),
                        detail=record.get("detail", ""),
                    )
            case "blocked":
                blocked |= frozenset(record["targets"])
            case "ended":
                ended = True
    return Ledger(
        updates=updates,
        exceptions=tuple(pair for pairs in exceptions.values() for pair in pairs),
        creates=creates,
        blocked=blocked,
        ended=ended,
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
    """Give the ledger of a run that was found dead at ``now``, in seconds since 1970.

    A request without an answer is repeated for minutes under its one record, so the
    last time it left may have been a moment ago; the settle time counts from there.
    """
    updates = {
        number: replace(o, at=max(o.at, now)) if o.outcome is Outcome.UNCERTAIN else o
        for number, o in ledger.updates.items()
    }
    return replace(ledger, updates=updates)
