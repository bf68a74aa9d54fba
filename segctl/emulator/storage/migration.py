"""Files of formats 1 and 2 become format 3 when they are opened.

Everything happens in the caller's transaction: a migration that is killed leaves the
old file as it was.
"""

import json
import sys
from collections.abc import Iterator
from sqlite3 import Connection

from pyroaring import BitMap

from segctl.emulator.storage.event_log import EventLog
from segctl.emulator.storage.state import ANY_CHANNEL, REACH_BITS

LARGE = 1_000_000
"""The events or profiles from which a migration says that it takes a while."""

PAIRS_PER_STEP = 100_000

NEW_COLUMNS = (
    "accounts ADD COLUMN changes INTEGER NOT NULL DEFAULT 0",
    "accounts ADD COLUMN events INTEGER NOT NULL DEFAULT 0",
    "accounts ADD COLUMN event_points INTEGER NOT NULL DEFAULT 0",
    "segments ADD COLUMN category TEXT NOT NULL DEFAULT 'API Segments'",
    "runs ADD COLUMN apply INTEGER NOT NULL DEFAULT 0",
    "refusals ADD COLUMN apply INTEGER NOT NULL DEFAULT 0",
)


def statements(script: str) -> Iterator[str]:
    """Yield the statements of a script, which has no semicolon within one."""
    yield from (statement for statement in script.split(";") if statement.strip())


def migrate(connection: Connection, *, version: int, schema: str) -> None:
    """Make the tables of ``schema``, from those of an older version, or from nothing (0)."""
    if version in {1, 2}:
        _report_if_large(connection)
        for change in NEW_COLUMNS:
            connection.execute(f"ALTER TABLE {change}")
        if version == 1:
            # Version 1 saved members differently. They are recovered from the whole log.
            connection.execute("DELETE FROM meta WHERE key = 'checkpoint'")
        _migrate_members(connection, keep=version == 2)
    for statement in statements(schema):
        connection.execute(statement)
    if version in {1, 2}:
        _fill_figures(connection)
        _fill_tallies(connection)
        _fill_reachable(connection)
        EventLog(connection).make_blocks()


def _report_if_large(connection: Connection) -> None:
    (profiles,) = connection.execute("SELECT count(*) FROM profiles").fetchone()
    (events,) = connection.execute("SELECT coalesce(max(seq), 0) FROM runs").fetchone()
    if max(profiles, events) >= LARGE:
        print(  # noqa: T201 - a start that takes long says why
            f"The data is of an older format. Migrating {profiles:,} profiles and {events:,} "
            "events; this can take minutes. Stopping it leaves the data as it was.",
            file=sys.stderr,
            flush=True,
        )


def _migrate_members(connection: Connection, *, keep: bool) -> None:
    row = connection.execute("SELECT value FROM meta WHERE key = 'checkpoint'").fetchone()
    event = json.loads(row[0])["event"] if row and keep else 1
    if keep:
        connection.execute(
            f"ALTER TABLE members ADD COLUMN event INTEGER NOT NULL DEFAULT {int(event)}"
        )
    else:
        connection.execute("DROP TABLE members")
    connection.execute("DELETE FROM meta WHERE key = 'checkpoint'")
    connection.execute("INSERT INTO meta VALUES ('replay_from', ?)", (str(event),))


def _fill_figures(connection: Connection) -> None:
    connection.execute(
        "UPDATE accounts SET (events, changes, event_points) = (SELECT "
        "coalesce(sum(events), 0), coalesce(sum(events * changed), 0), coalesce(sum(points), 0) "
        "FROM runs WHERE account = accounts.number)"
    )


def _fill_tallies(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO tallies SELECT CAST(ts / 60 AS INTEGER) AS minute, account, segment, "
        "action, sum(events), sum(events * changed) FROM runs "
        "GROUP BY minute, account, segment, action"
    )


def _fill_reachable(connection: Connection) -> None:
    for (account,) in connection.execute("SELECT number FROM accounts").fetchall():
        for channel, bits in {"any": ANY_CHANNEL, **REACH_BITS}.items():
            numbers = BitMap()
            rows = connection.execute(
                "SELECT number FROM profiles WHERE account = ? AND reach & ?", (account, bits)
            )
            while batch := rows.fetchmany(PAIRS_PER_STEP):
                numbers.update([number for (number,) in batch])
            connection.execute(
                "INSERT INTO reachable VALUES (?, ?, ?)", (account, channel, numbers.serialize())
            )
