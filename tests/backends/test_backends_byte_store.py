"""What a state relies on, of every store: in memory, S3 (twice), Azure, and Google's API."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from segctl.backends.bucket_store import BucketStore
from segctl.backends.byte_store import ByteStore, WriteConflict
from segctl.backends.file_cache import FileCache
from segctl.backends.remote import RemoteBackend
from segctl.buckets.bucket import StoreLimits
from segctl.core.clock import SystemClock
from segctl.core.errors import OperationError
from segctl.manifests.object_urls import ObjectUrl
from tests.backends.memory_store import MemoryStore
from tests.backends.store_servers import BUCKET, SERVERS

LIMITS = StoreLimits(total=60.0, stall=30.0, retrying=20.0, retries=5)
NUMBERS = count(1)


@pytest.fixture(scope="module")
def servers() -> Iterator[Callable[[str], Mapping[str, str]]]:
    """Start each server once, when it is needed."""
    with ExitStack() as stack:
        started: dict[str, Mapping[str, str]] = {}

        def environment_of(name: str) -> Mapping[str, str]:
            if name not in started:
                started[name] = stack.enter_context(SERVERS[name][1]())
            return started[name]

        yield environment_of


@pytest.fixture(params=["memory", *SERVERS])
def store(
    request: pytest.FixtureRequest,
    servers: Callable[[str], Mapping[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> ByteStore:
    """An empty store."""
    if request.param == "memory":
        return MemoryStore()
    for name, value in servers(request.param).items():
        monkeypatch.setenv(name, value)
    scheme = SERVERS[request.param][0]
    key = f"folder {next(NUMBERS)}/ünï"
    return BucketStore(ObjectUrl(scheme=scheme, bucket=BUCKET, key=key), limits=LIMITS)


def test_what_was_written_is_read(store: ByteStore) -> None:
    version = store.write_new("a/b.json", b"one")
    found = store.read("a/b.json")
    assert found is not None
    assert (found.data, found.version) == (b"one", version)
    assert store.read("a/b") is None


def test_an_existing_key_is_not_written_as_a_new_one(store: ByteStore) -> None:
    store.write_new("key", b"one")
    with pytest.raises(WriteConflict):
        store.write_new("key", b"two")
    found = store.read("key")
    assert found is not None
    assert found.data == b"one"


def test_only_the_known_version_is_replaced(store: ByteStore) -> None:
    first = store.write_new("key", b"one")
    second = store.replace("key", b"two", version=first)
    assert second != first
    with pytest.raises(WriteConflict):
        store.replace("key", b"three", version=first)
    found = store.read("key")
    assert found is not None
    assert (found.data, found.version) == (b"two", second)


def test_a_key_that_was_deleted_is_not_replaced(store: ByteStore) -> None:
    version = store.write_new("key", b"one")
    store.delete(["key"])
    with pytest.raises(WriteConflict):
        store.replace("key", b"two", version=version)
    assert store.read("key") is None


def test_a_file_of_any_size_is_uploaded_and_downloaded(store: ByteStore, tmp_path: Path) -> None:
    for size in (0, 1, 12 << 20):
        source, target = tmp_path / f"{size}", tmp_path / f"{size} back"
        source.write_bytes(os.urandom(size))
        store.upload("members/file", source)
        assert store.download("members/file", target)
        assert target.read_bytes() == source.read_bytes()
    assert not store.download("members/other", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_listing_has_the_keys_of_a_folder_and_below(store: ByteStore) -> None:
    for key in ("a/1", "a/b/2", "ab/3", "c"):
        store.write_new(key, key.encode())
    listed = store.list("a")
    assert {key: found.size for key, found in listed.items()} == {"a/1": 3, "a/b/2": 5}
    assert all(found.modified > 1.7e9 for found in listed.values())
    assert store.list("none") == {}


def test_keys_are_deleted_also_if_some_are_gone(store: ByteStore) -> None:
    for key in ("a/1", "a/2", "a/3"):
        store.write_new(key, b"x")
    store.delete(["a/0", "a/1", "a/9", "a/2"])
    assert list(store.list("a")) == ["a/3"]
    store.delete([])


def test_of_writers_at_the_same_time_one_wins(store: ByteStore) -> None:
    version = store.write_new("key", b"0")
    won: list[int] = []
    unanswered: list[int] = []
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait(30)
        try:
            store.replace("key", f"{number}".encode() * 1000, version=version)
        except WriteConflict:
            return
        except OperationError:  # a busy server gave no answer, and may have written
            unanswered.append(number)
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    found = store.read("key")
    assert found is not None
    assert len(won) <= 1
    assert found.data in {f"{number}".encode() * 1000 for number in won or unanswered}


def test_a_state_is_kept_in_it(store: ByteStore, tmp_path: Path) -> None:
    def backend(machine: str) -> RemoteBackend:
        (tmp_path / machine).mkdir(exist_ok=True)
        return RemoteBackend(
            store,
            cache=FileCache(tmp_path / machine / "cache"),
            scratch=tmp_path / machine,
            clock=SystemClock(),
        )

    first = backend("first")
    with first.lock(command="segctl apply"):
        first.check_writable(needed_bytes=1)
        head = None
        for serial in (1, 2):
            head = first.replace_head(
                b'{"serial": %d}' % serial, expected=head.version if head else None
            )
        scratch = tmp_path / "new"
        scratch.write_bytes(b"members")
        ref = first.add_file(scratch, rows=1)
        delta = tmp_path / "delta"
        delta.write_bytes(b"delta")
        journal = first.journals.create(header={"serial": 2}, delta=delta)
        journal.append({"type": "sent", "request": 0, "at": 1.0}, durable=True)
        journal.archive(serial=3)
    second = backend("second")
    found = second.read_head()
    assert found is not None
    assert found.data == b'{"serial": 2}'
    assert second.file_path(ref).read_bytes() == b"members"
    assert [second.read_earlier_head(n).data for n in second.list_history()] == [b'{"serial": 1}']
    [apply] = second.journals.archived()
    assert apply.delta.read_bytes() == b"delta"
    assert [record["type"] for record in apply.records()] == ["sent"]


@pytest.mark.parametrize("name", SERVERS)
def test_a_bucket_that_does_not_exist_is_an_error_and_no_empty_state(
    name: str,
    servers: Callable[[str], Mapping[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in servers(name).items():
        monkeypatch.setenv(variable, value)
    url = ObjectUrl(scheme=SERVERS[name][0], bucket="no-such-bucket", key="state")
    store = BucketStore(url, limits=LIMITS)
    for ask in (lambda: store.read("root.json"), lambda: store.list("history")):
        with pytest.raises(OperationError, match=r"there is no bucket .*no-such-bucket"):
            ask()
