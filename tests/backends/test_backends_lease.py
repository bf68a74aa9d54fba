"""The lock of a state in a store of bytes: who has it, who may take it over, who must stop."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from segctl.backends.journal import Journal
from segctl.core.errors import OperationError, StateChanged, StateDamaged, StateLocked, WrongState
from segctl.manifests.state_place import DEFAULT_LEASE_SECONDS
from tests.backends.conftest import FakeClock
from tests.backends.memory_store import MemoryStore, ignore
from tests.backends.remote_kit import DONE, SENT, Machine


@pytest.fixture
def first(store: MemoryStore, tmp_path: Path) -> Machine:
    return Machine(store, tmp_path, FakeClock(), "first")


@pytest.fixture
def second(store: MemoryStore, tmp_path: Path) -> Machine:
    """Another machine, whose clock is an hour behind."""
    clock = FakeClock()
    clock.time -= 3600
    return Machine(store, tmp_path, clock, "second")


@pytest.fixture
def third(store: MemoryStore, tmp_path: Path) -> Machine:
    return Machine(store, tmp_path, FakeClock(), "third")


@pytest.fixture
def dead(first: Machine) -> Machine:
    """A machine that took the lock and died: it neither renews nor releases it."""
    first.take_lock()
    first.stop_renewing()
    return first


@pytest.mark.usefixtures("dead")
def test_a_lock_that_is_not_renewed_is_taken_over_after_its_lease(second: Machine) -> None:
    start = second.clock.time
    with second.lock():
        waited = second.clock.time - start
        assert DEFAULT_LEASE_SECONDS <= waited <= DEFAULT_LEASE_SECONDS + 2
        abandoned = second.backend.abandoned_lock()
        assert abandoned is not None
        assert abandoned.run == "https://ci.example/first"


def test_a_lock_that_is_renewed_is_never_taken_over(first: Machine, second: Machine) -> None:
    with first.lock(timeout=0):
        second.clock.alarm = first.renew
        with pytest.raises(StateLocked), second.lock(timeout=10 * DEFAULT_LEASE_SECONDS):
            pass


def test_a_run_that_finds_the_lock_waits_until_it_knows_that_the_holder_lives(
    first: Machine, second: Machine
) -> None:
    with first.lock():
        seen: list[float] = []

        def renew_after_ten_seconds() -> None:
            seen.append(second.clock.time)
            if len(seen) == 10:
                first.renew()

        second.clock.alarm = renew_after_ten_seconds
        with pytest.raises(StateLocked), second.lock(timeout=0):
            pass
        assert len(seen) == 10


def test_a_holder_that_cannot_renew_stops_before_its_lock_can_be_taken(
    store: MemoryStore, dead: Machine
) -> None:
    def refuse(*_: str) -> None:
        raise OperationError("the store does not answer")

    store.before = refuse
    dead.clock.time += DEFAULT_LEASE_SECONDS / 2 - 1
    with pytest.raises(OperationError, match="does not answer"):
        dead.renew()
    dead.backend.check_lock()
    dead.clock.time += 2
    with pytest.raises(StateChanged, match="was not renewed for 31 seconds"):
        dead.backend.check_lock()


def test_a_request_may_start_only_if_it_ends_before_the_lease(dead: Machine) -> None:
    dead.clock.time += DEFAULT_LEASE_SECONDS - dead.backend.max_request_seconds()
    dead.backend.check_lock()
    dead.clock.time += 1
    with pytest.raises(StateChanged):
        dead.backend.check_lock()


def test_a_holder_that_slept_through_its_lease_writes_nothing(
    store: MemoryStore, dead: Machine, second: Machine
) -> None:
    journal = dead.create_journal()
    journal.append(SENT, durable=True)
    dead.clock.time += 3 * DEFAULT_LEASE_SECONDS
    with second.lock():
        assert second.backend.journals.open(fence=True)
        before = dict(store.objects)
        for write in (
            dead.backend.check_lock,
            lambda: dead.write(b'{"serial": 1}'),
            lambda: journal.append(DONE, durable=True),
            dead.create_journal,
            lambda: dead.backend.record_plan("sha256:1f"),
            lambda: dead.backend.remove_garbage(heads=["00000001-12345678.json"], files=[]),
        ):
            with pytest.raises(StateChanged):
                write()
        dead.release_lock()
        assert store.objects == before


def test_a_log_cannot_be_continued_after_another_run_took_it_over(
    dead: Machine, second: Machine
) -> None:
    journal = dead.create_journal()
    journal.append(SENT, durable=True)
    with second.lock():
        found = second.backend.journals.open(fence=True)
        dead.clock.time = 0.0  # its own clock would let it write
        with pytest.raises(StateChanged, match="took over its journal"):
            journal.append(DONE, durable=True)
        assert found is not None
        assert [record["type"] for record in found.records()] == ["sent", "fence"]


def test_a_run_whose_lock_is_broken_stops_at_the_next_write_to_its_journal(
    first: Machine, second: Machine
) -> None:
    info = first.take_lock()
    journal = first.create_journal()
    journal.append(SENT, durable=True)
    second.backend.force_unlock(info.id)
    with pytest.raises(StateChanged, match="took over its journal"):
        journal.append(DONE, durable=True)


def test_breaking_a_lock_does_not_stop_the_run_that_takes_it_next(
    store: MemoryStore, first: Machine, second: Machine, third: Machine
) -> None:
    info = first.take_lock()
    journals: list[Journal] = []

    def take_it_next(action: str, key: str) -> None:
        if (action, key) == ("write", "root.json"):
            store.after = ignore
            third.take_lock()
            journals.append(third.create_journal())

    store.after = take_it_next
    second.backend.force_unlock(info.id)
    [journal] = journals
    journal.append(SENT, durable=True)
    assert list(journal.records()) == [SENT]
    third.release_lock()


def test_a_write_that_was_carried_out_without_an_answer_is_recognized(
    store: MemoryStore, first: Machine
) -> None:
    def lose_the_answer(*_: str) -> None:
        store.after = ignore
        raise OperationError("no answer")

    with first.lock():
        for number in range(3):
            store.after = lose_the_answer
            with pytest.raises(OperationError, match="no answer"):
                first.backend.record_plan(f"sha256:{number}")
            first.renew()
        first.write(b'{"serial": 1}')
    assert first.backend.lock_holder() is None


def test_a_root_that_somebody_removed_is_noticed_at_the_next_write(
    store: MemoryStore, first: Machine
) -> None:
    with first.lock():
        del store.objects["root.json"], store.versions["root.json"]
        with pytest.raises(StateChanged, match=r"root\.json was removed"):
            first.write(b'{"serial": 1}')
    assert "root.json" not in store.objects


@pytest.mark.usefixtures("dead")
def test_of_two_runs_that_take_over_the_lock_one_gets_it(
    store: MemoryStore, second: Machine, third: Machine
) -> None:
    taken: list[str] = []

    def third_is_faster(action: str, key: str) -> None:
        if (action, key) == ("write", "root.json"):
            store.before = ignore
            taken.append(third.take_lock().id)

    store.before = third_is_faster
    second.clock.alarm = lambda: third.renew() if taken else None
    with pytest.raises(StateLocked) as caught, second.lock():
        pass
    assert [caught.value.holder.id] == taken
    third.release_lock()


def test_a_store_without_conditional_writes_is_refused_before_anything_is_stored(
    store: MemoryStore, first: Machine
) -> None:
    store.conditional = False
    with pytest.raises(OperationError, match="does not support conditional writes"), first.lock():
        pass
    assert store.objects == {}


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"version": 1}', b"\xff"])
def test_a_damaged_root_is_an_error(store: MemoryStore, first: Machine, data: bytes) -> None:
    store.write_new("root.json", data)
    with pytest.raises(StateDamaged, match=r"root\.json cannot be read"):
        first.backend.read_head()
    with pytest.raises(StateDamaged), first.lock():
        pass


def test_a_root_of_a_newer_version_is_not_read(store: MemoryStore, first: Machine) -> None:
    store.write_new("root.json", b'{"version": 99}')
    with pytest.raises(StateDamaged, match="has format 99") as caught:
        first.backend.read_head()
    assert caught.value.hint == "Upgrade segctl."


def test_a_head_that_was_deleted_is_an_error(
    store: MemoryStore, first: Machine, second: Machine
) -> None:
    with first.lock():
        version = first.write(b'{"serial": 1}')
    del store.objects[f"heads/{version}.json"]
    with pytest.raises(StateDamaged, match=r"heads/.*json, is missing"):
        second.backend.read_head()


def test_a_root_that_was_deleted_is_an_error(store: MemoryStore, first: Machine) -> None:
    with first.lock():
        first.write(b'{"serial": 1}')
        first.write(b'{"serial": 2}')
    del store.objects["root.json"]
    with pytest.raises(StateDamaged, match=r"root\.json is missing, but s3://bucket/state/history"):
        first.backend.read_head()


def test_a_state_that_was_moved_says_where_it_is(first: Machine) -> None:
    with first.lock():
        first.write(b'{"serial": 1}')
    with first.lock():
        first.root.swap(lambda root: root.next(moved_to="s3://other/state"))
    with pytest.raises(WrongState, match="was moved to s3://other/state"):
        first.backend.read_head()


def test_the_renewer_renews_and_ends_with_the_lock(store: MemoryStore, tmp_path: Path) -> None:
    machine = Machine(store, tmp_path, FakeClock(), "m", lease_seconds=0.06)
    renewed = store.wait_for("write", "root.json", times=3)
    with ExitStack() as held:
        held.enter_context(machine.lock())
        assert renewed.wait(30)
    count = store.count("write")
    with machine.lock():
        pass
    assert store.count("write") >= count + 2


def test_a_plan_can_wait_until_it_knows_whether_the_holder_lives(
    first: Machine, second: Machine
) -> None:
    assert second.backend.living_holder() is None
    with first.lock() as info:
        second.clock.alarm = first.renew
        assert second.backend.living_holder() == info
    first.take_lock()
    first.stop_renewing()
    second.clock.alarm = lambda: None
    start = second.clock.time
    assert second.backend.living_holder() is None
    assert second.clock.time - start >= DEFAULT_LEASE_SECONDS
