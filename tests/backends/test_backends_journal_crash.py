from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from segctl.backends.journal import Journal
from tests.core.faulty_disk import LOSSES, FaultyDisk, Loss, PowerCut

MANY = 200
RECORDS: list[dict[str, Any]] = [
    {"type": "sent", "request": 1, "at": 1.0},
    {"type": "outcome", "request": 1, "outcome": "acknowledged", "at": 2.0},
    {"type": "sent", "request": 2, "at": 3.0},
]
DURABLE = (True, False, True)


class Apply:
    """the journal's part of an apply, and how far it came."""

    def __init__(self, place: Path, *, at: int, loss: Loss) -> None:
        self.folder = place / "journal"
        self._spare = place / "spare"
        self._spare.mkdir(parents=True)
        self._source = place / "source.parquet"
        self._source.write_bytes(b"changes")
        self.disk = FaultyDisk(self._spare, at=at, loss=loss)
        self.begun = self.ending = self.ended = False
        self.appended = self.promised = 0

    def run(self) -> None:
        journal = self.begin(self.disk)
        self.begun = True
        for number, (record, durable) in enumerate(zip(RECORDS, DURABLE, strict=True), start=1):
            journal.append(record, durable=durable)
            self.appended = number
            self.promised = number if durable else self.promised
        self.ending = True
        journal.remove()
        self.ended = True

    def begin(self, disk: FaultyDisk | None = None) -> Journal:
        return Journal.create(
            self.folder, header={}, delta=self._source, batches=self._source, disk=disk
        )


def crash(place: Path, *, at: int, loss: Loss) -> Apply:
    apply = Apply(place, at=at, loss=loss)
    with suppress(PowerCut):
        apply.run()
    return apply


@pytest.mark.parametrize("loss", LOSSES)
def test_a_crash_at_any_step_leaves_no_journal_or_a_whole_one_with_every_promise(
    tmp_path: Path, loss: Loss
) -> None:
    for at in range(1, MANY):
        apply = crash(tmp_path / str(at), at=at, loss=loss)
        journal = Journal.open(apply.folder)
        if apply.ended:
            break
        if journal is None:
            assert not apply.begun or apply.ending
        else:
            assert journal.delta.read_bytes() == b"changes"
            found = list(journal.records())
            assert found == RECORDS[: len(found)]
            assert len(found) >= apply.promised
    assert apply.ended


@pytest.mark.parametrize("loss", LOSSES)
def test_after_a_crash_the_journal_goes_on_or_another_begins(tmp_path: Path, loss: Loss) -> None:
    for at in range(1, MANY):
        apply = crash(tmp_path / str(at), at=at, loss=loss)
        journal = Journal.open(apply.folder) or apply.begin()
        before = list(journal.records())
        journal.append({"type": "ended"}, durable=True)
        assert list(journal.records()) == [*before, {"type": "ended"}]
        journal.remove()
        assert list(apply.folder.iterdir()) == []
        if apply.ended:
            return
    raise AssertionError(f"more than {MANY} steps")
