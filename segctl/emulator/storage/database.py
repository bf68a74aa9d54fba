"""The SQLite file: its tables, its format and its lock.

Membership events are stored as *runs*: one row for one segment, one action, and the
profiles concerned in the order of their events.  A request of 100 users × 100 segments
is a hundred rows.  The runs are the event log and also the journal from which members
are recovered after ``kill -9``.  Members are kept in memory and saved now and then,
with their position in the log.
"""

import contextlib
import json
import sqlite3
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from segctl.emulator.errors import DataFormatError
from segctl.emulator.storage import event_log, former_names, merges, tallies
from segctl.emulator.storage.damage import (
    check_columns,
    check_rows,
    check_structure,
    damage_reported,
)
from segctl.emulator.storage.data_folder import DataFolder, new_data_id
from segctl.emulator.storage.migration import migrate
from segctl.emulator.storage.state import API_SEGMENTS
from segctl.emulator.storage.wal import LogCopier

VERSION = 3
"""The format of the file; ``migration`` reads the formats before."""

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accounts (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, passcode TEXT,
    profile_points INTEGER NOT NULL DEFAULT 0, changes INTEGER NOT NULL DEFAULT 0,
    events INTEGER NOT NULL DEFAULT 0, event_points INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS profiles (
    account INTEGER NOT NULL, number INTEGER NOT NULL, identity TEXT, guid TEXT,
    reach INTEGER NOT NULL DEFAULT 0, data TEXT,
    PRIMARY KEY (account, number)) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS profiles_by_identity ON profiles (account, identity)
    WHERE identity IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS profiles_by_guid ON profiles (account, guid)
    WHERE guid IS NOT NULL;
CREATE TABLE IF NOT EXISTS segments (
    id INTEGER PRIMARY KEY, account INTEGER NOT NULL, customer_id TEXT, name TEXT NOT NULL,
    created_at REAL NOT NULL, deleted_at REAL,
    category TEXT NOT NULL DEFAULT '{API_SEGMENTS}');
CREATE TABLE IF NOT EXISTS refusals (
    number INTEGER PRIMARY KEY, account INTEGER NOT NULL, ts REAL NOT NULL,
    type TEXT NOT NULL, segment TEXT, customer_id TEXT, users TEXT NOT NULL,
    apply INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS applies (
    number INTEGER PRIMARY KEY, account INTEGER NOT NULL, agent TEXT NOT NULL,
    label TEXT NOT NULL, first REAL NOT NULL, last REAL NOT NULL,
    requests INTEGER NOT NULL, events INTEGER NOT NULL, skipped INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS applies_by_agent ON applies (account, agent);
CREATE TABLE IF NOT EXISTS members (
    segment INTEGER PRIMARY KEY, bitmap BLOB NOT NULL, event INTEGER NOT NULL DEFAULT 1);
CREATE TABLE IF NOT EXISTS reachable (
    account INTEGER NOT NULL, channel TEXT NOT NULL, bitmap BLOB NOT NULL,
    PRIMARY KEY (account, channel));
CREATE TABLE IF NOT EXISTS reach_journal (
    number INTEGER PRIMARY KEY, account INTEGER NOT NULL, profile INTEGER NOT NULL,
    reach INTEGER NOT NULL);
{former_names.SCHEMA}{event_log.SCHEMA}{tallies.SCHEMA}{merges.SCHEMA}"""


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedLine:
    """A segment line that was skipped for some users: one Error Stream entry for each.

    ``segment`` and ``customer_id`` are those of the request, None if absent.
    """

    account: int
    ts: float
    type: str
    segment: str | None
    customer_id: str | None
    users: tuple[str, ...]


def _close(
    connection: sqlite3.Connection, folder: DataFolder | None, copier: LogCopier | None
) -> None:
    if copier is not None:
        copier.stop()
    if folder is None:
        connection.close()
        return
    folder.closing()
    connection.close()
    folder.end()


class Database:
    """The connection to the file, which is locked while it is open, or to memory."""

    def __init__(self, *, folder: Path | None) -> None:
        self._data = data = None if folder is None else DataFolder(folder)
        self.file = None if data is None else data.file
        self.is_suspect = data is not None and not data.is_unchanged
        """Whether the file may not be what the last run left, so that its rows are checked."""
        # The server may run in a thread other than the one that opened the file.  Only
        # one event loop uses the connection, so there is never a second user.
        self.connection = sqlite3.connect(
            self.file or ":memory:", check_same_thread=False, isolation_level=None
        )
        self._copier = None if data is None else LogCopier(data.file, self.connection)
        # Also closes the file of an application that a test never closed.
        self.close = weakref.finalize(self, _close, self.connection, data, self._copier)
        with self.closed_if_damaged():
            self._open(data)

    @contextmanager
    def closed_if_damaged(self) -> Iterator[None]:
        """Close the file if the block fails; raises DataFormatError for damaged data."""
        try:
            with damage_reported(self.file):
                yield
        except BaseException:
            self.distrust()
            self.close()
            raise

    def distrust(self) -> None:
        """Let the next start check the whole file, even if this run ends cleanly."""
        if self._data is not None:
            self._data.distrust()

    def _open(self, data: DataFolder | None) -> None:
        execute = self.connection.execute
        if data is not None and not data.is_unchanged:
            check_structure(self.connection, data.file)
        (version,) = execute("PRAGMA user_version").fetchone()
        if not 0 <= version <= VERSION:
            raise DataFormatError(
                f"{self.file} has data of format {version}, and this version of the emulator reads "
                f"formats up to {VERSION}",
                hint="Use another data folder, or a newer segctl.",
            )
        if version == 0 and execute("SELECT 1 FROM sqlite_schema").fetchone() is not None:
            raise DataFormatError(
                f"{self.file} is a database of another program", hint="Use another data folder."
            )
        execute("PRAGMA journal_mode = WAL")
        # NORMAL: a commit has reached the operating system, so it survives the end of
        # this process by any means.  Only a power cut can lose the last ones.
        execute("PRAGMA synchronous = NORMAL")
        execute("PRAGMA cache_size = -65536")
        with self.transaction():
            migrate(self.connection, version=version, schema=SCHEMA)
            # Nothing is written if nothing changes: a file that turns out to be damaged
            # stays as it is.
            if version != VERSION:
                execute(f"PRAGMA user_version = {VERSION}")
            data_id = self.get_meta("data_id")
            if data_id is None:
                data_id = new_data_id()
                self.set_meta("data_id", data_id)
        if data is not None:
            data.begin(data_id)
            if self.is_suspect:
                check_columns(self.connection, data.file, SCHEMA)
                check_rows(self.connection, data.file)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block does, or roll all of it back if it raises."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            # SQLite rolls back by itself after some failures, such as a full disk.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        if self._copier is not None:
            self._copier.committed()

    @property
    def is_closed(self) -> bool:
        """Whether the file was closed and unlocked."""
        return not self.close.alive

    def clear(self) -> None:
        """Delete everything but the accounts, the settings and the faults.

        An empty database is written over this one, which takes a millisecond however
        large it is.  Deleting rows would take seconds.
        """
        with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
            for (statement,) in self.connection.execute(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
            ):
                empty.execute(statement)
            meta = self.connection.execute("SELECT * FROM meta WHERE key != 'replay_from'")
            empty.executemany("INSERT INTO meta VALUES (?, ?)", meta)
            accounts = self.connection.execute("SELECT number, id, passcode FROM accounts")
            empty.executemany(
                "INSERT INTO accounts (number, id, passcode) VALUES (?, ?, ?)", accounts
            )
            empty.execute(f"PRAGMA user_version = {VERSION}")
            empty.backup(self.connection)

    def set_meta(self, key: str, value: str) -> None:
        """Store a small document under a key."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def get_meta(self, key: str) -> str | None:
        """Return the document stored under a key."""
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def append_skipped(self, skipped: Iterable[SkippedLine], *, apply: int) -> None:
        """Append what an apply skipped to the Error Stream, in the caller's transaction."""
        self.connection.executemany(
            "INSERT INTO refusals (account, ts, type, segment, customer_id, users, apply) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    line.account,
                    line.ts,
                    line.type,
                    line.segment,
                    line.customer_id,
                    json.dumps(line.users),
                    apply,
                )
                for line in skipped
            ],
        )
