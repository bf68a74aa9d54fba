"""The contract of every backend; see ``segctl/backends/base.py``."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from segctl.backends.base import Backend
from segctl.core.errors import StateChanged, StateDamaged, StateLocked, WrongUsage
from segctl.state.codec import is_named
from segctl.state.model import FileRef
from tests.backends.conftest import FakeClock

Another = Callable[[], Backend]
Damage = Callable[[str, bytes], None]


def add(backend: Backend, content: bytes) -> FileRef:
    scratch = backend.scratch_folder() / "new.parquet"
    scratch.write_bytes(content)
    ref = backend.add_file(scratch, rows=3)
    assert not scratch.exists()
    return ref


def write(backend: Backend, data: bytes) -> str:
    """Replace the current head."""
    with backend.lock(command="segctl apply", timeout=0):
        current = backend.read_head()
        return backend.replace_head(data, expected=current.version if current else None).version


def test_a_new_state_has_no_head_no_files_and_no_lock_holder(backend: Backend) -> None:
    assert backend.read_head() is None
    assert backend.file_sizes() == {}
    assert backend.lock_holder() is None


def test_a_head_is_read_as_it_was_written(backend: Backend, another: Another) -> None:
    version = write(backend, b'{"serial": 1}')
    head = another().read_head()
    assert head is not None
    assert (head.data, head.version) == (b'{"serial": 1}', version)


def test_heads_with_different_content_have_different_versions(backend: Backend) -> None:
    assert write(backend, b'{"serial": 1}') != write(backend, b'{"serial": 2}')


@pytest.mark.parametrize("expected", [None, "another"])
def test_a_head_with_another_version_is_not_replaced(
    backend: Backend, expected: str | None
) -> None:
    write(backend, b'{"serial": 1}')
    with (
        backend.lock(command="segctl apply", timeout=0),
        pytest.raises(StateChanged, match="another run replaced"),
    ):
        backend.replace_head(b'{"serial": 2}', expected=expected)
    head = backend.read_head()
    assert head is not None
    assert head.data == b'{"serial": 1}'


def test_a_head_that_was_removed_is_not_replaced(backend: Backend) -> None:
    with backend.lock(command="segctl apply", timeout=0), pytest.raises(StateChanged):
        backend.replace_head(b'{"serial": 2}', expected="of a head that was there")
    assert backend.read_head() is None


def test_a_head_is_not_replaced_without_the_lock(backend: Backend) -> None:
    with pytest.raises(RuntimeError, match="without the lock"):
        backend.replace_head(b'{"serial": 1}', expected=None)


def test_a_file_is_named_by_its_content(backend: Backend, another: Another) -> None:
    with backend.lock(command="segctl apply", timeout=0):
        ref = add(backend, b"members")
    stored = another().stored_path(ref).read_bytes()
    assert ref == FileRef(name=ref.name, rows=3, bytes=len(stored))
    assert is_named(ref.name, hashlib.sha256(stored).hexdigest())
    assert another().file_path(ref).read_bytes() == b"members"


def test_the_same_content_can_be_added_twice(backend: Backend) -> None:
    with backend.lock(command="segctl apply", timeout=0):
        refs = {add(backend, b"members"), add(backend, b"members"), add(backend, b"others")}
    assert sorted(backend.file_sizes()) == sorted(ref.name for ref in refs)


def test_a_missing_file_is_an_error(backend: Backend) -> None:
    with pytest.raises(StateDamaged, match="is missing"):
        backend.file_path(FileRef(name=f"{'0' * 64}.parquet", rows=1, bytes=1))


def test_a_file_with_another_size_is_an_error(
    backend: Backend, another: Another, damage: Damage
) -> None:
    with backend.lock(command="segctl apply", timeout=0):
        ref = add(backend, b"members")
    damage(f"members/{ref.name}", b"mem")
    with pytest.raises(StateDamaged, match=f"has 3 bytes instead of {ref.bytes}"):
        another().file_path(ref)


def test_a_file_with_one_bit_changed_is_an_error(
    backend: Backend, another: Another, damage: Damage
) -> None:
    with backend.lock(command="segctl apply", timeout=0):
        ref = add(backend, b"members")
    stored = backend.stored_path(ref).read_bytes()
    damage(f"members/{ref.name}", stored[:-1] + bytes([stored[-1] ^ 1]))
    with pytest.raises(
        StateDamaged, match=r"parquet is damaged: its content does not match its name$"
    ):
        another().file_path(ref)


@pytest.mark.parametrize("name", ["../segctl.yaml", "/etc/passwd", "x", f"{'A' * 64}.parquet", ""])
def test_a_file_name_that_is_not_a_digest_is_an_error(backend: Backend, name: str) -> None:
    with pytest.raises(StateDamaged, match="member file with an invalid name"):
        backend.file_path(FileRef(name=name, rows=1, bytes=1))


def test_the_lock_has_a_holder_until_it_ends(
    backend: Backend, another: Another, clock: FakeClock
) -> None:
    with backend.lock(command="segctl apply", timeout=0) as info:
        assert another().lock_holder() == info
        assert (info.command, info.since) == ("segctl apply", clock.time)
    assert another().lock_holder() is None


def test_an_error_releases_the_lock(backend: Backend, another: Another) -> None:
    with pytest.raises(ZeroDivisionError), backend.lock(command="segctl apply", timeout=0):
        raise ZeroDivisionError
    assert another().lock_holder() is None


def test_a_second_run_gets_an_error_with_the_holder_of_the_lock(
    backend: Backend, another: Another
) -> None:
    with backend.lock(command="segctl apply", timeout=0) as info:
        with pytest.raises(StateLocked) as caught, another().lock(command="segctl", timeout=0):
            pass
        assert caught.value.holder == info
        assert caught.value.message == (
            f"the state is locked by {info.who} (process {info.pid}, `segctl apply`) "
            f"since 2026-01-02 03:04:05 UTC; lock ID {info.id}"
        )
        assert caught.value.hint == (
            "Wait for it with --lock-timeout 60s. If that process hangs or cannot be reached, "
            f"run `segctl force-unlock {info.id}`."
        )


def test_a_run_waits_until_the_lock_is_free(
    backend: Backend, another: Another, clock: FakeClock
) -> None:
    with ExitStack() as first:
        first.enter_context(backend.lock(command="segctl apply", timeout=0))
        start = clock.time
        clock.alarm = lambda: first.close() if clock.time >= start + 5 else None
        with another().lock(command="segctl destroy", timeout=60) as info:
            assert info.command == "segctl destroy"
        assert 5 <= clock.time - start < 6


def test_a_run_waits_no_longer_than_its_timeout(
    backend: Backend, another: Another, clock: FakeClock
) -> None:
    with backend.lock(command="segctl apply", timeout=0):
        start = clock.time
        with pytest.raises(StateLocked), another().lock(command="segctl", timeout=3.2):
            pass
        assert clock.time - start == pytest.approx(3.2)


def test_the_same_process_cannot_lock_twice(backend: Backend) -> None:
    with (
        backend.lock(command="segctl apply", timeout=0),
        pytest.raises(StateLocked),
        backend.lock(command="segctl apply", timeout=0),
    ):
        pass


def test_a_broken_lock_lets_the_next_run_in(backend: Backend, another: Another) -> None:
    with backend.lock(command="hanging", timeout=0) as info:
        another().force_unlock(info.id)
        assert another().lock_holder() is None
        with another().lock(command="next", timeout=0) as following:
            assert another().lock_holder() == following


def test_a_run_whose_lock_was_broken_cannot_replace_the_head(
    backend: Backend, another: Another
) -> None:
    with backend.lock(command="hanging", timeout=0) as info:
        another().force_unlock(info.id)
        with pytest.raises(StateChanged) as caught:
            backend.replace_head(b'{"serial": 1}', expected=None)
        assert caught.value.message == (
            f"the lock {info.id} of this run was broken while the run was in progress; "
            "the run stopped and left the state as it is"
        )
    assert backend.read_head() is None


def test_a_run_whose_lock_was_broken_does_not_release_the_next_lock(
    backend: Backend, another: Another
) -> None:
    with ExitStack() as lost:
        info = lost.enter_context(backend.lock(command="hanging", timeout=0))
        another().force_unlock(info.id)
        with another().lock(command="next", timeout=0) as following:
            lost.close()
            assert another().lock_holder() == following


def test_breaking_another_lock_is_an_error_with_the_current_holder(
    backend: Backend, another: Another
) -> None:
    with backend.lock(command="segctl apply", timeout=0) as info:
        with pytest.raises(WrongUsage) as caught:
            another().force_unlock("id-99")
        assert caught.value.message.startswith("there is no lock id-99: the state is locked by ")
        assert caught.value.hint == f"To break that lock, run `segctl force-unlock {info.id}`."
        assert another().lock_holder() == info


def test_breaking_a_free_lock_is_an_error(backend: Backend) -> None:
    with pytest.raises(WrongUsage, match="the state is not locked"):
        backend.force_unlock("id-1")
    write(backend, b"{}")
    with pytest.raises(WrongUsage, match="the state is not locked"):
        backend.force_unlock("id-1")


def test_checking_a_writable_state_leaves_no_files(backend: Backend) -> None:
    with backend.lock(command="segctl apply", timeout=0):
        before = list(backend.scratch_folder().iterdir())
        backend.check_writable(needed_bytes=1)
        assert list(backend.scratch_folder().iterdir()) == before


def test_earlier_heads_can_be_listed_and_read(backend: Backend) -> None:
    for serial in (1, 2, 3):
        write(backend, b'{"serial": %d}' % serial)
    found = [backend.read_earlier_head(name) for name in backend.list_history()]
    assert [(head.serial, head.data) for head in found] == [
        (1, b'{"serial": 1}'),
        (2, b'{"serial": 2}'),
    ]


def test_only_the_named_heads_and_files_are_removed(backend: Backend) -> None:
    for serial in (1, 2, 3):
        write(backend, b'{"serial": %d}' % serial)
    with backend.lock(command="segctl apply", timeout=0):
        old, new = add(backend, b"old"), add(backend, b"new")
        [first, second] = backend.list_history()
        backend.remove_garbage(heads=[first], files=[old.name])
    assert backend.list_history() == [second]
    assert backend.file_sizes() == {new.name: new.bytes}
    assert backend.read_earlier_head(first).problem == "No such file or directory"


def test_nothing_is_removed_after_the_lock_was_broken(backend: Backend, another: Another) -> None:
    with backend.lock(command="hanging", timeout=0) as info:
        ref = add(backend, b"members")
        another().force_unlock(info.id)
        with pytest.raises(StateChanged):
            backend.remove_garbage(heads=[], files=[ref.name])
    assert list(backend.file_sizes()) == [ref.name]


def test_a_holder_that_died_is_known_to_the_next_run(backend: Backend, another: Another) -> None:
    died = ExitStack()
    died.enter_context(backend.lock(command="segctl apply", timeout=0))
    backend.record_plan("sha256:1f")
    other = another()
    other.force_unlock(holder_id(backend))
    with other.lock(command="segctl apply", timeout=0):
        found = other.abandoned_lock()
        assert found is not None
        assert found.plan == "sha256:1f"
    died.close()
    last = another()
    with last.lock(command="segctl apply", timeout=0):
        assert last.abandoned_lock() is None


def holder_id(backend: Backend) -> str:
    info = backend.lock_holder()
    assert info is not None
    return info.id


def test_a_run_whose_lock_was_broken_records_no_plan(backend: Backend, another: Another) -> None:
    with backend.lock(command="hanging", timeout=0) as info:
        another().force_unlock(info.id)
        with pytest.raises(StateChanged):
            backend.record_plan("sha256:1f")


DIGEST = "sha256:" + "ab" * 32


def test_a_kept_plan_is_found_by_its_digest_and_the_latest_counts(
    another: Another, tmp_path: Path
) -> None:
    for number, until in ((1, 2e9), (2, 3e9), (3, 1e9)):
        file = tmp_path / f"{number}.segplan"
        file.write_bytes(b"plan %d" % number)
        another().keep_plan(DIGEST, file, until=until)
    assert another().fetch_plan(DIGEST, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == b"plan 2"
    assert not another().fetch_plan("sha256:" + "cd" * 32, tmp_path / "other")


def test_old_plans_are_listed_and_removed_and_others_stay(backend: Backend, tmp_path: Path) -> None:
    file = tmp_path / "file.segplan"
    file.write_bytes(b"plan")
    for digest, until in ((DIGEST, 2e9), ("sha256:" + "cd" * 32, 3e9)):
        backend.keep_plan(digest, file, until=until)
    old = backend.old_plans(now=2.5e9)
    assert [name[:4] for name in old] == ["abab"]
    backend.remove_plans(old)
    assert not backend.fetch_plan(DIGEST, tmp_path / "gone")
    assert backend.fetch_plan("sha256:" + "cd" * 32, tmp_path / "kept")


def test_a_kept_plan_does_not_make_a_state(backend: Backend, tmp_path: Path) -> None:
    file = tmp_path / "file.segplan"
    file.write_bytes(b"plan")
    backend.keep_plan(DIGEST, file, until=2e9)
    assert backend.read_head() is None
    assert backend.file_sizes() == {}
