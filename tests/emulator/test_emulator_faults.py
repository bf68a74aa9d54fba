"""Faults: each kind, its share and its seed, over a socket where that matters."""

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from segctl.emulator.testing import running_emulator
from tests.emulator.conftest import body

if TYPE_CHECKING:
    from tests.emulator.conftest import Client

GOLD = [("gold", "ADD")]


def test_an_invalid_plan_is_refused_with_all_its_problems(client: "Client") -> None:
    rules = [{"fault": "nope"}, {"fault": "latency", "share": 2, "more": 1}, {}, "x"]
    answer = client.call("PUT", "/emulator/v1/faults", json={"rules": rules, "seed": "x", "a": 1})
    assert answer.status_code == 400
    assert [each.split(":")[0] for each in answer.json()["problems"]] == [
        "a",
        "seed",
        "rules[0].fault",
        "rules[1].more",
        "rules[1].share",
        "rules[2].fault",
        "rules[3]",
    ]


def test_an_empty_plan_ends_all_faults(client: "Client") -> None:
    client.faults({"fault": "server_error"})
    client.call("PUT", "/emulator/v1/faults", json={})
    assert client.create("gold")


def test_a_429_changes_nothing_and_may_have_a_retry_after(client: "Client") -> None:
    client.create("gold")
    client.faults({"fault": "too_many_requests", "retry_after": 3})
    answer = client.update(["a"], GOLD)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    assert client.members("gold") == []


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("committed", [False, True])
def test_a_server_error_with_and_without_the_change(
    client: "Client", status: int, *, committed: bool
) -> None:
    client.create("gold")
    client.faults({"fault": "server_error", "status": status, "committed": committed})
    answer = client.update(["a"], GOLD)
    assert (answer.status_code, answer.json()["code"]) == (status, status)
    assert client.members("gold") == (["a"] if committed else [])


@pytest.mark.parametrize(("fault", "members"), [("cut_before", []), ("cut_after", ["a"])])
def test_a_cut_connection_is_a_transport_error_in_process_too(
    client: "Client", fault: str, members: list[str]
) -> None:
    client.create("gold")
    client.faults({"fault": fault})
    with pytest.raises(httpx.TransportError):
        client.update(["a"], GOLD)
    assert client.members("gold") == members
    assert client.read("stats")["requests"]["updateSegment"] == {"cut": 1}


@pytest.mark.parametrize(("fault", "members"), [("cut_before", []), ("cut_after", ["a"])])
def test_a_cut_connection_over_a_socket(fault: str, members: list[str]) -> None:
    with (
        running_emulator() as emulator,
        httpx.Client(base_url=emulator.url, headers=emulator.headers) as http,
    ):
        made = http.post(
            "/api/createSegment", json=[{"segment_name": "G", "customer_segment_id": "gold"}]
        ).json()[0]
        http.put("/emulator/v1/faults", json={"rules": [{"fault": fault}]})
        line = {"customer_segment_id": "gold", "action": "ADD"}
        entry = {"user_profiles": [{"identity": "a"}], "segments": [line]}
        with pytest.raises(httpx.RemoteProtocolError):
            http.post("/api/updateSegment", json={"bulk_profiles": [entry]})
        found = http.get(f"/emulator/v1/segments/{made['id']}/members").text
    assert found == "".join(f'{{"identity": "{each}"}}\n' for each in members)


@pytest.mark.parametrize("committed", [False, True])
def test_a_200_with_an_empty_body(client: "Client", *, committed: bool) -> None:
    client.create("gold")
    client.faults({"fault": "empty_body", "committed": committed})
    answer = client.update(["a"], GOLD)
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.members("gold") == (["a"] if committed else [])


@pytest.mark.parametrize(
    ("body", "start"),
    [("html", "<html>"), ("fail", '{"status": "fail"'), ("truncated", '{"succ'), ("array", "[]")],
)
def test_a_200_with_a_wrong_body(client: "Client", body: str, start: str) -> None:
    client.create("gold")
    client.faults({"fault": "wrong_body", "body": body})
    answer = client.update(["a"], GOLD)
    assert answer.status_code == 200
    assert answer.text.startswith(start)
    assert client.members("gold") == ["a"]


def test_a_refused_request_keeps_its_own_answer(client: "Client") -> None:
    client.faults({"fault": "empty_body"})
    assert client.update([], GOLD).json()["code"] == 100


class RecordedSleep:
    """A sleep that takes no time and records how long it was called for."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def test_latency_is_fixed_plus_jitter(client: "Client") -> None:
    sleep = client.app.state.service.sleep = RecordedSleep()
    client.settings(latency_ms=10)
    client.faults({"fault": "latency", "ms": 100, "jitter_ms": 50})
    for _ in range(5):
        client.update(["a"], GOLD)
    assert all(0.11 <= seconds <= 0.16 for seconds in sleep.seconds)
    assert len(set(sleep.seconds)) == 5


def test_a_slow_body_comes_in_pieces(client: "Client") -> None:
    sleep = client.app.state.service.sleep = RecordedSleep()
    client.create("gold")
    client.faults({"fault": "slow_body", "ms": 1000})
    assert client.update(["a"], GOLD).json() == {"success": True}
    assert len(sleep.seconds) > 3
    assert set(sleep.seconds) == {0.1}


def test_a_share_of_the_entries_is_refused_and_logged(client: "Client") -> None:
    client.create("gold")
    client.faults(
        {"fault": "refuse_entries", "share": 0.3, "error_type": "API_SEGMENT_EMPTY_IDENTITY"}
    )
    users = [f"u{n:03d}" for n in range(100)]
    client.update(users, GOLD)
    refused = [each["User Identity"] for each in client.read("error-stream")]
    assert 15 <= len(refused) <= 45
    assert sorted([*refused, *client.members("gold")]) == users
    assert set(client.error_types()) == {"API_SEGMENT_EMPTY_IDENTITY"}


def statuses(client: "Client", number: int) -> list[int]:
    return [client.update(["a"], GOLD).status_code for _ in range(number)]


def test_the_same_seed_gives_the_same_faults(client: "Client") -> None:
    rule: dict[str, Any] = {"fault": "server_error", "share": 0.5}
    runs = []
    for seed in (1, 1, 2):
        client.faults(rule, seed=seed)
        runs.append(statuses(client, 20))
    assert runs[0] == runs[1] != runs[2]
    assert set(runs[0]) == {200, 500}


def test_a_rule_skips_some_requests_of_its_call_and_ends_after_some_times(client: "Client") -> None:
    client.faults({"fault": "server_error", "call": "updateSegment", "skip": 1, "times": 2})
    client.create("gold")
    assert statuses(client, 5) == [200, 500, 500, 200, 200]
    assert client.read("faults")["injected"]["server_error"] == 2


def test_refused_entries_are_skipped_by_request_and_end_after_some_entries(
    client: "Client",
) -> None:
    client.create("gold")
    client.faults({"fault": "refuse_entries", "skip": 1, "times": 3})
    client.update(["a", "b"], GOLD)
    client.update(["c", "d"], GOLD)
    client.update(["e", "f"], GOLD)
    assert [each["User Identity"] for each in client.read("error-stream")] == ["c", "d", "e"]
    assert client.members("gold") == ["a", "b", "f"]
    assert client.read("faults")["injected"]["refuse_entries"] == 3


def test_several_rules_may_refuse_entries(client: "Client") -> None:
    client.create("gold")
    types = ["API_SEGMENT_ID_MISMATCH", "API_SEGMENT_INVALID_ACTION"]
    client.faults(*({"fault": "refuse_entries", "times": 1, "error_type": each} for each in types))
    client.update(["a", "b", "c"], GOLD)
    assert client.error_types() == types
    assert client.members("gold") == ["c"]


def test_two_faults_make_a_change_only_if_both_say_so(client: "Client") -> None:
    client.create("gold")
    client.faults({"fault": "too_many_requests"}, {"fault": "wrong_body"})
    assert client.update(["a"], GOLD).status_code == 429
    client.faults({"fault": "cut_before"}, {"fault": "server_error", "committed": True})
    with pytest.raises(httpx.RemoteProtocolError):
        client.update(["b"], GOLD)
    assert client.members("gold") == []


@pytest.mark.parametrize(
    "fault", ["change_members", "server_error", "refuse_entries", "rename_segment"]
)
def test_requests_in_flight_at_once_share_the_times_of_a_rule(client: "Client", fault: str) -> None:
    client.create("gold")
    client.settings(latency_ms=1)
    client.faults({"fault": fault, "times": 1, "call": "updateSegment"})

    async def send(http: httpx.AsyncClient) -> None:
        requests = [
            http.post("/api/updateSegment", json=body(([user], GOLD))) for user in ("a", "b", "c")
        ]
        await asyncio.gather(*requests)

    client.run(send)
    assert client.read("faults")["injected"][fault] == 1


def test_a_plan_that_is_replaced_during_a_request_does_not_harm_it(client: "Client") -> None:
    client.create("gold")
    client.settings(latency_ms=1)
    client.faults({"fault": "change_members", "call": "updateSegment"})

    async def send(http: httpx.AsyncClient) -> tuple[httpx.Response, ...]:
        update = http.post("/api/updateSegment", json=body((["a"], GOLD)))
        return await asyncio.gather(update, http.put("/emulator/v1/faults", json={}))

    assert [each.status_code for each in client.run(send)] == [200, 200]


def test_reset_deletes_all_data_and_restarts_the_plan(client: "Client") -> None:
    client.create("gold")
    client.update(["a", ""], GOLD)
    client.faults({"fault": "server_error", "times": 1})
    assert statuses(client, 2) == [500, 200]
    client.call("POST", "/emulator/v1/reset")
    assert client.read("segments") == client.read("events") == client.read("error-stream") == []
    assert client.read("stats")["profiles"] == client.read("stats")["data_points"] == 0
    assert statuses(client, 2) == [500, 200]
