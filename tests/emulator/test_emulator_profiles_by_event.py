"""Profiles by event: a cursor, then batches of the profiles of the users of events."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.emulator.conftest import Client, Clock

NAME = "Segment Membership Change"
BASE: dict[str, Any] = {"event_name": NAME, "from": 20270115, "to": 20270115}


def ask(client: "Client", parameters: str = "", **changes: Any) -> Any:
    query = {key: value for key, value in {**BASE, **changes}.items() if value is not None}
    return client.call("POST", f"/1/profiles.json?{parameters}", json=query)


def pages(client: "Client", reply: Any) -> list[list[Any]]:
    """Return the batches of records behind the cursor of an answer."""
    assert reply.status_code == 200, reply.text
    cursor, found = reply.json()["cursor"], []
    while cursor:
        page = client.call("GET", f"/1/profiles.json?cursor={cursor}").json()
        if page.get("code") == 2:
            continue
        assert page["status"] == "success"
        found.append(page["records"])
        cursor = page.get("next_cursor", "")
    return found


def names(client: "Client", **changes: Any) -> list[str]:
    return [each["identity"] for page in pages(client, ask(client, **changes)) for each in page]


@pytest.mark.usefixtures("ids")
def test_each_user_of_the_events_has_one_record(client: "Client", other: "Client") -> None:
    assert names(client) == ["a", "b", "c"]
    removed = [{"name": "Action", "operator": "equals", "value": "REMOVE"}]
    assert names(client, event_properties=removed) == ["a"]
    assert names(other) == []
    (records,) = pages(client, ask(client))
    assert records[0]["all_identities"] == ["a"]
    assert records[0]["platformInfo"][0]["objectId"].startswith("__ct")


@pytest.mark.parametrize("is_guid_first", [False, True])
def test_profiles_that_become_one_between_batches_have_one_record(
    client: "Client", *, is_guid_first: bool
) -> None:
    client.settings(both_ids="link")
    client.create("gold", "silver")
    guids = [{"guid": f"g{n}"} for n in range(30)]
    groups: list[list[Any]] = [guids, [f"u{n}" for n in range(30)]]
    for users in groups if is_guid_first else groups[::-1]:
        client.update(users, [("gold", "ADD")])
    cursor, found = ask(client, "batch_size=23&events=true").json()["cursor"], []
    while cursor:
        page = client.call("GET", f"/1/profiles.json?cursor={cursor}").json()
        found += [(each.get("identity"), each["events"][NAME]["count"]) for each in page["records"]]
        cursor = page.get("next_cursor", "")
        if len(found) == 23:
            both = [{"identity": f"u{n}", "guid": f"g{n}"} for n in range(30)]
            client.update(both, [("silver", "REMOVE")])
    first = [(None if is_guid_first else f"u{n}", 1) for n in range(23)]
    assert found == first + [(f"u{n}", 2) for n in range(23, 30)]


def test_a_batch_is_a_multiple_of_23(client: "Client") -> None:
    client.create("gold")
    client.update([f"u{n}" for n in range(60)], [("gold", "ADD")])
    sizes = [len(each) for each in pages(client, ask(client, "batch_size=50"))]
    assert sizes == [46, 14]
    assert [len(each) for each in pages(client, ask(client))] == sizes


@pytest.mark.usefixtures("ids")
def test_a_record_has_the_summary_of_events_if_asked(client: "Client", clock: "Clock") -> None:
    (records,) = pages(client, ask(client, "events=true"))
    seen = {"first_seen": int(clock.now), "last_seen": int(clock.now)}
    assert records[0]["events"] == {NAME: {"count": 3, **seen}}
    (records,) = pages(client, ask(client))
    assert "events" not in records[0]


@pytest.mark.usefixtures("ids")
def test_a_long_search_goes_on_with_the_same_cursor(client: "Client") -> None:
    client.settings(search_events=1, search_answer="in_progress")
    assert names(client) == ["a", "b", "c"]
    (records,) = pages(client, ask(client, "events=true"))
    assert [each["events"][NAME]["count"] for each in records] == [3, 1, 1]


@pytest.mark.usefixtures("ids")
def test_without_a_base_query_the_past_365_days_count(client: "Client", clock: "Clock") -> None:
    removed = [{"name": "Action", "value": "REMOVE"}]
    no_base: dict[str, Any] = dict.fromkeys(BASE)
    did = {"did_none": [{**BASE, "event_properties": removed}]}
    assert names(client, **no_base, advanced_query=did) == ["b", "c"]
    clock.now += 366 * 86_400
    assert names(client, **no_base, advanced_query=did) == []
    assert ask(client, **no_base).status_code == 400


def test_profiles_by_segment_are_a_switch_with_a_shape_of_ours(
    client: "Client", ids: dict[str, int]
) -> None:
    reply = ask(client, segment=ids["gold"])
    assert reply.status_code == 400
    assert "no page shows a filter by segment" in reply.json()["error"]
    client.settings(profile_segment_filter="accept")
    no_base: dict[str, Any] = dict.fromkeys(BASE)
    assert names(client, **no_base, segment=ids["gold"]) == ["b", "c"]
    assert names(client, segment="silver") == ["a"]
    assert ask(client, segment="nowhere").status_code == 400


@pytest.mark.usefixtures("ids")
def test_a_cursor_lives_four_days_and_is_of_its_account_and_call(
    client: "Client", other: "Client", clock: "Clock"
) -> None:
    cursor = ask(client).json()["cursor"]
    assert other.call("GET", f"/1/profiles.json?cursor={cursor}").status_code == 400
    assert client.call("GET", f"/1/events.json?cursor={cursor}").status_code == 400
    clock.now += 345_600
    assert client.call("GET", f"/1/profiles.json?cursor={cursor}").status_code == 200
    clock.now += 1
    assert client.call("GET", f"/1/profiles.json?cursor={cursor}").status_code == 400
