"""The server: the application on a socket, until a signal ends it."""

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import ssl
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
from segctl.emulator.faults import parse_plan
from segctl.emulator.hosts import is_loopback
from segctl.emulator.service import Service
from segctl.emulator.settings import Settings
from segctl.emulator.tls import TlsFiles, server_context

GRACE_SECONDS = 5
KEEP_ALIVE_SECONDS = 3600


class Connections:
    """The open connections by client address, so that a fault can close one."""

    def __init__(self) -> None:
        self._transports: dict[tuple[str, int], asyncio.Transport] = {}

    def cut(self, scope: Scope) -> None:
        """Close the request's connection without an answer."""
        transport = self._transports.get(tuple(scope["client"]))
        if transport is not None:
            transport.abort()

    def protocol(self) -> type[asyncio.Protocol]:
        """Return uvicorn's HTTP protocol, extended to register its connections here."""
        transports = self._transports
        base: Any = AutoHTTPProtocol

        class RegisteredProtocol(base):  # type: ignore[misc] # uvicorn picks the class when it is imported
            def connection_made(self, transport: asyncio.Transport) -> None:
                self.address = tuple(transport.get_extra_info("peername")[:2])
                transports[self.address] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(self.address, None)
                super().connection_lost(exc)

        return RegisteredProtocol


class Server(uvicorn.Server):
    """A uvicorn server that reports when it is ready and leaves signals to its caller."""

    def __init__(self, config: uvicorn.Config, *, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections, then call ``ready``."""
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
    tls: TlsFiles | None = None,
    url_file: Path | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Port 0 takes any free port.  ``ready`` is called with the base URL once connections
    are accepted, and the URL is in ``url_file`` from then until the end.  ``settings`` is
    a file of the document that ``PUT settings`` accepts: settings it does not name stay as
    saved in ``data``.  Raises ExposedError for a host
    beyond loopback, unless ``allow_remote`` is given, ``accounts`` have passcodes of
    their own and no stranger can add one; TlsFilesError for ``tls`` files that do not
    work; InvalidSettingsError for an invalid faults or settings file; OSError if the port
    is taken.
    """
    context = None if tls is None else server_context(tls)
    is_exposed = check_exposure(host, accounts=accounts, allow_remote=allow_remote)
    plan = None if faults is None else parse_plan(read_json_file(faults), seed=seed)
    changes = {} if settings is None else read_json_file(settings)
    Settings().changed(changes)  # invalid settings are refused before any data is created
    app = create_app(data=data, accounts=accounts, seed=seed)
    service: Service = app.state.service
    service.loopback_only = not is_exposed
    try:
        started = service.settings.changed(changes)
        if latency_ms:
            started = replace(started, latency_ms=latency_ms)
        if is_exposed:
            check_exposed_data(service, started)
        service.requires_passcode = is_exposed
        if started != service.settings:
            service.change_settings(started)
        if plan is not None:
            service.change_faults(plan)
        with published_url(url_file, ready) as publish:
            run(app, host=host, port=port, ready=publish, tls=context)
    finally:
        service.store.close()


@contextlib.contextmanager
def published_url(
    file: Path | None, ready: Callable[[str], None] | None
) -> Iterator[Callable[[str], None]]:
    """Yield what to call with the base URL: it writes ``file`` and then calls ``ready``.

    The file exists only while connections are accepted, and is never half written.
    """

    def publish(url: str) -> None:
        if file is not None:
            # In the same folder, so that the rename is atomic.
            temporary = file.with_name(f"{file.name}.{os.getpid()}")
            temporary.write_text(f"{url}\n", "utf-8")
            temporary.replace(file)
        if ready is not None:
            ready(url)

    if file is not None:
        file.unlink(missing_ok=True)
    try:
        yield publish
    finally:
        if file is not None:
            file.unlink(missing_ok=True)


def read_json_file(file: Path) -> Any:
    """Read a JSON file; raises InvalidSettingsError or OSError."""
    try:
        return json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidSettingsError(f"{file} is not JSON: {error}") from error


def check_exposure(host: str, *, accounts: Mapping[str, str] | None, allow_remote: bool) -> bool:
    """Return whether other machines can reach ``host``; raises ExposedError if they must not."""
    if is_loopback(host):
        return False
    if not allow_remote:
        raise ExposedError(
            f"other machines can reach the address {host}",
            hint="Add --allow-remote to allow that, or leave out --host.",
        )
    if not accounts or not all(accounts.values()) or DEMO_PASSCODE in accounts.values():
        raise ExposedError(
            f"other machines can reach the address {host}, which needs an account with its "
            "own passcode",
            hint="Set CLEVERTAP_ACCOUNT_ID and CLEVERTAP_PASSCODE to your own values.",
        )
    return True


def check_exposed_data(service: Service, settings: Settings) -> None:
    """Check saved accounts and the settings to start with; raises ExposedError."""
    if settings.unknown_accounts == "adopt":
        raise ExposedError(
            "other machines can connect, and the setting unknown_accounts is adopt, which lets "
            "anyone in",
            hint='Start with --settings and a file with {"unknown_accounts": "refuse"}, or '
            "without --allow-remote.",
        )
    for account in service.store.accounts.values():
        if account.passcode == DEMO_PASSCODE:
            raise ExposedError(
                f"other machines can connect, and the account {account.id} of the data folder has "
                "the default passcode, which is public",
                hint="Use another data folder, or start without --allow-remote.",
            )


def run(
    app: Starlette,
    *,
    host: str,
    port: int,
    ready: Callable[[str], None] | None = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve the application on a socket until it is stopped, over TLS if given."""
    listener = bind(host, port)
    bound_port = listener.getsockname()[1]
    url_host = f"[{host}]" if ":" in host else host
    scheme = "http" if tls is None else "https"
    connections = Connections()
    app.state.service.cut_connection = connections.cut
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
    config.load()
    config.ssl = tls
    server = Server(
        config,
        ready=lambda: ready(f"{scheme}://{url_host}:{bound_port}") if ready is not None else None,
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
        app.state.service.engagement.wake()
        await server.serve(sockets=[listener])
        await app.state.service.engagement.close()

    with contextlib.closing(listener):
        asyncio.run(main())


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises OSError if the port is taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except UnicodeError as error:
        raise OSError(errno.EINVAL, "not a host name", host) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener
