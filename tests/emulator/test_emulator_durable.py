"""Durability: an answered 200 survives any end, and memory and file agree."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segctl.emulator.app import create_app
from segctl.emulator.errors import DataFormatError, DataInUseError
from segctl.emulator.settings import Settings
from segctl.emulator.storage import migration, wal
from segctl.emulator.storage.changes import Change, NewSegment
from segctl.emulator.storage.database import Database
from segctl.emulator.storage.event_log import EventLog
from segctl.emulator.storage.history import segment_history
from segctl.emulator.storage.state import ADD, REMOVE, User
from segctl.emulator.storage.store import Store
from segctl.emulator.storage.wal import copy_log

if TYPE_CHECKING:
    from tests.emulator.conftest import Client

HEADERS = {"X-CleverTap-Account-Id": "EMULATOR", "X-CleverTap-Passcode": "emulator"}
START = (
    "import sys; from pathlib import Path; from segctl.emulator.server import serve; "
    "serve(port=0, data=Path(sys.argv[1]), ready=lambda url: print(url, flush=True))"
)
SETTINGS = Settings(data_points_per_event=1)


@contextmanager
def process(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Yield the server, in a process of its own, and its URL."""
    with subprocess.Popen(
        [sys.executable, "-c", START, str(folder)], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        try:
            yield running, running.stdout.readline().strip()
        finally:
            running.kill()


def update(user: str, action: str = "ADD") -> dict[str, Any]:
    line = {"customer_segment_id": "gold", "action": action}
    return {"bulk_profiles": [{"user_profiles": [{"identity": user}], "segments": [line]}]}


def test_an_answered_update_survives_kill_9_at_any_moment(tmp_path: Path) -> None:
    chance = random.Random(7)  # noqa: S311 - when to kill
    known: set[str] = set()
    for start in range(6):
        answered: list[str] = []
        with process(tmp_path) as (running, url):
            if start == 0:
                body = [{"segment_name": "Gold", "customer_segment_id": "gold"}]
                httpx.post(f"{url}/api/createSegment", json=body, headers=HEADERS)
            found = members(url)
            assert known <= found
            assert figures_agree(url, found)
            kill_at = chance.randrange(30, 150)

            def work(thread: int) -> None:
                with httpx.Client(base_url=url, headers=HEADERS) as http:
                    for number in range(10_000):
                        user = f"u-{start}-{thread}-{number}"  # noqa: B023 - the same
                        try:
                            answer = http.post("/api/updateSegment", json=update(user))
                        except httpx.TransportError:
                            return
                        assert answer.json() == {"success": True}
                        answered.append(user)  # noqa: B023 - the same
                        if len(answered) == kill_at:  # noqa: B023 - the same
                            running.kill()

            threads = [threading.Thread(target=work, args=(thread,)) for thread in range(3)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            assert running.wait() == -signal.SIGKILL
        assert len(answered) >= kill_at
        known = found | set(answered)


def members(url: str) -> set[str]:
    (segment,) = httpx.get(f"{url}/emulator/v1/segments").json()
    lines = httpx.get(f"{url}/emulator/v1/segments/{segment['ct_segment_id']}/members").text
    return {json.loads(line)["identity"] for line in lines.splitlines()}


def figures_agree(url: str, found: set[str]) -> bool:
    (segment,) = httpx.get(f"{url}/emulator/v1/segments").json()
    stats = httpx.get(f"{url}/emulator/v1/stats").json()
    return {segment["members"], stats["events"], stats["profiles"]} == {len(found)}


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_cleanly(tmp_path: Path, end: signal.Signals) -> None:
    with process(tmp_path) as (running, url):
        assert httpx.get(f"{url}/emulator/v1/stats").status_code == 200
        os.kill(running.pid, end)
        assert running.wait(20) == 0


def test_all_data_survives_a_restart(client: "Client", tmp_path: Path) -> None:
    def start() -> Any:
        client.app = create_app(data=tmp_path, accounts={"ACC-1": "pass-1"})
        return client.app.state.service.store

    store = start()
    client.create("gold", "silver", "gone")
    client.update(["a", "b", {"guid": "g"}, ""], [("gold", "ADD"), ("silver", "ADD")])
    client.update(["a"], [("silver", "REMOVE")])
    number = client.read("segments")[2]["ct_segment_id"]
    client.call("DELETE", f"/emulator/v1/segments/{number}")
    client.settings(noop_changes="event")
    client.faults({"fault": "latency", "ms": 1})
    reads = ("segments", "error-stream", "events", "settings", "faults")
    before = [client.read(each) for each in reads]
    # The first start reads the log alone, the second one saved members.
    store.database.close()
    store = start()
    assert [client.read(each) for each in reads] == before
    store.close()
    store = start()
    assert [client.read(each) for each in reads] == before
    client.create("next")
    assert client.members("gold") == ["g", "a", "b"]
    assert client.update(["x"], [("gone", "ADD")]).status_code == 200
    assert client.error_types()[-1] == "API_SEGMENT_NOT_FOUND_OR_DELETED"
    store.close()


def write_old_file(folder: Path, version: int) -> Path:
    """Write the file of an older format and return its path."""
    dump = (Path(__file__).parent / f"data_format_{version}.sql").read_text("utf-8")
    file = folder / "emulator.sqlite3"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.executescript(f"{dump} PRAGMA user_version = {version};")
    return file


def test_a_file_of_format_2_is_migrated(client: "Client", tmp_path: Path) -> None:
    write_old_file(tmp_path, 2)
    for _ in range(2):
        client.app = create_app(data=tmp_path, accounts={"ACC-1": "pass-1", "ACC-2": "pass-2"})
        store = client.app.state.service.store
        assert client.members("gold") == ["g5", "u0", "u2"]
        segments = client.read("segments")
        assert [each["members"] for each in segments] == [3, 0, 1]
        assert segments[0]["reachable"] == {"any": 1, "email": 1, "sms": 0, "push": 0}
        stats = client.read("stats?account=ACC-1")
        assert (stats["membership_changes"], stats["events"], stats["data_points"]) == (6, 7, 36)
        assert [each["Apply"] for each in client.read("error-stream")] == [0]
        gold = store.accounts["ACC-1"].by_customer_id["gold"]
        assert [members for _, members in segment_history(store.log, gold, 9)] == [0, 3, 3]
        assert [
            each["event_props"]["Action"] for each in client.read("events?start=5&limit=2")
        ] == [
            "REMOVE",
            "ADD",
        ]
        store.close()


def test_a_migration_that_ends_early_leaves_the_old_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(_log: EventLog) -> None:
        raise KeyboardInterrupt

    file = write_old_file(tmp_path, 2)
    with monkeypatch.context() as patch:
        patch.setattr(EventLog, "make_blocks", stop)
        with pytest.raises(KeyboardInterrupt):
            create_app(data=tmp_path)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT count(*) FROM members").fetchone() == (2,)
    create_app(data=tmp_path).state.service.store.close()


def test_a_large_file_of_an_older_format_says_that_it_takes_a_while(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write_old_file(tmp_path, 2)
    monkeypatch.setattr(migration, "LARGE", 5)
    create_app(data=tmp_path).state.service.store.close()
    assert "Migrating 5 profiles and 8 events" in capsys.readouterr().err
    create_app(data=tmp_path).state.service.store.close()
    assert capsys.readouterr().err == ""


def test_a_file_of_format_1_is_migrated(client: "Client", tmp_path: Path) -> None:
    write_old_file(tmp_path, 1)
    gold = ["g", *sorted(f"u{n}" for n in range(20) if n % 3 and n != 1)]
    silver = sorted(f"u{n}" for n in (*range(0, 20, 3), 19))
    for _ in range(2):
        client.app = create_app(data=tmp_path, accounts={"ACC-1": "pass-1", "ACC-2": "pass-2"})
        assert (client.members("gold"), client.members("silver")) == (gold, silver)
        segments = client.read("segments")
        assert [each["members"] for each in segments] == [13, 8, 0, 2]
        assert [each["reachable"]["any"] for each in segments] == [0, 1, 0, 0]
        for account, figures in (("ACC-1", (58, 59, 297)), ("ACC-2", (2, 2, 10))):
            stats = client.read(f"stats?account={account}")
            assert figures == tuple(
                stats[name] for name in ("membership_changes", "events", "data_points")
            )
        client.app.state.service.store.close()


def test_a_data_folder_has_one_emulator_at_a_time(tmp_path: Path) -> None:
    first = create_app(data=tmp_path)
    with pytest.raises(DataInUseError, match="another emulator"):
        create_app(data=tmp_path)
    first.state.service.store.close()
    create_app(data=tmp_path).state.service.store.close()


@pytest.mark.parametrize("content", [b"no database" * 200, None])
def test_a_file_of_another_format_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "emulator.sqlite3"
    if content is None:
        create_app(data=tmp_path).state.service.store.close()
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA user_version = 9")
    else:
        file.write_bytes(content)
    for _ in range(2):
        with pytest.raises(DataFormatError, match="emulator"):
            create_app(data=tmp_path)


def test_an_adopted_account_survives_a_restart(tmp_path: Path, client: "Client") -> None:
    client.headers = {"X-CleverTap-Account-Id": "NEW", "X-CleverTap-Passcode": "secret"}
    for start in range(2):
        client.app = create_app(data=tmp_path)
        if start == 0:
            client.settings(unknown_accounts="adopt")
            client.create("gold")
        assert client.members("gold") == []
        client.app.state.service.store.close()


def test_a_write_that_fails_changes_nothing(
    client: "Client", monkeypatch: pytest.MonkeyPatch
) -> None:
    client.create("gold")
    client.update(["a"], [("gold", "ADD")])

    def fail(*_args: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(EventLog, "append", fail)
        with pytest.raises(sqlite3.OperationalError):
            client.update(["b"], [("gold", "ADD")])
    assert client.members("gold") == ["a"]
    assert client.read("stats")["profiles"] == 1
    client.update(["b"], [("gold", "ADD")])
    assert client.members("gold") == ["a", "b"]


def test_a_full_disk_is_a_500_and_no_half_change(client: "Client") -> None:
    client.create("gold")
    client.update(["a"], [("gold", "ADD")])
    connection = client.app.state.service.store.database.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    big = [f"{n}" * 400 for n in range(100)]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        client.update(big, [("gold", "ADD")])
    connection.execute("PRAGMA max_page_count = 1000000")
    assert client.members("gold") == ["a"]
    client.update(big, [("gold", "ADD")])
    assert client.read("segments")[0]["members"] == 101


@pytest.mark.parametrize("pages", [0, 10**6], ids=["starts again", "goes on"])
def test_the_write_ahead_log_is_copied_meanwhile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pages: int
) -> None:
    monkeypatch.setattr(wal, "ROWS_PER_COPY", 5)
    monkeypatch.setattr(wal, "MAX_LOG_PAGES", pages)
    copied: list[int] = []

    def copy(file: Path) -> int:
        copied.append(copy_log(file))
        return copied[-1]

    monkeypatch.setattr(wal, "copy_log", copy)
    database = Database(folder=tmp_path)
    for number in range(50):
        with database.transaction():
            database.set_meta(f"key {number}", "value" * 900)
    database.close()
    assert copied
    database = Database(folder=tmp_path)
    assert all(database.get_meta(f"key {number}") == "value" * 900 for number in range(50))
    assert database.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


users = st.lists(st.sampled_from([User("identity", f"u{n}") for n in range(12)]), max_size=6)
steps = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([ADD, REMOVE]), users))


def test_reach_survives_a_restart_without_a_checkpoint(client: "Client", tmp_path: Path) -> None:
    def start() -> Any:
        client.app = create_app(data=tmp_path, accounts={"ACC-1": "pass-1"})
        return client.app.state.service.store

    def upload(email: str) -> None:
        record = {"identity": "a", "type": "profile", "profileData": {"Email": email}}
        client.call("POST", "/1/upload", json={"d": [record]})

    store = start()
    client.create("gold")
    client.update(["a", "b"], [("gold", "ADD")])
    for email, reached in (("a@example.com", 1), ("", 0), ("a@example.com", 1)):
        upload(email)
        assert client.read("segments")[0]["reachable"]["email"] == reached
        store.database.close()
        store = start()
        assert client.read("segments")[0]["reachable"]["email"] == reached
    store.close()
    store = start()
    assert client.read("segments")[0]["reachable"]["email"] == 1
    assert store.database.connection.execute("SELECT * FROM reach_journal").fetchall() == []
    store.close()


@settings(max_examples=40, deadline=None)
@given(steps)
def test_the_store_is_a_set_of_users_for_each_segment(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, list[User]]]
) -> None:
    folder = tmp_path_factory.mktemp("data")

    def start() -> Store:
        return Store(
            folder=folder, passcodes={"A": "p"}, clock=lambda: 1_800_000_000.0, changes_to_replay=7
        )

    store = start()
    account = store.accounts["A"]
    store.create(account, [NewSegment(name=each, customer_id=each) for each in "abc"])
    model: dict[str, set[User]] = {each: set() for each in "abc"}
    changes = 0
    for name, action, changed in steps:
        before = len(model[name])
        model[name] = model[name] | set(changed) if action == ADD else model[name] - set(changed)
        changes += abs(len(model[name]) - before)
        segment = account.by_customer_id[name]
        change = Change(segment=segment, action=action, users=tuple(changed))
        store.update(account, [change], [], settings=SETTINGS)
    for _ in range(2):
        account = store.accounts["A"]
        for name, expected in model.items():
            segment = account.by_customer_id[name]
            assert {account.profiles.user(each) for each in segment.members} == expected
            assert len(segment.members) == len(expected)
        assert account.membership_changes == account.events == account.event_points == changes
        store.database.close()
        store = start()
    store.close()
