"""Backends under test, on a fake clock that moves only when code sleeps."""

from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from segctl.backends.base import Backend
from segctl.backends.file_cache import FileCache
from segctl.backends.local import LocalBackend
from segctl.backends.remote import RemoteBackend
from segctl.backends.sealing import NO_SEALING, Sealer
from segctl.core.errors import StateChanged
from tests.backends.memory_store import MemoryStore


class FakeClock:
    """A clock that moves only in ``pass_``, which then calls ``alarm``."""

    def __init__(self) -> None:
        self.time = 1_767_323_045.0
        self.slept: list[float] = []
        self.alarm: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.pass_(seconds)

    def pass_(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        self.alarm()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    return root


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(params=["local", "remote", "local, encrypted", "remote, encrypted"])
def another(
    request: pytest.FixtureRequest,
    root: Path,
    clock: FakeClock,
    store: MemoryStore,
    tmp_path: Path,
) -> Callable[[], Backend]:
    """Return a function that opens the same state again, as another process would."""
    numbers = count(1)
    kind, _, encrypted = request.param.partition(", ")
    sealer = Sealer([b"k" * 32], is_sealing=True, is_enforced=True) if encrypted else NO_SEALING

    def local() -> Backend:
        return LocalBackend(root, clock=clock, sleep=clock.pass_, new_id=new_id, sealer=sealer)

    opened: list[RemoteBackend] = []

    def sleep(seconds: float) -> None:
        """Let the time pass, and every run that lives renew its lock."""
        clock.pass_(seconds)
        for backend in opened:
            with suppress(StateChanged):
                backend._lock._renew()  # type: ignore[attr-defined]

    def remote() -> Backend:
        machine = tmp_path / f"machine-{next(numbers)}"
        machine.mkdir()
        backend = RemoteBackend(
            store,
            cache=FileCache(machine / "cache"),
            scratch=machine,
            clock=clock,
            sleep=sleep,
            new_id=new_id,
            sealer=sealer,
        )
        opened.append(backend)
        return backend

    def new_id() -> str:
        return f"{next(numbers):08x}"

    return {"local": local, "remote": remote}[kind]


@pytest.fixture
def backend(another: Callable[[], Backend]) -> Backend:
    return another()


@pytest.fixture
def damage(
    another: Callable[[], Backend], root: Path, store: MemoryStore
) -> Callable[[str, bytes], None]:
    """Return a function that overwrites a stored file of the state."""

    def overwrite(key: str, data: bytes) -> None:
        if isinstance(another(), LocalBackend):
            (root / "segctl.state.d" / key).write_bytes(data)
        else:
            store.objects[key] = data

    return overwrite
