"""Questions about createSegment, answered with as few segments as possible.

A refused request costs nothing; an accepted one uses up a segment permanently.  So the
second segment answers two questions at once: it is requested in the other body and with
the first one's name, and each is dropped only if refused.
"""

from dataclasses import replace
from typing import Any

from segctl.core.outcomes import ASK_FOR_ACCESS
from segctl.probing.probe_run import (
    ARRAY,
    WRAPPED,
    Acceptance,
    CreatedSegment,
    EndedEarly,
    ProbeRun,
    Reply,
    cannot_tell,
    is_refusal,
    observed,
    segment_id_of,
)
from segctl.probing.report import Cost, ProbeFinding

_FORMS = {ARRAY: "a bare array", WRAPPED: "an object with a segments array"}
_ID_FIELDS = ("id", "ct_segment_id", "segment_id")
_ONE = Cost(segments=1)


def first_segment(probe: ProbeRun) -> list[ProbeFinding]:
    """Create the first segment. Raises ``EndedEarly`` if that fails."""
    for form in (ARRAY, WRAPPED):
        entry = probe.new_entry()
        purpose = f"create the first segment: {_FORMS[form]}"
        reply = probe.create([entry], purpose=purpose, cost=_ONE, form=form)
        if reply.acceptance is Acceptance.ACCEPTED:
            probe.form = form
            probe.first = _created_segment(entry, reply)
            return _answer_findings(reply)
        if reply.acceptance is Acceptance.UNCLEAR:
            return _retry_first_segment(probe, entry, form, reply)
        if reply.status in (403, 404):
            raise _without_access(reply)
    raise EndedEarly(f"createSegment refused both bodies: {reply.summary}")


def _without_access(reply: Reply) -> EndedEarly:
    """Return the error for a service that has no createSegment for this account."""
    key = "api_segments"
    finding = observed(key, f"no: {reply.summary}", reply.number, settings={key: str(reply.status)})
    why = f"createSegment is refused: {reply.summary}. Check the credentials and the region."
    return EndedEarly(f"{why} {ASK_FOR_ACCESS}", findings=[finding])


def _retry_first_segment(
    probe: ProbeRun, entry: dict[str, str], form: str, before: Reply
) -> list[ProbeFinding]:
    """Repeat the first create after an unclear answer."""
    reply, acceptance = _create_again(probe, entry, "create the first segment", form)
    probe.form = form
    if reply.acceptance is Acceptance.ACCEPTED:
        probe.first = _created_segment(entry, reply)
        return _answer_findings(reply)
    if acceptance is not Acceptance.ACCEPTED:
        raise EndedEarly(f"the first create got no clear answer: {before.summary}; {reply.summary}")
    customer_id = entry["customer_segment_id"]
    probe.first = CreatedSegment(name=entry["segment_name"], customer_id=customer_id, ct_id=None)
    evidence = (before.number, reply.number)
    keys = ("create_id_field", "create_id_type")
    findings = [cannot_tell(key, "the answer names no id", *evidence) for key in keys]
    if before.status is None or not 200 <= before.status < 300:
        summary = f"the segment was made, without an answer: {before.summary}"
        return [*findings, cannot_tell("create_answer", summary, *evidence)]
    summary = "nothing that can be read, yet the segment was made"
    return [*findings, _status_finding(before), observed("create_answer", summary, *evidence)]


def _status_finding(reply: Reply) -> ProbeFinding:
    settings = {"create_status": reply.status} if reply.status in (200, 201) else {}
    return observed("create_status", f"HTTP {reply.status}", reply.number, settings=settings)


def _created_segment(entry: dict[str, str], reply: Reply) -> CreatedSegment:
    rows = reply.rows() or [reply.document]
    customer_id = entry["customer_segment_id"]
    return CreatedSegment(
        name=entry["segment_name"],
        customer_id=customer_id,
        ct_id=reply.ids.get(customer_id) or segment_id_of(rows[0] if rows else None),
    )


def _answer_findings(reply: Reply) -> list[ProbeFinding]:
    """Return the findings from a create's answer."""
    number, document = reply.number, reply.document
    findings = [_status_finding(reply)]
    rows = reply.rows()
    shape = ""
    if isinstance(document, list) and all(isinstance(row, dict) for row in document):
        shape, summary = "array", "an array of the segments made"
    elif isinstance(document, dict) and isinstance(document.get("segments"), list):
        shape, summary = "wrapped", "an object with a segments array"
    elif isinstance(document, dict) and not set(document) - {"success", "status", "message"}:
        shape, summary = "success_only", "that it was successful, and no segment"
    else:
        summary = "another shape, see the evidence"
    settings: dict[str, str | int] = {"create_answer": shape} if shape else {}
    findings.append(observed("create_answer", summary, number, settings=settings))
    row = rows[0] if rows else document
    fields = [name for name in _ID_FIELDS if isinstance(row, dict) and row.get(name) is not None]
    if not fields:
        return [
            *findings,
            cannot_tell("create_id_field", "the answer names no id", number),
            cannot_tell("create_id_type", "the answer names no id", number),
        ]
    return [*findings, *_id_findings(row, fields, number)]


def _id_findings(row: dict[str, Any], fields: list[str], number: int) -> list[ProbeFinding]:
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
    probe: ProbeRun, first: CreatedSegment, refused_first: int | None
) -> list[ProbeFinding]:
    """Create the second segment, which answers questions about bodies and names.

    ``refused_first`` is the exchange in which the first segment was refused as a bare array.
    """
    forms = (WRAPPED, ARRAY) if probe.form == ARRAY else (WRAPPED,)
    evidence = [] if refused_first is None else [refused_first]
    name = ""
    for same_name in (True, False):
        for form in forms:
            entry = probe.new_entry()
            if same_name:
                entry["segment_name"] = first.name
            named = "under the first one's name" if same_name else "under a name of its own"
            purpose = f"create the second segment {named}: {_FORMS[form]}"
            reply = probe.create([entry], purpose=purpose, cost=_ONE, form=form)
            evidence.append(reply.number)
            if reply.acceptance is Acceptance.UNCLEAR and same_name:
                # After a repeat, a refusal could be about the name or about the id.
                name = "unclear"
                break
            acceptance = reply.acceptance
            if acceptance is Acceptance.UNCLEAR:
                reply, acceptance = _create_again(probe, entry, purpose, form)
                evidence.append(reply.number)
            if acceptance is Acceptance.ACCEPTED:
                probe.second = _created_segment(entry, reply)
                name = name or ("accept" if same_name else "refuse")
                return [
                    _body_finding(probe.form, form, evidence),
                    _name_finding(name, evidence),
                ]
            if acceptance is Acceptance.UNCLEAR:
                return _no_second_segment(f"no clear answer: {reply.summary}", evidence)
    return _no_second_segment("every create of a second segment was refused", evidence)


def _create_again(
    probe: ProbeRun, entry: dict[str, str], purpose: str, form: str
) -> tuple[Reply, Acceptance]:
    """Send a create again. It creates the segment now, or its customer id is already taken."""
    again = f"{purpose}, again, since the answer was unclear"
    reply = probe.create([entry], purpose=again, cost=_ONE, form=form)
    if reply.acceptance is Acceptance.REFUSED and reply.exists:
        probe.shells[-1] = replace(probe.shells[-1], sure=True)
        return reply, Acceptance.ACCEPTED
    return (
        reply,
        reply.acceptance if reply.acceptance is Acceptance.ACCEPTED else Acceptance.UNCLEAR,
    )


def _no_second_segment(why: str, evidence: list[int]) -> list[ProbeFinding]:
    keys = ("create_body", "duplicate_name_in_account")
    return [cannot_tell(key, why, *evidence) for key in keys]


def _body_finding(known: str, accepted: str, evidence: list[int]) -> ProbeFinding:
    """Compare a refused create with an accepted one that differs only in its body."""
    body = WRAPPED if known == WRAPPED else "either" if accepted == WRAPPED else ARRAY
    summary = {"either": "both bodies", ARRAY: _FORMS[ARRAY], WRAPPED: _FORMS[WRAPPED]}[body]
    return observed("create_body", summary, *evidence, settings={"create_body": body})


def _name_finding(name: str, evidence: list[int]) -> ProbeFinding:
    key = "duplicate_name_in_account"
    if name == "unclear":
        return cannot_tell(key, "the answer was unclear", *evidence)
    summary = "accepted" if name == "accept" else "refused"
    return observed(key, summary, *evidence, settings={key: name})


def taken_customer_id(probe: ProbeRun, first: CreatedSegment) -> list[ProbeFinding]:
    """Create another segment with the first one's customer id."""
    entry = {**probe.new_entry(), "customer_segment_id": first.customer_id}
    reply = probe.create([entry], purpose="create a customer_segment_id that is taken", cost=_ONE)
    number = reply.number
    if reply.acceptance is Acceptance.REFUSED:
        status = reply.status if reply.status in (400, 409) else None
        return [
            observed(
                "duplicate_customer_id",
                f"refused: {reply.summary}",
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
    if reply.acceptance is Acceptance.UNCLEAR:
        return [cannot_tell("duplicate_customer_id", f"no clear answer: {reply.summary}", number)]
    again = _created_segment(entry, reply).ct_id
    if again is not None and again == first.ct_id:
        probe.shells.pop()  # it is the first segment
        summary, settings = "accepted: the id of the segment there is", True
    elif again is not None:
        summary, settings = "accepted, with an id of its own", False
    else:
        probe.shells[-1] = replace(probe.shells[-1], sure=False)
        summary, settings = "accepted; the answer names no id, so what was made is unknown", True
    chosen: dict[str, str | int] = {"duplicate_customer_id": "return_existing"} if settings else {}
    return [observed("duplicate_customer_id", summary, number, settings=chosen), no_status]


def missing_customer_id(probe: ProbeRun) -> list[ProbeFinding]:
    """Create a segment without a customer id."""
    entry = {"segment_name": probe.new_entry()["segment_name"]}
    reply = probe.create([entry], purpose="create without customer_segment_id", cost=_ONE)
    return [_acceptance_finding("missing_customer_id", reply)]


def _acceptance_finding(key: str, reply: Reply) -> ProbeFinding:
    if reply.acceptance is Acceptance.UNCLEAR:
        return cannot_tell(key, f"no clear answer: {reply.summary}", reply.number)
    accepted = reply.acceptance is Acceptance.ACCEPTED
    summary = "accepted" if accepted else f"refused: {reply.summary}"
    settings = {key: "accept" if accepted else "refuse"}
    return observed(key, summary, reply.number, settings=settings)


def bad_entry(probe: ProbeRun) -> list[ProbeFinding]:
    """Create a valid segment together with one that has no name."""
    bad = {"customer_segment_id": probe.new_entry()["customer_segment_id"]}
    reply = probe.create(
        [probe.new_entry(), bad],
        purpose="create a valid segment together with one without segment_name",
        cost=Cost(segments=2),
    )
    key, number = "create_processing", reply.number
    rows = reply.rows() or []
    failed = [is_refusal(row) for row in rows]
    if failed == [False, True]:
        settings = {key: "partial"}
        return [observed(key, "no: the good one was made", number, settings=settings)]
    if reply.acceptance is Acceptance.REFUSED:
        settings = {key: "all_or_nothing"}
        return [observed(key, f"yes: {reply.summary}", number, settings=settings)]
    return [cannot_tell(key, f"the answer does not say which was made: {reply.summary}", number)]


def duplicate_name(probe: ProbeRun, *, whole: bool) -> list[ProbeFinding]:
    """Create the same name twice in a request. ``whole``: one bad entry refuses the request."""
    one, other = probe.new_entry(), probe.new_entry()
    other["segment_name"] = one["segment_name"]
    reply = probe.create(
        [one, other], purpose="create one segment_name twice in a request", cost=Cost(segments=2)
    )
    key, number = "duplicate_name_in_request", reply.number
    rows = reply.rows()
    if rows and len(rows) == 2 and any(map(is_refusal, rows)):
        summary = "one of the two was refused"
        return [observed(key, summary, number, settings={key: "refuse"})]
    if reply.acceptance is Acceptance.ACCEPTED and rows is None and not whole:
        return [cannot_tell(key, "the answer does not say which were made", number)]
    return [_acceptance_finding(key, reply)]


def empty_create(probe: ProbeRun) -> list[ProbeFinding]:
    """Send a create without entries."""
    reply = probe.create([], purpose="create an empty array", cost=Cost())
    if reply.acceptance is Acceptance.UNCLEAR:
        return [cannot_tell("create_empty", f"no clear answer: {reply.summary}", reply.number)]
    return [observed("create_empty", f"{reply.acceptance.value}: {reply.summary}", reply.number)]
