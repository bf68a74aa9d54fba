"""Offline campaigns, journeys, drafts and schedules, and the segments that they use."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.emulator.campaign_kit import URL, Campaigns, offline, online, start

if TYPE_CHECKING:
    from tests.emulator.conftest import Clock


@pytest.fixture
def client(clock: "Clock") -> Iterator[Campaigns]:
    """Yield a client; gold has a, b and c, silver has c and d."""
    client = start(clock)
    client.create("gold", "silver")
    client.update(["a", "b", "c"], [("gold", "ADD")])
    client.update(["c", "d"], [("silver", "ADD")])
    yield client
    client.app.state.service.store.close()


def users(client: Campaigns, campaign: Any) -> list[str]:
    lines = client.read(f"campaigns/{campaign['id']}/audience")
    return sorted(next(iter(each.values())) for each in lines)


def reach(client: Campaigns, *identities: str) -> None:
    records = [
        {"type": "profile", "identity": each, "profileData": {"Email": f"{each}@ex.ample"}}
        for each in identities
    ]
    client.call("POST", "/1/upload", json={"d": records})


# -- offline ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["gold"], [], ["a", "b", "c"]),
        (["gold", "silver"], [], ["a", "b", "c", "d"]),
        (["gold"], ["silver"], ["a", "b"]),
        (["gold", "gold"], ["gold"], []),
    ],
)
def test_an_audience_is_the_included_segments_without_the_excluded(
    client: Campaigns, include: list[str], exclude: list[str], expected: list[str]
) -> None:
    rules = {"include": include, "exclude": exclude}
    estimate = client.post("campaigns/estimate", rules).json()
    campaign = client.post("campaigns", offline() | rules).json()
    assert estimate["audience"] == campaign["audience"] == len(expected)
    assert users(client, campaign) == expected


def test_an_estimate_counts_reach_by_channel_and_creates_nothing(client: Campaigns) -> None:
    reach(client, "a", "d")
    estimate = client.post("campaigns/estimate", {"include": ["gold", "silver"]}).json()
    assert estimate == {"audience": 4, "reachable": {"any": 2, "email": 2, "sms": 0, "push": 0}}
    assert client.read("campaigns") == []


def test_an_audience_is_frozen_at_the_campaigns_time(client: Campaigns) -> None:
    reach(client, "a")
    campaign = client.campaign(**offline("gold"))
    assert (campaign["status"], campaign["audience"], campaign["reachable"]) == ("completed", 3, 1)
    client.update(["a"], [("gold", "REMOVE")])
    reach(client, "b")
    assert client.show(campaign) == campaign
    assert users(client, campaign) == ["a", "b", "c"]


def test_a_scheduled_campaign_runs_at_its_time(client: Campaigns) -> None:
    campaign = client.post("campaigns", offline("gold", when="2027-01-15T08:01:00Z")).json()
    assert (campaign["status"], campaign["audience"]) == ("scheduled", None)
    client.run_due(59)
    assert client.show(campaign)["status"] == "scheduled"
    client.update(["late"], [("gold", "ADD")])
    client.run_due(1)
    assert client.show(campaign)["status"] == "completed"
    assert users(client, campaign) == ["a", "b", "c", "late"]


def test_a_draft_waits_until_it_is_started(client: Campaigns) -> None:
    campaign = client.post("campaigns", offline("gold", when=None)).json()
    client.run_due(10_000)
    assert client.show(campaign)["status"] == "draft"
    assert client.post(f"campaigns/{campaign['id']}/start").json()["status"] == "completed"


def test_a_one_time_webhook_posts_the_members_in_parts(client: Campaigns) -> None:
    client.settings(webhook_profiles=2)
    document = offline("gold", "silver", channel="webhook", webhook={"url": URL})
    campaign = client.post("campaigns", document).json()
    assert (campaign["status"], campaign["reachable"]) == ("running", 4)
    client.run_due()
    sizes = [len(each["profiles"]) for each in client.receiver.bodies]
    assert (sizes, sorted(client.receiver.users)) == ([2, 2], ["a", "b", "c", "d"])
    assert "event_properties" not in client.receiver.bodies[0]["profiles"][0]
    shown = client.show(campaign)
    assert (shown["status"], shown["triggers"], shown["failed"]) == ("completed", 2, 0)


def test_a_one_time_webhook_is_complete_after_its_last_attempt(client: Campaigns) -> None:
    client.receiver.answers = [503]
    document = offline("gold", channel="webhook", webhook={"url": URL})
    campaign = client.post("campaigns", document).json()
    client.run_due()
    assert client.show(campaign)["status"] == "running"
    client.run_due(1)
    assert client.show(campaign)["status"] == "completed"


# -- other channels, journeys -------------------------------------------------


@pytest.mark.parametrize("delay", [0, 5])
def test_a_message_of_another_channel_stays_on_this_machine(client: Campaigns, delay: int) -> None:
    reach(client, "x")
    fields = online(segment="gold", delay_seconds=delay) | {"channel": "email", "webhook": None}
    campaign = client.campaign(**fields)
    client.update(["x", "y"], [("gold", "ADD")])
    client.run_due()
    client.run_due(delay)
    statuses = [each["status"] for each in client.triggers(campaign)]
    assert statuses == ["sent", "unreachable"]
    assert client.receiver.requests == []


def journey(**fields: Any) -> dict[str, Any]:
    trigger = {"action": "ADD", "segment": "gold"}
    return online(**trigger) | {"kind": "journey", "channel": "push", "webhook": None, **fields}


@pytest.mark.parametrize(("entry", "entries"), [("once", 1), ("each_time", 2)])
def test_a_user_enters_a_journey_once_or_each_time(
    client: Campaigns, entry: str, entries: int
) -> None:
    client.settings(journey_entry=entry)
    campaign = client.campaign(**journey(exit_on_leave=True))
    for action in ("ADD", "REMOVE", "ADD"):
        client.update(["x"], [("gold", action)])
    client.run_due()
    shown = client.show(campaign)
    assert (shown["entries"], shown["exits"], shown["triggers"]) == (entries, 1, entries)


def test_a_user_stays_in_a_journey_unless_told_otherwise(client: Campaigns) -> None:
    campaign = client.campaign(**journey())
    client.update(["x"], [("gold", "ADD")])
    client.update(["x"], [("gold", "REMOVE")])
    client.run_due()
    assert client.show(campaign)["exits"] == 0


# -- life ---------------------------------------------------------------------


def test_a_campaign_is_stopped_for_good_and_then_deleted(client: Campaigns) -> None:
    campaign = client.campaign()
    client.update(["x"], [("gold", "ADD")])
    client.run_due()
    path = f"campaigns/{campaign['id']}"
    assert client.call("DELETE", f"/emulator/v1/{path}").status_code == 409
    assert client.post(f"{path}/stop").status_code == 200
    assert client.post(f"{path}/stop").status_code == 409
    assert client.post(f"{path}/start").status_code == 409
    assert client.call("DELETE", f"/emulator/v1/{path}").status_code == 200
    assert client.call("GET", f"/emulator/v1/{path}").status_code == 404
    assert client.read("campaigns") == []


def test_campaigns_of_accounts_are_apart(client: Campaigns) -> None:
    campaign = client.campaign()
    path = f"/emulator/v1/campaigns/{campaign['id']}"
    assert client.call("GET", f"{path}?account=ACC-2").status_code == 404
    assert client.read("campaigns?account=ACC-2") == []
    assert client.call("POST", "/emulator/v1/campaigns", json=online()).status_code == 400


def test_the_trigger_log_is_read_from_a_number_and_backwards(client: Campaigns) -> None:
    campaign = client.campaign()
    client.update(["x", "y", "z"], [("gold", "ADD")])
    client.run_due()
    path = f"campaigns/{campaign['id']}/triggers"
    assert [each["id"] for each in client.read(f"{path}?start=2&limit=1")] == [2]
    assert [each["id"] for each in client.read(f"{path}?order=newest&limit=2")] == [3, 2]
    assert client.call("GET", f"/emulator/v1/{path}?order=x").status_code == 400


# -- wrong input --------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ([], "a campaign is an object"),
        (offline(), "include is empty"),
        (offline("nope"), "has no segment 'nope'"),
        (offline(1), "has no segment 1"),
        (offline(True), "name a segment by"),
        (offline("gold", include="gold"), "include must be an array"),
        (offline("gold", name=" "), "name must be text"),
        (offline("gold", name="x" * 501), "name must be text"),
        (offline("gold", kind="other"), "kind must be one of"),
        (offline("gold", channel=["email"]), "channel must be one of"),
        (offline("gold", when="2020-01-01"), "when is in the past"),
        (offline("gold", when="soon"), "when must be"),
        (offline("gold", when=5), "when must be"),
        (offline("gold", when="0001-01-01T00:00+23:59"), "when is in the past"),
        (offline("gold", when="9999-12-31T23:59-23:59"), "when is more than ten years ahead"),
        (offline("gold", nmae=1), "unknown field nmae"),
        (offline("gold", trigger={"action": "ADD"}), "an offline campaign has no trigger"),
        (offline("gold", webhook={"url": URL}), "webhook is for the channel webhook"),
        (offline("gold", exit_on_leave=True), "exit_on_leave is for journeys"),
        (online() | {"trigger": None}, "needs a trigger"),
        (online() | {"include": ["gold"]}, "are for offline campaigns"),
        (online() | {"webhook": None}, "needs a webhook with a url"),
        (online(action="add"), "trigger.action must be one of"),
        (online(delay_seconds=-1), "trigger.delay_seconds must be"),
        (online(segment={}), "trigger.segment: name a segment"),
        (online(where=[1]), "trigger.where: must be an array of objects"),
        (online(where=[{"name": "x", "value": 1}]), "trigger.where[0].name: is none of"),
        (online(where=[{"name": "Action", "operator": "is"}]), "trigger.where[0].operator"),
        (online() | {"webhook": {"url": URL, "key_values": {"a": 1}}}, "webhook.key_values"),
        (online() | {"webhook": {"url": URL, "secret": ""}}, "webhook.secret must be text"),
        (journey(exit_on_leave=1), "exit_on_leave must be true or false"),
        (
            journey(exit_on_leave=True, trigger={"action": "ANY"}),
            "exit_on_leave needs a trigger with action ADD and a segment",
        ),
    ],
)
def test_a_wrong_campaign_is_refused_with_what_is_wrong(
    client: Campaigns, document: Any, text: str
) -> None:
    answer = client.post("campaigns", document or [1])
    assert (answer.status_code, answer.json()["status"]) == (400, "fail")
    assert text in answer.json()["error"]
    assert client.read("campaigns") == []


def test_all_that_is_wrong_is_told_at_once(client: Campaigns) -> None:
    wrong = {"kind": "online", "channel": "webhook", "trigger": {"action": "x", "segment": "y"}}
    error = client.post("campaigns", wrong).json()["error"]
    for part in ("name must", "trigger.action must", "no segment 'y'", "needs a webhook"):
        assert part in error


def test_hostile_text_comes_back_as_it_is(client: Campaigns) -> None:
    name = '"><script>alert(1)</script>\u202e\x00 ü' + "x" * 200
    webhook = {"url": f"{URL}?a=%3Cb%3E&'\"", "key_values": {name: name}}
    campaign = client.campaign(name=name, webhook=webhook)
    assert campaign["name"] == name
    assert campaign["webhook"]["key_values"] == {name: name}
    client.update([name], [("gold", "ADD")])
    client.run_due()
    assert client.receiver.users == [name]


# -- segments in use ----------------------------------------------------------


def in_use(client: Campaigns) -> list[dict[str, Any]]:
    return [
        client.campaign(**online(segment="gold")),
        client.campaign(**offline("gold", when="2028-01-01")),
        client.campaign(**offline("silver", exclude=["gold"], when="2028-01-01")),
        client.campaign(**journey()),
    ]


def test_a_segment_in_use_cannot_be_deleted(client: Campaigns) -> None:
    campaigns = in_use(client)
    number = client.read("segments")[0]["ct_segment_id"]
    answer = client.call("DELETE", f"/emulator/v1/segments/{number}")
    assert answer.status_code == 409
    for each in campaigns:
        assert str(each["id"]) in answer.json()["error"]
    shown = client.read(f"segments/{number}")["used_by"]
    assert [each["id"] for each in shown] == [each["id"] for each in campaigns]
    for each in campaigns:
        client.post(f"campaigns/{each['id']}/stop")
    assert client.read(f"segments/{number}")["used_by"] == []
    assert client.call("DELETE", f"/emulator/v1/segments/{number}").status_code == 200


def test_none_of_several_segments_is_deleted_if_one_is_in_use(client: Campaigns) -> None:
    client.campaign(**online(segment="silver"))
    ids = [each["ct_segment_id"] for each in client.read("segments")]
    answer = client.post("segments/delete", {"ct_segment_ids": ids})
    assert answer.status_code == 409
    assert [each["deleted"] for each in client.read("segments")] == [False, False]


def test_a_completed_campaign_or_a_draft_keeps_no_segment(client: Campaigns) -> None:
    client.campaign(**offline("gold"))
    draft = client.campaign(**offline("gold", when=None))
    number = client.read("segments")[0]["ct_segment_id"]
    assert client.call("DELETE", f"/emulator/v1/segments/{number}").status_code == 200
    answer = client.post(f"campaigns/{draft['id']}/start")
    assert (answer.status_code, str(number) in answer.json()["error"]) == (409, True)


# -- segments of other kinds --------------------------------------------------


def seed(client: Campaigns, **fields: Any) -> Any:
    document = {"category": "Past Behaviour", "segment_name": "Buyers", **fields}
    return client.post("segments", document)


def test_a_segment_of_another_kind_is_seeded_with_members(client: Campaigns) -> None:
    members = [{"identity": "a"}, {"identity": "new"}, {"guid": "g"}, {"identity": "a"}]
    client.settings(visibility_lag_ms=1000)
    events = client.read("stats")["events"]
    segment = seed(client, members=members).json()
    assert (segment["category"], segment["customer_segment_id"]) == ("Past Behaviour", None)
    assert segment["members"] == 3
    assert client.read("stats")["events"] == events
    assert (
        client.post("campaigns/estimate", {"include": [segment["ct_segment_id"]]}).json()[
            "audience"
        ]
        == 3
    )


@pytest.mark.parametrize(
    ("choice", "error_type"),
    [
        ("not_found", "API_SEGMENT_NOT_FOUND_OR_DELETED"),
        ("invalid_action", "API_SEGMENT_INVALID_ACTION"),
    ],
)
def test_updates_do_not_apply_to_segments_of_other_kinds(
    client: Campaigns, choice: str, error_type: str
) -> None:
    client.settings(other_category_error=choice)
    number = seed(client, category="Partner").json()["ct_segment_id"]
    line = {"ct_segment_id": number, "action": "ADD"}
    assert client.update(["a"], [line]).json() == {"success": True}
    assert client.error_types() == [error_type]
    assert client.read(f"segments/{number}")["members"] == 0


@pytest.mark.parametrize(("scope", "status"), [("api_segments", 200), ("all", 400)])
def test_other_kinds_may_count_towards_the_limit(
    client: Campaigns, scope: str, status: int
) -> None:
    client.settings(max_segments=3, segment_cap_scope=scope)
    seed(client)
    body = [{"segment_name": "S", "customer_segment_id": "s"}]
    assert client.call("POST", "/api/createSegment", json=body).status_code == status
    assert seed(client).status_code == status


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"category": "API Segments"}, "category must be one of"),
        ({"category": []}, "category must be one of"),
        ({"segment_name": ""}, "segment_name must be text"),
        ({"members": {}}, "members must be an array"),
        ({"members": ["a", {"identity": " "}, {"email": "x"}, {}]}, "4 of the members"),
        ({"customer_segment_id": "x"}, "unknown field customer_segment_id"),
    ],
)
def test_a_wrong_seed_is_refused(client: Campaigns, fields: dict[str, Any], text: str) -> None:
    answer = seed(client, **fields)
    assert answer.status_code == 400
    assert text in answer.json()["error"]
    assert len(client.read("segments")) == 2


def test_only_api_segments_trigger_a_campaign(client: Campaigns) -> None:
    number = seed(client).json()["ct_segment_id"]
    answer = client.post("campaigns", online(segment=number))
    assert (answer.status_code, "only API Segments" in answer.json()["error"]) == (400, True)


# -- profiles that are merged -------------------------------------------------


def link(client: Campaigns, identity: str, guid: str) -> None:
    client.settings(both_ids="link")
    client.update([{"identity": identity, "guid": guid}], [("silver", "REMOVE")])


@pytest.mark.parametrize("guid_first", [True, False])
def test_a_user_of_two_merged_profiles_is_listed_once(
    client: Campaigns, *, guid_first: bool
) -> None:
    for user in ({"guid": "g"}, "z") if guid_first else ("z", {"guid": "g"}):
        client.update([user], [("gold", "ADD")])
    campaign = client.campaign(**offline("gold"))
    link(client, "z", "g")
    assert users(client, campaign) == ["a", "b", "c", "z"]


@pytest.mark.parametrize("guid_first", [True, False])
@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_user_of_two_merged_profiles_gets_one_message(
    client: Campaigns, size: int, *, guid_first: bool
) -> None:
    client.settings(webhook_profiles=size)
    for user in ({"guid": "g"}, "z") if guid_first else ("z", {"guid": "g"}):
        client.update([user], [("gold", "ADD")])
    campaign = client.campaign(**offline("gold", channel="webhook", webhook={"url": URL}))
    link(client, "z", "g")
    client.run_due()
    assert sorted(client.receiver.users) == ["a", "b", "c", "z"]
    assert client.show(campaign)["status"] == "completed"


def test_a_merged_user_leaves_a_journey_and_does_not_enter_again(client: Campaigns) -> None:
    campaign = client.campaign(**journey(exit_on_leave=True))
    client.update(["z"], [("silver", "ADD")])
    client.update([{"guid": "g"}], [("gold", "ADD")])
    client.run_due()
    link(client, "z", "g")
    client.update(["z"], [("gold", "REMOVE")])
    client.update(["z"], [("gold", "ADD")])
    client.run_due()
    shown = client.show(campaign)
    assert (shown["entries"], shown["exits"]) == (1, 1)


def test_a_message_to_a_user_who_was_merged_meanwhile_is_sent(client: Campaigns) -> None:
    campaign = client.campaign(**online(delay_seconds=60) | {"channel": "email", "webhook": None})
    client.update([{"guid": "g"}], [("gold", "ADD")])
    client.run_due()
    reach(client, "z")
    link(client, "z", "g")
    client.run_due(60)
    assert [each["status"] for each in client.triggers(campaign)] == ["sent"]
