"""Identity and guid in one user, if the service links them: one profile, nothing twice."""

import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyroaring import BitMap

from segctl.emulator.settings import Settings
from segctl.emulator.storage.changes import Change, NewSegment
from segctl.emulator.storage.event_runs import RunFilter
from segctl.emulator.storage.event_sums import users_of_events
from segctl.emulator.storage.history import segment_history
from segctl.emulator.storage.state import ADD, REMOVE, Account, LinkedUser, User
from segctl.emulator.storage.store import Store

if TYPE_CHECKING:
    from tests.emulator.conftest import Client, Clock

BOTH = {"identity": "a", "guid": "g"}
SETTINGS = Settings(both_ids="link")


def change(client: "Client", *users: Any, action: str = "ADD", segment: str = "gold") -> None:
    answer = client.update(list(users), [(segment, action)])
    assert answer.json() == {"success": True}


@pytest.fixture
def client(client: "Client") -> "Client":
    """Return a client of an emulator that links, with two segments."""
    client.settings(both_ids="link")
    client.create("gold", "silver")
    return client


@pytest.mark.parametrize("known", [[], ["a"], [{"guid": "g"}]])
def test_both_ids_name_one_profile_from_then_on(client: "Client", known: list[Any]) -> None:
    for user in known:
        change(client, user, segment="silver")
    change(client, BOTH)
    assert client.read("stats")["profiles"] == 1
    assert client.members("silver") == ["a"] * len(known)
    assert client.read("events")[-1]["profile"] == {"identity": "a"}
    change(client, {"guid": "g"}, action="REMOVE")
    assert client.members("gold") == []


def test_two_profiles_of_one_user_are_merged_into_the_identitys(client: "Client") -> None:
    change(client, "a", segment="silver")
    change(client, "a", {"guid": "g"}, "b")
    change(client, {"guid": "g"}, segment="silver")
    change(client, BOTH, action="REMOVE", segment="silver")
    assert (client.members("gold"), client.members("silver")) == (["a", "b"], [])
    stats = client.read("stats")
    assert (stats["profiles"], stats["events"], stats["membership_changes"]) == (2, 6, 6)
    assert [each["profile"]["identity"] for each in client.read("events")] == list("aaabaa")


def test_a_merge_is_no_membership_change(client: "Client") -> None:
    change(client, {"guid": "g"})
    change(client, "a", segment="silver")
    change(client, BOTH, segment="silver")
    assert client.read("stats")["events"] == 2
    assert (client.members("gold"), client.members("silver")) == (["a"], ["a"])


@pytest.mark.parametrize(
    ("identitys", "guids", "reach"),
    [
        ({"Email": "a@example.com"}, {"Phone": "+4915"}, [1, 1, 1]),
        ({"Email": "a@example.com"}, {"MSG-email": False, "Phone": "+4915"}, [1, 0, 1]),
        ({"Email": "", "MSG-sms": False}, {"Email": "g@example.com", "Phone": "+4915"}, [0, 0, 0]),
    ],
)
def test_the_reach_of_a_merged_profile_is_that_of_its_fields(
    client: "Client", identitys: dict[str, Any], guids: dict[str, Any], reach: list[int]
) -> None:
    for keys, fields in (({"identity": "a"}, identitys), ({"objectId": "g"}, guids)):
        record = {**keys, "type": "profile", "profileData": fields}
        assert client.call("POST", "/1/upload", json={"d": [record]}).json()["processed"] == 1
    change(client, BOTH)
    reachable = client.read("segments")[0]["reachable"]
    assert [reachable[channel] for channel in ("any", "email", "sms")] == reach


@pytest.mark.parametrize("kept", ["a", {"guid": "g"}])
@pytest.mark.parametrize("action", ["ADD", "REMOVE"])
def test_a_merge_while_changes_are_not_visible_loses_no_member(
    client: "Client", clock: "Clock", kept: Any, action: str
) -> None:
    client.settings(visibility_lag_ms=60_000)
    change(client, kept)
    clock.now += 61
    other = {"guid": "g"} if kept == "a" else "a"
    change(client, other)
    if action == "REMOVE":
        change(client, other, action="REMOVE")
    change(client, BOTH, segment="silver")
    for seconds in (0, 61):
        clock.now += seconds
        assert client.members("gold") == ["a"]
    change(client, "a", action="REMOVE")
    assert client.members("gold") == ["a"]
    clock.now += 61
    assert client.members("gold") == []


def test_a_profile_may_have_more_ids_than_two(client: "Client") -> None:
    change(client, BOTH, {"identity": "a", "guid": "h"}, {"identity": "b", "guid": "g"})
    for user in ({"guid": "h"}, {"guid": "g"}, "b"):
        change(client, user, segment="silver")
    assert client.read("stats")["profiles"] == 1
    assert client.members("silver") == client.members("gold") == ["a"]


@pytest.mark.parametrize("both_ids", ["identity", "guid"])
def test_without_linking_one_of_the_two_ids_is_not_looked_at(
    client: "Client", both_ids: str
) -> None:
    client.settings(both_ids=both_ids)
    change(client, BOTH)
    assert client.members("gold") == [BOTH[both_ids]]
    change(client, "a", {"guid": "g"})
    assert client.read("stats")["profiles"] == 2


def open_store(folder: Path) -> tuple[Store, Account]:
    store = Store(
        folder=folder, passcodes={"A": "p"}, clock=lambda: 1_800_000_000.0, changes_to_replay=7
    )
    return store, store.accounts["A"]


def picture(store: Store, account: Account) -> dict[str, Any]:
    """Return what the store says of its segments, and of the users and their events."""
    profiles = account.profiles
    runs = [run for piece in store.log.pieces(RunFilter()) for run in piece]
    wanted = RunFilter(account=account.number)
    sums = users_of_events(store.database.connection, store.log, wanted, end=store.next_event)
    seen = BitMap.union(*[numbers for numbers, _ in sums])
    events = [(run.segment, run.action, number) for run in runs for number in run.users]
    return {
        "members": {each.name: sorted(profiles.users(list(each.members)))
                    for each in account.segments.values()},
        "count": len(profiles),
        "users of events": sorted(profiles.users(list(seen))),
        "events": [(segment, action, profiles.user(number)) for segment, action, number in events],
        "own": {
            number: [
                (run.segment, run.action)
                for piece in store.log.pieces(RunFilter(account=account.number, user=number))
                for run in piece
            ]
            for number in {number for _, _, number in events}
        },
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_a_start_finds_what_was_there(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - test data
    store, account = open_store(tmp_path / "0")
    gold, silver = store.create(account, [NewSegment(name=n, customer_id=n) for n in "gs"])
    groups: dict[str, set[str]] = {}  # by id, the ids of the same person
    wanted: dict[str, set[str]] = {"g": set(), "s": set()}  # ids of members
    for step in range(60):
        identity, guid = (f"{kind}{chance.randrange(5)}" for kind in "iG")
        kind, linked = chance.choice([("identity", None), ("guid", None), ("identity", guid)])
        user = User(kind, guid if kind == "guid" else identity)
        if linked:
            user = LinkedUser(identity, linked)
        segment, action = chance.choice([gold, silver]), chance.choice([ADD, ADD, REMOVE])
        is_known = any(key in groups for key in (user.value, linked))
        if is_known or action == ADD:
            ids = {user.value, linked or user.value}
            ids = set().union(*[groups.get(key, {key}) for key in ids])
            groups.update(dict.fromkeys(ids, ids))
            for members in wanted.values():
                members.update(ids if members & ids else ())
            (wanted[segment.name].update if action == ADD
             else wanted[segment.name].difference_update)(ids)  # fmt: skip
        changes = [Change(segment=segment, action=action, users=(user,))]
        store.update(account, changes, [], settings=SETTINGS)
        for each in (gold, silver):
            found = {u.value for u in account.profiles.users(list(each.members))}
            people = {frozenset(groups[key]) for key in wanted[each.name]}
            assert len(each.members) == len(people), step
            assert all(len(found & person) == 1 for person in people)
            assert segment_history(store.log, each, 100)[-1][1] == len(people)
    shutil.copytree(tmp_path / "0", tmp_path / "1")
    again, same = open_store(tmp_path / "1")
    read = picture(again, same)
    assert read == picture(store, account)
    assert read["users of events"] == sorted({user for _, _, user in read["events"]})
    assert len(account.profiles) == len({frozenset(ids) for ids in groups.values()})
    again.close()
    store.close()
