"""The state shared by all parts of the application.

It combines the store, the settings, the faults, the requests in flight and the counts
of requests.  Clock and sleep are passed in.
"""

import asyncio
import hmac
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.types import Scope

from segctl.emulator.errors import (
    DataFormatError,
    InvalidSettingsError,
    RequestError,
    unauthenticated,
)
from segctl.emulator.faults import FaultInjector, FaultPlan, parse_plan
from segctl.emulator.hosts import region_of
from segctl.emulator.request_log import RequestLog
from segctl.emulator.searches import SearchTable
from segctl.emulator.settings import Settings, find_zone
from segctl.emulator.storage.state import Account, Segment
from segctl.emulator.storage.store import Store

if TYPE_CHECKING:
    from segctl.emulator.engagement.engine import Engagement

SEGMENT_CALLS = ("createSegment", "updateSegment")
"""The calls that the figures always have."""
ADOPT_IS_LOCAL = (
    "unknown_accounts: must be refuse while other machines can connect, since adopt lets "
    "anyone in; start without --allow-remote to use adopt"
)


class InFlight:
    """Counts the requests that are not answered yet, per account and call."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self.peaks: Counter[tuple[str, str]] = Counter()
        """The most requests in flight at once, by account and call."""

    def enter(self, account: str, call: str) -> "Slot":
        """Count a request in. The caller leaves the slot when it answers."""
        slot = Slot(self._counts, (account, call))
        self.peaks[account, call] = max(self.peaks[account, call], slot.ahead + 1)
        return slot


class Slot:
    """One request in flight."""

    def __init__(self, counts: Counter[tuple[str, str]], key: tuple[str, str]) -> None:
        self._counts = counts
        self._key = key
        self._has_left = False
        self.ahead = counts[key]
        """The number of requests already in flight when this one arrived."""
        counts[key] += 1

    def leave(self) -> None:
        """Count the request out. A second call does nothing."""
        if not self._has_left:
            self._has_left = True
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
        self.searches = SearchTable(clock=clock)
        self.requests: Counter[tuple[str | None, str, str]] = Counter()
        """Requests by account (None if it is not known), call and outcome."""
        self.request_log = RequestLog(clock=clock, announce=lambda: self.announce("requests"))
        self.cut_connection: Callable[[Scope], None] | None = None
        """Closes a request's connection; None if the application runs without a socket."""
        self.requires_passcode = False
        """Whether pages and reads require an account's passcode too."""
        self.loopback_only = False
        """Whether only requests to a name of this machine are served."""
        self.is_closing = False
        self.engagement: Engagement
        """The campaigns. ``create_app`` sets it, because it is built on this service."""
        self.streams: set[asyncio.Event] = set()
        """An event for each live stream, set when there may be something to send."""
        self.versions = Counter(start=int(clock() * 1000))
        """The number of announced changes, by topic: ``data``, ``settings``, ``requests``, …

        ``start`` differs for each start of the emulator, so that a page notices one.
        """
        store.listen(lambda: self.announce("data"))
        self.settings = settings or Settings()
        plan = FaultPlan(seed=seed)
        with store.database.closed_if_damaged(), invalid_if_saved(store.database.file):
            stored = store.database.get_meta("settings")
            if settings is None and stored is not None:
                self.settings = Settings().changed(json.loads(stored))
            faults = store.database.get_meta("faults")
            if faults is not None:
                plan = parse_plan(json.loads(faults))
        self.faults = FaultInjector(plan)

    def change_settings(self, settings: Settings) -> None:
        """Replace the settings, durably.

        Raises InvalidSettingsError for settings that must not be used while other
        machines can connect.
        """
        if self.requires_passcode and settings.unknown_accounts == "adopt":
            raise InvalidSettingsError(ADOPT_IS_LOCAL)
        self.settings = settings
        self.store.database.set_meta("settings", json.dumps(settings.document()))
        self.announce("settings")

    def change_faults(self, plan: FaultPlan) -> None:
        """Replace the fault plan, durably, and start it from its seed."""
        self.faults.restart(plan)
        self.store.database.set_meta("faults", json.dumps(plan.document()))
        self.announce("faults")

    def reset(self) -> None:
        """Delete all data and restart the fault plan. Settings and faults stay."""
        self.store.reset()
        self.engagement.forget()
        self.requests.clear()
        self.in_flight.peaks.clear()
        self.request_log.clear()
        self.faults.restart(self.faults.plan)

    def delete_segments(self, found: Sequence[tuple[Account, Segment]]) -> None:
        """Delete segments as the dashboard does: all of them or none.

        Raises RequestError 409 if a scheduled or running campaign uses one.
        """
        self.engagement.check_unused(segment for _, segment in found)
        for account in {account.id: account for account, _ in found}.values():
            self.store.delete(account, [segment for owner, segment in found if owner is account])

    def announce(self, topic: str) -> None:
        """Count a change of a topic, and wake the live streams."""
        self.versions[topic] += 1
        self._wake_streams()

    def _wake_streams(self) -> None:
        for stream in self.streams:
            stream.set()

    def close_streams(self) -> None:
        """End the live streams, which would keep the server from stopping."""
        self.is_closing = True
        self._wake_streams()

    def count(self, account: str | None, call: str, outcome: str) -> None:
        """Count a request; ``account`` is None if its credentials were wrong."""
        self.requests[account, call, outcome] += 1

    @property
    def zone(self) -> tzinfo:
        """The project's time zone; UTC if this machine does not know the one of the settings."""
        return find_zone(self.settings.time_zone) or UTC

    def visible_until(self) -> float | None:
        """Return the time up to which changes are visible, or None if all are."""
        lag = self.settings.visibility_lag_ms
        return self.clock() - lag / 1000 if lag else None

    def stats(self, account: Account | None) -> dict[str, Any]:
        """Return the figures of one account, or of all if None."""
        accounts = list(self.store.accounts.values()) if account is None else [account]
        requests: dict[str, Counter[str]] = {call: Counter() for call in SEGMENT_CALLS}
        for (owner, call, outcome), count in self.requests.items():
            if account is None or owner == account.id:
                requests.setdefault(call, Counter())[outcome] += count
        peaks = self.in_flight.peaks
        return {
            "requests": {call: dict(sorted(counts.items())) for call, counts in requests.items()},
            "membership_changes": sum(each.membership_changes for each in accounts),
            "events": sum(each.events for each in accounts),
            "data_points": sum(each.data_points for each in accounts),
            "profiles": sum(len(each.profiles) for each in accounts),
            "segments": sum(each.count_live_segments() for each in accounts),
            "max_in_flight": {
                call: max(peaks[each.id, call] for each in accounts) for call in requests
            },
        }

    # -- authentication -------------------------------------------------------

    def authenticate(self, request: Request) -> Account:
        """Return the account of the vendor's two headers; raises RequestError 401."""
        name = request.headers.get("x-clevertap-account-id", "")
        passcode = request.headers.get("x-clevertap-passcode", "")
        account = self.check_passcode(name, passcode)
        region = region_of(request.headers.get("host", ""))
        home = self.settings.account_regions.get(account.id)
        if region is not None and home is not None and region != home:
            raise unauthenticated("Account ID is not valid in this region")
        return account

    def check_passcode(self, name: str, passcode: str) -> Account:
        """Return the account with this id and passcode; raises RequestError 401."""
        account = self.store.accounts.get(name)
        if account is None or account.passcode is None:
            if not (name and passcode and self.settings.unknown_accounts == "adopt"):
                raise self._wrong_credentials("Account ID")
            account = self.store.add_account(name, passcode)
        if not hmac.compare_digest(passcode.encode(), (account.passcode or "").encode()):
            raise self._wrong_credentials("Passcode")
        return account

    def _wrong_credentials(self, which: str) -> RequestError:
        """Return the 401. If other machines can connect, it does not tell which accounts exist."""
        wrong = "Account ID or passcode" if self.requires_passcode else which
        return unauthenticated(f"{wrong} is not valid")

    def find_account(self, name: str | None) -> Account | None:
        """Return the account with this id, or None for all; raises RequestError 404."""
        if name is None:
            return None
        account = self.store.accounts.get(name)
        if account is None:
            raise RequestError(404, "no such account")
        return account


@contextmanager
def invalid_if_saved(file: Path | None) -> Iterator[None]:
    """Name the file if its settings or faults are invalid; raises DataFormatError."""
    try:
        yield
    except InvalidSettingsError as error:
        if file is None:
            raise
        raise DataFormatError(
            f"{file} has settings or faults that are not valid: {error}",
            hint="Use the version of segctl that saved them, or another data folder.",
        ) from error
