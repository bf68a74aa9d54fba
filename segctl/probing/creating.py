"""Questions about createSegment, asked with as few segments as they can be.

A request that must be refused costs nothing; one that is accepted uses up a segment for
good.  So the second segment settles two questions at once: it is asked for in the other
body and under the first one's name, and only what is refused is taken back.
"""

from dataclasses import replace
from typing import Any

from segctl.probing.probe_run import (
    ARRAY,
    WRAPPED,
    CreatedSegment,
    EndedEarly,
    ProbeRun,
    Reply,
    Verdict,
    cannot_tell,
    fails,
    id_of,
    observed,
)
from segctl.probing.report import Cost, ProbeFinding

_FORMS = {ARRAY: "a bare array", WRAPPED: "an object with a segments array"}
_ID_FIELDS = ("id", "ct_segment_id", "segment_id")
_ONE = Cost(segments=1)


def first_segment(lab: ProbeRun) -> list[ProbeFinding]:
    """Make the first segment; raises ``EndedEarly`` where it cannot be made."""
    for form in (ARRAY, WRAPPED):
        entry = lab.fresh()
        purpose = f"create the first segment: {_FORMS[form]}"
        reply = lab.create([entry], purpose=purpose, cost=_ONE, form=form)
        if reply.verdict is Verdict.ACCEPTED:
            lab.form = form
            lab.first = _taken(entry, reply)
            return _answer(reply)
        if reply.verdict is Verdict.UNCLEAR:
            return _once_more(lab, entry, form, reply)
    raise EndedEarly(f"createSegment refused both bodies: {reply.said}")


def _once_more(
    lab: ProbeRun, entry: dict[str, str], form: str, before: Reply
) -> list[ProbeFinding]:
    """Go on from a first create whose answer was unclear."""
    reply, verdict = _settled(lab, entry, "create the first segment", form)
    lab.form = form
    if reply.verdict is Verdict.ACCEPTED:
        lab.first = _taken(entry, reply)
        return _answer(reply)
    if verdict is not Verdict.ACCEPTED:
        raise EndedEarly(f"the first create got no clear answer: {before.said}; {reply.said}")
    customer_id = entry["customer_segment_id"]
    lab.first = CreatedSegment(name=entry["segment_name"], customer_id=customer_id, ct_id=None)
    evidence = (before.number, reply.number)
    keys = ("create_id_field", "create_id_type")
    lessons = [cannot_tell(key, "the answer names no id", *evidence) for key in keys]
    if before.status is None or not 200 <= before.status < 300:
        said = f"the segment was made, without an answer: {before.said}"
        return [*lessons, cannot_tell("create_answer", said, *evidence)]
    said = "nothing that can be read, yet the segment was made"
    return [*lessons, _status(before), observed("create_answer", said, *evidence)]


def _status(reply: Reply) -> ProbeFinding:
    settings = {"create_status": reply.status} if reply.status in (200, 201) else {}
    return observed("create_status", f"HTTP {reply.status}", reply.number, settings=settings)


def _taken(entry: dict[str, str], reply: Reply) -> CreatedSegment:
    rows = reply.rows() or [reply.document]
    customer_id = entry["customer_segment_id"]
    return CreatedSegment(
        name=entry["segment_name"],
        customer_id=customer_id,
        ct_id=reply.ids.get(customer_id) or id_of(rows[0] if rows else None),
    )


def _answer(reply: Reply) -> list[ProbeFinding]:
    """Read the shape of a create's answer."""
    number, document = reply.number, reply.document
    lessons = [_status(reply)]
    rows = reply.rows()
    shape = ""
    if isinstance(document, list) and all(isinstance(row, dict) for row in document):
        shape, said = "array", "an array of the segments made"
    elif isinstance(document, dict) and isinstance(document.get("segments"), list):
        shape, said = "wrapped", "an object with a segments array"
    elif isinstance(document, dict) and not set(document) - {"success", "status", "message"}:
        shape, said = "success_only", "that it was successful, and no segment"
    else:
        said = "another shape, see the evidence"
    settings: dict[str, str | int] = {"create_answer": shape} if shape else {}
    lessons.append(observed("create_answer", said, number, settings=settings))
    row = rows[0] if rows else document
    fields = [name for name in _ID_FIELDS if isinstance(row, dict) and row.get(name) is not None]
    if not fields:
        return [
            *lessons,
            cannot_tell("create_id_field", "the answer names no id", number),
            cannot_tell("create_id_type", "the answer names no id", number),
        ]
    return [*lessons, *_id(row, fields, number)]


def _id(row: dict[str, Any], fields: list[str], number: int) -> list[ProbeFinding]:
    value = row[fields[0]]
    kind = {int: "integer", str: "string"}.get(type(value), "")
    return [
        observed(
            "create_id_field",
            " and ".join(fields),
            number,
            settings={"create_id_field": fields[0]} if len(fields) == 1 else {},
        ),
        observed(
            "create_id_type",
            {"integer": "a number", "string": "a string"}.get(kind, "neither number nor string"),
            number,
            settings={"create_id_type": kind} if kind else {},
        ),
    ]


def second_segment(
    lab: ProbeRun, first: CreatedSegment, refused_first: int | None
) -> list[ProbeFinding]:
    """Make the second segment, which tells about bodies and names.

    ``refused_first`` is the exchange in which the first was refused as a bare array.
    """
    forms = (WRAPPED, ARRAY) if lab.form == ARRAY else (WRAPPED,)
    evidence = [] if refused_first is None else [refused_first]
    name = ""
    for same_name in (True, False):
        for form in forms:
            entry = lab.fresh()
            if same_name:
                entry["segment_name"] = first.name
            named = "under the first one's name" if same_name else "under a name of its own"
            purpose = f"create the second segment {named}: {_FORMS[form]}"
            reply = lab.create([entry], purpose=purpose, cost=_ONE, form=form)
            evidence.append(reply.number)
            if reply.verdict is Verdict.UNCLEAR and same_name:
                # Sent again, a refusal could be about the name as well as about the id.
                name = "unclear"
                break
            verdict = reply.verdict
            if verdict is Verdict.UNCLEAR:
                reply, verdict = _settled(lab, entry, purpose, form)
                evidence.append(reply.number)
            if verdict is Verdict.ACCEPTED:
                lab.second = _taken(entry, reply)
                name = name or ("accept" if same_name else "refuse")
                return [_bodies(lab.form, form, evidence), _names(name, evidence)]
            if verdict is Verdict.UNCLEAR:
                return _neither(f"no clear answer: {reply.said}", evidence)
    return _neither("every create of a second segment was refused", evidence)


def _settled(
    lab: ProbeRun, entry: dict[str, str], purpose: str, form: str
) -> tuple[Reply, Verdict]:
    """Create the same again: it is made now, or was before; then its customer id is taken."""
    again = f"{purpose}, again, since the answer was unclear"
    reply = lab.create([entry], purpose=again, cost=_ONE, form=form)
    if reply.verdict is Verdict.REFUSED and reply.exists:
        lab.shells[-1] = replace(lab.shells[-1], sure=True)
        return reply, Verdict.ACCEPTED
    return reply, reply.verdict if reply.verdict is Verdict.ACCEPTED else Verdict.UNCLEAR


def _neither(why: str, evidence: list[int]) -> list[ProbeFinding]:
    keys = ("create_body", "duplicate_name_in_account")
    return [cannot_tell(key, why, *evidence) for key in keys]


def _bodies(known: str, accepted: str, evidence: list[int]) -> ProbeFinding:
    """Judge by the one difference between a create that was refused and one that was not."""
    body = WRAPPED if known == WRAPPED else "either" if accepted == WRAPPED else ARRAY
    said = {"either": "both bodies", ARRAY: _FORMS[ARRAY], WRAPPED: _FORMS[WRAPPED]}[body]
    return observed("create_body", said, *evidence, settings={"create_body": body})


def _names(name: str, evidence: list[int]) -> ProbeFinding:
    key = "duplicate_name_in_account"
    if name == "unclear":
        return cannot_tell(key, "the answer was unclear", *evidence)
    said = "accepted" if name == "accept" else "refused"
    return observed(key, said, *evidence, settings={key: name})


def taken_customer_id(lab: ProbeRun, first: CreatedSegment) -> list[ProbeFinding]:
    """Create the first one's customer id once more."""
    entry = {**lab.fresh(), "customer_segment_id": first.customer_id}
    reply = lab.create([entry], purpose="create a customer_segment_id that is taken", cost=_ONE)
    number = reply.number
    if reply.verdict is Verdict.REFUSED:
        status = reply.status if reply.status in (400, 409) else None
        return [
            observed(
                "duplicate_customer_id",
                f"refused: {reply.said}",
                number,
                settings={"duplicate_customer_id": "refuse"},
            ),
            observed(
                "duplicate_status",
                f"HTTP {reply.status}",
                number,
                settings={"duplicate_status": status} if status else {},
            ),
        ]
    no_status = cannot_tell("duplicate_status", "it was not refused", number)
    if reply.verdict is Verdict.UNCLEAR:
        return [cannot_tell("duplicate_customer_id", f"no clear answer: {reply.said}", number)]
    again = _taken(entry, reply).ct_id
    if again is not None and again == first.ct_id:
        lab.shells.pop()  # it is the first segment
        said, settings = "accepted: the id of the segment there is", True
    elif again is not None:
        said, settings = "accepted, with an id of its own", False
    else:
        lab.shells[-1] = replace(lab.shells[-1], sure=False)
        said, settings = "accepted; the answer names no id, so what was made is unknown", True
    chosen: dict[str, str | int] = {"duplicate_customer_id": "return_existing"} if settings else {}
    return [observed("duplicate_customer_id", said, number, settings=chosen), no_status]


def missing_customer_id(lab: ProbeRun) -> list[ProbeFinding]:
    """Create a segment without a customer id."""
    entry = {"segment_name": lab.fresh()["segment_name"]}
    reply = lab.create([entry], purpose="create without customer_segment_id", cost=_ONE)
    return [_accepted_or_not("missing_customer_id", reply)]


def _accepted_or_not(key: str, reply: Reply) -> ProbeFinding:
    if reply.verdict is Verdict.UNCLEAR:
        return cannot_tell(key, f"no clear answer: {reply.said}", reply.number)
    accepted = reply.verdict is Verdict.ACCEPTED
    said = "accepted" if accepted else f"refused: {reply.said}"
    settings = {key: "accept" if accepted else "refuse"}
    return observed(key, said, reply.number, settings=settings)


def bad_entry(lab: ProbeRun) -> list[ProbeFinding]:
    """Create a good segment beside one without a name."""
    bad = {"customer_segment_id": lab.fresh()["customer_segment_id"]}
    reply = lab.create(
        [lab.fresh(), bad],
        purpose="create a good segment beside one without segment_name",
        cost=Cost(segments=2),
    )
    key, number = "create_processing", reply.number
    rows = reply.rows() or []
    failed = [fails(row) for row in rows]
    if failed == [False, True]:
        settings = {key: "partial"}
        return [observed(key, "no: the good one was made", number, settings=settings)]
    if reply.verdict is Verdict.REFUSED:
        settings = {key: "all_or_nothing"}
        return [observed(key, f"yes: {reply.said}", number, settings=settings)]
    return [cannot_tell(key, f"the answer does not say which was made: {reply.said}", number)]


def name_twice(lab: ProbeRun, *, whole: bool) -> list[ProbeFinding]:
    """Create one name twice in a request; ``whole``: a bad entry refuses all of it."""
    one, other = lab.fresh(), lab.fresh()
    other["segment_name"] = one["segment_name"]
    reply = lab.create(
        [one, other], purpose="create one segment_name twice in a request", cost=Cost(segments=2)
    )
    key, number = "duplicate_name_in_request", reply.number
    rows = reply.rows()
    if rows and len(rows) == 2 and any(map(fails, rows)):
        said = "one of the two was refused"
        return [observed(key, said, number, settings={key: "refuse"})]
    if reply.verdict is Verdict.ACCEPTED and rows is None and not whole:
        return [cannot_tell(key, "the answer does not say which were made", number)]
    return [_accepted_or_not(key, reply)]


def no_segment(lab: ProbeRun) -> list[ProbeFinding]:
    """Create nothing."""
    reply = lab.create([], purpose="create an empty array", cost=Cost())
    if reply.verdict is Verdict.UNCLEAR:
        return [cannot_tell("create_empty", f"no clear answer: {reply.said}", reply.number)]
    return [observed("create_empty", f"{reply.verdict.value}: {reply.said}", reply.number)]
