"""The log of requests: what is recorded of each, and what is not."""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from segctl.emulator.request_log import MAX_REQUESTS

if TYPE_CHECKING:
    from tests.emulator.conftest import Client, Clock

GOLD = [("gold", "ADD")]


def test_each_request_is_listed_with_its_answer_newest_first(client: "Client") -> None:
    client.create("gold")
    client.update([], GOLD)
    refused, created = client.read("requests")
    assert (created["number"], created["call"], created["status"]) == (1, "createSegment", 200)
    assert (refused["number"], refused["status"], refused["outcome"]) == (2, 400, "answered")
    assert created["account"] == "ACC-1"
    assert created["agent"].startswith("python-httpx/")
    assert created["started"] == "2027-01-15T08:00:00.000Z"


def test_the_duration_is_that_of_the_whole_answer(client: "Client", clock: "Clock") -> None:
    async def sleep(seconds: float) -> None:
        clock.now += seconds

    client.app.state.service.sleep = sleep
    client.faults({"fault": "latency", "ms": 200}, {"fault": "slow_body", "ms": 1000})
    client.create("gold")
    (request,) = client.read("requests")
    assert request["ms"] == pytest.approx(1200, abs=1)
    assert request["faults"] == ["latency", "slow_body"]


def test_requests_in_flight_are_listed_and_counted(client: "Client") -> None:
    go_on = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        await go_on.wait()

    client.app.state.service.sleep = sleep
    client.settings(latency_ms=1)

    async def work(http: httpx.AsyncClient) -> list[dict[str, Any]]:
        calls = [asyncio.create_task(http.get("/1/profile.json?identity=a")) for _ in range(4)]
        await calls[-1]
        listed: list[dict[str, Any]] = (await http.get("/emulator/v1/requests")).json()
        go_on.set()
        await asyncio.gather(*calls)
        return listed

    listed = client.run(work)
    assert [each["in_flight"] for each in listed] == [4, 3, 2, 1]
    assert [each["status"] for each in listed] == [429, None, None, None]
    assert {each["outcome"] for each in listed[1:]} == {"in flight"}
    assert {each["outcome"] for each in client.read("requests")} == {"answered"}


@pytest.mark.parametrize("fault", ["cut_before", "cut_after"])
def test_a_request_that_a_fault_cuts_is_listed_as_cut(client: "Client", fault: str) -> None:
    client.faults({"fault": fault})
    with contextlib.suppress(httpx.TransportError):
        client.update(["a"], GOLD)
    (request,) = client.read("requests")
    assert (request["outcome"], request["status"], request["faults"]) == ("cut", None, [fault])


def test_refused_entries_are_named_as_a_fault_of_their_request(client: "Client") -> None:
    client.create("gold")
    client.faults({"fault": "refuse_entries"})
    client.update(["a", "b"], GOLD)
    assert client.read("requests")[0]["faults"] == ["refuse_entries"]


def test_an_unknown_path_is_listed_and_has_no_call(client: "Client") -> None:
    client.call("POST", "/api/createSegments", json=[])
    client.call("PUT", "/api/createSegment", json=[])
    listed = client.read("requests")
    assert [(each["call"], each["status"]) for each in listed] == [(None, 405), (None, 404)]
    assert listed[1]["path"] == "/api/createSegments"


def test_user_keys_and_credentials_are_not_recorded(client: "Client") -> None:
    client.call("GET", "/1/profile.json?identity=secret-user")
    client.headers["X-CleverTap-Account-Id"] = "secret-passcode"
    client.update(["secret-user"], GOLD)
    text = client.call("GET", "/emulator/v1/requests").text
    assert "secret" not in text
    assert client.read("requests")[0]["account"] is None


def test_a_bug_of_the_emulator_is_listed_as_a_500(client: "Client") -> None:
    client.app.state.service.authenticate = None
    with pytest.raises(TypeError):
        client.create("gold")
    (request,) = client.read("requests")
    assert (request["status"], request["outcome"]) == (500, "answered")


def test_the_list_is_filtered(client: "Client", other: "Client") -> None:
    client.create("gold")
    client.update(["a"], GOLD)
    other.update([], GOLD)
    for query, expected in {
        "call=updateSegment": [3, 2],
        "status=200": [2, 1],
        "account=ACC-2": [3],
        "outcome=cut": [],
        "limit=1": [3],
        "call=&status=&outcome=": [3, 2, 1],
    }.items():
        assert [each["number"] for each in client.read(f"requests?{query}")] == expected, query


@pytest.mark.parametrize("query", ["call=x", "status=x", "outcome=x", "limit=-1"])
def test_a_wrong_filter_is_refused_with_the_choices(client: "Client", query: str) -> None:
    answer = client.call("GET", f"/emulator/v1/requests?{query}")
    assert answer.status_code == 400
    assert f"{query.partition('=')[0]} must be" in answer.json()["error"]


def test_only_the_newest_requests_are_kept_and_a_reset_clears_them(client: "Client") -> None:
    log = client.app.state.service.request_log
    for _ in range(MAX_REQUESTS + 5):
        log.start(method="GET", path="/1/" + "x" * 5000, agent="y" * 5000)
    listed = client.read("requests")
    assert [listed[0]["number"], listed[-1]["number"]] == [MAX_REQUESTS + 5, 6]
    assert len(listed[0]["path"]) == len(listed[0]["agent"]) == 200
    client.call("POST", "/emulator/v1/reset")
    assert client.read("requests") == []


def test_a_client_of_another_machine_sees_the_requests_of_its_account(
    client: "Client", other: "Client"
) -> None:
    client.create("gold")
    other.create("silver")
    client.app.state.service.requires_passcode = True
    assert [each["number"] for each in client.read("requests")] == [1]
    assert client.call("GET", "/emulator/v1/requests?account=ACC-2").status_code == 404
    page = client.call("GET", "/requests").text
    assert "ACC-2" not in page + client.call("GET", "/settings").text
