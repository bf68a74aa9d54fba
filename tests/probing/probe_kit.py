"""A probe of an emulator in this process, on a clock that no test waits for."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.types import ASGIApp

from segctl.emulator.app import create_app
from segctl.emulator.settings import Settings
from segctl.probing.probe_plan import ProbePlan
from segctl.probing.probe_run import ProbeRun
from segctl.probing.report import Certainty, Cost, ProbeReport, Write
from segctl.provider.raw import RawService
from tests.clocks import SwiftClock

ACCOUNT = "ACC-PROBE-1"
PASSCODE = "pass-very-secret"
STEM = "segctl-probe-k3x9"


async def _turn(seconds: float) -> None:
    """The emulator's latency: others get their turn, the clock stands."""
    del seconds
    await asyncio.sleep(0)


@dataclass
class Bench:
    """An emulator, and what a probe of it asked, said and found."""

    app: Starlette
    clock: SwiftClock
    front: ASGIApp | None = None
    writes: list[Write] = field(default_factory=list)

    def probe(
        self,
        *,
        approve: Callable[[Write], bool] = bool,
        note: Callable[[str], object] = str,
        patience: float = 30.0,
    ) -> ProbeReport:
        """Probe the emulator, through ``front`` where there is something before it."""

        def asked(write: Write) -> bool:
            self.writes.append(write)
            return approve(write)

        service = RawService(
            base_url="https://emulator",
            account_id=ACCOUNT,
            passcode=PASSCODE,
            clock=self.clock,
            transport=httpx.ASGITransport(app=self.front or self.app),
        )
        with service:
            probe = ProbeRun(service, stem=STEM, clock=self.clock, approve=asked, note=note)
            return ProbePlan(probe, host="emulator", patience=patience).run()

    @property
    def service(self) -> Any:
        """What the emulator knows."""
        return self.app.state.service

    def members(self) -> int:
        """Count the members of all segments."""
        return sum(len(segment.members) for segment in account_of(self).segments.values())

    def used(self) -> Cost:
        """Count what the probe used up."""
        account = account_of(self)
        rows = self.service.store.database.connection.execute("SELECT users FROM refusals")
        return Cost(
            segments=len(account.segments),
            profiles=len(account.profiles),
            events=account.events,
            errors=sum(len(json.loads(users)) for (users,) in rows),
        )


def account_of(bench: Bench) -> Any:
    """What the emulator knows of the one account."""
    (account,) = bench.service.store.accounts.values()
    return account


@contextmanager
def bench(**settings: Any) -> Iterator[Bench]:
    """Make an emulator with these settings, slow enough for requests to meet."""
    clock = SwiftClock()
    app = create_app(
        accounts={ACCOUNT: PASSCODE},
        settings=Settings().changed({"latency_ms": 1, **settings}),
        clock=clock.now,
        sleep=_turn,
    )
    try:
        yield Bench(app=app, clock=clock)
    finally:
        app.state.service.store.close()


def answers(report: ProbeReport) -> dict[str, str]:
    """Give each question's answer, or that it could not be told."""
    return {
        each.key: each.answer if each.certainty is Certainty.OBSERVED else "cannot tell"
        for each in report.findings
    }
