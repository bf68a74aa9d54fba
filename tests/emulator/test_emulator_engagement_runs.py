"""Campaigns beside the calls: in the event loop, over a crash, and against bad receivers."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from segctl.emulator.app import create_app
from segctl.emulator.engagement import runner
from segctl.emulator.engagement.delivery import MAX_ANSWER_BYTES, Answer, post
from segctl.emulator.engagement.engine import Engagement
from segctl.emulator.errors import DataFormatError
from tests.emulator.campaign_kit import URL, Campaigns, Receiver, offline, online, start
from tests.emulator.conftest import ACCOUNTS, Client, body

if TYPE_CHECKING:
    from tests.emulator.conftest import Clock


class Crash(BaseException):
    """The end of the process."""


def restart(client: Campaigns, folder: Path) -> Campaigns:
    """Return a client of an emulator that was killed and started again."""
    client.app.state.service.store.database.close()
    return start(client.clock, data=folder)


def test_a_webhook_under_way_is_sent_again_after_a_crash(clock: "Clock", tmp_path: Path) -> None:
    client = start(clock, data=tmp_path)
    client.create("gold")
    campaign = client.campaign()
    client.update(["a"], [("gold", "ADD")])

    def crash() -> None:
        raise Crash

    client.receiver.while_answering = crash
    with pytest.raises(Crash):
        client.run_due()
    (first,) = client.receiver.requests
    client = restart(client, tmp_path)
    client.run_due()
    (second,) = client.receiver.requests
    for name in ("x-emulator-delivery", "x-emulator-attempt"):
        assert second.headers[name] == first.headers[name]
    assert [len(each["attempts"]) for each in client.triggers(campaign)] == [1]
    client.app.state.service.store.close()


def test_events_that_no_campaign_saw_before_a_crash_are_not_missed(
    clock: "Clock", tmp_path: Path
) -> None:
    client = start(clock, data=tmp_path)
    client.create("gold")
    campaign = client.campaign(**online(segment="gold"))
    client.update(["a"], [("gold", "ADD")])
    client.run_due()
    client.update(["b", "c"], [("gold", "ADD")])
    later = client.campaign(**offline("gold", when="2027-01-15T09:00:00Z"))
    client = restart(client, tmp_path)
    client.run_due(3600)
    assert sorted(client.receiver.users) == ["b", "c"]
    assert client.show(campaign)["triggers"] == 3
    assert client.show(later)["audience"] == 3
    client.app.state.service.store.close()


def test_a_damaged_campaign_is_told_at_the_start(clock: "Clock", tmp_path: Path) -> None:
    client = start(clock, data=tmp_path)
    client.campaign(when=None)
    database = client.app.state.service.store.database
    database.connection.execute("UPDATE campaigns SET definition = '{}'")
    with pytest.raises(DataFormatError, match="is damaged"):
        restart(client, tmp_path)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE campaigns SET account = 7", "the campaigns"),
        ("UPDATE campaigns SET status = 'runninG'", "the campaigns"),
        ("UPDATE campaigns SET starts_at = 9e99", "the campaigns"),
        ("UPDATE campaigns SET position = 'x'", "the campaigns"),
        ("UPDATE campaigns SET triggers = 2", "the numbers of triggers"),
        ("UPDATE campaigns SET failed = 1", "the numbers of triggers"),
        ("UPDATE campaign_triggers SET status = 'pendinf'", "the triggers"),
        ("UPDATE campaign_triggers SET users = 7", "the triggers"),
        ("UPDATE campaign_triggers SET due = 9e99", "the triggers"),
        ("UPDATE campaign_triggers SET campaign = 7", "the triggers"),
        ("UPDATE campaign_triggers SET attempts = 0", "the numbers of attempts"),
        ("UPDATE campaign_triggers SET users = x'ffffff00'", "of users that do not exist"),
        ("DELETE FROM trigger_attempts", "the numbers of attempts"),
        ("UPDATE trigger_attempts SET started = 9e99", "the attempts"),
        ("ALTER TABLE campaigns RENAME COLUMN exits TO eXitz", "its tables"),
        ("ALTER TABLE runs RENAME COLUMN points TO pointz", "its tables"),
    ],
)
def test_campaigns_that_make_no_sense_are_refused(
    clock: "Clock", tmp_path: Path, statement: str, problem: str
) -> None:
    client = start(clock, data=tmp_path)
    client.create("gold")
    client.campaign()
    client.update(["a"], [("gold", "ADD")])
    client.run_due()
    store = client.app.state.service.store
    store.database.connection.execute(statement)
    store.database.distrust()
    store.database.close()
    with pytest.raises(DataFormatError, match=problem) as raised:
        start(clock, data=tmp_path)
    assert str(tmp_path) in str(raised.value)


def test_a_campaign_that_is_half_deleted_is_no_damage(clock: "Clock", tmp_path: Path) -> None:
    client = start(clock, data=tmp_path)
    client.create("gold")
    campaign = client.campaign()
    client.update(["a"], [("gold", "ADD")])
    client.run_due()
    client.post(f"campaigns/{campaign['id']}/stop")
    engagement = client.app.state.service.engagement
    next(engagement.delete(engagement.store.campaigns[campaign["id"]]))
    client.app.state.service.store.database.distrust()
    client.app.state.service.store.database.close()
    client = start(clock, data=tmp_path)
    assert client.show(campaign)["status"] == "stopped"
    assert client.call("DELETE", f"/emulator/v1/campaigns/{campaign['id']}").status_code == 200
    client.app.state.service.store.close()


def test_seeded_members_survive_a_crash(clock: "Clock", tmp_path: Path) -> None:
    client = start(clock, data=tmp_path)
    seed = {"category": "Live", "segment_name": "L", "members": [{"identity": "a"}, {"guid": "g"}]}
    before = client.post("segments", seed).json()
    client = restart(client, tmp_path)
    assert client.read("segments") == [before]
    client.app.state.service.store.close()


def test_a_campaign_of_many_events_makes_its_triggers_in_pieces(clock: "Clock") -> None:
    client = start(clock)
    client.create("gold")
    campaign = client.campaign(channel="email", webhook=None)
    for first in range(0, 1000, 100):
        client.update([f"u{number}" for number in range(first, first + 100)], [("gold", "ADD")])
    pieces = list(client.app.state.service.engagement.pieces())
    assert len(pieces) == 4
    assert client.show(campaign)["triggers"] == 1000
    assert len(client.triggers(campaign)) == 1000


def test_a_reset_between_two_pieces_hides_no_event_of_a_new_campaign(clock: "Clock") -> None:
    client = start(clock)
    client.create("gold")
    client.campaign()
    for number in range(10):
        client.update([f"old-{number}-{each}" for each in range(100)], [("gold", "ADD")])
    pieces = client.app.state.service.engagement.pieces()
    next(pieces)
    client.app.state.service.reset()
    client.create("gold")
    campaign = client.campaign()
    client.update(["new"], [("gold", "ADD")])
    list(pieces)
    client.run_due()
    assert (client.receiver.users, client.show(campaign)["triggers"]) == (["new"], 1)


def test_a_campaign_that_starts_between_two_pieces_misses_no_event(clock: "Clock") -> None:
    client = start(clock)
    client.create("gold", "silver")
    client.campaign(**online(segment="gold"))
    for number in range(10):
        client.update([f"u-{number}-{each}" for each in range(100)], [("gold", "ADD")])
    late = client.campaign(**online(segment="silver") | {"when": "2027-01-15T08:01"})
    engagement = client.app.state.service.engagement
    pieces = engagement.pieces()
    next(pieces)
    clock.now += 60
    client.update(["late"], [("silver", "ADD")])
    engagement.start_scheduled()
    list(pieces)
    list(engagement.pieces())
    assert client.show(late)["triggers"] == 1


# -- beside the calls ---------------------------------------------------------


def work_in_one_loop(clock: "Clock", receiver: Receiver) -> Client:
    """Create a campaign and an event while campaigns run by themselves."""
    app = create_app(accounts={"ACC-1": "pass-1"}, clock=clock, webhook_transport=receiver)
    client = Client(app)
    client.create("gold")

    async def work(http: httpx.AsyncClient) -> None:
        received = asyncio.Event()
        receiver.while_answering = received.set
        await http.post("/emulator/v1/campaigns", json=online())
        await http.post("/api/updateSegment", json=body((["a"], [("gold", "ADD")])))
        await asyncio.wait_for(received.wait(), 30)
        await app.state.service.engagement.close()

    client.run(work)
    return client


def test_a_campaign_runs_by_itself_in_the_event_loop(clock: "Clock") -> None:
    receiver = Receiver(clock)
    client = work_in_one_loop(clock, receiver)
    (campaign,) = client.read("campaigns")
    (trigger,) = client.read(f"campaigns/{campaign['id']}/triggers")
    assert (receiver.users, trigger["status"]) == (["a"], "sent")
    client.app.state.service.store.close()


def test_a_problem_is_reported_and_does_not_end_campaigns(
    clock: "Clock", monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runner, "PAUSE_AFTER_PROBLEM", 0)
    receiver = Receiver(clock)
    receiver.answers = [MemoryError]  # type: ignore[list-item] # no error of a transport
    client = work_in_one_loop(clock, receiver)
    assert "campaigns: MemoryError" in caplog.text
    client.app.state.service.store.close()


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (sqlite3.OperationalError("disk full"), "campaigns: OperationalError: disk full; trying"),
        (ValueError("the key of a user"), "campaigns: ValueError; trying again"),
    ],
    ids=["of the file", "of a row"],
)
def test_a_problem_of_the_data_is_reported_without_a_key(
    clock: "Clock",
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    problem: Exception,
    text: str,
) -> None:
    monkeypatch.setattr(runner, "PAUSE_AFTER_PROBLEM", 0)
    work = Engagement.seconds_until_due
    problems = [problem]

    def fail_once(engagement: Engagement) -> float | None:
        if problems:
            raise problems.pop()
        return work(engagement)

    monkeypatch.setattr(Engagement, "seconds_until_due", fail_once)
    receiver = Receiver(clock)
    work_in_one_loop(clock, receiver).app.state.service.store.close()
    assert (receiver.users, text in caplog.text) == (["a"], True)


def test_campaigns_need_no_event_loop_to_be_woken(clock: "Clock") -> None:
    app = create_app(accounts=ACCOUNTS, clock=clock)
    app.state.service.engagement.wake()
    app.state.service.store.close()


# -- receivers ----------------------------------------------------------------


def post_to(transport: "httpx.AsyncBaseTransport", *, seconds: float = 30) -> Answer:
    return asyncio.run(post(transport, URL, b"{}", {}, seconds=seconds))


class Endless(httpx.AsyncByteStream):
    """An answer that never ends, and counts what is read of it."""

    def __init__(self, *, stalls: bool) -> None:
        self.stalls = stalls
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            if self.stalls:
                await asyncio.Event().wait()
            self.read += 1024
            yield bytes(1024)


def test_a_receiver_that_does_not_answer_is_a_timeout() -> None:
    slow = Endless(stalls=True)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=slow))
    assert post_to(transport, seconds=0) == Answer(None, "timeout")


def test_a_huge_answer_is_not_read_to_its_end() -> None:
    huge = Endless(stalls=False)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=huge))
    assert post_to(transport) == Answer(200, None)
    assert huge.read == MAX_ANSWER_BYTES + 1024


@pytest.mark.parametrize(
    "location", ["http://example.com/", "http://xn--localhost-/", "http://[", "http://a:x/", ""]
)
def test_a_redirect_is_not_followed_wherever_it_leads(location: str) -> None:
    asked: list[str] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"location": location})

    assert post_to(httpx.MockTransport(redirect)) == Answer(302, "redirect")
    assert asked == [URL]


@pytest.mark.parametrize("status", [101, 199, 600, 999])
def test_only_a_status_from_200_to_299_is_a_success(status: int) -> None:
    answer = post_to(httpx.MockTransport(lambda _: httpx.Response(status)))
    assert answer == Answer(status, "refused")


def test_a_name_that_no_resolver_accepts_is_a_failed_connection() -> None:
    def resolve(_: httpx.Request) -> httpx.Response:
        f"{'a' * 64}.example".encode("idna")
        raise AssertionError

    assert post_to(httpx.MockTransport(resolve)) == Answer(None, "connection_failed")
