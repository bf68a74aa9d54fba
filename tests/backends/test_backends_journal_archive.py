"""Archived applies are kept as evidence of what was sent, within limits."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from segctl.backends import journal as journals
from segctl.backends.journal import ArchivedApply, Journal
from segctl.core.errors import StateDamaged
from tests.backends.journal_kit import journals_in
from tests.core.faulty_disk import LOSSES, FaultyDisk, Loss, PowerCut, crash_steps

RECORDS: list[dict[str, Any]] = [
    {"type": "sent", "request": 0, "at": 1.0},
    {"type": "outcome", "request": 0, "outcome": "acknowledged", "at": 2.0},
]


def create(place: Path, number: int = 0, disk: FaultyDisk | None = None) -> Journal:
    place.mkdir(exist_ok=True)
    source = place / "source.parquet"
    source.write_bytes(b"changes")
    header = {"id": f"{number:04x}", "number": number}
    journal = journals_in(place / "journal", disk).create(header=header, delta=source)
    journal.append_many(RECORDS, durable=True)
    return journal


def archive(place: Path, *numbers: int) -> Path:
    for number in numbers:
        create(place, number).archive(serial=number)
    return place / "applies"


def archived(folder: Path) -> Iterator[ArchivedApply]:
    """Yield what is archived in the folder ``applies``."""
    return journals_in(folder.parent / "journal").archived()


def numbers(folder: Path) -> Iterator[int]:
    return (int(apply.header["number"]) for apply in archived(folder))


def test_an_archived_apply_has_its_changes_and_records(tmp_path: Path) -> None:
    [apply] = archived(archive(tmp_path, 7))
    assert apply.delta.parent.name == "00000007-0007"
    assert apply.delta.read_bytes() == b"changes"
    assert list(apply.records()) == RECORDS
    assert {path.name for path in apply.delta.parent.iterdir()} == {
        "delta.parquet",
        "header.json",
        "log.jsonl",
    }
    assert journals_in(tmp_path / "journal").open() is None


def test_archived_applies_are_yielded_newest_first(tmp_path: Path) -> None:
    assert list(numbers(archive(tmp_path, 9, 100_000_000, 10))) == [100_000_000, 10, 9]


def test_a_missing_folder_has_no_archived_applies(tmp_path: Path) -> None:
    assert list(archived(tmp_path / "applies")) == []


def test_the_oldest_applies_are_removed_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "KEPT_APPLIES", 3)
    assert list(numbers(archive(tmp_path, 1, 2, 3, 4, 5))) == [5, 4, 3]


def test_the_newest_apply_is_kept_even_if_it_is_larger_than_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "KEPT_BYTES", 1)
    assert list(numbers(archive(tmp_path, 1, 2))) == [2]


@pytest.mark.parametrize("part", ["delta.parquet", "header.json"])
def test_a_damaged_archived_apply_is_an_error(tmp_path: Path, part: str) -> None:
    folder = archive(tmp_path, 1, 2)
    (folder / "00000002-0002" / part).write_bytes(b"{}")
    with pytest.raises(StateDamaged, match="the archived apply 00000002-0002 cannot"):
        list(archived(folder))


@pytest.mark.parametrize("loss", LOSSES)
def test_after_a_crash_at_any_step_the_journal_or_its_archive_is_complete(
    tmp_path: Path, loss: Loss
) -> None:
    for at in crash_steps():
        place = tmp_path / str(at)
        folder = archive(place, 1)
        spare = place / "spare"
        spare.mkdir()
        create(place, 2)
        disk = FaultyDisk(spare, at=at, loss=loss)
        journal = journals_in(place / "journal", disk).open()
        assert journal is not None
        done = False
        with suppress(PowerCut):
            journal.archive(serial=2)
            done = True
        left = journals_in(place / "journal").open()
        assert list(numbers(folder)) == ([1] if left else [2, 1])
        if left:
            left.archive(serial=2)
        assert [list(apply.records()) for apply in archived(folder)] == [RECORDS, RECORDS]
        if done:
            return


@pytest.mark.parametrize("loss", LOSSES)
def test_a_crash_while_old_applies_are_removed_leaves_no_gap(
    tmp_path: Path, loss: Loss, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in crash_steps():
        place = tmp_path / str(at)
        monkeypatch.setattr(journals, "KEPT_APPLIES", 20)
        folder = archive(place, 1, 2, 3)
        monkeypatch.setattr(journals, "KEPT_APPLIES", 2)
        spare = place / "spare"
        spare.mkdir()
        create(place, 4)
        journal = journals_in(place / "journal", FaultyDisk(spare, at=at, loss=loss)).open()
        assert journal is not None
        done = False
        with suppress(PowerCut):
            journal.archive(serial=4)
            done = True
        left = list(numbers(folder))
        assert left in ([3, 2, 1], [4, 3, 2, 1], [4, 3, 2], [4, 3])
        if done:
            assert left == [4, 3]
            return
