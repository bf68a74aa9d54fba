"""Run the emulator inside a test: a real server, in a thread, on a free port."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from starlette.applications import Starlette

from segctl.emulator.app import DEMO_ACCOUNT, DEMO_PASSCODE, create_app
from segctl.emulator.faults import FaultPlan
from segctl.emulator.server import run
from segctl.emulator.service import Service
from segctl.emulator.settings import Settings
from segctl.emulator.tls import TlsFiles, server_context

HOST = "127.0.0.1"
START_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class RunningEmulator:
    """A running server: its base URL, its application, and the credentials of one account."""

    url: str
    app: Starlette
    account: str
    passcode: str
    loop: asyncio.AbstractEventLoop

    @property
    def headers(self) -> dict[str, str]:
        """The account's credentials in the vendor's two headers."""
        return {"X-CleverTap-Account-Id": self.account, "X-CleverTap-Passcode": self.passcode}

    @property
    def environment(self) -> dict[str, str]:
        """The credentials and the URL, as segctl reads them from the environment."""
        return {
            "CLEVERTAP_ACCOUNT_ID": self.account,
            "CLEVERTAP_PASSCODE": self.passcode,
            "CLEVERTAP_BASE_URL": self.url,
        }

    def restart(self) -> None:
        """Delete all data, settings and faults."""

        async def restart() -> None:
            service: Service = self.app.state.service
            service.change_settings(Settings())
            service.change_faults(FaultPlan())
            service.reset()

        # In the server's own loop, between two requests.
        asyncio.run_coroutine_threadsafe(restart(), self.loop).result(START_SECONDS)


@contextmanager
def running_emulator(
    *,
    data: Path | None = None,
    accounts: Mapping[str, str] | None = None,
    settings: Settings | None = None,
    seed: int = 0,
    clock: Callable[[], float] = time.time,
    tls: TlsFiles | None = None,
) -> Iterator[RunningEmulator]:
    """Run the emulator for the block.

    The arguments are those of ``create_app``.  With ``tls``, the URL is https://localhost.
    """
    context = None if tls is None else server_context(tls)
    app = create_app(data=data, accounts=accounts, settings=settings, seed=seed, clock=clock)
    app.state.service.loopback_only = True
    started: Queue[str | BaseException] = Queue()

    def work() -> None:
        try:
            run(app, host="localhost" if tls else HOST, port=0, ready=started.put, tls=context)
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            started.put(error)

    thread = threading.Thread(target=work, name="emulator", daemon=True)
    thread.start()
    try:
        url = started.get(timeout=START_SECONDS)
        if isinstance(url, BaseException):
            raise url
        account, passcode = next(iter((accounts or {DEMO_ACCOUNT: DEMO_PASSCODE}).items()))
        yield RunningEmulator(
            url=url, app=app, account=account, passcode=passcode, loop=app.state.loop
        )
    finally:
        if thread.is_alive():
            app.state.end()
        thread.join(START_SECONDS)
        app.state.service.store.close()
