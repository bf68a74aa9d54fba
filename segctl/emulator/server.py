"""The server: the application on a socket, until a signal ends it."""

import asyncio
import contextlib
import ipaddress
import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.types import Scope
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from segctl.emulator.app import DEMO_PASSCODE, create_app
from segctl.emulator.errors import ExposedError, InvalidSettingsError
from segctl.emulator.faults import FaultPlan, parse_plan
from segctl.emulator.settings import Settings

GRACE_SECONDS = 5
KEEP_ALIVE_SECONDS = 3600


class Connections:
    """The open connections by the caller's address, so that a fault can cut one."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], asyncio.Transport] = {}

    def cut(self, scope: Scope) -> None:
        """Close the request's connection without an answer."""
        transport = self._open.get(tuple(scope["client"]))
        if transport is not None:
            transport.abort()

    def protocol(self) -> type[asyncio.Protocol]:
        """Return uvicorn's HTTP protocol, taught to register its connections."""
        opened = self._open
        base: Any = AutoHTTPProtocol

        class Registered(base):  # type: ignore[misc] # uvicorn picks the class when it is imported
            def connection_made(self, transport: asyncio.Transport) -> None:
                self.address = tuple(transport.get_extra_info("peername")[:2])
                opened[self.address] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                opened.pop(self.address, None)
                super().connection_lost(exc)

        return Registered


class Server(uvicorn.Server):
    """uvicorn's server that says when it is ready and leaves signals to us."""

    def __init__(self, config: uvicorn.Config, *, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections, then say so."""
        await super().startup(sockets=sockets)
        if self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: uvicorn would raise the signal again after a clean exit."""
        yield


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8787,
    data: Path | None = None,
    latency_ms: int = 0,
    seed: int = 0,
    accounts: Mapping[str, str] | None = None,
    ready: Callable[[str], None] | None = None,
    faults: Path | None = None,
    settings: Path | None = None,
    allow_remote: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM.

    ``port`` 0 takes any free one; ``ready`` is told the base URL once connections
    are accepted.  ``settings`` is a file with what ``PUT settings`` takes: those it
    does not name stay as ``data`` keeps them.  Raises ExposedError for a host beyond
    loopback unless ``allow_remote`` is given with ``accounts`` whose passcodes are
    not the demo's; InvalidSettingsError for a faults or settings file that is wrong;
    OSError for a port that is taken.
    """
    exposed = check_exposure(host, accounts=accounts, allow_remote=allow_remote)
    plan = None if faults is None else read_plan(faults, seed=seed)
    changes = {} if settings is None else read_document(settings)
    Settings().changed(changes)  # what is wrong is said before any data is touched
    app = create_app(data=data, accounts=accounts, seed=seed)
    service = app.state.service
    if changes:
        service.change_settings(service.settings.changed(changes))
    if latency_ms:
        service.change_settings(replace(service.settings, latency_ms=latency_ms))
    if plan is not None:
        service.change_faults(plan)
    service.protected = exposed
    service.loopback_only = not exposed
    try:
        run(app, host=host, port=port, ready=ready)
    finally:
        service.store.close()


def read_plan(file: Path, *, seed: int) -> FaultPlan:
    """Read a fault plan from a file; raises InvalidSettingsError or OSError."""
    return parse_plan(read_document(file), seed=seed)


def read_document(file: Path) -> Any:
    """Read a JSON file; raises InvalidSettingsError or OSError."""
    try:
        return json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidSettingsError(problems=(f"{file} is not JSON: {error}",)) from error


def check_exposure(host: str, *, accounts: Mapping[str, str] | None, allow_remote: bool) -> bool:
    """Return whether other machines can reach ``host``; raises ExposedError if they may not."""
    if is_loopback(host):
        return False
    if not allow_remote:
        raise ExposedError(
            f"{host} can be reached from other machines; say --allow-remote if that is wanted"
        )
    if not accounts or not all(accounts.values()) or DEMO_PASSCODE in accounts.values():
        raise ExposedError("listening beyond this machine needs an account with its own passcode")
    return True


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def run(
    app: Starlette,
    *,
    host: str,
    port: int,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Run the application on a socket until it is told to end."""
    listener = bind(host, port)
    taken = listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    connections = Connections()
    app.state.service.cut = connections.cut
    config = uvicorn.Config(
        app,
        http=connections.protocol(),
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        # A client that waits between two requests must not lose its connection: that
        # would be a fault nobody asked for.
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = Server(
        config, ready=lambda: ready(f"http://{shown}:{taken}") if ready is not None else None
    )

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def end() -> None:
            server.should_exit = True
            app.state.service.close_streams()

        app.state.loop = loop
        app.state.end = lambda: loop.call_soon_threadsafe(end)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, end)
        await server.serve(sockets=[listener])

    with contextlib.closing(listener):
        asyncio.run(main())


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises OSError if the address is taken."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener
