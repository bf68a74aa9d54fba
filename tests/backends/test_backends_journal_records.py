import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segctl.backends.journal import Journal
from segctl.core.disk import Disk
from segctl.core.errors import OperationError, StateDamaged
from segctl.core.outcomes import fold_records
from tests.backends.journal_kit import journals_in

SENT = {"type": "sent", "request": 1, "at": 5.5}
DONE = {"type": "outcome", "request": 1, "outcome": "acknowledged", "at": 6.5}
HEADER = {"id": "4be1", "lineage": "5f0c", "serial": 7, "plan": {"targets": ["gold"]}}

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text()
names = st.text().filter(lambda name: name not in {"type", "synced", "crc"})
records = st.dictionaries(names, scalars | st.lists(scalars), max_size=4).map(
    lambda record: {"type": "x", **record}
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def create(folder: Path, *, disk: Disk | None = None) -> Journal:
    delta = folder.parent / "a.parquet"
    delta.write_bytes(b"delta")
    return journals_in(folder, disk).create(header=HEADER, delta=delta)


def reopen(folder: Path) -> Journal:
    journal = journals_in(folder).open()
    assert journal is not None
    return journal


def log_path(folder: Path) -> Path:
    return folder / "current" / "log.jsonl"


def with_records(folder: Path, *records: dict[str, Any], durable: bool = True) -> Path:
    """Create a journal with these records; return the path of its log."""
    journal = create(folder)
    for record in records:
        journal.append(record, durable=durable)
    journal.close()
    return log_path(folder)


def test_a_missing_folder_has_no_journal(folder: Path) -> None:
    assert journals_in(folder).open() is None
    assert not folder.exists()


def test_a_journal_is_read_as_it_was_created(folder: Path) -> None:
    create(folder)
    journal = reopen(folder)
    assert journal.header == HEADER
    assert journal.id == "4be1"
    assert journal.delta.read_bytes() == b"delta"
    assert list(journal.records()) == []


def test_a_journal_without_an_id_gets_one(folder: Path) -> None:
    (folder.parent / "x").write_bytes(b"")
    empty = folder.parent / "x"
    journal = journals_in(folder).create(header={"serial": 7}, delta=empty)
    assert reopen(folder).id == journal.id
    assert len(journal.id) == 32


def test_records_are_read_in_order_even_while_the_journal_is_open(folder: Path) -> None:
    journal = create(folder)
    journal.append(SENT, durable=True)
    journal.append(DONE, durable=False)
    assert list(journal.records()) == [SENT, DONE]
    assert list(reopen(folder).records()) == [SENT, DONE]
    journal.close()


@given(st.lists(records, max_size=5))
def test_any_records_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, items: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("any") / "journal"
    with_records(folder, *items)
    assert list(reopen(folder).records()) == items


def test_a_line_is_a_json_object(folder: Path) -> None:
    (line,) = with_records(folder, SENT).read_text().splitlines()
    assert json.loads(line) == {**SENT, "synced": 0, "crc": json.loads(line)["crc"]}


def test_creating_a_second_journal_is_an_error(folder: Path) -> None:
    create(folder)
    with pytest.raises(StateDamaged, match="the journal of an earlier apply exists"):
        create(folder)
    assert list(folder.iterdir()) == [folder / "current"]


def test_a_journal_can_be_created_after_another_was_removed(folder: Path) -> None:
    journal = create(folder)
    journal.append(SENT, durable=True)
    journal.remove()
    assert journals_in(folder).open() is None
    assert list(folder.iterdir()) == []
    assert list(create(folder).records()) == []


def test_creating_a_journal_removes_leftovers_and_nothing_else(folder: Path) -> None:
    for name in ("new-0f", "done-0e", "notes"):
        (folder / name / "inner").mkdir(parents=True)
        (folder / name / "inner" / "file").write_bytes(b"x")
    create(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["current", "notes"]


def test_only_the_owner_can_read_the_journal(folder: Path) -> None:
    before = os.umask(0)
    try:
        with_records(folder, SENT)
    finally:
        os.umask(before)
    paths = [folder, *folder.rglob("*")]
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths}
    assert modes == {(True, 0o700), (False, 0o600)}


def test_a_truncated_log_has_the_records_of_its_complete_lines(folder: Path) -> None:
    path = with_records(folder, SENT, DONE)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        expected = [SENT] if size >= first else []
        assert list(reopen(folder).records()) == expected


def test_reading_a_log_with_an_incomplete_line_does_not_change_it(folder: Path) -> None:
    path = with_records(folder, SENT)
    incomplete = path.read_bytes() + b'{"type":"sent","re'
    path.write_bytes(incomplete)
    assert list(reopen(folder).records()) == [SENT]
    assert path.read_bytes() == incomplete


@pytest.mark.parametrize("tail", [b'{"type":"sent"', b"\0" * 40, b"\0\0\n", b"\xff\r\xfe", b"{}\n"])
def test_appending_to_a_log_cuts_off_an_incomplete_line(folder: Path, tail: bytes) -> None:
    path = with_records(folder, SENT)
    path.write_bytes(path.read_bytes() + tail)
    journal = reopen(folder)
    journal.append(DONE, durable=True)
    journal.close()
    assert list(reopen(folder).records()) == [SENT, DONE]
    assert path.read_bytes().count(b"\n") == 2


def change_a_value(line: bytes) -> bytes:
    return line.replace(b'"request":1', b'"request":2')


def remove_the_middle(line: bytes) -> bytes:
    return line[:5] + line[9:]


@pytest.mark.parametrize(
    "damage", [change_a_value, remove_the_middle, lambda line: bytes(len(line))]
)
def test_a_damaged_line_that_was_not_synced_is_skipped(
    folder: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = with_records(folder, SENT, DONE, durable=False)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + damage(second) + second)
    assert list(reopen(folder).records()) in ([SENT], [SENT, DONE])
    reopen(folder).append(DONE, durable=True)
    assert list(reopen(folder).records())[-1] == DONE


@pytest.mark.parametrize(
    "damage", [change_a_value, remove_the_middle, bytes.upper, lambda _: b"\n"]
)
def test_a_damaged_line_that_was_synced_is_an_error(
    folder: Path, damage: Callable[[bytes], bytes]
) -> None:
    path = with_records(folder, SENT, DONE)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(damage(first) + second)
    with pytest.raises(StateDamaged) as caught:
        list(reopen(folder).records())
    assert caught.value.message == (
        "the journal cannot be read: line 1 of log.jsonl does not match its checksum"
    )
    assert "Do not delete it" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("header.json", None, "header.json: No such file or directory"),
        ("header.json", b"", "the file is empty"),
        ("header.json", b"{}\n", "header.json is not the header of a journal"),
        ("header.json", b"[]\n", "header.json is not the header of a journal"),
        ("header.json", b'{"version": 1}', "header.json is not the header of a journal"),
        (
            "header.json",
            b'{"version": 3}',
            "it has format 3, this segctl reads format 2: upgrade segctl",
        ),
        ("delta.parquet", None, "delta.parquet: No such file or directory"),
        ("delta.parquet", b"delt", "delta.parquet does not match its checksum"),
        ("log.jsonl", None, "log.jsonl is missing"),
    ],
)
def test_a_missing_or_damaged_file_is_an_error_that_names_it(
    folder: Path, name: str, content: bytes | None, problem: str
) -> None:
    create(folder)
    path = folder / "current" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StateDamaged) as caught:
        journals_in(folder).open()
    assert caught.value.message == f"the journal cannot be read: {problem}"


def test_a_file_in_place_of_the_journal_is_an_error(folder: Path) -> None:
    folder.mkdir()
    (folder / "current").write_bytes(b"")
    with pytest.raises(StateDamaged, match=r"^the journal cannot be read: "):
        journals_in(folder).open()


def test_a_file_in_place_of_the_journals_folder_is_an_error(folder: Path) -> None:
    folder.touch()
    with pytest.raises(OperationError, match=r"^cannot read the journal: Not a directory$"):
        journals_in(folder).open()


def test_opening_a_journal_that_is_removed_during_the_read_returns_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = create(folder)

    def remove_and_read(path: Path) -> bytes:
        journal.remove()
        return path.read_bytes()

    monkeypatch.setattr("segctl.backends.local_journals.read_file", remove_and_read)
    assert journals_in(folder).open() is None


class Failing(Disk):
    """A disk that writes only half, or does not sync, if ``failing`` says so."""

    failing = ""
    writes = 0

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        self.writes += 1
        if self.failing == "write":
            super().write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        if self.failing == "sync":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(descriptor)


@pytest.mark.parametrize(
    ("failing", "reason"), [("write", "No space left on device"), ("sync", "Input/output error")]
)
def test_after_an_error_of_the_disk_every_append_raises_it(
    folder: Path, failing: str, reason: str
) -> None:
    disk = Failing()
    journal = create(folder, disk=disk)
    disk.failing = failing
    with pytest.raises(OperationError) as first:
        journal.append(SENT, durable=True)
    assert first.value.message == f"cannot write the journal: {reason}"
    disk.failing = ""
    with pytest.raises(OperationError) as second:
        journal.append(DONE, durable=True)
    assert second.value.message == f"cannot write the journal: {reason}"
    journal.close()


def test_a_line_that_a_full_disk_left_incomplete_is_skipped(folder: Path) -> None:
    disk = Failing()
    journal = create(folder, disk=disk)
    journal.append(SENT, durable=True)
    disk.failing = "write"
    with pytest.raises(OperationError):
        journal.append(DONE, durable=False)
    journal.close()
    again = reopen(folder)
    again.append(DONE, durable=False)
    again.close()
    assert list(again.records()) == [SENT, DONE]


def test_records_appended_together_are_one_write(folder: Path) -> None:
    disk = Failing()
    journal = create(folder, disk=disk)
    disk.writes = 0
    journal.append_many([SENT, DONE, SENT], durable=True)
    journal.close()
    assert disk.writes == 1


def test_folding_a_repeated_record_gives_the_same_ledger(folder: Path) -> None:
    with_records(folder, SENT, DONE)
    assert fold_records(reopen(folder).records()) == fold_records([SENT, DONE, DONE])
