"""The durable half of the store: SQLite's tables and the statements on them.

A membership change is written as part of a *run*: one segment, one action, the
profiles it changed, in the order of the events it raised.  The runs are the event
log, the journal that survives ``kill -9``, and small: a request of 100 users x
100 segments is a hundred rows.  The members themselves are kept in memory and
saved now and then, with the place in the log up to which they are true.
"""

import fcntl
import os
import sqlite3
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from segctl.emulator.errors import DataFormatError, DataInUseError

VERSION = 1
"""The format of the file; another one is refused, not guessed at."""

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
CREATE TABLE IF NOT EXISTS members (segment INTEGER PRIMARY KEY, bits BLOB NOT NULL);
"""

TABLES = ("meta", "accounts", "profiles", "segments", "runs", "refusals", "members")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Events in a row: one segment, one action, the profiles in order.

    ``seq`` is the first event's number.  ``changed`` is false for events that a
    switch raises for a change that changed nothing.
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
class Refusal:
    """Entries that the Error Stream shows: one segment line, every user it met.

    ``segment`` and ``customer_id`` are as the request gave them, None where it
    gave none.
    """

    account: int
    ts: float
    type: str
    segment: str | None
    customer_id: str | None
    users: tuple[str, ...]


def pack(users: Sequence[int]) -> bytes:
    """Profile numbers as they are stored: four bytes each."""
    return array("I", users).tobytes()


def unpack(blob: bytes) -> tuple[int, ...]:
    """Read back what ``pack`` wrote."""
    numbers = array("I")
    numbers.frombytes(blob)
    return tuple(numbers)


def _release(connection: sqlite3.Connection, lock: int | None) -> None:
    connection.close()
    if lock is not None:
        os.close(lock)


class Database:
    """One connection to one file, held alone, or to memory."""

    def __init__(self, *, folder: Path | None) -> None:
        lock: int | None = None
        if folder is None:
            target = ":memory:"
        else:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = self._hold(folder / "emulator.lock")
            target = str(folder / "emulator.sqlite3")
        # The server may live in another thread than the one that made it; one
        # event loop uses the connection, so there is no second user at a time.
        self.connection = sqlite3.connect(target, check_same_thread=False, isolation_level=None)
        # Also when an application made for a test is simply forgotten.
        self._give_up = weakref.finalize(self, _release, self.connection, lock)
        try:
            self._open(folder)
        except sqlite3.DatabaseError as error:
            self.close()
            raise DataFormatError(f"{target}: {error}") from error

    def _open(self, folder: Path | None) -> None:
        run = self.connection.execute
        run("PRAGMA journal_mode = WAL")
        # NORMAL: a commit has reached the operating system, so it outlives this
        # process, killed or not; only a power cut can take the last ones back.
        run("PRAGMA synchronous = NORMAL")
        run("PRAGMA cache_size = -65536")
        (version,) = run("PRAGMA user_version").fetchone()
        if version not in {0, VERSION}:
            self.close()
            raise DataFormatError(
                f"{folder} was written by another version of the emulator (format {version}, "
                f"this one is {VERSION})"
            )
        self.connection.executescript(SCHEMA)
        run(f"PRAGMA user_version = {VERSION}")

    @staticmethod
    def _hold(path: Path) -> int:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise DataInUseError(f"another emulator is using {path.parent}") from error
        return lock

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of what happens inside, or nothing."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            # SQLite has gone back by itself after some failures, a full disk for one.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    @property
    def closed(self) -> bool:
        """Whether the file was given up."""
        return not self._give_up.alive

    def close(self) -> None:
        """Give up the file and the right to it."""
        self._give_up()

    def clear(self) -> None:
        """Forget everything but the accounts and what is in ``meta``."""
        with self.transaction() as connection:
            for table in TABLES:
                if table not in {"accounts", "meta"}:
                    connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
            connection.execute("UPDATE accounts SET profile_points = 0")
            connection.execute("DELETE FROM meta WHERE key = 'checkpoint'")

    def note(self, key: str, value: str) -> None:
        """Keep a small document under a name."""
        self.connection.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )

    def noted(self, key: str) -> str | None:
        """Return the document under that name."""
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def add_runs(self, runs: Iterable[Run]) -> None:
        """Append to the log; the caller holds a transaction."""
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
                    pack(run.users),
                )
                for run in runs
            ],
        )

    def runs(self, *, start: int = 0, backwards: bool = False) -> Iterator[Run]:
        """Read the log from the run that holds event number ``start``, or from its end."""
        if backwards:
            where, parameters = "WHERE seq >= ? ORDER BY seq DESC", (start,)
        else:
            where, parameters = (
                "WHERE seq >= coalesce((SELECT max(seq) FROM runs WHERE seq <= ?), 0) ORDER BY seq",
                (start,),
            )
        rows = self.connection.execute(
            "SELECT seq, account, segment, action, changed, points, ts, users FROM runs "  # noqa: S608 - one of two fixed clauses
            + where,
            parameters,
        )
        for seq, account, segment, action, changed, points, ts, users in rows:
            yield Run(
                seq=seq,
                account=account,
                segment=segment,
                action=action,
                changed=bool(changed),
                points=points,
                ts=ts,
                users=unpack(users),
            )
