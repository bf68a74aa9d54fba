"""The service: what all parts of the application share.

Store, settings, faults, the requests in flight, and the figures of the stats page;
clock and sleep are passed in.
"""

import asyncio
import hmac
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.types import Scope

from segctl.emulator.errors import RequestError
from segctl.emulator.faults import FaultPlan, Faults, parse_plan
from segctl.emulator.settings import Settings
from segctl.emulator.state import Account
from segctl.emulator.store import Store

REGIONS = ("eu1", "in1", "sg1", "us1", "aps3", "mec1")
DEFAULT_REGION = "eu1"


class InFlight:
    """Requests that have come and are not answered, per account and call."""

    def __init__(self) -> None:
        self._now: Counter[tuple[str, str]] = Counter()
        self.most: Counter[str] = Counter()

    def enter(self, account: str, call: str) -> "Slot":
        """Count a request in; the caller leaves the slot when it is answered."""
        self._now[account, call] += 1
        ahead = self._now[account, call] - 1
        self.most[call] = max(self.most[call], ahead + 1)
        return Slot(self._now, (account, call), ahead=ahead)


class Slot:
    """One request in flight."""

    def __init__(
        self, counts: Counter[tuple[str, str]], key: tuple[str, str], *, ahead: int
    ) -> None:
        self._counts = counts
        self._key = key
        self._left = False
        self.ahead = ahead
        """How many requests were in flight when this one came."""

    def leave(self) -> None:
        """Count the request out; a second call does nothing."""
        if not self._left:
            self._left = True
            self._counts[self._key] -= 1


class Service:
    """One emulated service."""

    def __init__(
        self,
        *,
        store: Store,
        settings: Settings | None,
        seed: int,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.store = store
        self.clock = clock
        self.sleep = sleep
        self.seed = seed
        self.in_flight = InFlight()
        self.requests: dict[str, Counter[str]] = {
            "createSegment": Counter(),
            "updateSegment": Counter(),
        }
        self.cut: Callable[[Scope], None] | None = None
        self.protected = False
        """Whether pages and reads ask for an account's passcode too."""
        self.loopback_only = False
        """Whether only requests to this machine's own names are served."""
        self.closing = False
        self.streams: set[asyncio.Event] = set()
        """One for each live stream, set when there is something to look at."""
        store.listen(self._wake_streams)
        kept = store.database.noted("settings")
        self.settings = settings or Settings()
        if settings is None and kept:
            self.settings = Settings().changed(json.loads(kept))
        faults = store.database.noted("faults")
        self.faults = Faults(
            plan=parse_plan(json.loads(faults)) if faults else FaultPlan(seed=seed)
        )

    def change_settings(self, settings: Settings) -> None:
        """Take these settings, durably."""
        self.settings = settings
        self.store.database.note("settings", json.dumps(settings.document()))

    def change_faults(self, plan: FaultPlan) -> None:
        """Take this fault plan, durably, from its seed."""
        self.faults.restart(plan)
        self.store.database.note("faults", json.dumps(plan.document()))

    def reset(self) -> None:
        """Empty again; settings and faults stay, and chance starts over."""
        self.store.reset()
        for counts in self.requests.values():
            counts.clear()
        self.in_flight.most.clear()
        self.faults.restart(self.faults.plan)

    def _wake_streams(self) -> None:
        for stream in self.streams:
            stream.set()

    def close_streams(self) -> None:
        """End the live streams, which would keep a server from ending."""
        self.closing = True
        self._wake_streams()

    def count(self, call: str, outcome: str) -> None:
        """Keep the number of requests by call and outcome."""
        self.requests.setdefault(call, Counter())[outcome] += 1

    def visible_until(self) -> float | None:
        """Until when changes are in sight; None: all are."""
        lag = self.settings.visibility_lag_ms
        return self.clock() - lag / 1000 if lag else None

    def stats(self, account: Account | None) -> dict[str, Any]:
        """Return the figures of one account, or of all."""
        accounts = list(self.store.accounts.values()) if account is None else [account]
        calls = ("createSegment", "updateSegment")
        return {
            "requests": {
                call: dict(sorted(counts.items())) for call, counts in self.requests.items()
            },
            "membership_changes": sum(each.membership_changes for each in accounts),
            "events": sum(each.events for each in accounts),
            "data_points": sum(each.data_points for each in accounts),
            "profiles": sum(len(each.profiles) for each in accounts),
            "segments": sum(each.live_segments() for each in accounts),
            "max_in_flight": {
                call: self.in_flight.most[call]
                for call in {**dict.fromkeys(calls), **self.requests}
            },
        }

    # -- who is calling -------------------------------------------------------

    def authenticate(self, request: Request) -> Account:
        """Return the account of the two headers; raises RequestError 401."""
        name = request.headers.get("x-clevertap-account-id", "")
        passcode = request.headers.get("x-clevertap-passcode", "")
        account = self.identify(name, passcode)
        region = region_of(request.headers.get("host", ""))
        home = self.settings.account_regions.get(account.id)
        if region is not None and home is not None and region != home:
            raise _unauthorized("Account ID is not valid in this region")
        return account

    def identify(self, name: str, passcode: str) -> Account:
        """Return the account, if this is its passcode; raises RequestError 401."""
        account = self.store.account(name)
        if account is None and name and passcode and self.settings.unknown_accounts == "adopt":
            account = self.store.adopt(name, passcode)
        if account is None or account.passcode is None:
            raise _unauthorized("Account ID is not valid")
        if not hmac.compare_digest(passcode.encode(), account.passcode.encode()):
            raise _unauthorized("Passcode is not valid")
        return account


def _unauthorized(text: str) -> RequestError:
    return RequestError(status=401, code=401, text=text)


def region_of(host: str) -> str | None:
    """Return the region that a virtual host stands for, None for any other host.

    ``in1.api.clevertap.com`` is India; ``api.clevertap.com`` is Europe; the same
    below ``localhost`` needs no name server.
    """
    name = host.rsplit(":", 1)[0].lower() if not host.endswith("]") else host
    if name == "api.clevertap.com":
        return DEFAULT_REGION
    label, _, rest = name.partition(".")
    return label if label in REGIONS and rest in {"api.clevertap.com", "localhost"} else None


def account_by_name(service: Service, name: str | None) -> Account | None:
    """Return the account asked for, None for all; raises RequestError 404."""
    if name is None:
        return None
    account = service.store.accounts.get(name)
    if account is None:
        raise RequestError(status=404, code=404, text="no such account")
    return account


def names_of(accounts: Mapping[str, Account]) -> dict[int, Account]:
    """Accounts by their number in the store."""
    return {account.number: account for account in accounts.values()}
