"""Answers of shapes that the emulator does not give are told as they are, and set nothing."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segctl.probing.report import ProbeReport
from tests.probing.probe_kit import Bench, answers, bench

Change = Callable[[int, Any], Response]


def changed(app: ASGIApp, path: str, change: Change) -> ASGIApp:
    """Put something before the emulator that rewrites its answers to one call."""

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != path:
            await app(scope, receive, send)
            return
        sent: list[Message] = []

        async def hold(message: Message) -> None:
            sent.append(message)

        await app(scope, receive, hold)
        document = json.loads(b"".join(each.get("body", b"") for each in sent))
        await change(sent[0]["status"], document)(scope, receive, send)

    return front


def creates(status: int, shape: Callable[[list[Any]], Any], *, as_text: bool = False) -> Change:
    """Give another shape to what a create made; refusals stay as they are."""

    def change(given: int, document: Any) -> Response:
        if given != 200:
            return Response(json.dumps(document), given)
        body = shape(document)
        return Response(body if as_text else json.dumps(body), status)

    return change


def probed(at: Bench, path: str, change: Change) -> ProbeReport:
    at.front = changed(at.app, path, change)
    report = at.probe()
    assert at.members() == 0
    return report


@pytest.mark.parametrize(
    ("change", "answer", "field"),
    [
        (creates(200, lambda rows: [row["id"] for row in rows]), "another shape", "cannot tell"),
        (creates(202, lambda rows: {"data": rows}), "another shape", "id"),
        (creates(200, lambda rows: {"created": len(rows)}), "another shape", "cannot tell"),
        (creates(204, lambda _: "", as_text=True), "nothing that can be read", "cannot tell"),
        (creates(200, lambda _: "", as_text=True), "nothing that can be read", "cannot tell"),
        (creates(200, lambda _: "OK", as_text=True), "nothing that can be read", "cannot tell"),
    ],
    ids=["numbers", "in data", "a count", "204", "empty", "no JSON"],
)
def test_an_answer_of_another_shape_is_reported_and_sets_nothing(
    change: Change, answer: str, field: str
) -> None:
    with bench() as at:
        report = probed(at, "/api/createSegment", change)
    said = answers(report)
    assert said["create_answer"].startswith(answer)
    assert said["create_id_field"] == field
    assert "create_answer" not in report.emulator_settings()
    assert said["noop_changes"] == "no"
    assert sum(shell.sure for shell in report.shells) in {1, 2, 3}


def test_limits_that_refuse_without_code_100_settle_nothing() -> None:
    def change(given: int, document: Any) -> Response:
        if document.get("code") == 100:
            document = {**document, "code": 400}
        return Response(json.dumps(document), given)

    with bench() as at:
        report = probed(at, "/api/updateSegment", change)
    said = answers(report)
    assert (said["limit_scope"], said["limit_counts"]) == ("cannot tell", "cannot tell")
    assert said["code_100_status"] == "no code 100 without users: HTTP 400, code 400"
    assert report.client_settings() == {"createBody": "array"}


def test_a_second_segment_with_the_same_customer_id_is_reported_and_sets_nothing() -> None:
    def change(given: int, document: Any) -> Response:
        if given == 409:
            return Response('[{"id": 77, "customer_segment_id": "segctl-probe-k3x9-1"}]')
        return Response(json.dumps(document), given)

    with bench() as at:
        report = probed(at, "/api/createSegment", change)
    assert answers(report)["duplicate_customer_id"] == "accepted, with an id of its own"
    assert "duplicate_customer_id" not in report.emulator_settings()
    assert 77 in {shell.ct_id for shell in report.shells}


def test_profiles_that_have_both_ids_are_linked() -> None:
    def change(given: int, document: Any) -> Response:
        for each in document.get("records", []):
            if "u3" in each["profile"].get("identity", ""):
                each["profile"]["objectId"] = "segctl-probe-k3x9-guid-g3"
        return Response(json.dumps(document), given)

    with bench() as at:
        report = probed(at, "/1/events.json", change)
    assert answers(report)["both_ids"] == "both: the event's profile has the two"
    assert report.emulator_settings()["both_ids"] == "link"


def test_other_peoples_events_are_not_kept() -> None:
    def change(given: int, document: Any) -> Response:
        theirs = {
            "profile": {"identity": "anna", "objectId": "x1"},
            "ts": 1,
            "event_props": {"Action": "ADD", "Segment ID": 5, "Customer_Segment_ID": "VIP"},
        }
        if "records" in document:
            document["records"] += [theirs, {"odd": True}, None, "text"]
        return Response(json.dumps(document), given)

    with bench() as at:
        report = probed(at, "/1/events.json", change)
    assert "anna" not in str(report)
    assert "VIP" not in str(report)
    assert answers(report)["noop_changes"] == "no"


def test_events_are_read_page_by_page_when_the_service_is_ready() -> None:
    busy = iter([True, False] * 100)

    def change(given: int, document: Any) -> Response:
        if "records" in document and next(busy):
            return Response('{"status": "partial", "code": 2}', 200)
        return Response(json.dumps(document), given)

    with bench() as at:
        at.front = changed(at.app, "/1/events.json", change)
        report = at.probe()
    assert answers(report)["visibility_lag_ms"] == "at once"
    assert answers(report)["conflict_order"] == "as sent"
