"""A process that runs real applies in child processes and kills each at a given point.

Starting Python and importing everything takes longer than an apply, so one warm
process forks once for each run.  It never opens a database or a connection itself:
threads do not survive a fork.  Orders and replies are JSON lines on its pipes.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpcore
import httpx

# Imported before the fork, so that children start fast.
import segctl.applying.sender
import segctl.engine.duckdb
import segctl.planning.planner
from segctl.core.disk import Disk
from segctl.core.errors import SegctlError
from segctl.core.stop_signal import StopSignal
from segctl.provider.transport import DirectTransport, Network
from segctl.session.context import Context
from segctl.workflows.apply import apply_workspace
from segctl.workflows.saved_plans import SavedPlanName
from tests.core.faulty_disk import FaultyDisk, Loss

WARM = (segctl.applying.sender, segctl.engine.duckdb, segctl.planning.planner)
Stepped = TypeVar("Stepped")

LONGEST = 60
"""Seconds after which a child that hangs is ended."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One apply: folder, input, and the point (from 1) at which it dies; 0 for none.

    ``loss`` is what the disk forgets at that moment, as in ``FaultyDisk``; then
    points are the disk's steps and the requests', without those after a step.
    """

    root: str
    scratch: str
    report: str
    environment: dict[str, str]
    at: int = 0
    loss: Loss | None = None
    spare: str = ""
    file: str | None = None
    destroy: bool = False


@dataclass(frozen=True, kw_only=True)
class Report:
    """The result of a run that survived: its points, and how it ended."""

    points: list[str]
    ended: str


class JumpingClock:
    """The machine's clock, plus all sleeps, which return at once."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        return time.time() + self._ahead

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        self.wait(seconds)
        await asyncio.sleep(0)

    def wait(self, seconds: float) -> None:
        self._ahead += seconds


def die() -> None:
    """Kill this process, like a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)


class Points:
    """Counts the points passed, and dies at one of them."""

    def __init__(self, at: int) -> None:
        self.passed: list[str] = []
        self._at = at

    def __call__(self, name: str, partial: Callable[[], object] = lambda: None) -> None:
        self.passed.append(name)
        if len(self.passed) == self._at:
            partial()
            die()


class PointsDisk(Disk):
    """A disk with a point before and after each step, and one in the middle of a write."""

    def __init__(self, points: Points) -> None:
        self._points = points

    def create(self, path: Path) -> int:
        return self._around("create", lambda: super(PointsDisk, self).create(path))

    def append(self, path: Path) -> int:
        return self._around("append", lambda: super(PointsDisk, self).append(path))

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        def whole() -> int:
            self._points("torn write", lambda: os.write(descriptor, data[: len(data) // 2]))
            return super(PointsDisk, self).write(descriptor, data)

        return self._around("write", whole)

    def truncate(self, descriptor: int, size: int) -> None:
        self._around("truncate", lambda: super(PointsDisk, self).truncate(descriptor, size))

    def sync(self, descriptor: int) -> None:
        self._around("sync", lambda: super(PointsDisk, self).sync(descriptor))

    def sync_folder(self, path: Path) -> None:
        self._around("sync folder", lambda: super(PointsDisk, self).sync_folder(path))

    def restrict(self, path: Path) -> None:
        self._around("restrict", lambda: super(PointsDisk, self).restrict(path))

    def rename(self, source: Path, target: Path) -> None:
        self._around("rename", lambda: super(PointsDisk, self).rename(source, target))

    def unlink(self, path: Path) -> None:
        self._around("unlink", lambda: super(PointsDisk, self).unlink(path))

    def make_folder(self, path: Path) -> None:
        self._around("make folder", lambda: super(PointsDisk, self).make_folder(path))

    def remove_folder(self, path: Path) -> None:
        self._around("remove folder", lambda: super(PointsDisk, self).remove_folder(path))

    def _around(self, name: str, step: Callable[[], Stepped]) -> Stepped:
        self._points(f"before {name}")
        result = step()
        self._points(f"after {name}")
        return result


class PowerDisk(FaultyDisk):
    """A disk that loses unsynced data when the process dies."""

    def __init__(self, spare: Path, *, at: int, loss: Loss) -> None:
        super().__init__(spare, at=at, loss=loss)
        self.passed: list[str] = []

    def __call__(self, name: str) -> None:
        """Pass a point that is not a step of the disk."""
        del name
        self._step()

    def _step(self, *, partial: Callable[[], object] = lambda: None) -> None:
        self.passed.append("step")
        super()._step(partial=partial)

    def _die(self) -> None:
        self._lose_unsynced()
        die()


class _Stream(httpcore.AsyncNetworkStream):
    """A connection with points before a request is sent, after it, and at its answer."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, point: Callable[[str], None]) -> None:
        self._stream = stream
        self._point = point
        self._writing = False

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> bytes:
        if not self._writing:
            return await self._stream.read(max_bytes, timeout)
        self._writing = False
        # The request is sent by the first step of the read.
        reading = asyncio.ensure_future(self._stream.read(max_bytes, timeout))
        await asyncio.sleep(0)
        self._point("request sent")
        data = await reading
        self._point("answer received")
        return data

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> None:
        if not self._writing:
            self._point("before request")
        self._writing = True
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Network(httpcore.AsyncNetworkBackend):
    def __init__(self, network: httpcore.AsyncNetworkBackend, point: Callable[[str], None]) -> None:
        self._network = network
        self._point = point

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream, self._point)

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


def counted_transport(point: Callable[[str], None]) -> httpx.AsyncBaseTransport:
    """Return segctl's transport, with points."""
    return DirectTransport(connections=6, network=_Network(Network(), point))


def run(order: Order) -> Report:
    """Run one apply. Returns only if it survives."""
    points: Points | PowerDisk
    if order.loss is None:
        points = Points(order.at)
        disk: Disk = PointsDisk(points)
    else:
        points = disk = PowerDisk(Path(order.spare), at=order.at, loss=order.loss)
    os.environ["TMPDIR"] = order.scratch
    tempfile.tempdir = None
    context = Context(
        root=Path(order.root),
        environment=order.environment,
        clock=JumpingClock(),
        chance=lambda: 0.0,
        command="segctl apply",
        disk=disk,
        transport=counted_transport(points),
    )
    ended = "done"
    try:
        apply_workspace(
            context,
            saved=SavedPlanName(text=order.file, file=Path(order.file)) if order.file else None,
            variables={},
            destroy=order.destroy,
            approve=lambda _: True,
            stop=StopSignal(),
        )
    except SegctlError as error:
        ended = f"{type(error).__name__}: {error}"
    return Report(points=points.passed, ended=ended)


def serve() -> None:
    """Process orders until the pipe closes; reply with each child's exit status."""
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            signal.alarm(LONGEST)
            order = Order(**json.loads(line))
            report = run(order)
            Path(order.report).write_text(json.dumps(asdict(report)), encoding="utf-8")
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
