"""What sending creates and sending updates both need."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from segctl.applying.stop_rules import StopRules
from segctl.core.clock import Clock
from segctl.core.events import Observer
from segctl.core.outcomes import Record
from segctl.plan.model import Plan
from segctl.provider.client import Provider


class SendLog(Protocol):
    """Appends records and reads them back; ``backends.journal.Journal`` implements it."""

    @property
    def window(self) -> int:
        """How many requests to record as sent at a time."""

    def append(self, record: Record, *, durable: bool) -> None:
        """Write one record; if ``durable``, it is on disk when this returns."""

    def sync(self) -> None:
        """Flush written records to disk. May run in a thread while ``append`` is called."""

    def records(self) -> Iterator[Record]:
        """Yield the records in order."""


@dataclass(frozen=True, kw_only=True)
class SendContext:
    """The plan being sent, and everything that sending it uses."""

    plan: Plan
    provider: Provider
    log: SendLog
    clock: Clock
    observe: Observer
    rules: StopRules
