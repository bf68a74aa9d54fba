"""A damaged, lost or forged state in a bucket: it is said, and nothing sent is forgotten."""

from pathlib import Path

import pytest

from segctl.backends.journal_lines import encode_line
from segctl.backends.sealing import Sealer
from segctl.backends.stored_state import head_version
from segctl.core.errors import OperationError, StateDamaged
from tests.backends.conftest import FakeClock
from tests.backends.journal_kit import journals_in
from tests.backends.memory_store import MemoryStore
from tests.backends.remote_kit import DONE, SENT, Machine


@pytest.fixture
def first(store: MemoryStore, tmp_path: Path) -> Machine:
    return Machine(store, tmp_path, FakeClock(), "first")


@pytest.fixture
def second(store: MemoryStore, tmp_path: Path) -> Machine:
    return Machine(store, tmp_path, FakeClock(), "second")


@pytest.fixture
def interrupted(store: MemoryStore, first: Machine) -> list[str]:
    """The parts of the log of an apply that was interrupted: what it sent, what was answered."""
    with first.lock():
        journal = first.create_journal()
        journal.append(SENT, durable=True)
        journal.append(DONE, durable=True)
    return sorted(key for key in store.objects if "/log/" in key)


def test_a_journal_outlives_the_root_that_named_it(
    store: MemoryStore, interrupted: list[str], second: Machine
) -> None:
    del store.objects["root.json"], store.versions["root.json"]
    journal = second.backend.journals.open()
    assert journal is not None
    assert len(list(journal.records())) == len(interrupted)
    with second.lock():
        journal = second.backend.journals.open(fence=True)
        assert journal is not None
        assert [r["type"] for r in journal.records()] == ["sent", "outcome", "fence"]


def test_an_archived_journal_is_not_taken_for_one_that_was_lost(
    store: MemoryStore, first: Machine, second: Machine
) -> None:
    with first.lock():
        first.create_journal().archive(serial=1)
    del store.objects["root.json"], store.versions["root.json"]
    assert second.backend.journals.open() is None


def test_the_second_file_of_an_older_journal_is_removed_when_it_is_archived(
    store: MemoryStore, first: Machine
) -> None:
    with first.lock():
        journal = first.create_journal()
        old = f"journals/{journal.header['id']}/batches.parquet"
        store.write_new(old, b"of an older version")
        journal.archive(serial=1)
    assert old not in store.objects
    assert old.replace("batches", "delta") in store.objects


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b"cut"])
def test_a_damaged_part_of_a_log_is_an_error(
    store: MemoryStore, interrupted: list[str], second: Machine, data: bytes
) -> None:
    store.objects[interrupted[-1]] = data
    journal = second.backend.journals.open()
    assert journal is not None
    with pytest.raises(StateDamaged, match="the journal cannot be read"):
        list(journal.records())


def test_a_missing_part_of_a_log_is_an_error(
    store: MemoryStore, interrupted: list[str], second: Machine
) -> None:
    del store.objects[interrupted[0]]
    journal = second.backend.journals.open()
    assert journal is not None
    with pytest.raises(StateDamaged, match="part 1 of its log is missing"):
        list(journal.records())


@pytest.mark.parametrize("name", ["README", "00000002.bak", "9999999999", "0000000x"])
def test_other_objects_in_the_folder_of_a_log_are_ignored(
    store: MemoryStore, interrupted: list[str], second: Machine, name: str
) -> None:
    store.write_new(f"{interrupted[0].rpartition('/')[0]}/{name}", b"x")
    journal = second.backend.journals.open()
    assert journal is not None
    assert [r["type"] for r in journal.records()] == ["sent", "outcome"]


@pytest.mark.parametrize("space", [b"", b" ", b"\t"])
def test_a_forged_line_is_refused_where_encryption_is_enforced(space: bytes) -> None:
    strict = Sealer([b"k" * 32], is_sealing=True, is_enforced=True)
    line = space + encode_line(DONE, synced=0)
    with pytest.raises(OperationError, match="is not encrypted"):
        strict.unseal_line(line, "log", name="the journal")


def test_cleaning_up_leaves_what_others_keep_in_the_folder(
    store: MemoryStore, first: Machine
) -> None:
    foreign = ["journals/2025/entries.csv", "journals/readme.txt", "journals/root.json"]
    for key in foreign:
        store.write_new(key, b"theirs")
    with first.lock():
        for serial in (1, 2):
            first.create_journal().archive(serial=serial)
    assert set(foreign) <= store.objects.keys()
    assert not any(key.endswith("header.json") for key in store.objects)


def test_a_listing_that_is_late_does_not_remove_the_journal_that_was_just_archived(
    store: MemoryStore, first: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        store,
        "list",
        lambda prefix, late=store.list: {
            key: found for key, found in late(prefix).items() if "/applies/" not in key
        },
    )
    with first.lock():
        journal = first.create_journal()
        journal.append(SENT, durable=True)
        journal.archive(serial=1)
    assert any(key.endswith("delta.parquet") for key in store.objects)
    assert any("/log/" in key for key in store.objects)


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_head_that_is_lost_can_be_replaced_by_an_earlier_one(
    store: MemoryStore, first: Machine, second: Machine, damage: str
) -> None:
    with first.lock():
        first.write(b'{"serial": 1}')
        version = first.write(b'{"serial": 2}')
    if damage == "missing":
        del store.objects[f"heads/{version}.json"]
    else:
        store.objects[f"heads/{version}.json"] = b'{"ser'
    with pytest.raises(StateDamaged):
        second.backend.read_head()
    with second.lock():
        raw = second.backend.read_raw_head()
        assert raw is not None
        [name] = second.backend.list_history()
        earlier = second.backend.read_earlier_head(name)
        assert earlier.data is not None
        second.backend.replace_head(earlier.data, expected=raw.version, damaged=True)
        found = second.backend.read_head()
        assert found is not None
        assert found.data == b'{"serial": 1}'


def test_a_lease_of_absurd_length_ends_all_the_same(
    store: MemoryStore, first: Machine, second: Machine
) -> None:
    first.take_lock()
    first.stop_renewing()
    data = store.objects["root.json"]
    store.objects["root.json"] = data.replace(b'"seconds": 60.0', b'"seconds": 1e15').replace(
        b'"since": 1767323045.0', b'"since": 1e300'
    )
    assert store.objects["root.json"] != data
    with second.lock():
        pass


def test_a_damaged_object_of_a_run_that_died_does_not_become_the_head(
    store: MemoryStore, first: Machine, second: Machine
) -> None:
    store.write_new(f"heads/{head_version(b'state')}.json", b"sta")
    with first.lock():
        first.write(b"state")
    head = second.backend.read_head()
    assert head is not None
    assert head.data == b"state"


@pytest.mark.parametrize("torn", [b'{"type":"se', b"\n\n", b""])
def test_an_archived_log_with_lines_that_a_crash_damaged_can_be_moved_to_a_bucket(
    tmp_path: Path, first: Machine, second: Machine, torn: bytes
) -> None:
    archive = tmp_path / "place"
    archive.mkdir()
    file = archive / "changes"
    file.write_bytes(b"changes")
    journal = journals_in(archive / "journal").create(header={"id": "00ab"}, delta=file)
    records = [SENT, DONE] if torn else []
    journal.append_many(records, durable=True)
    journal.archive(serial=3)
    [log] = archive.rglob("log.jsonl")
    log.write_bytes(log.read_bytes() + torn)
    [apply] = journals_in(archive / "journal").archived()
    with first.lock():
        first.backend.journals.copy_archived(apply)
        first.backend.journals.copy_archived(apply)
    [moved] = second.backend.journals.archived()
    assert (moved.serial, list(moved.records())) == (3, records)
    assert moved.delta.read_bytes() == b"changes"
