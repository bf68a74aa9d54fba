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

SENT = {"type": "sent", "request": 1, "at": 5.5}
DONE = {"type": "outcome", "request": 1, "outcome": "acknowledged", "at": 6.5}
HEADER = {"id": "4be1", "lineage": "5f0c", "serial": 7, "plan": {"targets": ["gold"]}}

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text()
records = st.dictionaries(st.text(), scalars | st.lists(scalars), max_size=4).map(
    lambda record: {"type": "x", **record}
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def create(folder: Path, *, disk: Disk | None = None) -> Journal:
    delta, batches = folder.parent / "a.parquet", folder.parent / "b.parquet"
    delta.write_bytes(b"delta")
    batches.write_bytes(b"batches")
    return Journal.create(folder, header=HEADER, delta=delta, batches=batches, disk=disk)


def reopened(folder: Path) -> Journal:
    journal = Journal.open(folder)
    assert journal is not None
    return journal


def log(folder: Path) -> Path:
    return folder / "current" / "log.jsonl"


def with_records(folder: Path, *records: dict[str, Any], durable: bool = True) -> Path:
    """Begin a journal with these records, and give its log."""
    journal = create(folder)
    for record in records:
        journal.append(record, durable=durable)
    journal.close()
    return log(folder)


def test_where_nothing_was_begun_there_is_no_journal(folder: Path) -> None:
    assert Journal.open(folder) is None
    assert not folder.exists()


def test_a_journal_is_read_back_as_it_was_begun(folder: Path) -> None:
    create(folder)
    journal = reopened(folder)
    assert journal.header == HEADER
    assert journal.id == "4be1"
    assert journal.delta.read_bytes() == b"delta"
    assert journal.batches.read_bytes() == b"batches"
    assert list(journal.records()) == []


def test_a_journal_without_an_id_is_given_one(folder: Path) -> None:
    (folder.parent / "x").write_bytes(b"")
    empty = folder.parent / "x"
    journal = Journal.create(folder, header={"serial": 7}, delta=empty, batches=empty)
    assert reopened(folder).id == journal.id
    assert len(journal.id) == 32


def test_records_are_read_back_in_order_also_while_it_is_written(folder: Path) -> None:
    journal = create(folder)
    journal.append(SENT, durable=True)
    journal.append(DONE, durable=False)
    assert list(journal.records()) == [SENT, DONE]
    assert list(reopened(folder).records()) == [SENT, DONE]
    journal.close()


@given(st.lists(records, max_size=5))
def test_whatever_is_appended_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, items: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("any") / "journal"
    with_records(folder, *items)
    assert list(reopened(folder).records()) == items


def test_a_line_is_json_for_other_tools_too(folder: Path) -> None:
    (line,) = with_records(folder, SENT).read_text().splitlines()
    assert json.loads(line) == {**SENT, "synced": 0, "crc": json.loads(line)["crc"]}


def test_a_second_journal_cannot_be_begun(folder: Path) -> None:
    create(folder)
    with pytest.raises(StateDamaged, match="the journal of an earlier apply is still there"):
        create(folder)
    assert list(folder.iterdir()) == [folder / "current"]


def test_a_removed_journal_is_gone_and_another_can_be_begun(folder: Path) -> None:
    journal = create(folder)
    journal.append(SENT, durable=True)
    journal.remove()
    assert Journal.open(folder) is None
    assert list(folder.iterdir()) == []
    assert list(create(folder).records()) == []


def test_beginning_clears_what_a_crash_left_and_nothing_else(folder: Path) -> None:
    for name in ("new-0f", "done-0e", "notes"):
        (folder / name / "inner").mkdir(parents=True)
        (folder / name / "inner" / "file").write_bytes(b"x")
    create(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["current", "notes"]


def test_everything_is_for_its_owner_alone(folder: Path) -> None:
    before = os.umask(0)
    try:
        with_records(folder, SENT)
    finally:
        os.umask(before)
    paths = [folder, *folder.rglob("*")]
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths}
    assert modes == {(True, 0o700), (False, 0o600)}


def test_a_log_cut_off_anywhere_gives_the_whole_lines_before_the_cut(folder: Path) -> None:
    path = with_records(folder, SENT, DONE)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        expected = [SENT] if size >= first else []
        assert list(reopened(folder).records()) == expected


def test_reading_a_torn_log_leaves_it_as_it_is(folder: Path) -> None:
    path = with_records(folder, SENT)
    torn = path.read_bytes() + b'{"type":"sent","re'
    path.write_bytes(torn)
    assert list(reopened(folder).records()) == [SENT]
    assert path.read_bytes() == torn


@pytest.mark.parametrize("tail", [b'{"type":"sent"', b"\0" * 40, b"\0\0\n", b"\xff\r\xfe", b"{}\n"])
def test_appending_to_a_torn_log_cuts_the_torn_line_off(folder: Path, tail: bytes) -> None:
    path = with_records(folder, SENT)
    path.write_bytes(path.read_bytes() + tail)
    journal = reopened(folder)
    journal.append(DONE, durable=True)
    journal.close()
    assert list(reopened(folder).records()) == [SENT, DONE]
    assert path.read_bytes().count(b"\n") == 2


def garble(line: bytes) -> bytes:
    return line.replace(b'"request":1', b'"request":2')


def lose_the_middle(line: bytes) -> bytes:
    return line[:5] + line[9:]


@pytest.mark.parametrize("harm", [garble, lose_the_middle, lambda line: bytes(len(line))])
def test_a_broken_line_that_was_never_synced_is_passed_over(
    folder: Path, harm: Callable[[bytes], bytes]
) -> None:
    path = with_records(folder, SENT, DONE, durable=False)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + harm(second) + second)
    assert list(reopened(folder).records()) in ([SENT], [SENT, DONE])
    reopened(folder).append(DONE, durable=True)
    assert list(reopened(folder).records())[-1] == DONE


@pytest.mark.parametrize("harm", [garble, lose_the_middle, bytes.upper, lambda _: b"\n"])
def test_a_broken_line_that_a_later_one_knows_as_synced_is_damage(
    folder: Path, harm: Callable[[bytes], bytes]
) -> None:
    path = with_records(folder, SENT, DONE)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(harm(first) + second)
    with pytest.raises(StateDamaged) as caught:
        list(reopened(folder).records())
    assert caught.value.message == (
        "the journal cannot be read: line 1 of log.jsonl is not what was written"
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
            b'{"version": 2}',
            "it has format 2, written by a newer segctl: upgrade segctl",
        ),
        ("delta.parquet", None, "delta.parquet: No such file or directory"),
        ("delta.parquet", b"delt", "delta.parquet is not what was written"),
        ("batches.parquet", b"BATCHES", "batches.parquet is not what was written"),
        ("log.jsonl", None, "log.jsonl is missing"),
    ],
)
def test_a_journal_with_a_wrong_part_is_damaged(
    folder: Path, name: str, content: bytes | None, problem: str
) -> None:
    create(folder)
    path = folder / "current" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StateDamaged) as caught:
        Journal.open(folder)
    assert caught.value.message == f"the journal cannot be read: {problem}"


def test_a_file_in_place_of_the_journal_is_damage(folder: Path) -> None:
    folder.mkdir()
    (folder / "current").write_bytes(b"")
    with pytest.raises(StateDamaged, match=r"^the journal cannot be read: "):
        Journal.open(folder)


def test_a_file_in_place_of_the_journals_folder_is_told(folder: Path) -> None:
    folder.touch()
    with pytest.raises(OperationError, match=r"^cannot read the journal: Not a directory$"):
        Journal.open(folder)


def test_an_apply_that_ends_while_we_look_leaves_no_journal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = create(folder)

    def ended_meanwhile(path: Path) -> bytes:
        journal.remove()
        return path.read_bytes()

    monkeypatch.setattr("segctl.backends.journal.read_file", ended_meanwhile)
    assert Journal.open(folder) is None


class Failing(Disk):
    """A disk that takes half of what is written, or does not sync, once it is told to."""

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
def test_after_an_error_of_the_disk_no_record_is_taken(
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


def test_what_a_full_disk_tore_is_passed_over_afterwards(folder: Path) -> None:
    disk = Failing()
    journal = create(folder, disk=disk)
    journal.append(SENT, durable=True)
    disk.failing = "write"
    with pytest.raises(OperationError):
        journal.append(DONE, durable=False)
    journal.close()
    again = reopened(folder)
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


def test_a_journal_that_is_full_of_records_folds_into_a_ledger(folder: Path) -> None:
    with_records(folder, SENT, DONE)
    assert fold_records(reopened(folder).records()) == fold_records([SENT, DONE, DONE])
