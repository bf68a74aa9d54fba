from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from segctl.backends.journal import Journal
from tests.backends.journal_kit import journals_in
from tests.core.faulty_disk import LOSSES, FaultyDisk, Loss, PowerCut, crash_steps

RECORDS: list[dict[str, Any]] = [
    {"type": "sent", "request": 1, "at": 1.0},
    {"type": "outcome", "request": 1, "outcome": "acknowledged", "at": 2.0},
    {"type": "sent", "request": 2, "at": 3.0},
]
DURABLE = (True, False, True)


class Apply:
    """An apply that writes a journal, and how many of its steps returned."""

    def __init__(self, place: Path, *, at: int, loss: Loss) -> None:
        self.folder = place / "journal"
        self._spare = place / "spare"
        self._spare.mkdir(parents=True)
        self._source = place / "source.parquet"
        self._source.write_bytes(b"changes")
        self.disk = FaultyDisk(self._spare, at=at, loss=loss)
        self.created = self.removing = self.removed = False
        self.durable = 0

    def run(self) -> None:
        journal = self.create(self.disk)
        self.created = True
        for number, (record, durable) in enumerate(zip(RECORDS, DURABLE, strict=True), start=1):
            journal.append(record, durable=durable)
            self.durable = number if durable else self.durable
        self.removing = True
        journal.remove()
        self.removed = True

    def create(self, disk: FaultyDisk | None = None) -> Journal:
        return journals_in(self.folder, disk).create(header={}, delta=self._source)


def crash(place: Path, *, at: int, loss: Loss) -> Apply:
    apply = Apply(place, at=at, loss=loss)
    with suppress(PowerCut):
        apply.run()
    return apply


@pytest.mark.parametrize("loss", LOSSES)
def test_after_a_crash_at_any_step_the_journal_has_every_durable_record(
    tmp_path: Path, loss: Loss
) -> None:
    for at in crash_steps():
        apply = crash(tmp_path / str(at), at=at, loss=loss)
        journal = journals_in(apply.folder).open()
        if apply.removed:
            break
        if journal is None:
            assert not apply.created or apply.removing
        else:
            assert journal.delta.read_bytes() == b"changes"
            found = list(journal.records())
            assert found == RECORDS[: len(found)]
            assert len(found) >= apply.durable
    assert apply.removed


@pytest.mark.parametrize("loss", LOSSES)
def test_after_a_crash_the_journal_can_be_continued_or_created(tmp_path: Path, loss: Loss) -> None:
    for at in crash_steps():
        apply = crash(tmp_path / str(at), at=at, loss=loss)
        journal = journals_in(apply.folder).open() or apply.create()
        before = list(journal.records())
        journal.append({"type": "ended"}, durable=True)
        assert list(journal.records()) == [*before, {"type": "ended"}]
        journal.remove()
        assert list(apply.folder.iterdir()) == []
        if apply.removed:
            return
