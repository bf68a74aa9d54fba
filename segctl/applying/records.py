"""What sending needs of a journal."""

from collections.abc import Iterator
from typing import Protocol

from segctl.core.outcomes import Record


class SendLog(Protocol):
    """Appends records and reads them back; ``backends.journal.Journal`` implements it."""

    def append(self, record: Record, *, durable: bool) -> None:
        """Write one record; if ``durable``, it is on disk when this returns."""

    def sync(self) -> None:
        """Flush written records to disk. May run in a thread while ``append`` is called."""

    def records(self) -> Iterator[Record]:
        """Yield the records in order."""
