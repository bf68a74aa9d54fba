"""The service's answers: faults, and possible shapes of undocumented answers."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """An HTTP answer. ``status`` 0 means a connection cut without an answer."""

    status: int
    body: bytes = b""

    @property
    def acknowledges(self) -> bool:
        """Whether the vendor's documentation calls this answer an accepted update."""
        return self.status == 200 and self.body == OK.body


def answer(status: int, document: Any) -> Answer:
    """Return an answer with a JSON body."""
    return Answer(status, json.dumps(document).encode())


def failure(status: int, words: str) -> Answer:
    """Return an error as the vendor's older calls phrase it."""
    return answer(status, {"status": "fail", "error": words, "code": status})


OK = answer(200, {"success": True})
CUT = Answer(0)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong with a request: ``answer`` instead of the right one.

    ``applies`` says whether the request takes effect all the same.
    """

    name: str
    answer: Answer
    applies: bool = False


THROTTLED = Fault(name="429", answer=failure(429, "Too many concurrent requests"))
BROKEN = Fault(name="500", answer=failure(500, "system error"))
BROKEN_AFTER = Fault(name="500 after", answer=BROKEN.answer, applies=True)
UNAVAILABLE = Fault(name="503", answer=Answer(503, b"<html>try later</html>"))
CUT_BEFORE = Fault(name="cut before", answer=CUT)
CUT_AFTER = Fault(name="cut after", answer=CUT, applies=True)
EMPTY = Fault(name="200 empty", answer=Answer(200), applies=True)
NO_SUCCESS = Fault(name="200 success false", answer=answer(200, {"success": False}))
SLOW = Fault(name="slow", answer=OK, applies=True)
"""Waits for other requests, then answers as it should."""

FAULTS = (
    THROTTLED,
    BROKEN,
    BROKEN_AFTER,
    UNAVAILABLE,
    CUT_BEFORE,
    CUT_AFTER,
    EMPTY,
    NO_SUCCESS,
    SLOW,
)

Schedule = Callable[[str, int], Fault | None]
"""Gives the fault of the n-th request (from 0) of a call, ``None`` for none."""


def no_faults(call: str, number: int) -> None:
    """Inject no faults."""
    del call, number


def always(fault: Fault, *, call: str = "", first: int = 0, times: int = 1_000_000) -> Schedule:
    """Make one call (both, by default) fail in one way, from its request ``first`` on."""

    def schedule(of: str, number: int) -> Fault | None:
        return fault if call in ("", of) and first <= number < first + times else None

    return schedule


@dataclass
class Chances:
    """Makes a seeded random share of requests fail, at most ``most`` of them."""

    seed: int
    share: float
    faults: Sequence[Fault] = FAULTS
    most: int = 1_000_000
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - a schedule, not a secret

    def __call__(self, call: str, number: int) -> Fault | None:
        """Draw the fault of a request."""
        del call, number
        if self.most <= 0 or self._random.random() >= self.share:
            return None
        self.most -= 1
        return self._random.choice(self.faults)


# Answers to a create, which the vendor's pages do not show.

PlanBundle = Mapping[str, Any]
"""A created segment: ``ct_segment_id``, ``customer_segment_id`` and ``segment_name``."""


def _numbers(rows: Sequence[PlanBundle], field: str, kind: type = int) -> list[dict[str, Any]]:
    return [{field: kind(row["ct_segment_id"])} for row in rows]


CREATED: Mapping[str, Callable[[Sequence[PlanBundle]], Answer]] = {
    "rows": lambda rows: answer(200, [dict(row) for row in rows]),
    "rows, 201": lambda rows: answer(201, [dict(row) for row in rows]),
    "rows backwards": lambda rows: answer(200, [dict(row) for row in reversed(rows)]),
    "ids alone": lambda rows: answer(200, _numbers(rows, "id")),
    "ids as strings": lambda rows: answer(200, _numbers(rows, "segment_id", str)),
    "numbers": lambda rows: answer(200, [row["ct_segment_id"] for row in rows]),
    "wrapped in segments": lambda rows: answer(200, {"segments": [dict(row) for row in rows]}),
    "wrapped in data": lambda rows: answer(
        201, {"status": "success", "data": [dict(row) for row in rows]}
    ),
    "wrapped twice": lambda rows: answer(
        200, {"success": True, "result": {"segments": [dict(row) for row in rows]}}
    ),
    "no ids": lambda _: answer(200, {"success": True}),
    "no ids, 201": lambda _: answer(201, {"status": "success"}),
    "counted": lambda rows: answer(
        200, {"status": "success", "processed": len(rows), "unprocessed": []}
    ),
    "with empty errors": lambda _: answer(200, {"success": True, "errors": []}),
    "words": lambda _: answer(200, {"message": "Segments created"}),
    "204": lambda _: Answer(204),
    "empty": lambda _: Answer(200),
    "no JSON": lambda _: Answer(200, b"OK"),
    "null": lambda _: answer(200, None),
    "empty list": lambda _: answer(200, []),
}

UNCLEAR = ("204", "empty", "no JSON", "null", "empty list")
"""Those of them that do not say for certain that the segments were made."""

_TWICE = "customer_segment_id already exists"

DUPLICATE: Mapping[str, Callable[[Sequence[str]], Answer]] = {
    "409": lambda _: failure(409, _TWICE),
    "409, no words": lambda _: Answer(409),
    "400": lambda ids: failure(400, f"Segment {ids[0]} already exists"),
    "400 unique": lambda _: failure(400, "customer_segment_id must be unique"),
    "400 success false": lambda _: answer(400, {"success": False, "message": "Duplicate segment"}),
    "200 fail": lambda _: answer(200, {"status": "fail", "error": _TWICE, "code": 409}),
    "200 success false": lambda _: answer(200, {"success": False, "error": _TWICE}),
}

PARTIAL: Mapping[str, Callable[[Sequence[PlanBundle], Sequence[str]], Answer]] = {
    "rows": lambda rows, ids: answer(
        200,
        [*map(dict, rows), *({"customer_segment_id": key, "error": _TWICE} for key in ids)],
    ),
    "207 rows": lambda rows, ids: answer(
        207,
        [*map(dict, rows), *({"customer_segment_id": key, "error": _TWICE} for key in ids)],
    ),
    "unprocessed": lambda rows, ids: answer(
        200,
        {
            "status": "partial",
            "processed": len(rows),
            "unprocessed": [
                {
                    "status": "fail",
                    "code": 409,
                    "error": _TWICE,
                    "record": {"customer_segment_id": k},
                }
                for k in ids
            ],
        },
    ),
}
"""Answers to a create that made some of the segments, and left out those that were there."""
