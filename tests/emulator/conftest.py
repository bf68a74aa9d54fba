"""The application in-process, and a client that calls it over ASGI."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette

from segctl.emulator.app import create_app

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from segctl.emulator.testing import RunningEmulator
    from tests.emulator.browser_kit import Site

ACCOUNTS = {"ACC-1": "pass-1", "ACC-2": "pass-2"}


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """A client of one account, written from the vendor's pages alone."""

    def __init__(self, app: Starlette, *, account: str = "ACC-1") -> None:
        self.app = app
        self.headers = {
            "X-CleverTap-Account-Id": account,
            "X-CleverTap-Passcode": ACCOUNTS.get(account, "?"),
        }

    def open(self) -> httpx.AsyncClient:
        """Return an httpx client, for several requests at once."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app),
            base_url="http://emulator",
            headers=self.headers,
        )

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request."""

        async def send() -> httpx.Response:
            async with self.open() as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def run(self, work: Callable[[httpx.AsyncClient], Coroutine[Any, Any, Any]]) -> Any:
        """Send several requests in one event loop."""

        async def send() -> Any:
            async with self.open() as client:
                return await work(client)

        return asyncio.run(send())

    def create(self, *customer_ids: str) -> dict[str, int]:
        """Create segments; return the CleverTap ids by customer id."""
        answer = self.call(
            "POST",
            "/api/createSegment",
            json=[
                {"segment_name": f"Name of {each}", "customer_segment_id": each}
                for each in customer_ids
            ],
        )
        assert answer.status_code == 200, answer.text
        return {each["customer_segment_id"]: each["id"] for each in answer.json()}

    def update(
        self, users: list[Any], lines: list[Any], *more: tuple[list[Any], list[Any]]
    ) -> httpx.Response:
        """Send one update with one or more entries; a line may be (customer id, action)."""
        return self.call("POST", "/api/updateSegment", json=body((users, lines), *more))

    def read(self, path: str) -> Any:
        """Read a path of the emulator's own API."""
        answer = self.call("GET", f"/emulator/v1/{path}")
        assert answer.status_code == 200, answer.text
        if answer.headers["content-type"].startswith("application/x-ndjson"):
            return [json.loads(line) for line in answer.text.splitlines()]
        return answer.json()

    def members(self, customer_id: str) -> list[str]:
        """Return the members of a segment, sorted."""
        (number,) = [
            each["ct_segment_id"]
            for each in self.read("segments?account=" + self.headers["X-CleverTap-Account-Id"])
            if each["customer_segment_id"] == customer_id and not each["deleted"]
        ]
        return [next(iter(each.values())) for each in self.read(f"segments/{number}/members")]

    def error_types(self) -> list[str]:
        """Return the types in the Error Stream, in order."""
        return [each["Error Type"] for each in self.read("error-stream")]

    def settings(self, **changes: Any) -> None:
        """Change settings."""
        answer = self.call("PUT", "/emulator/v1/settings", json=changes)
        assert answer.status_code == 200, answer.text

    def faults(self, *rules: dict[str, Any], seed: int = 0) -> None:
        """Replace the fault plan."""
        answer = self.call("PUT", "/emulator/v1/faults", json={"seed": seed, "rules": list(rules)})
        assert answer.status_code == 200, answer.text


def body(*entries: tuple[list[Any], list[Any]]) -> dict[str, Any]:
    """Return the body of an update. A user that is a string is an identity."""
    return {
        "bulk_profiles": [
            {
                "user_profiles": [
                    {"identity": user} if isinstance(user, str) else user for user in users
                ],
                "segments": [
                    {"customer_segment_id": line[0], "action": line[1]}
                    if isinstance(line, tuple)
                    else line
                    for line in lines
                ],
            }
            for users, lines in entries
        ]
    }


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the application."""
    return Clock()


@pytest.fixture
def app(clock: Clock) -> Iterator[Starlette]:
    """Yield an emulator in memory with two accounts."""
    app = create_app(accounts=ACCOUNTS, clock=clock)
    yield app
    app.state.service.store.close()


@pytest.fixture
def client(app: Starlette) -> Client:
    """Return a client of the first account."""
    return Client(app)


@pytest.fixture
def other(app: Starlette) -> Client:
    """Return a client of the second account."""
    return Client(app, account="ACC-2")


@pytest.fixture(scope="module")
def emulator_and_browser() -> "Iterator[tuple[RunningEmulator, Browser]]":
    """Yield one emulator and one browser for all tests of a module."""
    from tests.emulator import browser_kit  # noqa: PLC0415 - for the tests that ask alone

    with browser_kit.open_emulator_and_browser() as opened:
        yield opened


@pytest.fixture
def site(emulator_and_browser: "tuple[RunningEmulator, Browser]") -> "Iterator[Site]":
    """Yield an empty emulator and a new tab in which nothing may go wrong."""
    from tests.emulator import browser_kit  # noqa: PLC0415 - for the tests that ask alone

    with browser_kit.open_site(*emulator_and_browser) as site:
        yield site


@pytest.fixture
def ids(client: Client) -> dict[str, int]:
    """Return the ids of ``gold``, which three users joined and one left, and ``silver``, with one.

    These are five events of three users.
    """
    ids = client.create("gold", "silver")
    client.update(["a", "b", "c"], [("gold", "ADD")])
    client.update(["a"], [("gold", "REMOVE"), ("silver", "ADD")])
    return ids
