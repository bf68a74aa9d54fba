"""The emulator inside a test: a real server, in a thread, on a free port."""

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import httpx
from starlette.applications import Starlette

from segctl.emulator.app import DEMO_ACCOUNT, DEMO_PASSCODE, create_app
from segctl.emulator.control.responses import NDJSON
from segctl.emulator.control.routing import PREFIX
from segctl.emulator.errors import EmulatorError
from segctl.emulator.faults import FaultPlan
from segctl.emulator.server import run
from segctl.emulator.service import Service
from segctl.emulator.settings import Settings
from segctl.emulator.tls import TlsFiles, server_context

HOST = "127.0.0.1"
START_SECONDS = 30
REQUEST_SIZE = 100
"""Segments of one create, and users of one update."""


@dataclass(frozen=True, kw_only=True)
class RunningEmulator:
    """A running server: its base URL, its application, and the credentials of one account.

    A segment is named by its customer id (a string) or by CleverTap's id (a number).  The
    methods raise EmulatorError if the emulator refuses what they ask for.
    """

    url: str
    app: Starlette
    account: str
    passcode: str
    loop: asyncio.AbstractEventLoop
    tls: TlsFiles | None = None

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

    # -- what a client changed ------------------------------------------------

    def segments(self) -> list[dict[str, Any]]:
        """Return the account's segments, oldest first, as ``GET /emulator/v1/segments`` does.

        A deleted segment is listed too; its ``deleted`` is true.
        """
        return list(self._own("GET", f"segments?{self._account}"))

    def members(self, segment: str | int) -> set[str]:
        """Return the members of a segment: the identity of each, or the guid if it has none."""
        number = self._find(segment)["ct_segment_id"]
        users = self._own("GET", f"segments/{number}/members")
        return {value for user in users for value in user.values()}

    def events(
        self, segment: str | int | None = None, *, action: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the account's Segment Membership Change events, oldest first.

        The keys are those of ``GET /emulator/v1/events``.  ``action`` is ``ADD`` or
        ``REMOVE``; None is both.
        """
        if action not in {None, "ADD", "REMOVE"}:
            raise EmulatorError(f"action must be ADD or REMOVE, not {action!r}")
        number = None if segment is None else self._find(segment)["ct_segment_id"]
        return [
            event
            for event in self._own("GET", f"events?{self._account}")
            if number in {None, event["event_props"]["Segment ID"]}
            and action in {None, event["event_props"]["Action"]}
        ]

    def error_stream(self) -> list[dict[str, Any]]:
        """Return the account's skipped entries, oldest first, with the vendor's field names."""
        return list(self._own("GET", f"error-stream?{self._account}"))

    def campaigns(self) -> list[dict[str, Any]]:
        """Return the account's campaigns, as ``GET /emulator/v1/campaigns`` does."""
        return list(self._own("GET", f"campaigns?{self._account}"))

    def stats(self) -> dict[str, Any]:
        """Return the account's figures, as ``GET /emulator/v1/stats`` does."""
        return dict(self._own("GET", f"stats?{self._account}"))

    # -- what the service does ------------------------------------------------

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Change the settings that are named, and return all of them."""
        method = "PUT" if changes else "GET"
        return dict(self._own(method, "settings", changes or None))

    def faults(self, *rules: Mapping[str, Any], seed: int = 0) -> dict[str, Any]:
        """Replace the fault plan, and return it with the faults injected so far.

        Without rules, all faults end.
        """
        return dict(self._own("PUT", "faults", {"seed": seed, "rules": list(rules)}))

    # -- what somebody else does in the dashboard ------------------------------

    def change_members(
        self,
        segment: str | int,
        *,
        add: Iterable[str] | int = (),
        remove: Iterable[str] | int = (),
        seed: int = 0,
    ) -> None:
        """Add identities to a segment and remove others, behind the client's back.

        A number stands for so many users, chosen at random by ``seed``.
        """
        users = {
            name: value if isinstance(value, int) else _identities(value)
            for name, value in (("add", add), ("remove", remove))
        }
        self._change(segment, "members", **users, seed=seed)

    def rename(self, segment: str | int, name: str) -> None:
        """Rename a segment."""
        self._change(segment, "rename", name=name)

    def delete(self, segment: str | int) -> None:
        """Delete a segment."""
        self._change(segment, "delete")

    def _change(self, segment: str | int, change: str, **fields: Any) -> None:
        document = {"change": change, "segment": segment, **fields}
        self._own("POST", f"other-writer?{self._account}", document)

    # -- what is there before the test ----------------------------------------

    def create(self, *customer_ids: str) -> dict[str, int]:
        """Create segments named like their customer ids; return CleverTap's ids by these."""
        for start in range(0, len(customer_ids), REQUEST_SIZE):
            names = customer_ids[start : start + REQUEST_SIZE]
            entries = [{"segment_name": name, "customer_segment_id": name} for name in names]
            self._request("POST", "/api/createSegment", entries)
        ids = {each["customer_segment_id"]: each["ct_segment_id"] for each in self.segments()}
        return {name: ids[name] for name in customer_ids}

    def seed(self, members: Mapping[str, Iterable[str]]) -> None:
        """Add identities to segments, by customer id; create the segments that are missing.

        It is what another client of the account does: it raises events, and faults and
        settings apply.  Raises EmulatorError if an entry is skipped.
        """
        users_of = {name: _identities(identities) for name, identities in members.items()}
        skipped = len(self.error_stream())
        existing = {each["customer_segment_id"] for each in self.segments() if not each["deleted"]}
        self.create(*(name for name in members if name not in existing))
        for name, identities in users_of.items():
            users = [{"identity": identity} for identity in identities]
            for start in range(0, len(users), REQUEST_SIZE):
                entry = {
                    "user_profiles": users[start : start + REQUEST_SIZE],
                    "segments": [{"customer_segment_id": name, "action": "ADD"}],
                }
                self._request("POST", "/api/updateSegment", {"bulk_profiles": [entry]})
        if reasons := {each["Error Type"] for each in self.error_stream()[skipped:]}:
            raise EmulatorError(f"entries were skipped: {', '.join(sorted(reasons))}")

    # -- requests -------------------------------------------------------------

    @property
    def _account(self) -> str:
        return str(httpx.QueryParams(account=self.account))

    def _find(self, segment: str | int) -> dict[str, Any]:
        key = "ct_segment_id" if isinstance(segment, int) else "customer_segment_id"
        segments = self.segments()
        # The last one: a customer id may be that of a deleted segment too.
        found = [each for each in segments if each[key] == segment]
        if not found:
            known = ", ".join(repr(each[key]) for each in segments) or "none"
            raise EmulatorError(f"there is no segment {segment!r}; the account has {known}")
        return found[-1]

    def _own(self, method: str, path: str, document: Any = None) -> Any:
        """Call the emulator's own API; return the JSON document, or a list of its lines."""
        answer = self._request(method, f"{PREFIX}/{path}", document)
        if answer.headers["content-type"].startswith(NDJSON):
            return [json.loads(line) for line in answer.text.splitlines()]
        return answer.json()

    def _request(self, method: str, path: str, document: Any = None) -> httpx.Response:
        trusted: ssl.SSLContext | bool = False
        if self.tls is not None:
            trusted = ssl.create_default_context(cafile=self.tls.certificate)
        with httpx.Client(
            base_url=self.url,
            headers=self.headers,
            verify=trusted,
            trust_env=False,
            timeout=START_SECONDS,
        ) as http:
            body = {} if document is None else {"json": document}
            answer = http.request(method, path, **body)
        if answer.is_error:
            raise EmulatorError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer


def _identities(users: Iterable[str]) -> list[str]:
    if isinstance(users, str):  # A loop over it would take each character for a user.
        raise EmulatorError("one string was given for the users; put it in a list")
    return list(users)


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
            url=url, app=app, account=account, passcode=passcode, loop=app.state.loop, tls=tls
        )
    finally:
        if thread.is_alive():
            app.state.end()
        thread.join(START_SECONDS)
        app.state.service.store.close()
