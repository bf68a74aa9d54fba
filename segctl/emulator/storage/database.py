"""The SQLite file: tables and statements.

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
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from segctl.emulator.errors import DataFormatError, DataInUseError

VERSION = 2
"""The format of the file. Version 1 saved members differently and is migrated."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accounts (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, passcode TEXT,
    profile_points INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS profiles (
    account INTEGER NOT NULL, number INTEGER NOT NULL, identity TEXT, guid TEXT,
    reach INTEGER NOT NULL DEFAULT 0, data TEXT,
    PRIMARY KEY (account, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS segments (
    id INTEGER PRIMARY KEY, account INTEGER NOT NULL, customer_id TEXT, name TEXT NOT NULL,
    created_at REAL NOT NULL, deleted_at REAL);
CREATE TABLE IF NOT EXISTS runs (
    seq INTEGER PRIMARY KEY, account INTEGER NOT NULL, segment INTEGER NOT NULL,
    action TEXT NOT NULL, changed INTEGER NOT NULL, events INTEGER NOT NULL,
    points INTEGER NOT NULL, ts REAL NOT NULL, users BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS refusals (
    number INTEGER PRIMARY KEY, account INTEGER NOT NULL, ts REAL NOT NULL,
    type TEXT NOT NULL, segment TEXT, customer_id TEXT, users TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS members (segment INTEGER PRIMARY KEY, bitmap BLOB NOT NULL);
"""

DROP_SAVED_MEMBERS = "DROP TABLE members; DELETE FROM meta WHERE key = 'checkpoint';"
"""Migrates version 1: the members are recovered from the event log, which is complete."""

CLEARED_TABLES = ("profiles", "segments", "runs", "refusals", "members")


@dataclass(frozen=True, kw_only=True, slots=True)
class EventRun:
    """Consecutive events of one segment and one action.

    ``seq`` is the number of the first event, ``users`` are profile numbers.
    ``changed`` is false for the events of a switch that reports changes without effect.
    """

    seq: int
    account: int
    segment: int
    action: str
    changed: bool
    points: int
    ts: float
    users: tuple[int, ...]


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


def pack_numbers(numbers: Sequence[int]) -> bytes:
    """Return profile numbers as they are stored, four bytes each."""
    return array("I", numbers).tobytes()


def unpack_numbers(blob: bytes) -> tuple[int, ...]:
    """Return the numbers that ``pack_numbers`` packed."""
    numbers = array("I")
    numbers.frombytes(blob)
    return tuple(numbers)


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
        migration = DROP_SAVED_MEMBERS if version == 1 else ""
        self.connection.executescript(
            f"BEGIN; {migration} {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
        )

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
            connection.execute("UPDATE accounts SET profile_points = 0")
            connection.execute("DELETE FROM meta WHERE key = 'checkpoint'")

    def set_meta(self, key: str, value: str) -> None:
        """Store a small document under a key."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def get_meta(self, key: str) -> str | None:
        """Return the document stored under a key."""
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def append_runs(self, runs: Iterable[EventRun]) -> None:
        """Append to the event log. The caller has begun a transaction."""
        self.connection.executemany(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    run.seq,
                    run.account,
                    run.segment,
                    run.action,
                    run.changed,
                    len(run.users),
                    run.points,
                    run.ts,
                    pack_numbers(run.users),
                )
                for run in runs
            ],
        )

    def append_skipped(self, skipped: Iterable[SkippedLine]) -> None:
        """Append to the Error Stream. The caller has begun a transaction."""
        self.connection.executemany(
            "INSERT INTO refusals (account, ts, type, segment, customer_id, users) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            [
                (
                    line.account,
                    line.ts,
                    line.type,
                    line.segment,
                    line.customer_id,
                    json.dumps(line.users),
                )
                for line in skipped
            ],
        )

    def read_runs(self, *, start: int = 0) -> Iterator[EventRun]:
        """Yield the runs from the one with event number ``start`` on, oldest first."""
        return self._select_runs(
            "WHERE seq >= coalesce((SELECT max(seq) FROM runs WHERE seq <= ?), 0) ORDER BY seq",
            start,
        )

    def read_runs_backwards(self) -> Iterator[EventRun]:
        """Yield all runs, newest first."""
        return self._select_runs("ORDER BY seq DESC")

    def _select_runs(self, clause: str, *parameters: int) -> Iterator[EventRun]:
        rows = self.connection.execute(
            "SELECT seq, account, segment, action, changed, points, ts, users FROM runs "  # noqa: S608 - one of two fixed clauses
            + clause,
            parameters,
        )
        for seq, account, segment, action, changed, points, ts, users in rows:
            yield EventRun(
                seq=seq,
                account=account,
                segment=segment,
                action=action,
                changed=bool(changed),
                points=points,
                ts=ts,
                users=unpack_numbers(users),
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
