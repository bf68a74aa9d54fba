"""The SQLite file: its tables, its format and its lock.

Membership events are stored as *runs*: one row for one segment, one action, and the
profiles concerned in the order of their events.  A request of 100 users × 100 segments
is a hundred rows.  The runs are the event log and also the journal from which members
are recovered after ``kill -9``.  Members are kept in memory and saved now and then,
with their position in the log.
"""

import fcntl
import json
import os
import sqlite3
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from segctl.emulator.errors import DataFormatError, DataInUseError
from segctl.emulator.storage import event_log
from segctl.emulator.storage.migration import migrate
from segctl.emulator.storage.state import API_SEGMENTS

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
{event_log.SCHEMA}"""

CLEARED_TABLES = (
    "profiles",
    "segments",
    "runs",
    "blocks",
    "block_contents",
    "tallies",
    "refusals",
    "applies",
    "members",
    "reachable",
    "reach_journal",
)


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


def _close(connection: sqlite3.Connection, lock: int | None) -> None:
    connection.close()
    if lock is not None:
        os.close(lock)


class Database:
    """The connection to the file, which is locked while it is open, or to memory."""

    def __init__(self, *, folder: Path | None) -> None:
        lock: int | None = None
        path = ":memory:"
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = _lock_folder(folder)
            path = str(folder / "emulator.sqlite3")
        # The server may run in a thread other than the one that opened the file.  Only
        # one event loop uses the connection, so there is never a second user.
        self.connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # Also closes the file of an application that a test never closed.
        self.close = weakref.finalize(self, _close, self.connection, lock)
        try:
            self._open(folder)
        except sqlite3.DatabaseError as error:
            self.close()
            raise DataFormatError(
                f"{path}: {error}; check the file, or use another data folder"
            ) from error

    def _open(self, folder: Path | None) -> None:
        execute = self.connection.execute
        execute("PRAGMA journal_mode = WAL")
        # NORMAL: a commit has reached the operating system, so it survives the end of
        # this process by any means.  Only a power cut can lose the last ones.
        execute("PRAGMA synchronous = NORMAL")
        execute("PRAGMA cache_size = -65536")
        (version,) = execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            self.close()
            raise DataFormatError(
                f"{folder} has data of format {version}, and this version of the emulator reads "
                f"formats up to {VERSION}; use another data folder, or a newer segctl"
            )
        with self.transaction():
            migrate(self.connection, version=version, schema=SCHEMA)
            execute(f"PRAGMA user_version = {VERSION}")

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

    @property
    def is_closed(self) -> bool:
        """Whether the file was closed and unlocked."""
        return not self.close.alive

    def clear(self) -> None:
        """Delete everything but the accounts, the settings and the faults."""
        with self.transaction() as connection:
            for table in CLEARED_TABLES:
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
            connection.execute(
                "UPDATE accounts SET profile_points = 0, changes = 0, events = 0, event_points = 0"
            )
            connection.execute("DELETE FROM meta WHERE key = 'replay_from'")

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


def _lock_folder(folder: Path) -> int:
    lock = os.open(folder / "emulator.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise DataInUseError(
            f"another emulator is using {folder}; stop it, or use another data folder"
        ) from error
    return lock
