"""Long answers come in pieces, whole or not at all; live figures are written once."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap
from starlette.requests import Request

from segctl.emulator.control import responses, streams
from segctl.emulator.control.responses import in_turns
from segctl.emulator.control.segments import described_pieces
from segctl.emulator.errors import ConnectionCutError
from segctl.emulator.pages import error_pages
from segctl.emulator.reading import events, skipped_entries
from segctl.emulator.reading.skipped_entries import SkippedFilter, skipped_pieces
from segctl.emulator.settings import Settings
from segctl.emulator.storage import members, profiles
from segctl.emulator.storage.changes import Change, NewSegment
from segctl.emulator.storage.database import Database
from segctl.emulator.storage.event_runs import RunFilter
from segctl.emulator.storage.history import segment_history
from segctl.emulator.storage.members import sorted_users
from segctl.emulator.storage.profiles import KeyCache, Profiles
from segctl.emulator.storage.state import ADD, REMOVE, User
from segctl.emulator.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.applications import Starlette

    from tests.emulator.conftest import Client, Clock


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pieces of one or two items."""
    for module, name, size in (
        (events, "EVENTS_PER_PIECE", 2),
        (skipped_entries, "ROWS_PER_QUERY", 1),
        (skipped_entries, "ENTRIES_PER_PIECE", 2),
        (members, "USERS_PER_PIECE", 2),
        (profiles, "KEYS_PER_STATEMENT", 2),
        (responses, "BYTES_PER_WRITE", 1),
    ):
        monkeypatch.setattr(module, name, size)


@pytest.mark.parametrize("share", [0, 10**9], ids=["sorted", "from the index"])
@pytest.mark.usefixtures("small_pieces")
def test_members_are_in_order_either_way(monkeypatch: pytest.MonkeyPatch, share: int) -> None:
    monkeypatch.setattr(members, "SHARE", share)
    database = Database(folder=None)
    found = Profiles(database.connection, account_number=1, account="A")
    keys: list[Any] = [("b", "z"), (None, "y"), ("a", None), ("Ä", "c"), (None, "x"), ("é", None)]
    found.add_many(keys)
    pieces = list(sorted_users(found, BitMap([0, 1, 2, 4, 5])))
    assert [user for piece in pieces for user in piece] == [
        User("guid", "x"),
        User("guid", "y"),
        User("identity", "a"),
        User("identity", "b"),
        User("identity", "é"),
    ]


keys = st.lists(st.sampled_from("abcdefgh"))


@given(st.integers(1, 4), keys)
def test_a_cache_forgets_keys_but_never_confuses_them(size: int, used: str) -> None:
    cache = KeyCache(size)
    for key in used:
        number = cache.get(key)
        assert number in {None, ord(key)}
        if number is None:
            cache.put(key, ord(key))
    kept = [key for key in "abcdefgh" if cache.get(key)]
    assert len(kept) <= 2 * size
    assert cache.has_lost_keys or set(kept) == set(used)


def test_profiles_are_found_after_the_cache_has_lost_them() -> None:
    database = Database(folder=None)
    found = Profiles(database.connection, account_number=1, account="A", cached_keys=2)
    users = [User("identity", f"u{number}") for number in range(9)]
    found.add_many([(user.value, None) for user in users])
    assert found.find_many([*users, User("identity", "new"), User("guid", "u1")]) == {
        user: number for number, user in enumerate(users)
    }
    assert found.find(User("guid", found.object_id(8))) == 8
    assert found.find(User("guid", found.object_id(8) + "0")) is None


@pytest.mark.usefixtures("small_pieces")
def test_a_long_answer_is_whole(client: "Client") -> None:
    client.create("gold", "silver")
    users = [f"u{number}" for number in range(7)]
    client.update(users, [("gold", "ADD"), ("silver", "ADD"), ("nowhere", "ADD"), ("", "ADD")])
    assert [each["seq"] for each in client.read("events")] == list(range(1, 15))
    assert [each["seq"] for each in client.read("events?start=6&limit=3")] == [6, 7, 8]
    assert client.members("gold") == users
    entries = client.read("error-stream")
    assert [each["User Identity"] for each in entries] == users * 2
    assert client.read("error-stream?start=5&limit=4") == entries[5:9]
    assert client.read("error-stream?start=99") == []
    assert client.read("error-stream?limit=0") == []
    csv = client.call("GET", "/emulator/v1/error-stream?format=csv&start=12").text.splitlines()
    assert [line.split(",")[3] for line in csv] == ["User Identity", "u5", "u6"]


@pytest.mark.parametrize(
    "path", ["events", "error-stream", "segments/{number}/members", "exports/events"]
)
@pytest.mark.usefixtures("small_pieces")
def test_a_read_that_a_reset_interrupts_is_cut_off(
    client: "Client", app: "Starlette", monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    number = client.create("gold")["gold"]
    client.update([f"u{each}" for each in range(7)], [("gold", "ADD"), ("nowhere", "ADD")])

    async def reset_after_the_first(pieces: Any) -> "AsyncIterator[str]":
        async for piece in in_turns(pieces):
            yield piece
            app.state.service.reset()

    monkeypatch.setattr(f"{responses.__name__}.in_turns", reset_after_the_first)
    with pytest.raises(ConnectionCutError):
        client.call("GET", f"/emulator/v1/{path.format(number=number)}")


@pytest.mark.usefixtures("small_pieces")
def test_a_page_that_a_reset_interrupts_says_so(
    client: "Client", app: "Starlette", monkeypatch: pytest.MonkeyPatch
) -> None:
    client.update([f"u{each}" for each in range(7)], [("nowhere", "ADD")])

    async def reset_after_the_first(pieces: Any) -> "AsyncIterator[Any]":
        for piece in pieces:
            yield piece
            app.state.service.reset()

    monkeypatch.setattr(error_pages, "in_turns", reset_after_the_first)
    answer = client.call("GET", "/errors?user=u1", headers={"accept": "text/html"})
    assert answer.status_code == 409
    assert "data was deleted while it was read: read again" in answer.text


def test_skipped_entries_come_in_pieces_of_bounded_size(client: "Client", app: "Starlette") -> None:
    for _ in range(3):
        client.update([f"u{each}" for each in range(100)], [("nowhere", "ADD")])
    pieces = skipped_pieces(app.state.service, SkippedFilter())
    assert [len(piece) for piece in pieces] == [250, 50]


def test_ten_tabs_get_figures_that_are_written_once(
    client: "Client", app: "Starlette", monkeypatch: pytest.MonkeyPatch
) -> None:
    client.create("gold")
    written = 0

    def count(*arguments: Any) -> Any:
        nonlocal written
        written += 1
        return described_pieces(*arguments)

    monkeypatch.setattr(streams, "described_pieces", count)
    feed = streams.FiguresFeed(app.state.service, "ACC-1")

    async def open_tabs() -> list[str]:
        tabs = [feed.messages() for _ in range(10)]
        found = await asyncio.gather(*[anext(tab) for tab in tabs])
        for tab in tabs:
            await tab.aclose()  # type: ignore[attr-defined]
        return found

    for _ in range(2):
        found = asyncio.run(open_tabs())
        assert len(set(found)) == 1
        (segment,) = json.loads(found[0].partition("data: ")[2])["segments"]
        assert segment["segment_name"] == "Name of gold"
    assert written == 2


def test_a_tab_whose_figures_fail_is_ended(
    app: "Starlette", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "described_pieces", lambda *_: 1 / 0)
    feed = streams.FiguresFeed(app.state.service, None)

    async def read() -> list[str]:
        return [each async for each in feed.messages()]

    assert asyncio.run(read()) == []


def test_ten_tabs_read_an_event_once(
    client: "Client", app: "Starlette", monkeypatch: pytest.MonkeyPatch
) -> None:
    client.create("gold")
    client.update(["a"], [("gold", "ADD")])
    messages = app.state.event_messages
    first = messages.after(None, 1)
    monkeypatch.setattr(streams, "event_pieces", None)
    assert messages.after(None, 1) is first


def test_the_stream_goes_on_with_the_first_event_after_a_reset(
    client: "Client", app: "Starlette"
) -> None:
    client.create("gold")
    client.update(["a", "b"], [("gold", "ADD")])
    store = app.state.service.store
    query = {"query_string": b"start=2&limit=2", "headers": []}
    request = Request({"type": "http", "method": "GET", "app": app, **query})

    async def read() -> list[Any]:
        answer: Any = await streams.stream_events(request)
        pieces = aiter(answer.body_iterator)
        texts = [await anext(pieces), await anext(pieces)]
        store.reset()
        account = store.accounts["ACC-1"]
        (gold,) = store.create(account, [NewSegment(name="Gold", customer_id="gold")])
        added = Change(segment=gold, action=ADD, users=(User("identity", "new"),))
        store.update(account, [added], [], settings=Settings())
        return [*texts, await anext(pieces)]

    _, before, after = asyncio.run(read())
    assert ("id: 2\n" in before, "id: 1\n" in after) == (True, True)


steps = st.lists(
    st.tuples(
        st.sampled_from([ADD, REMOVE]),
        st.lists(st.sampled_from("abcd"), min_size=1),
        st.integers(0, 3),
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=40, deadline=None)
@given(steps)
def test_what_is_visible_late_is_what_was_there(steps: list[Any]) -> None:
    now = 1000.0
    late = Settings(visibility_lag_ms=2000)
    store = Store(folder=None, passcodes={"A": "p"}, clock=lambda: now)
    account = store.accounts["A"]
    (gold,) = store.create(account, [NewSegment(name="Gold", customer_id="gold")])
    history: list[tuple[float, set[User]]] = [(0.0, set())]
    for action, values, wait, is_read in steps:
        users = {User("identity", value) for value in values}
        change = Change(segment=gold, action=action, users=tuple(users))
        store.update(account, [change], [], settings=late)
        current = history[-1][1]
        history.append((now, current | users if action == ADD else current - users))
        now += wait
        if is_read:
            seen, _ = store.members_at(account, gold, now - 2)
            expected = [members for ts, members in history if ts <= now - 2][-1]
            assert set(account.profiles.users(list(seen))) == expected
    store.close()


def test_a_segments_history_has_its_members_at_each_minute(
    client: "Client", app: "Starlette", clock: "Clock"
) -> None:
    client.create("gold")
    store = app.state.service.store
    segment = store.accounts["ACC-1"].by_customer_id["gold"]
    start = clock.now
    for minute, user in enumerate("abcdef", start=1):
        clock.now = start + 60 * minute
        client.update([user], [("gold", "ADD")])
    assert segment_history(store.log, segment, 100) == [
        (start + 60 * minute, minute) for minute in range(7)
    ]
    assert segment_history(store.log, segment, 3)[-1] == (start + 360, 6)
    assert len(segment_history(store.log, segment, 3)) == 3
    store.delete(store.accounts["ACC-1"], [segment])
    assert segment_history(store.log, segment, 100)[-1] == (clock.now, 0)


def test_a_renamed_segment_keeps_its_members(client: "Client", app: "Starlette") -> None:
    client.create("gold")
    client.update(["a"], [("gold", "ADD")])
    store = app.state.service.store
    account = store.accounts["ACC-1"]
    store.rename(account, account.by_customer_id["gold"], "Très Gold")
    assert client.read("segments")[0]["segment_name"] == "Très Gold"
    assert client.members("gold") == ["a"]


def test_events_that_are_added_while_one_reads_are_not_read(
    client: "Client", app: "Starlette"
) -> None:
    client.create("gold")
    client.update(["a", "b"], [("gold", "ADD")])
    pieces = app.state.service.store.log.pieces(RunFilter())
    client.update(["c"], [("gold", "ADD")])
    first = next(pieces)
    client.update(["d"], [("gold", "ADD")])
    assert [run.seq for piece in (first, *pieces) for run in piece] == [1, 3]
