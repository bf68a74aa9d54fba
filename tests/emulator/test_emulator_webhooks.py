"""Online campaigns: which events trigger them, and how webhooks are delivered."""

import hashlib
import hmac
import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from segctl.emulator.storage.changes import Change, NewSegment
from segctl.emulator.storage.state import User
from tests.emulator.campaign_kit import Campaigns, online, start

if TYPE_CHECKING:
    from tests.emulator.conftest import Clock


@pytest.fixture
def client(clock: "Clock") -> Iterator[Campaigns]:
    """Yield a client of an account with the segments gold and silver."""
    client = start(clock)
    client.create("gold", "silver")
    yield client
    client.app.state.service.store.close()


def test_a_user_who_joins_a_segment_triggers_a_webhook(client: Campaigns) -> None:
    campaign = client.campaign(**online(action="ADD", segment="gold"))
    client.update(["ada"], [("gold", "ADD")])
    client.run_due()
    (body,) = client.receiver.bodies
    (profile,) = body.pop("profiles")
    assert body == {"targetId": campaign["id"], "key_values": {}}
    assert profile["identity"] == "ada"
    assert profile["event_properties"] == {
        "Action": "ADD",
        "Segment Name": "Name of gold",
        "Segment ID": campaign["trigger"]["segment"],
        "Customer_Segment_ID": "gold",
    }


@pytest.mark.parametrize(
    ("trigger", "users"),
    [
        ({"action": "ADD"}, ["a", "b"]),
        ({"action": "REMOVE"}, ["a"]),
        ({"action": "ANY"}, ["a", "b", "a"]),
        ({"action": "ANY", "segment": "silver"}, ["b"]),
        ({"action": "ANY", "where": [("Segment Name", "contains", "silver")]}, ["b"]),
        ({"action": "ANY", "where": [("Segment Name", "does_not_contain", "silver")]}, ["a", "a"]),
        ({"action": "ANY", "where": [("Customer_Segment_ID", "equals", ["x", "silver"])]}, ["b"]),
        ({"action": "ANY", "where": [("Customer_Segment_ID", "not_equals", "gold")]}, ["b"]),
        ({"action": "ANY", "where": [("Segment ID", "greater_than_equals", 1)]}, ["a", "b", "a"]),
        ({"action": "ANY", "where": [("Segment ID", "less_than", 1)]}, []),
        ({"action": "ANY", "where": [("Customer_Segment_ID", "exists", None)]}, ["a", "b", "a"]),
        ({"action": "ANY", "where": [("Segment Name", "does_not_exist", None)]}, []),
        (
            {
                "action": "ANY",
                "where": [("Action", "equals", "ADD"), ("Segment ID", "exists", None)],
            },
            ["a", "b"],
        ),
    ],
)
def test_a_trigger_selects_events_by_action_segment_and_properties(
    client: Campaigns, trigger: dict[str, Any], users: list[str]
) -> None:
    names = ("name", "operator", "value")
    where = [
        {key: value for key, value in zip(names, each, strict=True) if value is not None}
        for each in trigger.get("where", [])
    ]
    client.campaign(**online(**{**trigger, "where": where}))
    client.update(["a"], [("gold", "ADD")])
    client.update(["b"], [("silver", "ADD")])
    client.update(["a"], [("gold", "REMOVE")])
    client.run_due()
    assert client.receiver.users == users


def test_only_events_from_the_start_on_qualify(client: Campaigns) -> None:
    client.update(["before"], [("gold", "ADD")])
    campaign = client.campaign(when=None)
    client.update(["draft"], [("gold", "ADD")])
    client.post(f"campaigns/{campaign['id']}/start")
    client.update(["after"], [("gold", "ADD")])
    client.run_due()
    assert client.receiver.users == ["after"]


def test_a_scheduled_campaign_misses_no_event_from_its_time_on(client: Campaigns) -> None:
    client.campaign(when="2027-01-15T08:01")
    client.clock.now += 59
    client.update(["before"], [("gold", "ADD")])
    client.clock.now += 1
    client.update(["after"], [("gold", "ADD")])
    client.run_due(5)
    assert client.receiver.users == ["after"]


def test_a_delay_postpones_the_webhook(client: Campaigns) -> None:
    client.campaign(**online(delay_seconds=60))
    client.update(["a"], [("gold", "ADD")])
    client.run_due(59)
    assert client.receiver.users == []
    client.run_due(1)
    assert client.receiver.users == ["a"]


def test_an_event_that_is_not_visible_yet_triggers_nothing(client: Campaigns) -> None:
    client.settings(visibility_lag_ms=5000)
    client.campaign()
    client.update(["a"], [("gold", "ADD")])
    client.run_due(4)
    assert client.receiver.users == []
    client.run_due(2)
    assert client.receiver.users == ["a"]


def test_another_accounts_events_do_not_trigger(client: Campaigns) -> None:
    client.campaign()
    other = type(client)(client.app, client.clock, client.receiver)
    other.headers = {"X-CleverTap-Account-Id": "ACC-2", "X-CleverTap-Passcode": "pass-2"}
    other.create("gold")
    other.update(["stranger"], [("gold", "ADD")])
    client.run_due()
    assert client.receiver.users == []


def test_a_campaign_that_is_stopped_sends_nothing_more(client: Campaigns) -> None:
    campaign = client.campaign(**online(delay_seconds=60))
    client.update(["a"], [("gold", "ADD")])
    client.run_due()
    assert client.post(f"campaigns/{campaign['id']}/stop").json()["status"] == "stopped"
    client.update(["b"], [("gold", "ADD")])
    client.run_due(120)
    assert client.receiver.users == []
    assert [each["status"] for each in client.triggers(campaign)] == ["cancelled"]


# -- the payload --------------------------------------------------------------


def upload(client: Campaigns) -> None:
    fields = {"Email": "ada@example.com", "Phone": "+491", "Name": "Ada", "Score": 3}
    token = {"id": "tok", "type": "fcm"}
    records = [
        {"type": "profile", "identity": "ada", "objectId": "g-1", "profileData": fields},
        {"type": "token", "identity": "ada", "tokenData": token},
    ]
    client.call("POST", "/1/upload", json={"d": records})


def test_the_payload_has_the_documented_fields(client: Campaigns) -> None:
    upload(client)
    client.campaign(webhook={"url": "http://localhost:1/", "key_values": {"code": "X"}})
    client.update(["ada"], [("gold", "ADD")])
    client.run_due()
    (body,) = client.receiver.bodies
    assert body["key_values"] == {"code": "X"}
    body["profiles"][0].pop("event_properties")
    assert body["profiles"] == [
        {
            "key_values": {"code": "X"},
            "email": "ada@example.com",
            "phone": "+491",
            "name": "Ada",
            "identity": "ada",
            "all_identities": ["ada"],
            "objectId": "g-1",
            "profileData": {"Score": 3},
        }
    ]


def test_a_user_who_was_merged_meanwhile_is_the_one_that_is_left(client: Campaigns) -> None:
    client.settings(both_ids="link")
    client.campaign(**online(delay_seconds=60))
    client.update([{"guid": "g-2"}], [("gold", "ADD")])
    upload(client)
    client.run_due()
    client.update([{"guid": "g-2", "identity": "ada"}], [("gold", "ADD")])
    client.run_due(60)
    (profile,) = client.receiver.bodies[0]["profiles"]
    assert (profile["identity"], profile["email"]) == ("ada", "ada@example.com")


def test_the_payload_may_be_capitalized(client: Campaigns) -> None:
    client.settings(webhook_payload="capitalized")
    upload(client)
    client.campaign()
    client.update(["ada"], [("gold", "ADD")])
    client.run_due()
    (profile,) = client.receiver.bodies[0]["profiles"]
    assert profile.pop("Event_properties")["Action"] == "ADD"
    assert profile == {
        "Email": "ada@example.com",
        "Identity": "ada",
        "ObjectId": "g-1",
        "ProfileData": {"Phone": "+491", "Name": "Ada", "Score": 3},
        "Push_token": "tok",
    }


def test_a_webhook_is_signed_with_its_secret_which_is_never_shown(client: Campaigns) -> None:
    secret = "s3cret-of-the-webhook"
    campaign = client.campaign(webhook={"url": "http://localhost:1/", "secret": secret})
    client.update(["a"], [("gold", "ADD")])
    client.run_due()
    (request,) = client.receiver.requests
    signed = request.headers["x-emulator-timestamp"].encode() + b"." + request.content
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    assert request.headers["x-emulator-signature"] == f"sha256={expected}"
    assert campaign["webhook"]["signed"] is True
    for path in ("campaigns", f"campaigns/{campaign['id']}/triggers", "settings", "segments"):
        assert secret not in client.call("GET", f"/emulator/v1/{path}").text
    assert secret not in repr(client.app.state.service.engagement.store.campaigns)


# -- receivers that fail ------------------------------------------------------


def test_every_attempt_is_in_the_trigger_log(client: Campaigns) -> None:
    client.receiver.answers = [httpx.ReadTimeout, 503, 200]
    campaign = client.campaign()
    client.update(["a"], [("gold", "ADD")])
    client.run_due()
    client.run_due(1)
    client.run_due(1)
    (trigger,) = client.triggers(campaign)
    assert trigger["status"] == "sent"
    assert trigger["profile"] == {"identity": "a"}
    seen = [(each["ms"], each["status"], each["error"]) for each in trigger["attempts"]]
    assert seen == [(20.0, None, "timeout"), (20.0, 503, "refused"), (20.0, 200, None)]
    assert trigger["attempts"][0]["started"] == "2027-01-15T08:00:00.000Z"
    ids = {each.headers["x-emulator-delivery"] for each in client.receiver.requests}
    assert ids == {trigger["delivery_id"]}
    assert client.show(campaign)["failed"] == 0


@pytest.mark.parametrize(
    ("answer", "limits", "attempts", "error"),
    [
        (httpx.ReadTimeout, "5_seconds_2_retries", 3, "timeout"),
        (httpx.ReadTimeout, "3_seconds_1_retry", 2, "timeout"),
        (httpx.ConnectError, "5_seconds_2_retries", 3, "connection_failed"),
        (httpx.ReadError, "5_seconds_2_retries", 3, "connection_lost"),
        (500, "5_seconds_2_retries", 3, "refused"),
        (429, "5_seconds_2_retries", 3, "refused"),
        (410, "5_seconds_2_retries", 1, "refused"),
        (400, "5_seconds_2_retries", 1, "refused"),
        (302, "5_seconds_2_retries", 1, "redirect"),
    ],
)
def test_a_webhook_is_repeated_only_if_that_may_help(
    client: Campaigns, answer: Any, limits: str, attempts: int, error: str
) -> None:
    client.settings(webhook_limits=limits)
    client.receiver.answers = [answer] * 9
    campaign = client.campaign()
    client.update(["a"], [("gold", "ADD")])
    for _ in range(5):
        client.run_due(1)
    assert client.errors(campaign) == [[error] * attempts]
    assert client.triggers(campaign)[0]["status"] == "failed"
    assert client.show(campaign)["failed"] == 1


def test_a_receiver_that_recovers_gets_what_is_left(client: Campaigns) -> None:
    client.receiver.answers = [httpx.ConnectError] * 3
    campaign = client.campaign()
    client.update(["a", "b", "c"], [("gold", "ADD")])
    client.run_due()
    client.run_due(1)
    assert sorted(client.receiver.users[3:]) == ["a", "b", "c"]
    assert {each["status"] for each in client.triggers(campaign)} == {"sent"}


def test_the_events_of_one_user_are_sent_one_after_the_other(client: Campaigns) -> None:
    client.campaign()
    for action in ("ADD", "REMOVE", "ADD"):
        client.update(["a"], [("gold", action)])
    client.run_due()
    sent = [each["profiles"][0]["event_properties"]["Action"] for each in client.receiver.bodies]
    assert sent == ["ADD", "REMOVE", "ADD"]


def test_a_change_while_a_webhook_is_sent_is_not_missed(client: Campaigns) -> None:
    client.campaign()
    client.update(["a"], [("gold", "ADD")])
    store = client.app.state.service.store
    account = store.accounts["ACC-1"]

    def change() -> None:
        client.receiver.while_answering = lambda: None
        segment = account.by_customer_id["gold"]
        joined = Change(segment=segment, action="ADD", users=(User("identity", "b"),))
        store.update(account, [joined], [], settings=client.app.state.service.settings)

    client.receiver.while_answering = change
    client.run_due()
    assert client.receiver.users == ["a", "b"]


def test_a_reset_while_a_webhook_is_sent_leaves_nothing(client: Campaigns) -> None:
    client.campaign()
    client.update(["a", "b"], [("gold", "ADD")])
    client.receiver.while_answering = client.app.state.service.reset
    client.run_due()
    assert client.read("campaigns") == []
    execute = client.app.state.service.store.database.connection.execute
    assert execute("SELECT count(*) FROM trigger_attempts").fetchone() == (0,)


def test_an_answer_that_comes_after_a_reset_is_not_that_of_a_new_trigger(
    client: Campaigns,
) -> None:
    service = client.app.state.service
    first = client.campaign()
    client.update(["a"], [("gold", "ADD")])

    def start_again() -> None:
        client.receiver.while_answering = lambda: None
        service.reset()
        (account, _) = service.store.accounts.values()
        (gold,) = service.store.create(account, [NewSegment(name="Gold", customer_id="gold")])
        definition = service.engagement.store.add(account=account.number, definition=kept, now=0)
        service.engagement.start(definition)
        joined = Change(segment=gold, action="ADD", users=(User("identity", "b"),))
        service.store.update(account, [joined], [], settings=service.settings)
        for _ in service.engagement.pieces():
            pass

    kept = service.engagement.store.campaigns[first["id"]].definition
    client.receiver.while_answering = start_again
    client.run_due()
    (second,) = client.read("campaigns")
    (trigger,) = client.triggers(second)
    assert client.receiver.users == ["a", "b"]
    assert [each["number"] for each in trigger["attempts"]] == [1]


def test_a_reset_that_fails_keeps_the_campaigns_too(
    client: Campaigns, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = client.campaign()

    def fail() -> None:
        raise sqlite3.OperationalError

    service = client.app.state.service
    monkeypatch.setattr(service.store, "reset", fail)
    with pytest.raises(sqlite3.OperationalError):
        service.reset()
    assert client.show(campaign)["status"] == "running"
    assert service.store.database.connection.execute(
        "SELECT count(*) FROM campaigns"
    ).fetchone() == (1,)


# -- where webhooks may go ----------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://10.0.0.1/",
        "http://0.0.0.0/",
        "http://localhost.example.com/",
        "http://evil.localhost/",
        "http://127.0.0.1@example.com/",
        "http://user:password@127.0.0.1/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http:///x",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/",
        "http://exa mple/",
        "http://xn--localhost-/",
        "http://xn--/",
        "http://2130706433/",
        "http://127.1/",
        "http://[::]/",
        "http://[::ffff:10.0.0.1]/",
        "http://127.0.0.1\\@example.com/",
        "http://\x00/",
        "//127.0.0.1/",
        "javascript:alert(1)",
        "",
        7,
        None,
    ],
)
def test_a_webhook_goes_only_to_this_machine(client: Campaigns, url: Any) -> None:
    answer = client.post("campaigns", {**online(), "webhook": {"url": url}})
    assert answer.status_code == 400
    assert "webhook.url" in answer.json()["error"]
    assert client.read("campaigns") == []


@pytest.mark.parametrize("url", ["http://LOCALHOST/", "http://[::1]:8080/x", "https://127.9.9.9/"])
def test_this_machine_has_several_addresses(client: Campaigns, url: str) -> None:
    assert client.campaign(webhook={"url": url})["webhook"]["url"] == url


def test_a_setting_allows_other_hosts_and_takes_them_back(client: Campaigns) -> None:
    client.settings(webhook_hosts=["Hooks.example.com"])
    campaign = client.campaign(webhook={"url": "https://hooks.example.com/a"})
    client.update(["a"], [("gold", "ADD")])
    client.run_due()
    client.settings(webhook_hosts=[])
    client.update(["b"], [("gold", "ADD")])
    client.run_due()
    assert client.receiver.users == ["a"]
    assert client.errors(campaign) == [[None], ["address_not_allowed"]]


def test_an_emulator_that_others_reach_posts_to_named_hosts_only(client: Campaigns) -> None:
    client.app.state.service.requires_passcode = True
    answer = client.post("campaigns", online())
    assert answer.status_code == 400
    client.settings(webhook_hosts=["127.0.0.1"])
    client.campaign()
