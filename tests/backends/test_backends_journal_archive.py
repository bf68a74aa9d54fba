"""Ended applies are kept as evidence of what was sent, and not for ever."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from segctl.backends import journal as journals
from segctl.backends.journal import Journal, archived_applies
from segctl.core.errors import StateDamaged
from tests.core.faulty_disk import LOSSES, FaultyDisk, Loss, PowerCut

MANY = 200
RECORDS: list[dict[str, Any]] = [
    {"type": "sent", "request": 0, "at": 1.0},
    {"type": "outcome", "request": 0, "outcome": "acknowledged", "at": 2.0},
]


def begin(place: Path, number: int = 0, disk: FaultyDisk | None = None) -> Journal:
    place.mkdir(exist_ok=True)
    source = place / "source.parquet"
    source.write_bytes(b"changes")
    header = {"id": f"{number:04x}", "number": number}
    made = Journal.create(place / "journal", header=header, delta=source, batches=source, disk=disk)
    made.append_many(RECORDS, durable=True)
    return made


def keep(place: Path, *numbers: int) -> Path:
    for number in numbers:
        begin(place, number).archive(place / "applies", serial=number)
    return place / "applies"


def numbers(folder: Path) -> Iterator[int]:
    return (int(apply.header["number"]) for apply in archived_applies(folder))


def test_an_ended_apply_keeps_its_changes_and_its_records_without_its_batches(
    tmp_path: Path,
) -> None:
    [apply] = archived_applies(keep(tmp_path, 7))
    assert apply.folder.name == "00000007-0007"
    assert apply.delta.read_bytes() == b"changes"
    assert list(apply.records()) == RECORDS
    assert {path.name for path in apply.folder.iterdir()} == {
        "delta.parquet",
        "header.json",
        "log.jsonl",
    }
    assert Journal.open(tmp_path / "journal") is None


def test_ended_applies_come_newest_first(tmp_path: Path) -> None:
    assert list(numbers(keep(tmp_path, 9, 100_000_000, 10))) == [100_000_000, 10, 9]


def test_nothing_was_kept_where_there_is_no_folder(tmp_path: Path) -> None:
    assert list(archived_applies(tmp_path / "applies")) == []


def test_the_oldest_applies_go_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "KEPT_APPLIES", 3)
    assert list(numbers(keep(tmp_path, 1, 2, 3, 4, 5))) == [5, 4, 3]


def test_the_newest_apply_stays_however_large_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "KEPT_BYTES", 1)
    assert list(numbers(keep(tmp_path, 1, 2))) == [2]


@pytest.mark.parametrize("part", ["delta.parquet", "header.json"])
def test_a_damaged_record_of_an_apply_is_not_passed_over(tmp_path: Path, part: str) -> None:
    folder = keep(tmp_path, 1, 2)
    (folder / "00000002-0002" / part).write_bytes(b"{}")
    with pytest.raises(StateDamaged, match="the record of an earlier apply, 00000002-0002, cannot"):
        list(archived_applies(folder))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_crash_at_any_step_leaves_the_journal_or_its_record_whole(
    tmp_path: Path, loss: Loss
) -> None:
    for at in range(1, MANY):
        place = tmp_path / str(at)
        folder = keep(place, 1)
        spare = place / "spare"
        spare.mkdir()
        begin(place, 2)
        disk = FaultyDisk(spare, at=at, loss=loss)
        journal = Journal.open(place / "journal", disk=disk)
        assert journal is not None
        done = False
        with suppress(PowerCut):
            journal.archive(folder, serial=2)
            done = True
        left = Journal.open(place / "journal")
        assert list(numbers(folder)) == ([1] if left else [2, 1])
        if left:
            left.archive(folder, serial=2)
        assert [list(apply.records()) for apply in archived_applies(folder)] == [RECORDS, RECORDS]
        if done:
            return
    raise AssertionError(f"more than {MANY} steps")


@pytest.mark.parametrize("loss", LOSSES)
def test_a_crash_while_old_records_go_leaves_no_gap_among_them(
    tmp_path: Path, loss: Loss, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(1, MANY):
        place = tmp_path / str(at)
        monkeypatch.setattr(journals, "KEPT_APPLIES", 20)
        folder = keep(place, 1, 2, 3)
        monkeypatch.setattr(journals, "KEPT_APPLIES", 2)
        spare = place / "spare"
        spare.mkdir()
        begin(place, 4)
        journal = Journal.open(place / "journal", disk=FaultyDisk(spare, at=at, loss=loss))
        assert journal is not None
        done = False
        with suppress(PowerCut):
            journal.archive(folder, serial=4)
            done = True
        left = list(numbers(folder))
        assert left in ([3, 2, 1], [4, 3, 2, 1], [4, 3, 2], [4, 3])
        if done:
            assert left == [4, 3]
            return
    raise AssertionError(f"more than {MANY} steps")
