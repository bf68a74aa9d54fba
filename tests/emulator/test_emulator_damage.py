"""A damaged data folder: every damage ends with the file's name and a way out."""

import asyncio
import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette

from segctl.cli.main import execute
from segctl.emulator.app import create_app
from segctl.emulator.errors import DataFormatError
from segctl.emulator.settings import Settings
from segctl.emulator.storage.data_folder import FILE, LOCK, WAL
from tests.emulator.conftest import ACCOUNTS, Client

if TYPE_CHECKING:
    from segctl.emulator.service import Service

CAMPAIGN = (
    "INSERT INTO campaigns (account, definition, status, created_at) "
    "VALUES (1, '{definition}', 'draft', 1.8e9)"
)
GOLD = [f"member-{n}" for n in range(120)]


def start(folder: Path) -> Client:
    """Return a client of an emulator with its data in the folder."""
    return Client(create_app(data=folder, accounts=ACCOUNTS))


def service_of(app: Starlette) -> "Service":
    service: Service = app.state.service
    return service


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an emulator that was stopped."""
    folder = tmp_path_factory.mktemp("stopped")
    client = start(folder)
    client.create("gold", "silver")
    client.settings(both_ids="guid")
    client.update(GOLD[:60], [("gold", "ADD"), ("silver", "ADD"), ("nope", "ADD")])
    client.update([*GOLD[60:], ""], [("gold", "ADD"), ("silver", "REMOVE")])
    service_of(client.app).store.close()
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, stopped: Path) -> Path:
    """Return the folder of an emulator that was killed: its last changes are in the log."""
    folder = tmp_path_factory.mktemp("killed")
    running = tmp_path_factory.mktemp("running") / "data"
    shutil.copytree(stopped, running)
    client = start(running)
    client.update(["late"], [("gold", "ADD")])
    shutil.copytree(running, folder, dirs_exist_ok=True)
    service_of(client.app).store.close()
    return folder


@pytest.fixture
def folder(tmp_path: Path, stopped: Path) -> Path:
    """Return a copy of the stopped emulator's folder."""
    return shutil.copytree(stopped, tmp_path / "data")


def refusal(folder: Path) -> DataFormatError:
    """Start, and return the error, which is the same at a second start."""
    with pytest.raises(DataFormatError) as first:
        start(folder)
    with pytest.raises(DataFormatError) as second:
        start(folder)
    assert str(first.value) == str(second.value)
    assert str(folder) in str(first.value)
    assert "data folder" in first.value.hint
    assert not any(user in str(first.value) + first.value.hint for user in GOLD)
    return first.value


def test_an_undamaged_folder_starts_stopped_or_killed_copied_or_not(
    folder: Path, killed: Path, tmp_path: Path
) -> None:
    after_kill = shutil.copytree(killed, tmp_path / "killed")
    for data, expected in ((folder, GOLD), (after_kill, [*GOLD, "late"])):
        for _ in range(2):
            client = start(data)
            assert client.members("gold") == sorted(expected)
            service_of(client.app).store.close()


def a_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_bytes(b"no database" * 2000)


@pytest.mark.parametrize("has_record", [True, False])
@pytest.mark.parametrize("damage", [empty, text, a_folder])
def test_something_else_in_the_place_of_the_file_is_refused(
    folder: Path, damage: Callable[[Path], None], *, has_record: bool
) -> None:
    damage(folder / FILE)
    if not has_record:
        (folder / LOCK).unlink()
    refusal(folder)


@pytest.mark.parametrize("name", [LOCK, WAL, f"{FILE}-shm"])
def test_a_folder_in_the_place_of_a_file_next_to_it_is_refused(folder: Path, name: str) -> None:
    a_folder(folder / name)
    assert name in str(refusal(folder))


def test_a_start_that_is_killed_leaves_no_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            start(tmp_path)
    assert not (tmp_path / FILE).exists()
    for _ in range(2):
        client = start(tmp_path)
        assert (tmp_path / FILE).stat().st_size > 0
        service_of(client.app).store.close()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("hello")
    for folder in (file, file / "inner"):
        assert "is not a folder" in str(refusal(folder))


def test_a_file_that_is_gone_is_not_an_empty_emulator(folder: Path) -> None:
    (folder / FILE).unlink()
    error = refusal(folder)
    assert str(error) == f"{folder / FILE} is damaged: it is missing"
    assert f"delete {LOCK}" in error.hint


def test_a_log_without_its_file_is_not_an_empty_emulator(killed: Path, tmp_path: Path) -> None:
    data = shutil.copytree(killed, tmp_path / "data")
    for name in (FILE, LOCK):
        (data / name).unlink()
    assert "it is missing" in str(refusal(data))


def test_a_killed_emulators_log_that_is_gone_is_told(killed: Path, tmp_path: Path) -> None:
    data = shutil.copytree(killed, tmp_path / "data")
    (data / WAL).unlink()
    error = refusal(data)
    assert WAL in str(error)
    assert f"delete {LOCK}" in error.hint
    (data / LOCK).unlink()
    client = start(data)
    assert client.members("gold") == sorted(GOLD)
    service_of(client.app).store.close()


def test_a_log_of_another_file_is_refused(folder: Path, killed: Path, tmp_path: Path) -> None:
    shutil.copy(killed / WAL, folder / WAL)
    assert f"does not belong to {FILE}" in str(refusal(folder))
    other = start(tmp_path / "other")
    other.create("other")
    shutil.copytree(tmp_path / "other", tmp_path / "copy")
    service_of(other.app).store.close()
    data = shutil.copytree(killed, tmp_path / "mixed")
    for name in (FILE, WAL):
        shutil.copy(tmp_path / "copy" / name, data / name)
    assert "of another data folder" in str(refusal(data))


@pytest.mark.parametrize("part", range(1, 16))
@pytest.mark.parametrize("has_record", [True, False])
def test_a_file_that_was_cut_is_refused(folder: Path, part: int, *, has_record: bool) -> None:
    file = folder / FILE
    os.truncate(file, file.stat().st_size * part // 16 + part % 3)
    if not has_record:
        (folder / LOCK).unlink()
    assert "is damaged" in str(refusal(folder))


def test_one_changed_bit_anywhere_is_refused_after_a_clean_stop(folder: Path) -> None:
    content = (folder / FILE).read_bytes()
    chance = random.Random(3)  # noqa: S311 - where to damage
    for _ in range(40):
        changed = bytearray(content)
        changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (folder / FILE).write_bytes(changed)
        with pytest.raises(DataFormatError, match="changed since the emulator closed it"):
            start(folder)


def test_one_changed_bit_is_refused_or_harmless_without_a_record(folder: Path) -> None:
    content = (folder / FILE).read_bytes()
    chance = random.Random(5)  # noqa: S311 - where to damage
    for _ in range(40):
        changed = bytearray(content)
        changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (folder / FILE).write_bytes(changed)
        (folder / LOCK).unlink(missing_ok=True)
        client = None
        with suppress(DataFormatError):
            client = start(folder)
        if client is not None:
            assert [each["members"] for each in client.read("segments")] == [120, 60]
            for path in ("events", "error-stream", "stats", "settings"):
                client.read(path)
            service_of(client.app).store.close()


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("PRAGMA user_version = 9", "format 9"),
        ("PRAGMA user_version = -1", "format -1"),
        ("PRAGMA user_version = 0", "of another program"),
        ("PRAGMA user_version = 1", ""),
        ("DROP TABLE segments", ""),
        ("DROP TABLE profiles", ""),
        ("DELETE FROM profiles WHERE number = 3", "profiles"),
        ("DELETE FROM profiles", "events of users"),
        ("DELETE FROM runs WHERE seq = 61", "numbers of the events"),
        ("DELETE FROM segments WHERE customer_id = 'gold'", "events"),
        ("UPDATE segments SET account = 7", "segments"),
        ("UPDATE runs SET account = 7", "events"),
        ("UPDATE runs SET users = zeroblob(3)", "events"),
        ("UPDATE runs SET users = 'text'", "events"),
        ("UPDATE runs SET ts = 9e99", "events"),
        ("UPDATE runs SET ts = 'noon'", "events"),
        ("UPDATE refusals SET users = '['", "skipped entries"),
        ("UPDATE refusals SET account = 7", "skipped entries"),
        ("UPDATE members SET segment = segment + 9", "saved members"),
        ("UPDATE members SET bitmap = x'0102'", "cannot be read"),
        ("UPDATE members SET bitmap = 'text'", "cannot be read"),
        ("UPDATE meta SET value = '{' WHERE key = 'settings'", "cannot be read"),
        ("UPDATE meta SET value = '[]' WHERE key = 'settings'", "must be a JSON object"),
        ("UPDATE meta SET value = '{\"x\": 1}' WHERE key = 'settings'", "x: unknown setting"),
        ("INSERT INTO meta VALUES ('faults', '{')", "cannot be read"),
        (CAMPAIGN.format(definition="{"), "cannot be read"),
        (CAMPAIGN.format(definition="[]"), "cannot be read"),
    ],
)
def test_rows_that_make_no_sense_are_refused(folder: Path, statement: str, problem: str) -> None:
    with closing(sqlite3.connect(folder / FILE)) as connection:
        connection.execute(statement)
        connection.commit()
    (folder / LOCK).unlink()
    assert problem in str(refusal(folder))


def test_the_settings_of_a_damaged_file_are_saved_if_they_can_be_read(folder: Path) -> None:
    (folder / LOCK).unlink()
    with closing(sqlite3.connect(folder / FILE)) as connection:
        connection.execute("DELETE FROM profiles")
        connection.commit()
    saved = folder / "emulator.settings.json"
    assert refusal(folder).hint.endswith(f"--settings {saved}")
    assert Settings().changed(json.loads(saved.read_text())) == Settings(both_ids="guid")


def test_the_command_ends_with_the_message_and_no_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("CLEVERTAP_ACCOUNT_ID", "CLEVERTAP_PASSCODE"):
        monkeypatch.delenv(name, raising=False)
    text(folder / FILE)
    assert execute(["emulator", "--port", "0", "--data", str(folder)]) == 1
    first, hint = capsys.readouterr().err.splitlines()
    assert first.startswith(f"Error: the emulator cannot start: {folder / FILE} is damaged: ")
    assert "Use another data folder" in hint


@pytest.mark.parametrize("code", [13, 30], ids=["permission", "read-only"])
def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(path: Path, *_: object, **_options: object) -> None:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(DataFormatError, match="data") as raised:
        start(tmp_path / "data")
    assert "can write to" in raised.value.hint


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (sqlite3.SQLITE_FULL, "the disk is full"),
        (sqlite3.SQLITE_READONLY, "the file, or its folder, cannot be written"),
        (sqlite3.SQLITE_CANTOPEN, "the file cannot be opened"),
        (sqlite3.SQLITE_IOERR, "the disk reports an error"),
        (sqlite3.SQLITE_BUSY, "another program has locked the file"),
    ],
)
def test_a_failure_while_it_runs_is_a_500_and_told_once(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
    problem: str,
) -> None:
    client = start(folder)
    store = service_of(client.app).store

    def fail(*_: object) -> None:
        error = sqlite3.OperationalError("no")
        error.sqlite_errorcode = code
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(store.log, "append", fail)
        answers = [client.update(["new"], [("gold", "ADD")]) for _ in range(3)]
    assert [each.status_code for each in answers[:1]] == [500]
    assert answers[0].json()["code"] == 500
    assert capsys.readouterr().err.count(f"{folder / FILE}: {problem}. ") == 1
    store.close()


def test_damage_met_while_it_runs_is_a_500_and_checked_at_the_next_start(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = start(folder)
    store = service_of(client.app).store
    store.database.connection.execute("DROP TABLE members")
    store.database.connection.execute("DROP TABLE segments")
    for _ in range(2):
        answer = client.update(["new"], [("gold", "ADD")])
        create: Any = [{"segment_name": "x", "customer_segment_id": "x"}]
        assert client.call("POST", "/api/createSegment", json=create).status_code == 500
    assert answer.status_code == 500
    told = capsys.readouterr().err
    assert told.count(f"Error: {folder / FILE} is damaged: no such table: segments. ") == 1
    assert "Traceback" not in told
    store.close()
    refusal(folder)


def test_a_list_that_fails_halfway_does_not_look_complete(folder: Path) -> None:
    client = start(folder)
    service = service_of(client.app)
    cuts: list[object] = []
    service.cut_connection = cuts.append

    async def read() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        scope: Any = {
            "type": "http",
            "method": "GET",
            "path": "/emulator/v1/events",
            "headers": [],
            "query_string": b"",
            "raw_path": b"",
            "http_version": "1.1",
            "scheme": "http",
        }

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)
            service.store.database.connection.execute("DROP TABLE IF EXISTS runs")

        await client.app(scope, receive, send)
        return sent

    asyncio.run(read())
    assert len(cuts) == 1
    service.store.close()
