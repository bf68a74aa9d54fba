"""The names that renamed segments had: an event keeps the name of its time."""

from collections.abc import Iterable
from sqlite3 import Connection

from segctl.emulator.storage.state import Account, Segment

SCHEMA = """
CREATE TABLE IF NOT EXISTS former_names (
    segment INTEGER NOT NULL, until INTEGER NOT NULL, name TEXT NOT NULL);
"""


def append_former_name(connection: Connection, segment: Segment, *, next_event: int) -> None:
    """Keep the name that a segment has until the event ``next_event``."""
    connection.execute(
        "INSERT INTO former_names VALUES (?, ?, ?)", (segment.id, next_event, segment.name)
    )
    segment.former_names.append((next_event, segment.name))


def load_former_names(connection: Connection, accounts: Iterable[Account]) -> None:
    """Set the former names of the accounts' segments."""
    segments = {number: each for account in accounts for number, each in account.segments.items()}
    for segment, until, name in connection.execute(
        "SELECT segment, until, name FROM former_names ORDER BY rowid"
    ):
        segments[segment].former_names.append((until, name))
